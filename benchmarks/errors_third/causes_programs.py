"""Command lines that are refused: media, documents, servers' configurations, version control, packages, binutils."""

from collections.abc import Callable

from draws import HOME, WORK, Draw, causes, command, filled, runs, script

HG = str(HOME / "root/usr/bin/hg")
SEVEN = str(HOME / "root/usr/lib/p7zip/7z")
DATA = f"--data-dir={HOME}/root/usr/share/pandoc/data"
PYTHON = str(HOME / "root/usr/lib/python3/dist-packages")


def hg(template: str) -> Callable[[Draw], None]:
    def provoke(draw: Draw) -> None:
        home = WORK / "hg-repository"
        if not home.exists():
            command("python3", HG, "init", str(home), PYTHONPATH=PYTHON)
        command(
            "python3",
            HG,
            "-R",
            str(home),
            *(filled(word, draw) for word in template.split()),
            PYTHONPATH=PYTHON,
        )

    return provoke


def svn(*words: str) -> Callable[[Draw], None]:
    def provoke(draw: Draw) -> None:
        home = WORK / "svn-repository"
        if not home.exists():
            command("svnadmin", "create", str(home))
        command(
            "svn",
            "--non-interactive",
            *(filled(word.replace("@", f"file://{home}"), draw) for word in words),
        )

    return provoke


def mkdir_twice(draw: Draw) -> None:
    name = draw.name()
    for _ in range(2):
        svn("mkdir", "-m", "x", f"@/{name}")(draw)


def clip() -> str:
    """Make a second of silence to be misused."""
    file = WORK / "clip.wav"
    if not file.exists():
        command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "anullsrc", "-t", "1", str(file))
    return str(file)


def ffmpeg(*words: str) -> Callable[[Draw], None]:
    def provoke(draw: Draw) -> None:
        command(
            "ffmpeg",
            "-hide_banner",
            "-nostdin",
            "-v",
            "error",
            "-y",
            *(filled(word.replace("@", clip()), draw) for word in words),
        )

    return provoke


def checked(program: tuple[str, ...], text: str) -> Callable[[Draw], None]:
    return lambda draw: command(*program, script(draw, "conf", text))


def nginx(text: str) -> Callable[[Draw], None]:
    lead = f"pid {WORK}/n.pid; error_log stderr; events (()) http (( {text} ))".replace(
        "((", "{"
    ).replace("))", "}")
    return lambda draw: command("nginx", "-t", "-p", str(WORK), "-c", script(draw, "conf", lead))


def text_file(draw: Draw, ending: str) -> str:
    place = WORK / f"{draw.name()}.{ending}"
    place.write_text(draw.hexes(60) + "\n" + draw.name() + "\n")
    return draw.note(str(place))


MEDIA = [
    *causes("not_found", ffmpeg_input=ffmpeg("-i", "{path}", "-f", "null", "-"), pandoc_input=lambda d: command("pandoc", DATA, d.path("md")), pdf_input=lambda d: command("pdfinfo", d.path("pdf"))),
    *causes(("bad_input", "not_found"), ffmpeg_encoder=ffmpeg("-i", "@", "-c:a", "{ident}", "-f", "null", "-"), ffmpeg_filter=ffmpeg("-i", "@", "-af", "{ident}", "-f", "null", "-")),
    *causes("bad_input", ffmpeg_option=ffmpeg("-{ident}x", "{number}", "-i", "@", "-f", "null", "-"), ffmpeg_format=ffmpeg("-i", "@", "{name}.{word}"), ffmpeg_duration=ffmpeg("-i", "@", "-ss", "{ident}", "-f", "null", "-"), ffmpeg_map=ffmpeg("-i", "@", "-map", "0:{number}", "-f", "null", "-"),
            ffmpeg_muxer=ffmpeg("-i", "@", "-f", "{ident}", "-"), pandoc_reader=runs("pandoc -f {ident} -t html"), pandoc_writer=runs("pandoc -f markdown -t {ident}"), pandoc_option=runs("pandoc --{word}-{number}"),
            pandoc_extension=runs("pandoc -f markdown+{ident}")),
    *causes(None, ffmpeg_broken=lambda d: ffmpeg("-i", text_file(d, "mp4"), "-f", "null", "-")(d)),
    *causes(("not_found", "environment"), pandoc_filter=lambda d: command("pandoc", DATA, "--filter", d.name(), given="x")),
]  # fmt: skip

SERVERS = [
    *causes(None, nginx_directive=nginx("<ident>_d <number>;"), nginx_arguments=nginx("sendfile <word> <number>;"), nginx_value=nginx("sendfile <word>;"), nginx_upstream=nginx("upstream <ident> (( ))"),
            haproxy_keyword=checked(("haproxy", "-c", "-f"), "global\n  <ident>_k <number>\n"), haproxy_port=checked(("haproxy", "-c", "-f"), "defaults\n timeout client 1s\n timeout server 1s\n timeout connect 1s\n mode http\nfrontend <ident>\n bind 127.0.0.1:<port>0000\n"), haproxy_section=checked(("haproxy", "-c", "-f"), "<ident>_section <name>\n"),
            slapd_directive=checked(("slaptest", "-u", "-f"), "<ident>_d <number>\n")),
    *causes("not_found", nginx_include=nginx("include <path>;"), haproxy_config=runs("haproxy -c -f {path}"), slapd_config=runs("slaptest -u -f {path}")),
    *causes("not_sent", socat_refused=lambda d: command("socat", "-", f"TCP:127.0.0.1:{d.port()}"), socat_dns=runs("socat - TCP:{host}:{port}"), svn_refused=lambda d: command("svn", "--non-interactive", "info", f"svn://127.0.0.1:{d.port()}/{d.name()}"), svn_dns=lambda d: command("svn", "--non-interactive", "info", f"svn://{d.host()}/{d.name()}")),
    *causes("bad_input", socat_address=runs("socat - {ident}:{number}"), mosquitto_option=runs("mosquitto_pub --{ident}"), mosquitto_qos=runs("mosquitto_pub -t x -m y -q {number}"), mosquitto_port=runs("mosquitto_pub -t x -m y -p {number}000"), mosquitto_topic=lambda d: command("mosquitto_pub", "-m", "x", "-t", f"{d.name()}/#/{d.name()}"),
            memcached_option=runs("memcached --{word}-{word}"), mariadb_option=runs("mariadb --no-defaults --{word}-{word}")),
]  # fmt: skip

STORES = [
    *causes("not_found", hg_repository=lambda d: command("python3", HG, "-R", d.folder(), "status", PYTHONPATH=PYTHON), svn_missing=svn("cat", "@/{name}/{name}"),
            restic_repository=lambda d: command("restic", "-r", d.folder(), "snapshots", RESTIC_PASSWORD="right")),  # noqa: S106 -- a loopback password
    *causes(("not_found", "bad_input"), hg_revision=hg("log -r {ident}_r"), svn_revision=svn("cat", "-r", "{number}", "@"), rclone_remote=runs("rclone lsf {ident}_r:{name}"), rclone_backend=runs("rclone lsf :{ident}_b:{name}")),
    *causes("conflict", svn_exists=mkdir_twice),
    *causes("bad_input", hg_command=hg("{ident}_c"), hg_option=hg("log --{word}-{number}"), svn_command=svn("{ident}_c"), svn_option=svn("info", "--{word}-{number}"), svn_revision_syntax=svn("cat", "-r", "{word}", "@"), restic_command=runs("restic {ident}_c"), restic_option=runs("restic --{word}-{number} snapshots"),
            rclone_command=runs("rclone {ident}_c"), rclone_option=runs("rclone lsf --{word}-{number} /srv")),
    *causes(None, hg_add=hg("add {path}x"), svn_repository=lambda d: command("svn", "info", f"file:///srv/{d.name()}/{d.name()}"), svn_working_copy=lambda d: command("svn", "info", str(script(d, "txt", "x"))), sevenzip_archive=lambda d: command(SEVEN, "l", text_file(d, "7z"))),
    *causes("bad_input", sevenzip_command=lambda d: command(SEVEN, d.ident(), "a.7z"), sevenzip_switch=lambda d: command(SEVEN, "l", f"-{d.word()}{d.number()}", "a.7z")),
]  # fmt: skip

SYSTEM = [
    *causes("not_found", dpkg_package=runs("dpkg-query -W {name}"), dpkg_archive=runs("dpkg -I {folder}.deb"), apt_package=runs("apt-get -s install shop{number}-{word}"), iconv_input=lambda d: command("iconv", "-f", "utf-8", d.path()), diff_input=lambda d: command("diff", d.path(), "/dev/null"),
            objdump_input=lambda d: command("objdump", "-d", d.path("o")), ar_input=lambda d: command("ar", "t", d.path("a")), nm_input=lambda d: command("nm", d.path("o")), patch_input=lambda d: command("patch", "-i", d.path("diff"))),
    *causes(("not_found", "environment"), xargs_program=lambda d: command("xargs", f"{d.name()}-tool", given="x"), strace_program=runs("strace {ident}_p"), pkg_config=runs("pkg-config --cflags {name}"), ld_library=runs("ld -l{ident}")),
    *causes("not_found", ip_device=runs("ip link show {word}{word}")),
    *causes("bad_input", diff_option=runs("diff --{word}-{word} a b"), apt_operation=runs("apt-get {ident}_o"), dpkg_option=runs("dpkg --{word}-{number}"), ip_object=runs("ip {ident}_o show"), ip_address=runs("ip route get {name}x"), zip_option=runs("zip --{word}-{word} a b"),
            msgfmt_option=runs("msgfmt --{word}-{word}"), xz_option=runs("xz --{word}-{word}")),
    *causes(None, dpkg_format=lambda d: command("dpkg-deb", "-I", text_file(d, "deb")), objdump_format=lambda d: command("objdump", "-d", text_file(d, "o")), zip_nothing=lambda d: command("zip", f"{d.name()}.zip", d.path()), xz_format=lambda d: command("xz", "-t", text_file(d, "xz")),
            zstd_format=lambda d: command("zstd", "-t", text_file(d, "zst")), bzip2_format=lambda d: command("bzip2", "-t", text_file(d, "bz2")), lsblk_device=lambda d: command("lsblk", text_file(d, "img")), tput_terminal=runs("tput -T {name} cols"),
            patch_malformed=lambda d: command("patch", given=f"--- a/{d.name()}\n+++ b/x\n@@ -1,{d.number()} +1 @@\n{d.hexes()}\n"), keygen_format=lambda d: command("ssh-keygen", "-l", "-f", text_file(d, "pub"))),
]  # fmt: skip

CAUSES = [*MEDIA, *SERVERS, *STORES, *SYSTEM]
