"""An engine that starts segments twice, late, and forgets every tenth; it owns nothing and asks nobody.

Two segments of one run then work at the same time. Only the fences of the journal stand between them.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from standpipe.actions import Action, Done, Returned, Tool
from standpipe.adapters.script import Call
from standpipe.clock import stamp
from standpipe.desk.answers import give
from standpipe.errors import FencedError
from standpipe.journal.ending import closing
from standpipe.journal.entries import RunCreated
from standpipe.journal.projections import FINAL, RUNS, RunRow, read_row
from standpipe.journal.verify import verify
from standpipe.journal.views import open_blockers
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import FakeClock
from standpipe.testing.gates import ScriptedExecutor
from standpipe.testing.loops import DONE, OWN, Loop, read, schema, send, turn_of

KEYED = Tool(
    name="pay_once", origin="home", policy="allow", control=(), schema=schema("to"),
    idempotency_key="key",
)  # fmt: skip
TOOLS = {**OWN, KEYED.name: KEYED}
PAY = Call("pay_once", {"to": "ann", "why": "the invoice is due"})
TURNS = tuple(turn_of(turn) for turn in ([read(), send(), PAY], [send("bob"), PAY], [DONE]))
RUNS_MAX, ROUNDS_MAX, LATE_MAX = 8, 20_000, 60


@dataclass
class Place:
    """Where effects take place; the provider honours idempotency keys."""

    sent: Counter[str] = field(default_factory=Counter[str])
    keys: set[str] = field(default_factory=set[str])

    async def act(self, action: Action, key: str) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        if action.tool.name == KEYED.name:
            self.keys.add(key)
        elif action.tool.name == "send_note":
            self.sent[action.id] += 1
        for _ in range(3):
            await asyncio.sleep(0)


@dataclass
class Hand(ScriptedExecutor):
    """Tools that act in a place."""

    place: Place = field(default_factory=Place)

    async def attempt(
        self, action: Action, *, key: str, paused: Mapping[str, float] | None = None
    ) -> Done:
        await self.place.act(action, key)
        if action.tool.name in {"done", "read_page"}:
            return Done(Returned("as expected"))
        return Done(Returned("receipt"))


class Segments(Loop):
    """One segment of a run; another may be working on the same run."""

    place: Place

    def world(self) -> ScriptedExecutor:
        return Hand(place=self.place)


@dataclass
class ChaoticEngine:
    """Do everything an engine may do wrong."""

    store: MemoryStore
    work: Callable[[str], Awaitable[None]]
    chance: random.Random
    heard: int = 0
    forgotten: int = 0
    twice: int = 0
    waiting: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    under_way: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    def submit(self, run: str) -> None:
        self.heard += 1
        if self.heard % 10 == 0:
            self.forgotten += 1
            return
        starts = self.chance.choice([1, 2, 3])
        self.twice += starts > 1
        self.waiting += [(self.chance.randrange(LATE_MAX), run) for _ in range(starts)]

    async def turn(self) -> None:
        """Begin whatever is late enough, and let everything move on a little."""
        late = [run for left, run in self.waiting if left <= 0]
        self.waiting = [(left - 1, run) for left, run in self.waiting if left > 0]
        self.under_way = [task for task in self.under_way if not task.done()]
        for run in late:
            self.under_way.append(asyncio.create_task(self._quietly(run), name=run))
        await asyncio.sleep(0)

    async def sweep(self) -> None:
        """Find what may go on and nobody knows of."""
        known = {run for _, run in self.waiting} | {task.get_name() for task in self.under_way}
        for run in await self.store.due("", 1_000):
            if run not in known:
                self.submit(run)

    async def _quietly(self, run: str) -> None:
        try:
            await self.work(run)
        except FencedError:
            return  # given back: whoever fenced it goes on


@dataclass
class Story:
    """A home whose runs are worked on by a chaotic engine, and a person who tells the truth."""

    seed: int
    clock: FakeClock = field(default_factory=FakeClock)
    place: Place = field(default_factory=Place)
    doubts: int = 0

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)
        self.engine = ChaoticEngine(self.store, self.segment, random.Random(self.seed))  # noqa: S311 -- a story

    async def segment(self, run: str) -> None:
        loop = Segments(turns=TURNS, tools=TOOLS, clock=self.clock, run=run)
        loop.store, loop.place = self.store, self.place
        if (await self.row(run)).status in FINAL:
            return
        end = await loop.segment()
        journal = loop.session.gate.record.journal
        await journal.append(*closing(end, run=run, epoch=journal.epoch))

    async def row(self, run: str) -> RunRow:
        row = read_row(RunRow, await self.store.row(RUNS, run))
        assert row
        return row

    async def told(self, run: str) -> None:
        """Answer what a run is in doubt about, once nothing of it is under way."""
        if any(task.get_name() == run for task in self.engine.under_way):
            return
        for blocker, body in open_blockers(await self.store.read(run)).items():
            self.doubts += 1
            assert body.kind == "in_doubt"
            await give(self.store, blocker, "yes" if self.place.sent[body.action] else "no", "ann")

    async def played(self) -> Sequence[str]:
        now = stamp(self.clock.now())
        created = RunCreated("t", "a", "script", "", queue="default", wake_at=now)
        runs = [await self.store.create(created) for _ in range(RUNS_MAX)]
        for run in runs:
            self.engine.submit(run)
        for count in range(ROUNDS_MAX):
            await self.engine.turn()
            if count % 50 == 0:
                self.clock.advance(
                    60
                )  # whoever waits for what another run has in the air looks again
                await self.engine.sweep()
                for run in runs:
                    await self.told(run)
                if {(await self.row(run)).status for run in runs} <= FINAL:
                    break
        await asyncio.gather(*self.engine.under_way)
        return runs


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_an_engine_that_starts_twice_late_or_never_does_no_harm(seed: int) -> None:
    story = Story(seed)
    runs = await story.played()
    assert {(await story.row(run)).status for run in runs} == {"done"}
    assert story.engine.twice
    assert set(story.place.sent.values()) == {1}
    assert len(story.place.sent) == 2 * len(runs)
    assert len(story.place.keys) == 2 * len(runs)
    assert (await verify(story.store)).whole


async def test_a_run_that_the_engine_forgot_is_found_by_the_sweep() -> None:
    story = Story(0)
    story.engine.heard = 9
    story.engine.submit("r1")
    assert story.engine.waiting == []
    runs = await story.played()
    assert (await story.row(runs[0])).status == "done"
