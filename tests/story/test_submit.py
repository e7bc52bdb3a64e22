"""A task is handed to workers: durably queued, begun when it is due, once."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from standpipe.cli import main
from standpipe.cli.commands.work import Crier
from standpipe.cli.scaffold import scaffold
from standpipe.journal.projections import RUNS, RunRow, read_row
from standpipe.opening import open_store
from standpipe.runtime import Runtime

WRITE = "call: {write_file: {path: out.txt, content: done, why: the task asks for it}}"
DONE = "done: {summary: It is written., evidence: [out.txt]}"

pytestmark = pytest.mark.timeout(120)

Typed = Callable[..., str]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "agent"
    scaffold(folder, model="script:story.yaml")
    (folder / "story.yaml").write_text(f"turns:\n  - {WRITE}\n  - {DONE}\n")
    return folder


@pytest.fixture
def typed(home: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    def typed(*words: str, code: int = 0) -> str:
        assert main([*words, "--home", str(home)]) == code
        shown = capsys.readouterr()
        return shown.out.strip() if code == 0 else shown.err

    return typed


def rows(home: Path) -> list[RunRow]:
    async def read() -> list[RunRow]:
        store = open_store(home)
        try:
            found = (await store.rows(RUNS)).values()
        finally:
            await store.close()
        return [row for text in found if (row := read_row(RunRow, text))]

    return asyncio.run(read())


def worked(home: Path, until: Callable[[], bool]) -> None:
    """Be a worker until something is so."""

    async def work() -> None:
        stop = asyncio.Event()
        async with Runtime.open(home) as runtime:
            working = asyncio.create_task(runtime.work(Crier(as_lines_of_json=True), stop=stop))
            while not working.done() and not await asyncio.to_thread(until):  # noqa: ASYNC110 -- other files
                await asyncio.sleep(0.05)
            stop.set()
            await working

    asyncio.run(work())


def test_a_submitted_task_waits_in_its_queue_and_nothing_is_started(
    home: Path, typed: Typed
) -> None:
    (home / "tools.py").write_text("from pathlib import Path\nPath('started').touch()\n")
    assert typed("submit", "Write out.txt") == "r1"
    [row] = rows(home)
    assert (row.status, row.queue, row.epoch) == ("queued", "default", 0)
    assert not list(home.rglob("started"))
    assert "queued" in typed("status")


def test_a_worker_takes_a_submitted_task_to_its_end(
    home: Path, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    typed("submit", "Write out.txt")
    later = typed("submit", "Write it later", "--delay", "1d")
    worked(home, lambda: any(row.status == "done" for row in rows(home)))
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["event"], one.get("status")) for one in told] == [
        ("ready", None),
        ("began", None),
        ("ended", "done"),
    ]
    assert (home / "workspace" / "out.txt").read_text() == "done"
    assert {row.id: row.status for row in rows(home)} == {"r1": "done", later: "queued"}


def test_the_same_id_again_is_the_same_run_also_when_it_is_done(home: Path, typed: Typed) -> None:
    assert typed("submit", "Write out.txt", "--id", "mail-0600") == "r1"
    assert typed("submit", "Write out.txt", "--id", "mail-0600", "--at", "07:30") == "r1"
    worked(home, lambda: rows(home)[0].status == "done")
    assert typed("submit", "Write out.txt", "--id", "mail-0600").endswith("\nr1")
    assert len(rows(home)) == 1
    assert len(list((home / "brain" / "tasks").rglob("T-*.md"))) == 1


@pytest.mark.parametrize("named", ["r1", "mail-0600", "r9", "b3"])
def test_a_run_is_no_task(home: Path, typed: Typed, named: str) -> None:
    typed("submit", "Write out.txt", "--id", "mail-0600", "--delay", "1d")
    said = typed("submit", named, code=2)
    assert "hint: " in said
    assert len(rows(home)) == 1


def test_the_same_id_for_another_task_is_refused(home: Path, typed: Typed) -> None:
    typed("submit", "Write out.txt", "--id", "mail-0600")
    said = typed("submit", "Delete everything", "--id", "mail-0600", code=2)
    assert "r1" in said
    assert "hint:" in said
    assert len(rows(home)) == 1


def test_what_was_queued_is_told_as_json(home: Path, typed: Typed) -> None:
    told = json.loads(
        typed("submit", "Write", "--at", "2999-11-23T07:30:00+01:00", "--queue", "slow", "--json")
    )
    assert told == {"run": "r1", "queue": "slow", "wake_at": "2999-11-23T06:30:00.000Z"}
    [row] = rows(home)
    assert (row.queue, row.wake_at) == (told["queue"], told["wake_at"])


def test_priority_and_model_are_kept_with_the_run(home: Path, typed: Typed) -> None:
    (home / "other.yaml").write_text(f"turns:\n  - {DONE}\n")
    typed("submit", "Write", "--priority", "5", "--model", "script:other.yaml")
    [row] = rows(home)
    assert (row.priority, row.model) == (5, "script:other.yaml")


def test_a_task_that_ends_before_it_begins_is_taken_out_of_the_queue(
    home: Path, typed: Typed
) -> None:
    typed("submit", "Write out.txt", "--delay", "1d")
    typed("cancel", "r1")
    [row] = rows(home)
    assert row.status == "cancelled"
    assert not (home / "workspace" / "out.txt").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("submit", " "),
        ("submit", "Write", "--at", "soon"),
        ("submit", "Write", "--at", "2020-01-01T00:00:00Z"),
        ("submit", "Write", "--delay", "soon"),
        ("submit", "Write", "--delay", "1h", "--at", "07:30"),
        ("submit", "Write", "--queue", "a/b"),
        ("submit", "Write", "--queue", ""),
        ("submit", "Write", "--priority", "high"),
        ("submit", "Write", "--id", "r7"),
        ("submit", "Write", "--id", ""),
        ("submit", "Write", "--id", " "),
        ("submit", "Write", "--model", "script:nowhere.yaml"),
        ("submit", "Write", "--model", "nobody:knows"),
        ("worker", "--concurrency", "0"),
        ("worker", "--grace", "soon"),
        ("worker", "--queue", "a b"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_one_line_and_a_hint_and_queues_nothing(
    home: Path, typed: Typed, words: tuple[str, ...]
) -> None:
    said = typed(*words, code=2)
    assert said.startswith("error: ")
    assert "hint: " in said
    assert not (home / ".standpipe" / "journal.db").exists() or rows(home) == []
    assert not list((home / "brain" / "tasks").rglob("T-*.md"))


def test_a_schedule_that_cannot_be_meant_ends_the_worker_with_its_line(
    home: Path, typed: Typed
) -> None:
    with (home / "standpipe.toml").open("a") as file:
        file.write('\n[[schedule]]\ntask = "Write"\ncron = "61 * * * *"\n')
    said = typed("worker", code=2)
    assert "standpipe.toml:" in said
    assert "bad minute" in said
