"""Programs people run from a shell; what they say on stderr is the message."""

import sys
from pathlib import Path

from causes_http import WEB
from draws import WORK, Cause, Draw, command, written
from servers import LIBRARY

PIP = str(Path(sys.executable).with_name("pip"))
NPM_QUIET = {
    "npm_config_update_notifier": "false",
    "npm_config_fund": "false",
    "npm_config_fetch_retries": "0",
}


def node(line: str) -> None:
    command("node", "-e", line)


def npm(*words: str, port: int = 0, folder: str = "") -> None:
    place = written(
        "package.json", '{"name": "shop", "scripts": {"go": "true"}}', folder or "npm"
    ).parent
    command("npm", *words, f"--registry=http://127.0.0.1:{port}", cwd=place, **NPM_QUIET)


def missing(draw: Draw) -> None:
    WEB.says(404, {"error": "Not found"})
    npm("view", draw.name().lower().strip("."), port=WEB.port)


def compiled(draw: Draw, code: str, *flags: str) -> None:
    command("gcc", *flags, str(written(f"{draw.ident()}.c", code)), "-o", str(WORK / "a.out"))


def made(draw: Draw, text: str, *words: str) -> None:
    written("Makefile", text, f"make-{draw.ident()}")
    command("make", *words, cwd=WORK / f"make-{draw.args[-1]}")


def rusted(draw: Draw, code: str) -> None:
    command(
        "rustc",
        "--crate-type",
        "lib",
        "-o",
        str(WORK / "a.rlib"),
        str(written(f"{draw.ident()}.rs", code)),
    )


def crate(draw: Draw, needs: str) -> None:
    name = draw.ident()
    written("lib.rs", "", f"{name}/src")
    place = written(
        "Cargo.toml",
        f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2021"\n{needs}\n',
        name,
    )
    command("cargo", "check", "--offline", cwd=place.parent)


def java(draw: Draw, body: str) -> None:
    name = "Shop" + draw.ident().title().replace("_", "")
    command("javac", str(written(f"{name}.java", f"class {name} {{ void run() {{ {body} }} }}")))


def terraform(draw: Draw, text: str, *words: str) -> None:
    place = written("main.tf", text, f"tf-{draw.number()}").parent
    command("terraform", *words, "-no-color", cwd=place, CHECKPOINT_DISABLE="1")


def archived(draw: Draw, *words: str) -> None:
    place = written(f"{draw.name()}.zip", draw.word() * 9)
    command("unzip", *words, str(place))


def zipped(draw: Draw) -> None:
    """Ask an archive for a member it does not have."""
    place = WORK / f"{draw.number()}.tar"
    command("tar", "-cf", str(place), str(written("kept.txt", "x")), "-P")
    command("tar", "-xf", str(place), draw.name())


def program(draw: Draw, *words: str, given: str = "{}") -> None:
    del draw
    command(*words, given=given)


LIBRARIES = {"LD_LIBRARY_PATH": str(LIBRARY)}

LANGUAGES = [
    Cause("node_no_module", ("environment",), lambda d: node(f"require('{d.name().lower()}')")),
    Cause("node_reference", None, lambda d: node(f"const total = 1;\n{d.ident()}(total)")),
    Cause("node_property", None, lambda d: node(f"const order = undefined; order.{d.ident()}.x")),
    Cause("node_json", None, lambda d: node(f"JSON.parse('{d.name()}')")),
    Cause("node_no_file", ("not_found",), lambda d: node(f"require('fs').readFileSync('{d.path()}')")),
    Cause("node_refused", ("not_sent",), lambda d: node(f"require('net').connect({d.port()}, '127.0.0.1')")),
    Cause("npm_404", ("not_found",), missing),
    Cause("npm_no_script", None, lambda d: npm("run", d.name())),
    Cause("npm_refused", ("not_sent",), lambda d: npm("view", d.name().lower(), port=d.port())),
    Cause("npm_bad_json", None, lambda d: command(
        "npm", "ls", cwd=written("package.json", f'{{"name": "{d.name()}" "x": {d.number()}}}', f"npm-{d.ident()}").parent, **NPM_QUIET)),
    Cause("pip_no_version", None, lambda d: command(
        PIP, "--disable-pip-version-check", "install", "--no-index", f"{d.name()}=={d.number(1, 9)}.{d.number(0, 30)}")),
    Cause("pip_no_requirements", ("not_found",), lambda d: command(
        PIP, "--disable-pip-version-check", "install", "-r", d.path("txt"))),
    Cause("gcc_undeclared", None, lambda d: compiled(d, "\n" * d.number(1, 60) + f"int main(void) {{ return {d.ident()}; }}\n")),
    Cause("gcc_no_header", None, lambda d: compiled(d, f"#include <{d.ident()}.h>\nint main(void) {{ return 0; }}\n")),
    Cause("gcc_undefined", None, lambda d: compiled(
        d, f"int {d.ident()}_f(int); int main(void) {{ return {d.args[-1]}_f(1); }}\n", "-w")),
    Cause("gcc_no_input", ("not_found",), lambda d: command("gcc", d.path("c"))),
    Cause("make_no_rule", None, lambda d: made(d, "all:\n\ttrue\n", d.name())),
    Cause("make_failed", None, lambda d: made(d, f"{d.name()}:\n\t@exit 3\n")),
    Cause("make_separator", None, lambda d: made(d, "\n" * d.number(1, 40) + f"all:\n    {d.word()} x\n")),
    Cause("rust_not_found", None, lambda d: rusted(d, f"pub fn f() -> i32 {{ {d.ident()} }}\n")),
    Cause("rust_mismatch", None, lambda d: rusted(d, f'pub fn f() -> i32 {{ "{d.name()}" }}\n')),
    Cause("cargo_no_package", None, lambda d: crate(d, f'[dependencies]\n{d.ident()} = "1.{d.number(1, 40)}"')),
    Cause("cargo_no_manifest", ("not_found",), lambda d: command("cargo", "check", "--manifest-path", d.path("toml").rsplit("/", 1)[0] + "/Cargo.toml")),
    Cause("javac_symbol", None, lambda d: java(d, f"int n = {d.ident()};")),
    Cause("java_no_main", None, lambda d: command("java", d.ident())),
    Cause("java_no_jar", ("not_found",), lambda d: command("java", "-jar", d.path("jar"))),
    Cause("perl_no_module", ("environment",), lambda d: command("perl", "-e", f"use {d.ident().title()};")),
    Cause("perl_no_script", ("not_found",), lambda d: command("perl", d.path("pl"))),
    Cause("perl_undefined", None, lambda d: command("perl", "-e", "\n" * d.number(1, 30) + f"{d.ident()}(1);")),
    Cause("perl_strict", None, lambda d: command("perl", "-Mstrict", "-e", f"print ${d.ident()};")),
    Cause("terraform_argument", None, lambda d: terraform(d, f'variable "x" {{\n  {d.ident()} = 1\n}}\n', "init", "-backend=false")),
    Cause("terraform_block", None, lambda d: terraform(d, f'{d.ident()} "x" {{\n}}\n', "init", "-backend=false")),
    Cause("terraform_reference", None, lambda d: terraform(d, f'output "x" {{\n  value = var.{d.ident()}\n}}\n', "validate")),
]  # fmt: skip

TOOLS = [
    Cause("ssh_refused", ("not_sent",), lambda d: command("ssh", "-p", str(d.port()), f"{d.ident()}@127.0.0.1")),
    Cause("ssh_dns", ("not_sent",), lambda d: command("ssh", f"{d.ident()}@{d.host()}")),
    Cause("ssh_option", ("bad_input",), lambda d: command("ssh", "-o", f"{d.ident()}=yes", "127.0.0.1")),
    Cause("openssl_no_file", ("not_found",), lambda d: command("openssl", "x509", "-in", d.path("pem"))),
    Cause("openssl_not_pem", None, lambda d: command("openssl", "rsa", "-in", str(written(f"{d.name()}.pem", d.word())))),
    Cause("openssl_refused", ("not_sent",), lambda d: command("openssl", "s_client", "-connect", f"127.0.0.1:{d.port()}")),
    Cause("openssl_command", ("bad_input", "unknown_tool"), lambda d: command("openssl", d.ident())),
    Cause("rsync_no_file", ("not_found",), lambda d: command("rsync", d.path(), str(WORK / "copy"), **LIBRARIES)),
    Cause("rsync_option", ("bad_input",), lambda d: command("rsync", f"--{d.name()}", "a", "b", **LIBRARIES)),
    Cause("sed_no_file", ("not_found",), lambda d: command("sed", "s/a/b/", d.path())),
    Cause("sed_unterminated", None, lambda d: command("sed", f"s/{d.name()}/{d.word()}")),
    Cause("sed_after", None, lambda d: command("sed", "-e", f"{10 ** d.number(1, 40)}p{d.word()}")),
    Cause("awk_no_file", ("not_found",), lambda d: command("mawk", "{print}", d.path())),
    Cause("awk_syntax", None, lambda d: command("mawk", "\n" * d.number(1, 40) + f"BEGIN {{ {d.ident()} {d.word()} ( }}")),
    Cause("jq_no_file", ("not_found",), lambda d: command("jq", ".", d.path("json"))),
    Cause("jq_undefined", None, lambda d: program(d, "jq", f".a | {d.ident()}")),
    Cause("jq_index", None, lambda d: program(d, "jq", f".{d.ident()}", given="[1, 2]")),
    Cause("jq_parse", None, lambda d: program(d, "jq", ".", given="{}\n" * d.number(1, 60) + f'{{"{d.ident()}": x{d.ident()}}}')),
    Cause("tar_no_member", ("not_found",), zipped),
    Cause("tar_option", ("bad_input",), lambda d: command("tar", f"--{d.name()}", "-c")),
    Cause("unzip_not_zip", None, archived),
    Cause("unzip_no_file", ("not_found",), lambda d: command("unzip", d.path("zip"))),
    Cause("gpg_no_file", ("not_found",), lambda d: command("gpg", "--batch", "--decrypt", d.path("gpg"))),
    Cause("gpg_no_recipient", None, lambda d: program(d, "gpg", "--batch", "--no-auto-key-locate", "-r", f"{d.name()}@{d.host()}", "--encrypt")),
    Cause("find_no_folder", ("not_found",), lambda d: command("find", d.path(), "-name", d.word())),
    Cause("find_predicate", ("bad_input",), lambda d: command("find", ".", f"-{d.name()}")),
    Cause("xmllint_syntax", None, lambda d: program(d, "xmllint", "-", given=f"<a>{d.ident()}<{d.ident()}></a>")),
    Cause("kubectl_refused", ("not_sent",), lambda d: command("kubectl", f"--server=http://127.0.0.1:{d.port()}", "get", "pods", d.name())),
    Cause("kubectl_command", ("bad_input", "unknown_tool"), lambda d: command("kubectl", d.name())),
    Cause("kubectl_no_file", ("not_found",), lambda d: command("kubectl", "--server=http://127.0.0.1:1", "apply", "-f", d.path("yaml"))),
    Cause("docker_no_daemon", ("not_sent",), lambda d: command("docker", "-H", f"tcp://127.0.0.1:{d.port()}", "rm", d.name())),
    Cause("docker_command", ("bad_input", "unknown_tool"), lambda d: command("docker", d.name())),
    Cause("psql_refused", ("not_sent",), lambda d: command("psql", "-h", "127.0.0.1", "-p", str(d.port()), d.ident())),
    Cause("wget_dns", ("not_sent",), lambda d: command("wget", "-t1", f"http://{d.host()}/{d.name()}")),
    Cause("wget_refused", ("not_sent",), lambda d: command("wget", "-t1", f"http://127.0.0.1:{d.port()}/{d.name()}")),
]  # fmt: skip

CAUSES = [*LANGUAGES, *TOOLS]
