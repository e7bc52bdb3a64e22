"""Other processes have the same journal open, write into it, or keep it for themselves."""

import asyncio
import os
import sqlite3
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from standpipe.clock import SystemClock
from standpipe.errors import JournalError
from standpipe.journal.entries import Draft, Noted, RunCreated, SegmentStarted
from standpipe.journal.verify import verify
from standpipe.stores.sqlite import SqliteStore

PATHS = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
EACH = 60


def note(key: str) -> Draft:
    return Draft(key, Noted("agent", "x", "because"))


@asynccontextmanager
async def opened(path: Path, patience_seconds: float = 100.0) -> AsyncGenerator[SqliteStore]:
    store = SqliteStore(path, SystemClock(), patience_seconds=patience_seconds)
    try:
        yield store
    finally:
        await store.close()


async def begin(store: SqliteStore) -> tuple[str, int]:
    run = await store.create(RunCreated("a task", "agent", "script:x", ""))
    return run, await store.start_segment(run, Draft("", SegmentStarted("suite", 1, "", "0")))


@asynccontextmanager
async def kept(path: Path) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Have another process hold the write lock until its standard input is closed."""
    process = await process_of("keep", path)
    assert process.stdout
    assert await process.stdout.readline() == b"kept\n"
    try:
        yield process
    finally:
        await released(process)


async def released(process: asyncio.subprocess.Process) -> None:
    if process.stdin and not process.stdin.is_closing():
        process.stdin.close()
    assert await process.wait() == 0


async def process_of(*words: str | Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, __file__, *map(str, words),
        env=PATHS, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_while_another_process_keeps_the_lock_all_wait_and_the_loop_goes_on(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as store:
        run, epoch = await begin(store)
        async with kept(path) as other:
            writes = [
                asyncio.create_task(store.append(run, epoch, [note(str(n))])) for n in range(20)
            ]
            for _ in range(20):  # turns of a loop that does not stand still
                await asyncio.sleep(0.005)
            assert not any(task.done() for task in writes)
            assert len(await store.read(run)) == 2  # and people read
            await released(other)
            await asyncio.gather(*writes)
        assert [entry.key for entry in await store.read(run, after=2)] == [
            str(n) for n in range(20)
        ]
        assert (await verify(store)).whole


async def test_patience_ends_with_a_sentence_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path, patience_seconds=0.05) as store:
        run, epoch = await begin(store)
        async with kept(path):
            with pytest.raises(JournalError, match="kept by another process") as raised:
                await store.append(run, epoch, [note("a")])
            assert "hint: " in str(raised.value)
        await store.append(run, epoch, [note("b")])
        assert [entry.key for entry in await store.read(run, after=2)] == ["b"]


async def test_two_processes_append_to_one_run(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as store:
        run, _ = await begin(store)
        others = [await process_of("post", path, run, name) for name in ("ann", "bob")]
        await asyncio.gather(*(store.post(run, [note(f"own {n}")]) for n in range(EACH)))
        for other in others:
            await released(other)
        read = await store.read(run)
        assert [entry.seq for entry in read] == list(range(1, 3 + 3 * EACH))
        for name in ("own", "ann", "bob"):  # each in its own order
            own = [entry.key for entry in read if entry.key.startswith(name)]
            assert own == [f"{name} {n}" for n in range(EACH)]
        assert (await verify(store)).whole


class Slow(sqlite3.Connection):
    """A connection whose commits on another thread wait until they may go on."""

    begun = threading.Event()
    may_go_on = threading.Event()
    ended = False

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql != "commit" or threading.current_thread() is threading.main_thread():
            return super().execute(sql, parameters)
        type(self).begun.set()
        type(self).may_go_on.wait()
        done = super().execute(sql, parameters)
        type(self).ended = True
        return done


@pytest.fixture
def slow() -> type[Slow]:
    return type("Slowly", (Slow,), {"begun": threading.Event(), "may_go_on": threading.Event()})


def slowly(path: Path, slow: type[Slow]) -> SqliteStore:
    def connected(address: str) -> sqlite3.Connection:
        return sqlite3.connect(
            address, uri=True, isolation_level=None, check_same_thread=False, factory=slow
        )

    return SqliteStore(path, SystemClock(), connect=connected)


async def test_what_is_not_on_disk_yet_is_read_by_nobody_and_holds_up_nobody(
    tmp_path: Path, slow: type[Slow]
) -> None:
    store = slowly(tmp_path / "journal.db", slow)
    run, epoch = await begin(store)
    writes = [asyncio.create_task(store.append(run, epoch, [note(str(n))])) for n in range(4)]
    await asyncio.to_thread(slow.begun.wait)
    seen = [entry.key for entry in await store.read(run, after=2)]
    slow.may_go_on.set()
    await asyncio.gather(*writes)
    assert seen == ["0"]  # which came alone
    assert len(await store.read(run, after=2)) == 4
    await store.close()


def test_a_loop_ends_only_after_the_commit_that_is_under_way(
    tmp_path: Path, slow: type[Slow]
) -> None:
    store = slowly(tmp_path / "journal.db", slow)

    async def leave() -> None:
        run, epoch = await begin(store)
        for n in range(4):
            asyncio.ensure_future(store.append(run, epoch, [note(str(n))]))  # noqa: RUF006 -- left behind on purpose
        await asyncio.to_thread(slow.begun.wait)
        threading.Timer(0.1, slow.may_go_on.set).start()

    asyncio.run(leave())
    assert slow.ended
    asyncio.run(store.close())


def test_a_loop_that_ends_during_a_commit_leaves_a_journal_that_goes_on(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "journal.db", SystemClock())
    run, epoch = asyncio.run(begin(store))

    async def leave() -> None:
        for n in range(30):
            asyncio.ensure_future(store.append(run, epoch, [note(str(n))]))  # noqa: RUF006 -- left behind on purpose
            await asyncio.sleep(0)

    async def look() -> None:
        await store.append(run, epoch, [note("later")])
        assert [entry.key for entry in await store.read(run)][-1] == "later"
        assert (await verify(store)).whole
        await store.close()

    asyncio.run(leave())
    asyncio.run(look())


async def test_a_closed_journal_is_not_opened_again(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal.db") as store:
        run, epoch = await begin(store)
    with pytest.raises(JournalError, match="closed"):
        await store.append(run, epoch, [note("a")])
    with pytest.raises(JournalError, match="closed"):
        await store.read(run)


async def post(path: Path, run: str, name: str) -> None:
    async with opened(path) as store:
        for n in range(EACH):
            await store.post(run, [note(f"{name} {n}")])


def keep(path: Path) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("begin immediate")
    sys.stdout.write("kept\n")
    sys.stdout.flush()
    sys.stdin.read()
    db.execute("rollback")
    db.close()


if __name__ == "__main__":
    if sys.argv[1] == "keep":
        keep(Path(sys.argv[2]))
    else:
        asyncio.run(post(Path(sys.argv[2]), *sys.argv[3:]))
