"""A run is killed at every single write, before and after the commit, and goes on to the same end.

Here a process is one `Runtime`: real loop, gate, journal, brain, checklist and workspace. Only the model plays a
script, and the tools run in this process and change a world that stays, so that a kill costs no time.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TypeVar

import msgspec
import pytest
from msgspec import Struct

from standpipe.actions import Effect, Fault, Raised, Result, Returned, Tool
from standpipe.cli.scaffold import scaffold
from standpipe.clock import moment
from standpipe.config import load_settings
from standpipe.desk.answers import give
from standpipe.desk.changes import files
from standpipe.desk.report import Ask, Report
from standpipe.engines.inline import InlineEngine
from standpipe.engines.locks import LockOwnership
from standpipe.errors import FencedError
from standpipe.execution.executor import Executor
from standpipe.execution.frames import Request
from standpipe.execution.pool import Answer, Home, Pool
from standpipe.execution.workspace import Workspace
from standpipe.journal.entries import Draft, Entry, RunCreated, SegmentStarted, Settled
from standpipe.journal.projections import RUNS, RunRow, read_row
from standpipe.journal.store import Seen as Rows, Store
from standpipe.journal.verify import verify
from standpipe.memory.tasks import Status, Tasks
from standpipe.runtime import Runtime
from standpipe.security.credentials import Credentials
from standpipe.security.key import key_of
from standpipe.security.secrets import Masker
from standpipe.segment import OpenHome
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import Crash, DyingStore, FakeClock
from standpipe.testing.loops import schema
from standpipe.tools.agent import TOOLS
from standpipe.tools.overrides import all_tools

R = TypeVar("R")
NEVER = 999
SEGMENTS_MAX = 12
PAIRS = 16
RECOVERY_WRITES = 16
PAUSE_SECONDS = 3_600
STORY = """
turns:
  - say: I look first.
    call:
      - {read_page: {page: "1"}}
      - {save: {text: draft, why: the task asks}}
      - {send_mail: {to: ann, why: the task asks}}
      - {charge: {to: bob, why: the task asks}}
      - {send_note: {to: carl, why: the task asks}}
      - {pay: {to: dora, why: the invoice is due}}
      - {ask_human: {question: Which page is next?}}
      - {fetch: {page: "2"}}
  - say: I think that is all.
  - call:
      - {memory_note: {title: Pages, text: The second page is read.}}
      - {save: {text: final, why: the task asks}}
  - done: {summary: All sent., evidence: [receipt]}
"""


def once(name: str, **more: object) -> Tool:
    made = Tool(name=name, origin="home", policy="allow", control=(), schema=schema("to"))
    return msgspec.structs.replace(made, **more)


HOME_TOOLS = (
    Tool(name="read_page", effect=Effect.READ, origin="home", schema=schema("page")),
    Tool(name="fetch", effect=Effect.READ, origin="home", schema=schema("page")),
    Tool(name="save", effect=Effect.IDEMPOTENT, origin="home", schema=schema("text")),
    once("send_mail", verify=True),
    once("charge", idempotency_key="key"),
    once("send_note"),
    once("pay", policy="ask"),
)
ONCE = ("send_mail", "charge", "send_note", "pay")
DOUBTFUL = ("send_note", "pay")  # there is nothing to ask


@dataclass(kw_only=True)
class MortalStore(DyingStore):
    """Count whatever is written, and be gone for good at the write that was chosen."""

    writes: list[str] = field(default_factory=list[str])
    gone: bool = False

    async def create(self, created: RunCreated) -> str:
        return await self._once("create", lambda: self.store.create(created))

    async def start_segment(self, run: str, draft: Draft, *, owner: str = "") -> int:
        return await self._once(
            "start_segment", lambda: self.store.start_segment(run, draft, owner=owner)
        )

    async def append(
        self, run: str, epoch: int, drafts: Sequence[Draft], *, seen: Rows | None = None
    ) -> Sequence[Entry]:
        return await self._once("append", lambda: self.store.append(run, epoch, drafts, seen=seen))

    async def post(self, run: str, drafts: Sequence[Draft]) -> Sequence[Entry]:
        return await self._once("post", lambda: self.store.post(run, drafts))

    async def number(self, series: str) -> int:
        return await self._once("number", lambda: self.store.number(series))

    async def seal(self) -> None:
        await self._once("seal", self.store.seal)

    async def _once(self, name: str, write: Callable[[], Awaitable[R]]) -> R:
        if self.gone:
            raise Crash
        self.gone = len(self.writes) == self.writes_left
        if self.gone and not self.after_commit:
            raise Crash
        self.writes.append(name)
        written = await write()
        if self.gone:
            raise Crash
        return written


@dataclass(kw_only=True)
class Outside:
    """What is outside stays: effects by tool and key, files, and a page that opens later."""

    clock: FakeClock
    folder: Path
    opens_at: datetime
    ledger: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    after_mail: Callable[[], Awaitable[object]] | None = None

    def called(self, request: Request) -> Result:
        """Do what a tool does."""
        if (
            request.tool == "fetch"
            and (closed := (self.opens_at - self.clock.now()).total_seconds()) > 0
        ):
            headers = {"retry-after": f"{closed:.0f}"}
            status = {"status_code": 429}
            return Raised(
                Fault(type="HttpFailure", message="HTTP 429", attributes=status, headers=headers)
            )
        if request.tool == "save":
            text = msgspec.json.decode(request.arguments, type=dict[str, str])["text"]
            (self.folder / f"{text}.txt").write_text(text)
        landed = (request.tool, request.key)
        if request.tool not in {"read_page", "fetch"} and not (
            request.tool == "charge" and landed in self.ledger
        ):
            self.ledger.append(landed)
        return Returned(f"{request.tool} has happened")

    def verified(self, request: Request) -> Result:
        """Tell whether it has happened."""
        return Returned((request.tool, request.key) in self.ledger)


class Tools(Pool):
    """Tools without processes of their own; they are gone with the runtime."""

    def __init__(self, home: Path, outside: Outside, store: MortalStore) -> None:
        super().__init__(Home(home=home, workspace=outside.folder))
        self.outside, self.runtime = outside, store

    async def start(self) -> tuple[Tool, ...]:
        return HOME_TOOLS

    async def ask(self, request: Request, *, seconds: float, fresh: bool = False) -> Answer:
        await asyncio.sleep(0)  # calls of one response overlap
        if self.runtime.gone:
            raise Crash
        if request.op == "verify":
            return Answer(self.outside.verified(request))
        came = self.outside.called(request)
        if request.tool == "send_mail" and self.outside.after_mail:
            await self.outside.after_mail()
        return Answer(came)


@dataclass(kw_only=True)
class Story:
    """One home, the processes that work in it one after the other, and a person who tells the truth."""

    home: Path
    clock: FakeClock = field(default_factory=FakeClock)
    store: Store = field(init=False)
    outside: Outside = field(init=False)
    writes: list[str] = field(default_factory=list[str])
    asked: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        scaffold(self.home)
        (self.home / "standpipe.toml").write_text('model = "script:story.yaml"')
        (self.home / "story.yaml").write_text(STORY)
        self.store = MemoryStore(self.clock)
        opens_at = self.clock.now() + timedelta(seconds=PAUSE_SECONDS)
        self.outside = Outside(clock=self.clock, folder=self.home / "workspace", opens_at=opens_at)

    async def live(self, writes: int = NEVER, *, after_commit: bool = False) -> Report | None:
        """Let one process work until the run ends or waits, or until it is killed at a write."""
        store = MortalStore(store=self.store, writes_left=writes, after_commit=after_commit)
        try:
            runtime = await self.process(store)
            return await runtime.run("Write to all of them", caller_id="story")
        except Crash:
            return None
        finally:
            self.writes += store.writes

    async def process(self, store: MortalStore) -> Runtime:
        settings, key = load_settings(self.home), key_of(self.home / ".standpipe")
        home = OpenHome(
            folder=self.home, settings=settings, clock=self.clock, store=store,
            executor=Executor(clock=self.clock), masker=Masker(key=key), given=Credentials({}, {}, key=key),
            credentials={}, model=None, worker="tests", version="0", alive=is_gone,
            tools=all_tools((*HOME_TOOLS, *TOOLS), settings),
        )  # fmt: skip
        home.executor = Executor(
            clock=self.clock,
            home=Tools(self.home, self.outside, store),
            workspace=Workspace(self.outside.folder, self.home / ".standpipe/blobs"),
            inner={tool.name: home.inner(tool.name) for tool in TOOLS},
        )
        await home.executor.start()
        locks = LockOwnership(self.home / ".standpipe/locks")
        return Runtime(home, InlineEngine(store, locks, clock=self.clock))

    async def to_the_end(self) -> Report:
        """Let processes work, and the person answer, until the run ends."""
        report = await self.killed_at(NEVER)
        assert report is not None
        return report

    async def killed_at(self, write: int, *, after_commit: bool = False) -> Report | None:
        """Let processes work until one of them dies at that write, counted from now."""
        before = len(self.writes)
        for _ in range(SEGMENTS_MAX):
            left = write - (len(self.writes) - before)
            report = await self.live(left, after_commit=after_commit)
            if report is None or report.status != "blocked":
                return report
            for ask in report.blocked_on:
                await self.answer(ask)
        raise AssertionError("it never ends")

    async def answer(self, ask: Ask) -> None:
        """Answer truly; what only waits is waited for."""
        self.asked.append(ask.kind)
        if ask.kind == "wait":
            until = moment(ask.expires_at or "") - self.clock.now()
            self.clock.advance(until.total_seconds())
            return
        tool = ask.action.tool if ask.action else ""
        happened = any(name == tool for name, _ in self.outside.ledger)
        said = {"approval": "yes", "question": "Page 2.", "in_doubt": "yes" if happened else "no"}
        await give(self.store, ask.id, said[ask.kind], "operator")

    async def entries(self) -> Sequence[Entry]:
        return await self.store.read("r1")


async def is_gone(row: RunRow) -> bool:
    """No process but this one has ever worked here."""
    return False


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: every home writes its brain to disk, and waits for it."""
    memory = Path("/dev/shm")  # noqa: S108 -- a folder of our own below it
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir=memory) as made:
        yield Path(made)


@pytest.mark.parametrize("after_commit", [False, True], ids=["before the commit", "after it"])
async def test_killed_at_any_write_a_run_goes_on_to_the_same_end_and_does_nothing_twice(
    after_commit: bool, folder: Path
) -> None:
    whole = Story(home=folder / "whole")
    expected = seen(await whole.to_the_end())
    assert (expected.status, sorted(whole.asked)) == ("done", ["approval", "question", "wait"])
    assert set(whole.writes) == {"create", "start_segment", "append", "post", "number", "seal"}
    for write in range(len(whole.writes)):
        story = Story(home=folder / f"{write}")
        assert await story.killed_at(write, after_commit=after_commit) is None
        await check(story, expected)


async def test_killed_again_while_it_recovers_a_run_goes_on_to_the_same_end(folder: Path) -> None:
    whole = Story(home=folder / "whole")
    expected = seen(await whole.to_the_end())
    kills = Random(4)  # noqa: S311 -- a sample, the same each time
    for number in range(PAIRS):
        first, second = kills.randrange(len(whole.writes)), kills.randrange(RECOVERY_WRITES)
        story = Story(home=folder / f"{number}")
        assert await story.killed_at(first, after_commit=bool(number % 2)) is None
        if await story.killed_at(second, after_commit=bool(number % 4 > 1)) is None:
            await check(story, expected)


async def test_a_run_taken_over_in_the_middle_of_an_effect_is_given_back_and_never_failed(
    folder: Path,
) -> None:
    expected = seen(await Story(home=folder / "whole").to_the_end())
    story = Story(home=folder / "agent")
    other = Draft("", SegmentStarted("another", 1, "", "0"))
    story.outside.after_mail = lambda: story.store.start_segment("r1", other)
    with pytest.raises(FencedError):
        await story.live()
    row = read_row(RunRow, await story.store.row(RUNS, "r1"))
    assert row is not None
    assert (row.status, row.epoch) == ("running", 2)
    await check(story, expected)


async def test_a_run_killed_before_its_run_is_written_leaves_no_second_task(folder: Path) -> None:
    story = Story(home=folder / "agent")
    await story.killed_at(1)
    assert story.writes == ["number"]
    await story.to_the_end()
    assert [file.status for file in Tasks(story.home).listed(*Status).tasks] == [Status.DONE]


async def test_a_change_that_is_told_again_after_a_kill_is_one_change(folder: Path) -> None:
    story = Story(home=folder / "agent")
    await story.to_the_end()
    entries = await story.entries()
    told = [entry for entry in entries if isinstance(entry.body, Settled) and entry.body.changes]
    assert files([*entries, told[0]]) == files(entries)


class Seen(Struct, frozen=True):
    """What of a report is the same however often its processes were killed."""

    status: str
    summary: str
    effects: Sequence[tuple[str, str, str]]
    files: Sequence[tuple[str, str]]
    failures: Sequence[str]
    checklist: Sequence[tuple[str, bool]]
    model_calls: int
    tool_calls: int


def seen(report: Report) -> Seen:
    return Seen(
        status=report.status,
        summary=report.summary,
        effects=[(one.action, one.tool, one.outcome) for one in report.effects],
        files=[(one.path, one.change) for one in report.files],
        failures=[one.kind for one in report.failures],
        checklist=[(line.name, line.passed) for line in report.checklist],
        model_calls=report.usage.model_calls,
        tool_calls=report.usage.tool_calls,
    )


async def check(story: Story, expected: Seen) -> None:
    """Go on with a killed run, and compare its end with that of one nobody killed."""
    report = await story.to_the_end()
    assert seen(report) == expected
    done = Counter(tool for tool, _ in story.outside.ledger)
    assert {tool: done[tool] for tool in ONCE} == dict.fromkeys(ONCE, 1)
    assert len({key for tool, key in story.outside.ledger if tool == "save"}) == 2
    assert (await verify(story.store)).whole
    asked = Counter(story.asked)
    assert asked.pop("in_doubt", 0) <= len(DOUBTFUL)
    assert asked == Counter(["approval", "question", "wait"])
    assert Tasks(story.home).read(report.task.split()[0]).status is Status.DONE
