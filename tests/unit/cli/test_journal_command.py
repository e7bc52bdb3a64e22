"""`standpipe journal ...` as it is typed."""

import asyncio
import io
import json
import sqlite3
import sys
from pathlib import Path

import pytest

from standpipe.cli import main
from standpipe.journal.chain import Stored, link_of
from standpipe.journal.entries import Draft, RunCreated, RunEnded, SegmentEnded, SegmentStarted
from standpipe.stores.sqlite import SqliteStore
from standpipe.testing.fakes import FakeClock

SPINE = Path(__file__).parents[2] / "golden/journals/spine.db"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one run that is done and one that is not."""
    (tmp_path / "standpipe.toml").write_text("")
    asyncio.run(begun(tmp_path))
    return tmp_path


async def begun(home: Path) -> None:
    store = SqliteStore(home / ".standpipe/journal.db", FakeClock())
    for end in ("done", ""):
        run = await store.create(RunCreated("mail", "a", "m", "", caller_id=f"mail-{end}"))
        epoch = await store.start_segment(run, Draft("", SegmentStarted("tests", 1, "", "0")))
        if end:
            ended = [Draft("1", SegmentEnded(end)), Draft(run, RunEnded(end, "all sent"))]
            await store.append(run, epoch, ended)
    await store.seal()
    await store.close()


def typed(home: Path, *words: str) -> int:
    return main(["journal", *words, "--home", str(home)])


def damage(home: Path, statement: str) -> None:
    with sqlite3.connect(home / ".standpipe/journal.db") as db:
        db.execute(statement)
    db.close()


def test_a_whole_journal_is_exit_0_and_one_line(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(home, "verify") == 0
    assert capsys.readouterr().out == "journal whole: 6 entries checked\n"


def test_a_broken_one_is_exit_1_and_one_line_per_finding(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(home, "update entry set at = '2026' where run = 'r1' and seq = 3")
    assert typed(home, "verify") == 1
    assert capsys.readouterr().out.splitlines() == [
        "journal BROKEN: 6 entries checked",
        "  r1/3: segment.ended is not what was written; 2 entries before it sound",
    ]
    assert typed(home, "verify", "r2") == 0
    assert typed(home, "verify", "mail-done") == 1


def test_the_findings_in_json_say_run_number_what_and_how_much_is_sound(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(home, "delete from entry where run = 'r1' and seq = 3")
    assert typed(home, "verify", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["whole"], told["streams"]) == (False, 2)
    assert told["broken"][0] == {"run": "r1", "seq": 3, "what": "entry 3 is missing", "sound": 2}


def test_a_file_that_is_no_database_any_more_is_exit_1(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / ".standpipe/journal.db").write_bytes(b"x" * 4096)
    assert typed(home, "verify") == 1
    assert "is damaged" in capsys.readouterr().out


def test_what_a_newer_standpipe_wrote_is_exit_2(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(home / ".standpipe/journal.db") as db:
        prev = db.execute("select head from run where id = 'r2'").fetchone()[0]
        new = Stored("r2", 3, 1, "k", "decision.noted", 2, "2026", b"{}", prev, "")
        row = ("r2", 3, 1, "k", "decision.noted", 2, "2026", "{}", prev, link_of(new))
        db.execute("insert into entry values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        db.execute("update run set seq = 3, head = ? where id = 'r2'", (link_of(new),))
    db.close()
    assert typed(home, "verify") == 2
    assert "r2/3: decision.noted of version 2: a newer standpipe" in capsys.readouterr().err


def test_an_export_verifies_alone_from_a_file_and_from_stdin(
    home: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert typed(home, "export") == 0
    text = capsysbinary.readouterr().out
    file = home / "journal.jsonl"
    file.write_bytes(text)
    assert main(["journal", "verify", "--file", str(file)]) == 0
    piped = io.TextIOWrapper(io.BufferedReader(io.BytesIO(text)))
    monkeypatch.setattr(sys, "stdin", piped)
    assert main(["journal", "verify", "--file", "-"]) == 0
    file.write_bytes(text.replace(b"all sent", b"not sent"))
    assert main(["journal", "verify", "--file", str(file)]) == 1
    assert b"r1/4: run.ended is not what was written" in capsysbinary.readouterr().out


def test_one_run_or_what_changed_since_is_exported_whole(
    home: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert typed(home, "export", "mail-done") == 0
    lines = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert [line["run"] for line in lines if "run" in line] == ["r1"] * 4
    assert typed(home, "export", "--since", "2027-01-01") == 0
    assert b'"run":"r' not in capsysbinary.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["verify", "r9"], "no run `r9`"),
        (["verify", "r1", "--file", "x"], "an export is checked as a whole"),
        (["export", "--since", "soon"], "`soon` is no time"),
        (["archive"], "nobody said how old a run has to be"),
        (["archive", "--older-than", "-1"], "is no whole number"),
    ],
)
def test_what_cannot_be_meant_is_exit_2(
    home: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(home, *words) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "hint: " in told


def test_old_runs_are_archived_by_the_setting_and_the_journal_stays_whole(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(
        home, "update view set data = json_set(data, '$.ended_at', '2020-01-01') where key = 'r1'"
    )
    (home / "standpipe.toml").write_text("[journal]\nkeep_days = 30\n")
    assert typed(home, "archive") == 0
    assert capsys.readouterr().out.splitlines() == [
        "r1 is in .standpipe/archive/2020-01.jsonl.gz", "1 run archived",
    ]  # fmt: skip
    assert typed(home, "verify") == 0
    archive = home / ".standpipe/archive/2020-01.jsonl.gz"
    assert main(["journal", "verify", "--file", str(archive)]) == 0


def test_an_older_schema_is_brought_up_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "standpipe.toml").write_text("")
    (tmp_path / ".standpipe").mkdir()
    (tmp_path / ".standpipe/journal.db").write_bytes(SPINE.read_bytes())
    assert typed(tmp_path, "verify") == 0
    assert typed(tmp_path, "migrate") == 0
    assert typed(tmp_path, "migrate") == 0
    assert capsys.readouterr().out.splitlines() == [
        "journal whole: 17 entries checked",
        "the journal went from schema 1 to 2",
        "the journal has schema 2; there is nothing to do",
    ]
