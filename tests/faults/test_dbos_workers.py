"""Workers on DBOS that are killed and frozen: real processes, a real database, the journal in it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from standpipe.clock import SystemClock, stamp
from standpipe.journal.entries import Entry, RunCreated, SegmentStarted
from standpipe.journal.projections import RUNS, RunRow, read_row
from standpipe.journal.verify import verify
from standpipe.stores.postgres import PostgresStore
from standpipe.testing.engine_suite import looks
from standpipe.testing.postgres import Server

HOMES = count(1)
PROGRAM = Path(__file__).with_name("dbos_worker.py")

Start = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture(scope="module")
def url(postgres: Server) -> str:
    return postgres.database()


@pytest.fixture
def home() -> str:
    return f"home {next(HOMES)}"


@pytest.fixture
async def store(url: str, home: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url, SystemClock(), home=home)
    yield store
    await store.close()


@pytest.fixture
def start(url: str, home: str) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def worker(name: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, PROGRAM, url, home, name]))
        return started[-1]

    yield worker
    for process in started:
        process.kill()
        process.wait()


async def submitted(store: PostgresStore, task: str) -> str:
    now = stamp(SystemClock().now())
    created = RunCreated(task, "agent", "script:x", "", queue="default", wake_at=now)
    return await store.create(created)


async def row(store: PostgresStore, run: str) -> RunRow:
    found = read_row(RunRow, await store.row(RUNS, run))
    assert found
    return found


async def begun_by(store: PostgresStore, run: str) -> list[str]:
    entries: list[Entry] = list(await store.read(run))
    return [entry.body.worker for entry in entries if isinstance(entry.body, SegmentStarted)]


async def until(store: PostgresStore, run: str, status: str) -> None:
    async for _ in looks():
        if (await row(store, run)).status == status:
            return


async def test_two_workers_never_begin_one_run_and_one_goes_on_where_the_other_was_killed(
    store: PostgresStore, start: Start
) -> None:
    workers = {name: start(name) for name in ("first", "second")}
    async for _ in looks():
        if sum(worker.alive for worker in await store.workers()) == len(workers):
            break
    runs = [await submitted(store, "go") for _ in range(20)]
    stays = await submitted(store, "stay")
    for run in runs:
        await until(store, run, "done")
    await until(store, stays, "running")
    [killed] = await begun_by(store, stays)
    workers.pop(killed).kill()
    await until(store, stays, "done")
    assert await begun_by(store, stays) == [killed, *workers]
    assert [len(await begun_by(store, run)) for run in runs] == [1] * len(runs)
    assert (await verify(store)).findings == ()


async def test_a_worker_that_was_frozen_writes_nothing_about_a_run_that_went_on(
    store: PostgresStore, start: Start
) -> None:
    first = start("first")
    run = await submitted(store, "stay")
    await until(store, run, "running")
    os.kill(first.pid, signal.SIGSTOP)
    start("second")
    await until(store, run, "done")
    os.kill(first.pid, signal.SIGCONT)
    os.kill(first.pid, signal.SIGTERM)
    assert await asyncio.to_thread(first.wait, 60) == 0
    assert await begun_by(store, run) == ["first", "second"]
    assert (await verify(store)).findings == ()
