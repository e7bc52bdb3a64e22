"""Whoever was taken over writes nothing more, and whoever owns a run is not disturbed by it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from time import sleep

import pytest

from standpipe.actions import Action, Effect, Returned, Tool
from standpipe.cli import main
from standpipe.cli.scaffold import scaffold
from standpipe.errors import FencedError
from standpipe.gate import Gate
from standpipe.journal.entries import AnswerGiven, Draft, Intended, Noted, Reconciled, Settled
from standpipe.journal.journal import Journal
from standpipe.journal.projections import RUNS, RunRow, read_row
from standpipe.journal.store import Store
from standpipe.journal.verify import verify
from standpipe.outcomes.outcome import Succeeded
from standpipe.stores.memory import MemoryStore
from standpipe.stores.sqlite import SqliteStore
from standpipe.testing.fakes import Crash, FakeClock
from standpipe.testing.gates import open_gate

LOOKS_MAX = 900  # a tenth of a second each, on a machine that does much else
SEND = Tool(name="send", origin="home", policy="allow", control=(), verify=True)
SAVE = Tool(name="save", effect=Effect.IDEMPOTENT, origin="home", control=())
KEYED = Tool(name="keyed", origin="home", policy="allow", control=(), idempotency_key="key")
TOOLS = {tool.name: tool for tool in (SEND, SAVE, KEYED)}
NOTE = Noted("agent", "what", "why")
HOME_TOOLS = '''
import time
from pathlib import Path

import standpipe as sp

MARKS = Path("MARKED")  # outside of the workspace: a file that changes there is work


@sp.tool(effect="once", policy="allow", control=["to"], timeout=300)
def send(to: str) -> str:
    """Send a mail; the other side takes its time."""
    with (MARKS / "ledger").open("a") as file:
        file.write(f"mail {to}\\n")
    while not (MARKS / "GO").exists():
        time.sleep(0.05)
    return "receipt"
'''
STORY = """
turns:
  - call: {send: {to: ann, why: the task asks}}
  - done: {summary: Sent., evidence: [receipt]}
"""


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return MemoryStore(FakeClock())
    return SqliteStore(tmp_path / "journal.db", FakeClock())


async def taken(store: Store, run: str | None = None) -> Gate:
    """Take the run up in a process of its own."""
    gate, _ = await open_gate(TOOLS, {"send": ["receipt"], "save": ["ok"], "keyed": ["ok"]}, store=store, run=run)  # fmt: skip
    return gate


def call(tool: Tool, number: int = 1) -> Action:
    return Action(id=f"r1.{number}.1", tool=tool, arguments={"to": "ann"}, why="the task asks")


async def test_what_a_stale_process_writes_is_refused_and_the_owner_goes_on(store: Store) -> None:
    stale, owner = await taken(store), await taken(store, "r1")
    for number in range(3):
        with pytest.raises(FencedError, match="run `r1` is at epoch 2, this process at 1"):
            await stale.record.journal.append(Draft(f"stale {number}", NOTE))
        await owner.record.journal.append(Draft(f"mine {number}", NOTE))
    keys = [entry.key for entry in await store.read("r1") if entry.body == NOTE]
    assert keys == ["mine 0", "mine 1", "mine 2"]
    assert (await verify(store)).whole
    await store.close()


async def test_a_batch_with_one_stale_sentence_writes_nothing_of_it(store: Store) -> None:
    stale, _ = await taken(store), await taken(store, "r1")
    before = await store.read("r1")
    with pytest.raises(FencedError):
        await stale.record.journal.append(Draft("a", NOTE), Draft("b", NOTE))
    assert await store.read("r1") == before
    await store.close()


async def test_an_answer_reaches_the_run_whoever_owns_it(store: Store) -> None:
    await taken(store)
    await taken(store, "r1")
    [entry] = await store.post("r1", [Draft("b1", AnswerGiven("yes", "ann"))])
    assert (entry.epoch, entry.body) == (2, AnswerGiven("yes", "ann"))
    await store.close()


@pytest.mark.parametrize("tool", TOOLS.values(), ids=lambda tool: tool.name)
async def test_a_stale_process_starts_no_effect(tool: Tool, store: Store) -> None:
    stale, _ = await taken(store), await taken(store, "r1")
    with pytest.raises(FencedError):
        await stale.perform(call(tool))
    assert [entry for entry in await store.read("r1") if isinstance(entry.body, Intended)] == []
    await store.close()


@pytest.mark.parametrize("tool", [SAVE, KEYED], ids=lambda tool: tool.name)
async def test_a_stale_process_repeats_nothing_that_another_one_had_begun(
    tool: Tool, store: Store
) -> None:
    killed, executor = await open_gate(TOOLS, {tool.name: [Crash()]}, store=store)
    with pytest.raises(Crash):
        await killed.perform(call(tool))
    stale, executor = await open_gate(TOOLS, {tool.name: ["ok"]}, store=store, run="r1")
    await taken(store, "r1")
    with pytest.raises(FencedError):
        await stale.perform(call(tool))
    assert executor.calls == []
    await store.close()


async def test_what_comes_back_to_a_process_that_was_taken_over_is_not_written_by_it(
    store: Store,
) -> None:
    frozen = await taken(store)
    owner = replace(frozen)

    async def taken_over_inside_the_effect() -> None:
        nonlocal owner
        if owner.record is frozen.record:
            owner, executor = await open_gate(
                TOOLS, {}, store=store, run="r1", verdicts=[Returned("receipt")]
            )
            assert await owner.perform(call(SEND)) == Succeeded("receipt", by="verify")
            assert executor.calls == []

    _during(frozen, taken_over_inside_the_effect)
    with pytest.raises(FencedError):
        await frozen.perform(call(SEND))
    bodies = [entry.body for entry in await store.read("r1") if entry.action]
    assert [type(body) for body in bodies[-2:]] == [Intended, Reconciled]
    assert not any(isinstance(body, Settled) for body in bodies)
    assert (await verify(store)).whole
    await store.close()


def _during(gate: Gate, act: Callable[..., object]) -> None:
    object.__setattr__(gate.executor, "during", act)


async def test_a_process_that_was_taken_over_is_told_so_by_its_next_look(store: Store) -> None:
    stale, _ = await taken(store), await taken(store, "r1")
    with pytest.raises(FencedError):
        await stale.record.journal.refresh()
    await store.close()


async def test_a_run_whose_stale_owner_stops_is_never_marked_as_failed(store: Store) -> None:
    stale, owner = await taken(store), await taken(store, "r1")
    with pytest.raises(FencedError):
        await stale.perform(call(SEND))
    await owner.record.journal.append(Draft("mine", NOTE))
    row = read_row(RunRow, await store.row(RUNS, "r1"))
    assert row is not None
    assert (row.status, row.epoch) == ("running", 2)
    await store.close()


async def test_two_journals_of_one_owner_see_what_the_other_wrote(store: Store) -> None:
    first = (await taken(store)).record.journal
    second = Journal(store, "r1", first.epoch)
    await second.append(Draft("a", NOTE))
    await first.append(Draft("b", NOTE))
    assert [entry.key for entry in first.entries] == [entry.key for entry in second.entries] + ["b"]
    await store.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home, marks = tmp_path / "agent", tmp_path / "marks"
    marks.mkdir()
    scaffold(home)
    (home / "standpipe.toml").write_text('model = "script:story.yaml"')
    (home / "story.yaml").write_text(STORY)
    (home / "tools.py").write_text(HOME_TOOLS.replace("MARKED", str(marks)))
    return home


@pytest.fixture
def running(home: Path) -> Generator[subprocess.Popen[bytes]]:
    """A process that works on `r1`."""
    kept = {name: os.environ.get(name, "") for name in ("PATH", "PYTHONPATH")}
    process = subprocess.Popen(
        [sys.executable, "-m", "standpipe", "run", "Tell ann", "--home", str(home)],
        env={"HOME": "/nonexistent", "LANG": "C.UTF-8", **kept},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()


@pytest.mark.timeout(240)
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_process_that_is_frozen_in_an_action_still_owns_its_run_and_ends_it(
    home: Path, running: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = home.parent / "marks/ledger"
    until(ledger.exists, running)
    running.send_signal(signal.SIGSTOP)
    assert main(["run", "r1", "--detach", "--home", str(home)]) == 2
    refused = capsys.readouterr().err
    assert f"run `r1` is being worked on by process {running.pid}" in refused
    assert "hint: " in refused
    (home.parent / "marks/GO").touch()
    running.send_signal(signal.SIGCONT)
    assert running.wait(LOOKS_MAX / 10) == 0
    assert main(["run", "r1", "--detach", "--home", str(home)]) == 0
    assert ledger.read_text() == "mail ann\n"


@pytest.mark.timeout(240)
def test_a_run_whose_lock_somebody_took_away_is_still_its_process_s(
    home: Path, running: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = home.parent / "marks/ledger"
    until(ledger.exists, running)
    shutil.rmtree(home / ".standpipe/locks")
    assert main(["run", "r1", "--detach", "--home", str(home)]) == 2
    assert f"is being worked on by process {running.pid}" in capsys.readouterr().err
    (home.parent / "marks/GO").touch()
    assert running.wait(LOOKS_MAX / 10) == 0
    assert ledger.read_text() == "mail ann\n"


def until(condition: Callable[[], object], running: subprocess.Popen[bytes]) -> None:
    """Look again and again, for as long as what is `running` may still bring it about."""
    for _ in range(LOOKS_MAX):
        over = running.poll() is not None
        if condition():
            return
        assert not over, "the run ended before it came to that"
        sleep(0.1)
    raise AssertionError("it never came to that")
