import shlex
import subprocess
import sys

import pytest

from standpipe.cli import main
from standpipe.cli.parser import COMMANDS, parse
from standpipe.errors import UsageError

SHOWN = ["init", "run", "status", "inbox", "answer", "report", "connect", "demo"]


def test_help_shows_the_eight_commands_people_need(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(["--help"]) is None
    listed = [
        line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")
    ]
    assert listed == SHOWN


def test_help_all_shows_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(["--help", "--all"]) is None
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_teaches_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parse([*name.split(), "--help"]) is None
    shown = capsys.readouterr().out
    assert f"usage: standpipe {name}" in shown
    assert f"example:\n  {COMMANDS[name].example}" in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_every_command_can_be_typed(name: str) -> None:
    typed = shlex.split(COMMANDS[name].example.partition(">")[0].partition("<")[0])
    parsed = parse(typed[1:])
    assert parsed is not None
    assert parsed.command is COMMANDS[name]


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"init", "demo", "connect"}))
def test_every_command_about_a_home_takes_home_and_json(name: str) -> None:
    words = {
        "answer": ["b1", "yes"],
        "approve": ["b1"],
        "deny": ["b1"],
        "why": ["r1.1.1"],
        "submit": ["x"],
    }
    ids = words.get(name, ["r1"] if name in {"resume", "cancel", "undo", "run"} else [])
    parsed = parse([*name.split(), *ids, "--home", "h", "--json"])
    assert parsed is not None
    assert (parsed.options.home, parsed.options.json) == ("h", True)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["stats"], "did you mean `standpipe status`?"),
        (["memory"], "standpipe memory boot"),
        (["status", "--hom", "x"], "standpipe status --help"),
        (["answer", "b1"], "standpipe answer --help"),
        (["report", "--md", "--script"], "standpipe report --help"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_a_hint(
    typed: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError):
        parse(typed)
    assert main(typed) == 2
    assert said in capsys.readouterr().err


def test_an_error_shows_foreign_text_inertly(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["\x1b[2Jstatus"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_connect_says_that_it_is_not_there_yet(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", "claude-code"]) == 2
    assert "not in this version yet" in capsys.readouterr().err


def test_status_loads_no_model_library_no_console_and_no_colours() -> None:
    code = (
        "import sys; from standpipe.cli import main; main(['status', '--home', '/nonexistent']);"
        "import standpipe.cli.commands.status;"
        "heavy = {'pydantic_ai', 'pydantic', 'rich', 'httpx', 'starlette', 'yaml'} & set(sys.modules);"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    ended = ran("-c", code)
    assert ended.returncode == 0, ended.stderr


def test_the_module_can_be_run() -> None:
    ended = ran("-m", "standpipe", "--version")
    assert (ended.returncode, ended.stdout.split()[0]) == (0, "standpipe")


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
