"""What there is stands in the docs, and what the docs say is so.

A sentence that promises something is a paragraph that begins with `**Guarantee.**` and names the tests that
hold it: `(test: tests/story/test_gate.py::test_name)`.
"""

import ast
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

import msgspec
import pytest

from standpipe import errors
from standpipe.actions import Action, Tool
from standpipe.adapters.script import load_script
from standpipe.cli.commands.run import EXIT_CODES
from standpipe.cli.parser import COMMANDS, parse
from standpipe.config import load_settings
from standpipe.execution.manifests import tools_of
from standpipe.files import load_yaml_with_lines
from standpipe.governor.recovery import Step
from standpipe.journal.entries import Body
from standpipe.outcomes.outcome import Kind
from standpipe.policy.arguments import complaint
from standpipe.policy.rulebook import RULES
from standpipe.settings import Settings
from standpipe.tools import files, http, mail, sql
from standpipe.tools.agent import TOOLS

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
}
_GENERATED = re.compile(r"<!-- \[\[\[cog.*?\[\[\[end\]\]\] -->", re.DOTALL)
_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_GUARANTEE = re.compile(r"^\*\*Guarantee\.\*\*.+?(?=\n\n|\Z)", re.DOTALL | re.MULTILINE)
_TEST = re.compile(r"((?:tests|src/standpipe/testing)/[\w/]+\.py)::(?:Test\w+::)?(test_\w+)")
_SUITE = re.compile(r"^from standpipe\.testing\.(\w+) import", re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")
_TOOLS = "docs/reference/tools.md"


class Block(NamedTuple):
    """One fenced example."""

    page: str
    language: str
    text: str


def written(page: str) -> str:
    """Return what people wrote on a page, without what was generated."""
    return _GENERATED.sub("", PAGES[page])


def blocks(*languages: str) -> list[Block]:
    return [
        Block(page, language, text)
        for page in PAGES
        for language, _, text in _FENCE.findall(written(page))
        if language in languages
    ]


def builtin_tools() -> dict[str, Tool]:
    found = [
        bound.tool
        for module in (files, http, mail, sql)
        for bound in tools_of(module, source=b"", origin="builtin")
    ]
    return {tool.name: tool for tool in (*found, *TOOLS)}


def settings() -> Iterator[tuple[str, str]]:
    """Yield every table of standpipe.toml with every key of it."""
    for field in msgspec.structs.fields(Settings):
        kinds = [each for each in (field.type, *get_args(field.type)) if inspect.isclass(each)]
        tables = [kind for kind in kinds if issubclass(kind, msgspec.Struct)]
        for kind in tables:
            yield from ((field.name, each.encode_name) for each in msgspec.structs.fields(kind))
        if not tables:
            yield "", field.encode_name


def collected_in(file: str) -> set[str]:
    """Return the tests of a module that pytest runs: functions, and methods of its `Test` classes."""
    path = ROOT / file
    runs = path.name.startswith("test_") if file.startswith("tests/") else path.stem in suites()
    if not runs or not path.is_file():
        return set()
    tree = ast.parse(path.read_text())
    bodies = [tree.body, *(one.body for one in tree.body if isinstance(one, ast.ClassDef))]
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {one.name for body in bodies for one in body if isinstance(one, functions)}


def suites() -> set[str]:
    """Return the shipped suites that a module under `tests/` takes over."""
    texts = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    return {name for text in texts for name in _SUITE.findall(text)}


def section(page: str, title: str) -> str:
    """Return what people wrote under a heading, up to the next one of its kind."""
    _, _, rest = f"\n{written(page)}".partition(f"\n## {title}\n")
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_explained(name: str) -> None:
    assert f"| `{name}" in written("docs/reference/cli.md")


@pytest.mark.parametrize(("table", "key"), list(settings()))
def test_every_setting_is_explained(table: str, key: str) -> None:
    title = next(
        line.removeprefix("## ")
        for line in written("docs/reference/settings.md").splitlines()
        if line.startswith(("## [" + table, "## [[" + table) if table else "## At the top")
    )
    assert f"- `{key}`" in section("docs/reference/settings.md", title)


@pytest.mark.parametrize("name", builtin_tools())
def test_every_built_in_tool_is_explained(name: str) -> None:
    assert f"### `{name}`" in written(_TOOLS)


@pytest.mark.parametrize("kind", Kind)
def test_every_failure_kind_is_explained(kind: Kind) -> None:
    assert f"- `{kind}`: " in written("docs/reference/failure-kinds.md")


@pytest.mark.parametrize("step", Step)
def test_every_recovery_is_explained(step: Step) -> None:
    assert f"| `{step}` |" in written("docs/concepts/outcomes-and-recovery.md")


@pytest.mark.parametrize("rule", [rule.__module__.rpartition(".")[2] for rule in RULES])
def test_every_policy_rule_is_explained(rule: str) -> None:
    assert f"- `{rule}`: " in written("docs/reference/policy-rules.md")


@pytest.mark.parametrize("kind", [str(body.__struct_config__.tag) for body in get_args(Body)])
def test_every_kind_of_entry_is_explained(kind: str) -> None:
    assert f"`{kind}`" in written("docs/reference/entries.md")


@pytest.mark.parametrize("code", sorted({*EXIT_CODES.values(), 2, 130, 141}))
def test_every_exit_code_is_explained(code: int) -> None:
    assert f"- `{code}`: " in written("docs/reference/exit-codes.md")


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.StandpipeError)
    ],
)
def test_every_error_is_explained(name: str) -> None:
    assert f"| `{name}` |" in written("docs/reference/exit-codes.md")


def test_every_guarantee_names_tests_that_exist() -> None:
    promised = [(page, text) for page in PAGES for text in _GUARANTEE.findall(written(page))]
    assert len(promised) >= 10
    for page, text in promised:
        named = _TEST.findall(text)
        assert named, f"{page}: a guarantee without a test: {text}"
        for file, name in named:
            assert name in collected_in(file), f"{page}: {file} has no {name}, or is not collected"


def test_every_example_of_a_tool_fits_its_schema() -> None:
    tools, shown = builtin_tools(), set[str]()
    for block in blocks("yaml"):
        if block.page != _TOOLS:
            continue
        turns = load_yaml_with_lines(block.text, name=block.page, json_scalars=True).value
        for call in msgspec.convert(turns, list[dict[str, dict[str, dict[str, object]]]]):
            ((name, arguments),) = call["call"].items()
            why = str(arguments.pop("why", "")) if tools[name].asks_why else ""
            action = Action(id="r1.1.1", tool=tools[name], arguments=arguments, why=why)
            assert complaint(action) is None, f"{name}: {complaint(action)}"
            shown.add(name)
    assert shown == set(tools)


def test_every_example_of_settings_is_accepted(tmp_path: Path) -> None:
    shown = blocks("toml")
    assert {block.page for block in shown} >= {"README.md", "docs/reference/settings.md"}
    for block in shown:
        (tmp_path / "standpipe.toml").write_text(block.text)
        load_settings(tmp_path)


def test_every_example_of_a_script_is_accepted(tmp_path: Path) -> None:
    scripts = [block for block in blocks("yaml") if block.text.lstrip().startswith("turns:")]
    assert scripts
    for number, block in enumerate(scripts):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block.text)
        load_script(path)


def test_every_command_line_in_the_docs_is_understood() -> None:
    typed = [
        (block.page, line.strip().removeprefix("$ "))
        for block in blocks("console", "sh", "text")
        for line in block.text.splitlines()
        if line.strip().startswith("$ standpipe ")
    ]
    assert typed
    for page, line in typed:
        words = shlex.split(line.partition(" #")[0].partition(" > ")[0])[1:]
        assert parse(words) is not None or "--help" in words or "--version" in words, (
            f"{page}: {line}"
        )


def test_every_link_leads_somewhere() -> None:
    for page, text in PAGES.items():
        for link in _LINK.findall(_FENCE.sub("", text)):
            assert (ROOT / page).parent.joinpath(link).exists(), f"{page}: {link}"


def test_the_guide_for_changing_the_code_stays_short() -> None:
    assert len(PAGES["AGENTS.md"].splitlines()) <= 80


def test_no_page_names_a_place_of_one_machine() -> None:
    for page, text in PAGES.items():
        assert not re.search(r"/(?:work|home|root|Users)/\w", text), page
