"""Group commit, with a disk that answers when it is told to."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from standpipe.stores.writer import Failure, GroupWriter, Occupied


@dataclass(slots=True)
class Disk:
    """Take batches of words; each is under way until `written` is called."""

    batches: list[Sequence[str]] = field(default_factory=list[Sequence[str]])
    alone: list[str] = field(default_factory=list[str])
    holds: asyncio.Event = field(default_factory=asyncio.Event)
    occupied: bool = False
    broken: bool = False

    async def commit(self, words: Sequence[str]) -> Sequence[object]:
        self.batches.append(words)
        await self.holds.wait()
        if self.broken:
            raise OSError("no room")
        return [Failure(ValueError(word)) if word == "bad" else word.upper() for word in words]

    def at_once(self, word: str) -> str:
        if self.occupied:
            raise Occupied
        self.alone.append(word)
        return word.upper()


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def start(writer: GroupWriter[str], words: str) -> list[asyncio.Task[object]]:
    return [asyncio.create_task(writer.write(word)) for word in words.split()]


async def test_a_lone_writer_waits_for_nobody() -> None:
    disk = Disk()
    writer = GroupWriter(disk.commit, disk.at_once)
    assert [await writer.write(word) for word in ("a", "b")] == ["A", "B"]
    assert (disk.alone, disk.batches) == (["a", "b"], [])


async def test_those_who_come_in_the_same_turn_are_written_together() -> None:
    disk = Disk()
    disk.holds.set()
    writer = GroupWriter(disk.commit, disk.at_once)
    assert await asyncio.gather(*start(writer, "a b c d")) == ["A", "B", "C", "D"]
    assert (disk.alone, disk.batches) == (["a"], [["b", "c", "d"]])


async def test_whoever_comes_while_a_batch_is_under_way_is_in_the_next_one() -> None:
    disk = Disk()
    writer = GroupWriter(disk.commit)
    first = start(writer, "a b")
    await turns()
    second = start(writer, "c d")
    await turns()
    assert disk.batches == [["a", "b"]]
    disk.holds.set()
    assert await asyncio.gather(*first, *second) == ["A", "B", "C", "D"]
    assert disk.batches == [["a", "b"], ["c", "d"]]


async def test_where_somebody_else_writes_one_waits_in_the_queue() -> None:
    disk = Disk(occupied=True)
    disk.holds.set()
    writer = GroupWriter(disk.commit, disk.at_once)
    assert await writer.write("a") == "A"
    assert (disk.alone, disk.batches) == ([], [["a"]])


async def test_a_batch_has_a_limit() -> None:
    disk = Disk()
    disk.holds.set()
    writer = GroupWriter(disk.commit, batch_max=2)
    await asyncio.gather(*start(writer, "a b c d e"))
    assert disk.batches == [["a", "b"], ["c", "d"], ["e"]]


async def test_one_that_fails_fails_alone() -> None:
    disk = Disk()
    disk.holds.set()
    tasks = start(GroupWriter(disk.commit), "a bad c")
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["A", "bad", "C"]
    assert isinstance(results[1], ValueError)


async def test_a_batch_that_fails_fails_for_all_of_it_and_for_nobody_later() -> None:
    disk = Disk(broken=True)
    writer = GroupWriter(disk.commit)
    disk.holds.set()
    results = await asyncio.gather(*start(writer, "a b"), return_exceptions=True)
    assert [str(result) for result in results] == ["no room", "no room"]
    disk.broken = False
    assert await writer.write("c") == "C"


async def test_whoever_stops_waiting_before_its_batch_is_not_written() -> None:
    disk = Disk()
    writer = GroupWriter(disk.commit)
    begun, waiting, last = start(writer, "a b c")[0:3]
    await turns(1)
    waiting.cancel()
    await turns()
    disk.holds.set()
    assert await asyncio.gather(begun, last) == ["A", "C"]
    assert disk.batches == [["a", "c"]]


async def test_whoever_stops_waiting_during_its_batch_may_be_written_and_stops_nobody() -> None:
    disk = Disk()
    writer = GroupWriter(disk.commit)
    leaving, staying = start(writer, "a b")
    await turns()
    leaving.cancel()
    await turns()
    disk.holds.set()
    assert await staying == "B"
    assert disk.batches == [["a", "b"]]
    assert await writer.write("c") == "C"


async def test_settling_waits_for_what_is_under_way() -> None:
    disk = Disk()
    writer = GroupWriter(disk.commit)
    [task] = start(writer, "a")
    await turns()
    settled = asyncio.create_task(writer.settle())
    await turns()
    assert not settled.done()
    disk.holds.set()
    await settled
    assert await task == "A"


def test_a_writer_outlives_the_loop_it_was_used_in() -> None:
    disk = Disk()
    writer = GroupWriter(disk.commit, disk.at_once)

    async def leave() -> None:
        start(writer, "a b")
        await turns()

    asyncio.run(leave())
    assert asyncio.run(once(writer, "c")) == "C"
    assert disk.alone == ["a", "c"]


async def once(writer: GroupWriter[str], word: str) -> object:
    return await writer.write(word)


@pytest.mark.parametrize("words", ["a", "a b", "a b c d"])
def test_a_loop_that_ends_leaves_nobody_waiting(words: str) -> None:
    disk = Disk()
    writer = GroupWriter(disk.commit, batch_max=2)
    tasks: list[asyncio.Task[object]] = []

    async def leave() -> None:
        tasks.extend(start(writer, words))
        await turns()

    asyncio.run(leave())
    assert all(task.cancelled() for task in tasks)
