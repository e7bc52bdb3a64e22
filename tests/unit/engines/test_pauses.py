from standpipe.engines.pauses import Pauses
from standpipe.journal.entries import BlockedRaised, Draft, RunCreated, SegmentEnded, SegmentStarted
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import FakeClock

PAST = "2026-11-22T06:00:00.000Z"


class Waiting:
    """A run that is worked on whenever it may be, and only waits for a time that has passed."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        self.pauses = Pauses(self.clock, self.store)
        self.begun: list[float] = []
        self.status = "blocked"

    async def create(self) -> str:
        created = RunCreated("a task", "agent", "script:x", "", queue="default", wake_at=PAST)
        return await self.store.create(created)

    async def work(self, run: str) -> None:
        self.begun.append(self.clock.monotonic())
        draft = Draft("", SegmentStarted("w", 1, "", "0"))
        epoch = await self.store.start_segment(run, draft)
        ask = f"{run}.{epoch}"
        raised = Draft(ask, BlockedRaised("wait", ask, "", expires_at=PAST))
        waits_for = (ask,) if self.status == "blocked" else ()
        ended = Draft(str(epoch), SegmentEnded(self.status, waits_for=waits_for))
        await self.store.append(run, epoch, [raised, ended])

    async def is_due(self, run: str) -> bool:
        return run in await self.store.due("default") and run not in self.pauses

    async def pass_time(self, run: str, seconds: int) -> None:
        for _ in range(seconds * 10):
            if await self.is_due(run):
                await self.pauses.attempt(self.work, run)
            self.clock.advance(0.1)


async def test_a_run_whose_time_to_wake_has_passed_already_is_begun_more_and_more_seldom() -> None:
    waiting = Waiting()
    run = await waiting.create()
    await waiting.pass_time(run, 120)
    pauses = [
        round(later - earlier)
        for earlier, later in zip(waiting.begun, waiting.begun[1:], strict=False)
    ]
    assert pauses == [0, 1, 2, 4, 8, 16, 30, 30]


async def test_a_run_that_gets_on_is_begun_again_at_once() -> None:
    waiting = Waiting()
    run = await waiting.create()
    await waiting.pass_time(run, 10)
    waiting.status = "yielded"
    await waiting.pass_time(run, 10)
    begun = len(waiting.begun)
    await waiting.pass_time(run, 1)
    assert len(waiting.begun) == begun + 10


async def test_each_run_is_left_alone_for_itself() -> None:
    waiting = Waiting()
    run, other = await waiting.create(), await waiting.create()
    await waiting.pass_time(run, 10)
    assert run in waiting.pauses
    assert other not in waiting.pauses
    assert len(waiting.pauses) == 1
