"""The commands that read a home and answer in it, on a real journal file."""

import asyncio
import errno
import io
import json
import os
import sys
from pathlib import Path

import pytest

from standpipe.actions import Effect
from standpipe.cli import main
from standpipe.cli.asking import ask_here
from standpipe.cli.progress import Progress
from standpipe.cli.runs import asked, report_of
from standpipe.cli.terminal import coloured, interactive
from standpipe.execution.workspace import Workspace
from standpipe.governor.recovery import Return
from standpipe.journal.entries import (
    BlockedRaised,
    Decided,
    Draft,
    Entry,
    Intended,
    ModelResponded,
    Proposed,
    RunCreated,
    SegmentEnded,
    SegmentStarted,
    Settled,
)
from standpipe.journal.store import Store
from standpipe.opening import STATE_FOLDER, open_store
from standpipe.outcomes.outcome import Succeeded
from standpipe.policy.decision import Allow, Ask

OWED = "this address came from mail 4, not from you. Nothing was sent."


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / STATE_FOLDER).mkdir()
    (tmp_path / "workspace").mkdir()
    (tmp_path / "standpipe.toml").write_text('model = "script:story.yaml"\n')
    asyncio.run(record(tmp_path))
    return tmp_path


async def record(home: Path) -> None:
    """Write a run that changed a file, holds a mail and waits for a person."""
    store = open_store(home, create=True)
    workspace = Workspace(home / "workspace", home / STATE_FOLDER / "blobs")
    run = await store.create(
        RunCreated("Answer the mail", "mailer", "m", "c", task_id="T-1", caller_id="monday")
    )
    await store.start_segment(run, Draft("", SegmentStarted("inline", 1, "earlier", "0")))
    before = workspace.snapshot()
    (home / "workspace" / "notes.md").write_text("one\n")
    changes = workspace.changes(before, workspace.snapshot())
    parts = [{"part_kind": "tool-call", "tool_name": "write_file", "args": {"path": "notes.md"}}]
    mail = {"to": ["eve@example.com"]}
    await store.post(run, [
        Draft("1", ModelResponded(1, {"parts": parts}, "m", say="I write")),
        Draft("r1.1.1", Proposed("write_file", {"path": "notes.md"}, Effect.IDEMPOTENT, "m", "for you", origin="builtin", reversible=True)),
        Draft("r1.1.1#1", Decided(Allow("declared"), digest="d")),
        Draft("r1.1.1#1", Intended(1, "k", 30.0)),
        Draft("r1.1.1#1", Settled("write_file", 1, Succeeded({}), Return("ok"), changes=changes)),
        Draft("r1.2.1", Proposed("send_email", mail, Effect.ONCE, "m", "asked", origin="builtin")),
        Draft("r1.2.1#1", Decided(Ask("destinations", OWED), digest="d", blocker="b1")),
        Draft("b1", BlockedRaised("approval", "may I send?", OWED, action="r1.2.1", tool="send_email", shows=mail)),
        Draft("1", SegmentEnded("blocked", "may I send?")),
    ])  # fmt: skip
    await store.close()


def typed(home: Path, *words: str) -> int:
    return main([*words, "--home", str(home)])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status"], "r1    blocked   T-1 Answer the mail: may I send?"),
        (["status", "--line"], "1 need you"),
        (["inbox"], f"why: {OWED}"),
        (["report"], "r1 blocked: waits for b1: may I send?"),
        (["report", "monday"], "created notes.md +1 -0 (r1.1.1)"),
        (["report", "R1", "--md"], "## Needs you"),
        (["report", "r1", "--script"], "write_file:"),
        (["log", "r1"], f"r1.2.1 b1 held: {OWED}"),
        (["why", "r1"], "r1.1.1 write_file: Succeeded\nr1.2.1 send_email: Refused\n"),
        (["why", "r1.2.1"], f"held by the rule `destinations`: {OWED}"),
        (["changes", "r1"], "+one"),
        (["journal", "verify"], "journal whole"),
    ],
)
def test_a_reading_command_tells_the_run(
    home: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(home, *words) == 0
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["inbox"],
        ["report"],
        ["log"],
        ["why", "r1.2.1"],
        ["changes"],
        ["journal", "verify"],
    ],
    ids=" ".join,
)
def test_every_reading_command_speaks_json(
    home: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(home, *words, "--json") == 0
    assert json.loads(capsys.readouterr().out)


def test_a_printed_command_names_the_home_it_is_for(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(home, "inbox")
    assert f"$ standpipe answer b1 yes|no --home {home}" in capsys.readouterr().out


def test_an_answer_is_told_and_given_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(home, "deny", "b1", "wrong", "customer") == 0
    assert "b1: no: wrong customer (operator)" in capsys.readouterr().out
    assert typed(home, "answer", "b1", "no: wrong customer") == 0
    assert "as it was before" in capsys.readouterr().out
    assert typed(home, "approve", "b1") == 2
    assert (
        "error: b1 was answered before: `no: wrong customer`, by operator"
        in capsys.readouterr().err
    )


def test_undo_takes_the_file_back_and_a_conflict_exits_1(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = home / "workspace" / "notes.md"
    notes.write_text("a person's\n")
    assert typed(home, "undo", "r1") == 1
    assert "notes.md" in capsys.readouterr().out
    notes.write_text("one\n")
    assert typed(home, "undo", "r1") == 0
    assert not notes.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["report", "r9"], "no run `r9`"),
        (["why", "r1.9.9"], "no action `r1.9.9`"),
        (["answer", "b9", "yes"], "no question `b9`"),
        (["run"], "run what?"),
        (["run", "r9"], "no run `r9`"),
    ],
    ids=["report", "why", "answer", "run", "run r9"],
)
def test_a_wrong_name_is_one_line_and_a_hint(
    home: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(home, *words) == 2
    said_lines = capsys.readouterr().err.splitlines()
    assert said in said_lines[0]
    assert [line.partition(":")[0] for line in said_lines] == ["error", "hint"]


@pytest.mark.parametrize(
    ("words", "said"), [(["status"], "no runs yet\n"), (["inbox"], "nothing waits for you\n")]
)
def test_a_home_in_which_nothing_ran_yet_is_no_error(
    tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "standpipe.toml").write_text("")
    assert typed(tmp_path, *words) == 0
    assert capsys.readouterr().out == said
    assert typed(tmp_path, "report") == 2
    assert "hint:" in capsys.readouterr().err
    assert not (tmp_path / STATE_FOLDER).exists()


def test_a_person_is_asked_until_the_answer_fits(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("perhaps\nyes\n"))
    report = asked(str(home), lambda store: report_of(store, str(home), "r1"))
    assert ask_here(home, report)
    assert "`perhaps` is no answer to b1" in capsys.readouterr().err
    assert asked(str(home), lambda store: report_of(store, str(home), "r1")).blocked_on == ()


def test_silence_decides_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    report = asked(str(home), lambda store: report_of(store, str(home), "r1"))
    assert not ask_here(home, report)
    assert len(asked(str(home), lambda store: report_of(store, str(home), "r1")).blocked_on) == 1


def test_an_empty_line_leaves_one_question_open_and_the_next_is_asked(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask_more(store: Store) -> None:
        raised = BlockedRaised("approval", "may I call?", "once", action="r1.3.1", tool="call")
        await store.post("r1", [Draft("b2", raised)])

    asked(str(home), ask_more)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\nyes\n"))
    assert not ask_here(home, asked(str(home), lambda store: report_of(store, str(home), "r1")))
    left = asked(str(home), lambda store: report_of(store, str(home), "r1")).blocked_on
    assert [ask.id for ask in left] == ["b1"]


def test_what_is_asked_here_is_told_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def read(store: Store) -> list[Entry]:
        return list(await store.read("r1"))

    progress = Progress(asks_here=True)
    with progress.live():
        for entry in asked(str(home), read):
            progress(entry)
    assert "b1" not in capsys.readouterr().err


def test_nobody_sits_at_a_closed_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert not interactive()
    assert not coloured(sys.stdout)


def test_progress_tells_each_entry_once_and_nothing_that_was_before(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def read(store: Store) -> list[Entry]:
        return list(await store.read("r1"))

    entries = asked(str(home), read)
    progress = Progress()
    with progress.live():
        progress.remember(entries[:4])
        for entry in (*entries, *entries):
            progress(entry)
    told = capsys.readouterr().err.splitlines()
    assert told == ["  wrote notes.md", f"  b1 held: {OWED}", "  b1 approval: may I send?"]


def test_an_unforeseen_mistake_of_ours_is_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: object) -> int:
        raise KeyError("x\x1b")

    monkeypatch.setattr("standpipe.cli.commands.status.status", broken)
    assert typed(home, "status") == 1
    said = capsys.readouterr().err
    assert said.startswith("error: KeyError:")
    assert "--debug" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("number", "where", "code"),
    [
        (errno.EACCES, "home", 2),
        (errno.ENOENT, "home", 2),
        (errno.ENOSPC, "home", 1),  # it had started
        (errno.EIO, "", 1),
        (errno.EACCES, "brain/lessons/L-1.md", 1),  # nobody named that one
    ],
    ids=str,
)
def test_only_a_path_that_was_named_here_says_that_nothing_was_started(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    where: str,
    code: int,
) -> None:
    path = {"home": str(home), "": None}.get(where, str(home / where))

    def broken(_: object) -> int:
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr("standpipe.cli.commands.status.status", broken)
    assert typed(home, "status") == code
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["error", "hint"]
    assert os.strerror(number) in lines[0]


def test_ctrl_c_is_one_line_and_130(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("standpipe.cli.commands.status.status", interrupted)
    assert typed(home, "status") == 130
    assert capsys.readouterr().err == "interrupted\n"
