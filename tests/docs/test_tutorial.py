"""The tutorial, typed in from its first line to its last, says what it shows."""

import re
import shlex
from doctest import ELLIPSIS, OutputChecker
from pathlib import Path

import pytest

from standpipe.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "first-agent.md"
_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMANDS_MIN = 8  # a page whose examples are not found would show nothing
_COMMAND = re.compile(r"^\$ (?=standpipe )", re.MULTILINE)


@pytest.mark.timeout(60)  # some ten commands, each with its workers
def test_the_tutorial_shows_what_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    played = 0
    for language, title, text in _FENCE.findall(PAGE.read_text()):
        if title.strip():
            (tmp_path / title.strip()).write_text(text)
        elif language == "console":
            played += _play(text, capsys)
    assert played >= COMMANDS_MIN


def _play(text: str, capsys: pytest.CaptureFixture[str]) -> int:
    """Type the commands of an example, and return how many there were."""
    commands = _COMMAND.split(text)[1:]
    for typed in commands:
        command, _, wanted = typed.partition("\n")
        main(shlex.split(command)[1:])
        told = capsys.readouterr()
        got = told.err + told.out
        assert OutputChecker().check_output(wanted, got, ELLIPSIS), (
            f"$ {command}\n{got}\nwhere the page shows\n{wanted}"
        )
    return len(commands)
