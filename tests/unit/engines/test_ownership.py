import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from standpipe.engines.inline import InlineEngine
from standpipe.engines.leases import LeaseOwnership
from standpipe.engines.locks import LockOwnership
from standpipe.engines.port import Hold
from standpipe.errors import BrokenJournalError, JournalError, OwnedError
from standpipe.journal.entries import Draft, RunCreated, SegmentStarted
from standpipe.stores.memory import MemoryStore
from standpipe.testing.engine_suite import looks, soon
from standpipe.testing.engines import LeasingStore
from standpipe.testing.fakes import FakeClock

TTL = 0.2  # seconds of the beat; the clocks of the tests stand still


def ownership(store: LeasingStore, clock: FakeClock, worker: str = "a") -> LeaseOwnership:
    return LeaseOwnership(store, worker=worker, host="here", clock=clock, ttl_seconds=TTL)


async def run_of(store: MemoryStore) -> str:
    return await store.create(RunCreated("t", "a", "script:x", ""))


async def test_an_owner_is_named_by_its_process(tmp_path: Path) -> None:
    locks = LockOwnership(tmp_path)
    async with locks.owning("r3"):
        with pytest.raises(OwnedError) as refused:
            async with LockOwnership(tmp_path).owning("r3"):
                pass
    assert refused.value.message == f"run `r3` is being worked on by process {os.getpid()}"
    assert refused.value.hint


DIES = """
import asyncio, os, sys
from pathlib import Path
from standpipe.engines.locks import LockOwnership

async def own(folder):
    async with LockOwnership(folder, worker="dead").at_work(), LockOwnership(folder).owning("r3"):
        os._exit(9)

asyncio.run(own(Path(sys.argv[1])))
"""


async def test_a_run_is_free_at_once_when_its_process_dies(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", DIES, str(tmp_path)], check=False)  # noqa: ASYNC221 -- nothing else is to happen meanwhile
    assert ended.returncode == 9
    assert (tmp_path / "worker-dead.lock").exists()
    locks = LockOwnership(tmp_path)
    async with locks.owning("r3") as hold:
        assert hold.may_start()
    assert list(await locks.workers()) == []
    assert not (tmp_path / "worker-dead.lock").exists()


async def test_what_is_wanted_back_begins_nothing_more(tmp_path: Path) -> None:
    locks = LockOwnership(tmp_path)
    async with locks.owning("r1") as first:
        locks.give_back()
        assert not first.may_start()
        assert not await first.ready()
        async with locks.owning("r2") as second:
            assert second.wanted.is_set()
    async with locks.at_work(), locks.owning("r1") as again:
        assert again.may_start()


async def test_a_hold_waits_while_nobody_can_tell_whether_it_is_still_ours() -> None:
    sure = False
    hold = Hold(run="r1", sure=lambda: sure)
    waiting = asyncio.create_task(hold.ready())
    await asyncio.sleep(0)
    assert not waiting.done()
    sure = True
    assert await waiting


async def test_a_lease_is_refused_to_others_and_to_the_same_process_twice() -> None:
    clock = FakeClock()
    store = LeasingStore(clock)
    run = await run_of(store)
    mine, other = ownership(store, clock), ownership(store, clock, "b")
    async with mine.owning(run) as hold:
        assert hold.owner == "a"
        start = Draft("", SegmentStarted("a", 1, "", "0"))
        await store.start_segment(run, start, owner=hold.owner)
        with pytest.raises(OwnedError, match="by worker `a`"):
            async with other.owning(run):
                pass
        with pytest.raises(OwnedError, match="by this process"):
            async with mine.owning(run):
                pass
    async with other.owning(run):
        pass


async def test_a_worker_that_cannot_beat_for_a_ttl_starts_nothing_and_goes_on_when_it_can() -> None:
    clock = FakeClock()
    store = LeasingStore(clock)
    run = await run_of(store)
    async with ownership(store, clock).owning(run) as hold:
        assert hold.may_start()
        store.unreachable = True
        clock.advance(TTL)
        assert not hold.may_start()
        waiting = asyncio.create_task(hold.ready())
        await asyncio.sleep(TTL)
        assert not waiting.done()
        store.unreachable = False
        assert await waiting
        assert not hold.lost.is_set()


async def test_a_worker_whose_run_was_taken_over_learns_it_from_its_next_beat() -> None:
    clock = FakeClock()
    store = LeasingStore(clock)
    run = await run_of(store)
    frozen, other = ownership(store, clock), ownership(store, clock, "b")
    async with frozen.owning(run) as hold:
        store.unreachable = True
        clock.advance(TTL)
        store.unreachable = False
        assert await store.lease(run, "b", TTL)
        await asyncio.wait_for(hold.lost.wait(), 30)
        assert not hold.may_start()
        assert not await hold.ready()
        with pytest.raises(OwnedError):
            async with frozen.owning(run):
                pass
    async with other.owning(run) as taken:
        assert taken.may_start()


async def test_a_lease_that_was_asked_for_and_then_not_wanted_is_given_back() -> None:
    clock = FakeClock()
    store = LeasingStore(clock)
    run = await run_of(store)
    assert await store.lease(run, "a", TTL)  # as if its asker was cancelled while the answer came
    owner, other = ownership(store, clock), ownership(store, clock, "b")
    async with owner.at_work():
        async for _ in looks():
            if await store.lease(run, "b", TTL):
                break
    await store.release(run, "b")
    async with other.owning(run):
        pass


async def test_nobody_beats_when_nothing_is_held() -> None:
    clock = FakeClock()
    store = LeasingStore(clock)
    owner = ownership(store, clock)
    async with owner.at_work():
        async for _ in looks():
            if await owner.workers():
                break
    clock.advance(1)
    await asyncio.sleep(TTL)
    assert list(await owner.workers()) == []


class Unreadable(MemoryStore):
    """A store that cannot be read for a while."""

    error: JournalError | None = None
    looked = 0

    async def due(self, queue: str, limit: int = 100) -> tuple[str, ...]:
        self.looked += 1
        if self.error:
            raise self.error
        return ()


async def nothing(run: str) -> None:
    raise AssertionError(run)


async def test_a_journal_that_cannot_be_read_is_told_once_and_looked_at_again(
    tmp_path: Path,
) -> None:
    store, stop, told = Unreadable(FakeClock()), asyncio.Event(), list[Exception]()
    engine = InlineEngine(store, LockOwnership(tmp_path), clock=FakeClock())
    engine.told = told.append
    store.error = JournalError("gone")
    worker = asyncio.create_task(engine.run_worker(nothing, stop=stop))
    await soon(lambda: store.looked > 2)
    assert told == [store.error]
    store.error = None
    looked = store.looked
    await soon(lambda: store.looked > looked)
    store.error = JournalError("gone again")
    await soon(lambda: len(told) == 2)
    stop.set()
    await worker


async def test_a_worker_stops_while_its_database_does_not_answer(tmp_path: Path) -> None:
    class Silent(Unreadable):
        async def due(self, queue: str, limit: int = 100) -> tuple[str, ...]:
            await super().due(queue, limit)
            await asyncio.Event().wait()
            return ()

    store, stop = Silent(FakeClock()), asyncio.Event()
    engine = InlineEngine(store, LockOwnership(tmp_path), clock=FakeClock())
    worker = asyncio.create_task(engine.run_worker(nothing, stop=stop))
    await soon(lambda: store.looked > 0)
    stop.set()
    await asyncio.wait_for(worker, 30)


async def test_a_broken_journal_ends_the_worker(tmp_path: Path) -> None:
    store = Unreadable(FakeClock())
    store.error = BrokenJournalError("not ours")
    engine = InlineEngine(store, LockOwnership(tmp_path), clock=FakeClock())
    with pytest.raises(BrokenJournalError):
        await engine.run_worker(nothing, stop=asyncio.Event())


async def test_what_is_no_mistake_of_one_run_ends_the_worker(tmp_path: Path) -> None:
    class Gone(BaseException):
        pass

    async def work(run: str) -> None:
        raise Gone(run)

    store = MemoryStore(FakeClock())
    await store.create(
        RunCreated("t", "a", "script:x", "", queue="default", wake_at="2026-01-01T00:00:00.000Z")
    )
    engine = InlineEngine(store, LockOwnership(tmp_path), clock=FakeClock())
    with pytest.raises(Gone):
        await engine.run_worker(work, stop=asyncio.Event())
