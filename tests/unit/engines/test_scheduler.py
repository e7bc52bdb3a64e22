import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from standpipe.clock import stamp
from standpipe.engines.scheduler import Scheduler
from standpipe.engines.schedules import Schedule
from standpipe.errors import ConfigError
from standpipe.journal.entries import Draft, RunCreated, RunEnded, SegmentStarted
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import FakeClock

SEVEN = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
HOURLY = Schedule(id="mail", task="Answer the mail", every=timedelta(hours=1))
START = Draft("", SegmentStarted("tests", 1, "", "0"))


class World:
    """A home at seven o'clock, and what its schedulers submit."""

    def __init__(self) -> None:
        self.clock = FakeClock(SEVEN)
        self.store = MemoryStore(self.clock)
        self.told: list[Exception] = []
        self.refused = False

    def scheduler(self, *schedules: Schedule) -> Scheduler:
        return Scheduler(
            schedules, self.store, self.submit, clock=self.clock, told=self.told.append
        )

    async def submit(self, schedule: Schedule, name: str, planned: datetime) -> str:
        if schedule.task == "cannot be":
            raise ConfigError("no model is set")
        return await self.store.create(
            RunCreated(
                schedule.task, "a", "m", "", caller_id=name, queue="q", wake_at=stamp(planned)
            )
        )

    async def runs(self) -> list[str]:
        return [run for run in await self.store.streams() if run.startswith("r")]

    async def end(self, run: str) -> None:
        epoch = await self.store.start_segment(run, START)
        await self.store.append(run, epoch, [Draft(run, RunEnded("done", ""))])


async def test_an_occurrence_is_submitted_once_with_its_name_and_its_planned_time() -> None:
    world = World()
    scheduler = world.scheduler(HOURLY)
    for _ in range(3):
        await scheduler.look()
        world.clock.advance(1)
    assert await world.runs() == ["r1"]
    created = (await world.store.read("r1"))[0].body
    assert isinstance(created, RunCreated)
    assert created.caller_id == "schedule-mail-2026-11-22T07:00:00Z"
    assert created.wake_at == stamp(SEVEN)


async def test_two_workers_and_a_restart_plan_the_same_run() -> None:
    world = World()
    await asyncio.gather(world.scheduler(HOURLY).look(), world.scheduler(HOURLY).look())
    await world.end("r1")
    await world.scheduler(HOURLY).look()
    assert await world.runs() == ["r1"]


async def test_the_next_occurrence_waits_until_the_run_before_it_is_over() -> None:
    world = World()
    scheduler = world.scheduler(HOURLY)
    await scheduler.look()
    world.clock.advance(3_600)
    await scheduler.look()
    assert await world.runs() == ["r1"]
    await world.end("r1")
    world.clock.advance(3_600)
    await scheduler.look()
    assert await world.runs() == ["r1", "r2"]


async def test_a_worker_sees_the_run_that_another_worker_began() -> None:
    world = World()
    mine, other = world.scheduler(HOURLY), world.scheduler(HOURLY)
    await mine.look()
    await world.end("r1")
    world.clock.advance(3_600)
    await other.look()
    world.clock.advance(3_600)  # the run of the other is not over
    await mine.look()
    assert await world.runs() == ["r1", "r2"]


async def test_a_schedule_that_cannot_be_is_told_once_and_stops_no_other() -> None:
    world = World()
    bad = Schedule(id="bad", task="cannot be", every=timedelta(hours=1))
    scheduler = world.scheduler(bad, HOURLY)
    await scheduler.look()
    await scheduler.look()
    assert [str(error) for error in world.told] == ["no model is set"]
    assert await world.runs() == ["r1"]


@pytest.mark.parametrize("schedules", [(), (HOURLY,)])
async def test_a_scheduler_stops_when_it_is_told_to(schedules: tuple[Schedule, ...]) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(World().scheduler(*schedules).run(stop))
    await asyncio.sleep(0)
    stop.set()
    await asyncio.wait_for(running, 30)
