"""What every engine promises. Subclass it with the two fixtures and run it with pytest.

class TestMyEngine(EngineSuite):
    @pytest.fixture
    def store(self, clock): return MyStore(clock)

    @pytest.fixture
    def workers(self, store, clock): return lambda name: MyEngine(store, name)

Where time cannot be moved (a database has its own clock), say in `later_seconds` how long the suite is to wait instead,
and let `pass_time` wait; a worker that is gone has to be known as gone after `later_seconds`.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from standpipe.clock import Clock, stamp
from standpipe.engines.port import Engine, Work
from standpipe.errors import OwnedError
from standpipe.journal.entries import (
    CancelRequested,
    Draft,
    RunCreated,
    RunEnded,
    SegmentEnded,
    SegmentStarted,
)
from standpipe.journal.projections import FINAL, RUNS, RunRow, read_row
from standpipe.journal.store import Store
from standpipe.testing.fakes import FakeClock

START = Draft("", SegmentStarted("suite", 1, "", "0"))
PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.01

Workers = Callable[[str], Engine]  # by name: another process of the same home


@dataclass
class Labour:
    """Work on runs as a runtime does: own it, begin a segment, end it. `go` is when the work is done."""

    store: Store
    begun: list[str] = field(default_factory=list[str])
    now: list[str] = field(default_factory=list[str])
    most: int = 0
    twice: list[str] = field(default_factory=list[str])
    fails: dict[str, int] = field(default_factory=dict[str, int])
    go: asyncio.Event = field(default_factory=asyncio.Event)

    def by(self, engine: Engine) -> Work:
        async def work(run: str) -> None:
            async with engine.owning(run) as hold:
                epoch = await self.store.start_segment(run, START, owner=hold.owner)
                self.enter(run)
                try:
                    ended = await self.segment(run, hold.wanted)
                finally:
                    self.now.remove(run)
                drafts = [Draft(str(epoch), SegmentEnded(ended))]
                if ended != "yielded":
                    drafts.append(Draft(run, RunEnded(ended, "")))
                await self.store.append(run, epoch, drafts)

        return work

    def enter(self, run: str) -> None:
        if run in self.now:
            self.twice.append(run)
        self.begun.append(run)
        self.now.append(run)
        self.most = max(self.most, len(self.now))

    async def segment(self, run: str, wanted: asyncio.Event) -> str:
        if self.fails.get(run, 0) > 0:
            self.fails[run] -= 1
            raise ValueError("this run cannot be")
        if any(isinstance(entry.body, CancelRequested) for entry in await self.store.read(run)):
            return "cancelled"
        waits = [asyncio.ensure_future(event.wait()) for event in (self.go, wanted)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
        return "done" if self.go.is_set() else "yielded"

    async def status(self, run: str) -> str:
        row = read_row(RunRow, await self.store.row(RUNS, run))
        return row.status if row else ""

    async def ended(self, *runs: str) -> None:
        """Return when all these have ended."""
        async for _ in looks():
            if {await self.status(run) for run in runs} <= FINAL:
                return


async def looks() -> AsyncGenerator[None]:
    """Let others work between two looks at what they have done; not for ever."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE_SECONDS
    while loop.time() < end:
        yield
        await asyncio.sleep(_LOOK_SECONDS)
    raise TimeoutError("what was waited for did not happen")


async def soon(condition: Callable[[], bool]) -> None:
    """Return when something is so."""
    async for _ in looks():
        if condition():
            return


@asynccontextmanager
async def at_work(engine: Engine, labour: Labour, concurrency: int = 1) -> AsyncGenerator[None]:
    """Let a worker run for as long as the context lasts."""
    stop = asyncio.Event()
    work = labour.by(engine)
    worker = asyncio.create_task(engine.run_worker(work, concurrency=concurrency, stop=stop))
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await worker


class EngineSuite:
    """The suite; `store` and `workers` are fixtures of the subclass."""

    later_seconds = 60.0

    @pytest.fixture
    def clock(self) -> Clock:
        return FakeClock()

    async def pass_time(self, clock: Clock, seconds: float) -> None:
        """Let time pass for engine and store."""
        assert isinstance(clock, FakeClock)
        clock.advance(seconds)

    @pytest.fixture
    def labour(self, store: Store) -> Labour:
        return Labour(store)

    async def queued(
        self, store: Store, clock: Clock, *, after: float = 0.0, priority: int = 0
    ) -> str:
        """Put a run into the queue, as `standpipe submit` does."""
        created = RunCreated(
            "a task", "agent", "script:x", "",
            queue="default", wake_at=stamp(clock.now() + timedelta(seconds=after)), priority=priority,
        )  # fmt: skip
        return await store.create(created)

    async def test_what_is_submitted_is_worked_on(
        self, store: Store, clock: Clock, workers: Workers, labour: Labour
    ) -> None:
        labour.go.set()
        engine = workers("a")
        async with at_work(engine, labour, concurrency=2):
            runs = [await self.queued(store, clock) for _ in range(5)]
            for run in runs:
                await engine.submit(run)
            await labour.ended(*runs)
        assert sorted(labour.begun) == sorted(runs)

    async def test_what_the_engine_was_never_told_of_is_found(
        self, store: Store, clock: Clock, workers: Workers, labour: Labour
    ) -> None:
        labour.go.set()
        run = await self.queued(store, clock)
        async with at_work(workers("a"), labour):
            await labour.ended(run)

    async def test_a_run_is_not_begun_before_its_time(
        self, store: Store, clock: Clock, workers: Workers, labour: Labour
    ) -> None:
        labour.go.set()
        engine = workers("a")
        later = await self.queued(store, clock, after=self.later_seconds)
        now = await self.queued(store, clock)
        async with at_work(engine, labour):
            await engine.submit(later)
            await labour.ended(now)
            await self.pass_time(clock, self.later_seconds + 0.1)
            await labour.ended(later)
        assert labour.begun == [now, later]
        created, started, *_ = await store.read(later)
        assert isinstance(created.body, RunCreated)
        assert started.at >= created.body.wake_at

    async def test_the_most_important_run_is_begun_first(
        self, store: Store, clock: Clock, workers: Workers, labour: Labour
    ) -> None:
        labour.go.set()
        runs = [await self.queued(store, clock, priority=priority) for priority in (0, 5, -5, 1)]
        async with at_work(workers("a"), labour):
            await labour.ended(*runs)
        assert labour.begun == [runs[1], runs[3], runs[0], runs[2]]

    async def test_no_more_runs_than_allowed_are_worked_on_at_once(
        self, store: Store, clock: Clock, workers: Workers, labour: Labour
    ) -> None:
        runs = [await self.queued(store, clock) for _ in range(6)]
        async with at_work(workers("a"), labour, concurrency=2):
            await soon(lambda: len(labour.now) == 2)
            labour.go.set()
            await labour.ended(*runs)
        assert labour.most == 2

    async def test_a_run_whose_owner_died_is_taken_over(
        self, store: Store, clock: Clock, workers: Workers, labour: Labour
    ) -> None:
        labour.go.set()
        run = await self.queued(store, clock)
        assert await store.start_segment(run, START) == 1
        async with at_work(workers("a"), labour):
            await labour.ended(run)
        assert labour.begun == [run]

    async def test_two_workers_never_work_on_one_run_at_once(
        self, store: Store, clock: Clock, workers: Workers, labour: Labour
    ) -> None:
        runs = [await self.queued(store, clock) for _ in range(8)]
        async with (
            at_work(workers("a"), labour, concurrency=3),
            at_work(workers("b"), labour, concurrency=3),
        ):
            await soon(lambda: len(labour.now) == 6)
            labour.go.set()
            await labour.ended(*runs)
        assert labour.twice == []
        assert sorted(labour.begun) == sorted(runs)

    async def test_a_run_that_is_owned_is_refused_to_everybody_else_and_then_free(
        self, store: Store, clock: Clock, workers: Workers
    ) -> None:
        one, other = workers("a"), workers("b")
        run = await self.queued(store, clock)
        async with one.owning(run) as hold:
            assert hold.may_start()
            for engine in (one, other):
                with pytest.raises(OwnedError, match=run):
                    async with engine.owning(run):
                        pass
            assert hold.may_start()
        async with other.owning(run) as hold:
            assert hold.may_start()

    async def test_a_cancelled_run_that_nobody_began_is_ended_and_not_worked_on(
        self, store: Store, clock: Clock, workers: Workers, labour: Labour
    ) -> None:
        run = await self.queued(store, clock)
        await store.post(run, [Draft("cancel", CancelRequested("operator"))])
        engine = workers("a")
        await engine.cancel(run)
        async with at_work(engine, labour):
            await labour.ended(run)
        assert await labour.status(run) == "cancelled"

    async def test_a_run_that_cannot_be_stops_no_other_and_is_tried_again(
        self, store: Store, clock: Clock, workers: Workers, labour: Labour
    ) -> None:
        labour.go.set()
        bad, good = [await self.queued(store, clock) for _ in range(2)]
        labour.fails[bad] = 2
        async with at_work(workers("a"), labour):
            await labour.ended(good)
            async for _ in looks():
                await self.pass_time(clock, 1)
                if await labour.status(bad) == "done":
                    break
        assert labour.begun.count(bad) == 3

    async def test_a_worker_that_stops_gives_its_runs_back_and_another_goes_on(
        self, store: Store, clock: Clock, workers: Workers, labour: Labour
    ) -> None:
        run = await self.queued(store, clock)
        async with at_work(workers("a"), labour):
            await soon(lambda: labour.now == [run])
        assert labour.now == []
        labour.go.set()
        async with at_work(workers("b"), labour):
            await labour.ended(run)
        assert labour.begun == [run, run]

    async def test_a_worker_that_is_cancelled_leaves_nothing_under_way(
        self, store: Store, clock: Clock, workers: Workers, labour: Labour
    ) -> None:
        run = await self.queued(store, clock)
        engine = workers("a")
        stop = asyncio.Event()
        worker = asyncio.create_task(engine.run_worker(labour.by(engine), stop=stop))
        await soon(lambda: labour.now == [run])
        worker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await worker
        assert labour.now == []
        async with workers("b").owning(run) as hold:
            assert hold.may_start()

    async def test_workers_are_listed_for_as_long_as_they_live(
        self, clock: Clock, workers: Workers, labour: Labour
    ) -> None:
        looking = workers("c")
        async with at_work(workers("a"), labour), at_work(workers("b"), labour):
            async for _ in looks():
                if {one.id for one in await looking.live_workers()} == {"a", "b"}:
                    break
        await self.pass_time(clock, self.later_seconds)
        async for _ in looks():
            if not await looking.live_workers():
                break
