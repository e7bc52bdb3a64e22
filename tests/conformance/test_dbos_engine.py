"""The suite of engines on DBOS itself, and what is peculiar to it; the journal is in memory, the queue in PostgreSQL."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from itertools import count

import psycopg
import pytest
from dbos import DBOS
from psycopg import sql

from standpipe.clock import Clock
from standpipe.engines.dbos import DbosEngine
from standpipe.engines.leases import LeaseOwnership
from standpipe.engines.turns import LOCK, SCHEMA, Turns, migrate
from standpipe.errors import ConfigError, JournalError, UsageError
from standpipe.ids import digest
from standpipe.journal.store import Store
from standpipe.settings import QueueSettings
from standpipe.testing.engine_suite import EngineSuite, Labour, Workers, at_work, looks, soon
from standpipe.testing.engines import LeasingStore
from standpipe.testing.fakes import FakeClock
from standpipe.testing.postgres import Server

HOMES = count(1)
queued = EngineSuite().queued

Rows = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture(scope="module")
def url(postgres: Server) -> str:
    """A database that all homes of this module share, as they may."""
    return postgres.database()


@pytest.fixture
def home() -> str:
    return f"home {next(HOMES)}"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> LeasingStore:
    return LeasingStore(clock)


@pytest.fixture
def labour(store: LeasingStore) -> Labour:
    return Labour(store)


@pytest.fixture
def queues() -> dict[str, QueueSettings]:
    return {}


@pytest.fixture
def workers(
    store: LeasingStore, clock: FakeClock, url: str, home: str, queues: Mapping[str, QueueSettings]
) -> Workers:
    def worker(name: str) -> DbosEngine:
        ownership = LeaseOwnership(store, worker=name, host="here", clock=clock)
        turns = Turns(url=url, home=home, worker=name)
        return DbosEngine(store, ownership, turns=turns, clock=clock, queues=queues)

    return worker


@pytest.fixture
async def rows(url: str, home: str) -> AsyncIterator[Rows]:
    """Look at the rows of this home, or break them."""
    table = f"{SCHEMA}.workflow_status"
    mine = f"starts_with(workflow_uuid, '{digest(home.encode())[:16]}/')"
    with psycopg.connect(url, autocommit=True) as db:

        def ask(statement: str) -> list[tuple[object, ...]]:
            found = db.execute(statement.format(table=table, mine=mine).encode())
            return found.fetchall() if found.description else []

        yield ask


class TestDbosEngine(EngineSuite):
    async def test_two_workers_never_work_on_one_run_at_once(
        self, store: Store, clock: Clock, workers: Workers, labour: Labour
    ) -> None:
        """One process is one worker here; two of them are in tests/faults/test_dbos_workers.py."""
        run = await self.queued(store, clock)
        async with at_work(workers("a"), labour):
            await soon(lambda: labour.now == [run])
            with pytest.raises(UsageError, match="uses DBOS for something else"):
                await workers("b").run_worker(labour.by(workers("b")), stop=asyncio.Event())

    async def test_workers_are_listed_for_as_long_as_they_live(
        self, clock: Clock, workers: Workers, labour: Labour
    ) -> None:
        looking = workers("c")
        async with at_work(workers("a"), labour):
            async for _ in looks():
                if [one.id for one in await looking.live_workers()] == ["a"]:
                    break
        await self.pass_time(clock, 60)
        assert list(await looking.live_workers()) == []


async def test_a_worker_that_is_ended_while_it_waits_for_what_is_in_flight_leaves_nothing_under_way(
    store: LeasingStore, clock: FakeClock, workers: Workers
) -> None:
    run, engine, stop = await queued(store, clock), workers("a"), asyncio.Event()
    begun = asyncio.Event()
    waited_for: list[str] = []

    async def work(run: str) -> None:
        async with engine.owning(run) as hold:
            begun.set()
            await hold.wanted.wait()
            waited_for.append(run)
            try:
                await asyncio.Event().wait()
            finally:
                waited_for.remove(run)

    worker = asyncio.create_task(engine.run_worker(work, stop=stop))
    await soon(begun.is_set)
    stop.set()
    await soon(lambda: waited_for == [run])
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker
    assert waited_for == []


async def test_a_turn_that_dbos_lost_is_given_again(
    store: LeasingStore, clock: FakeClock, workers: Workers, labour: Labour, rows: Rows
) -> None:
    runs = [await queued(store, clock) for _ in range(3)]
    async with at_work(workers("a"), labour):
        async for _ in looks():
            if (
                len(rows("delete from {table} where {mine} and status = 'ENQUEUED' returning 1"))
                == 2
            ):
                break
        labour.go.set()
        await labour.ended(*runs)
    assert sorted(labour.begun) == sorted(runs)


async def test_a_turn_that_comes_twice_begins_nothing_twice(
    store: LeasingStore, clock: FakeClock, workers: Workers, labour: Labour, rows: Rows
) -> None:
    run = await queued(store, clock)
    async with at_work(workers("a"), labour, concurrency=2):
        await soon(lambda: labour.now == [run])
        rows("update {table} set status = 'ENQUEUED' where {mine}")
        async for _ in looks():
            if rows("select 1 from {table} where {mine} and recovery_attempts = 2"):
                break
        labour.go.set()
        await labour.ended(run)
    assert labour.begun == [run]


@pytest.mark.parametrize("queues", [{"default": QueueSettings(concurrency=1)}])
async def test_a_queue_keeps_its_limit_though_a_worker_could_do_more(
    store: LeasingStore, clock: FakeClock, workers: Workers, labour: Labour
) -> None:
    labour.go.set()
    runs = [await queued(store, clock) for _ in range(4)]
    async with at_work(workers("a"), labour, concurrency=4):
        await labour.ended(*runs)
    assert labour.most == 1


@pytest.mark.parametrize("queues", [{"default": QueueSettings(rate="2/1h")}])
async def test_no_more_runs_begin_in_a_period_than_the_rate_of_their_queue(
    store: LeasingStore, clock: FakeClock, workers: Workers, labour: Labour, rows: Rows
) -> None:
    labour.go.set()
    runs = [await queued(store, clock) for _ in range(3)]
    async with at_work(workers("a"), labour, concurrency=3):
        await labour.ended(*runs[:2])
        async for _ in looks():
            if rows("select 1 from {table} where {mine} and status = 'ENQUEUED'"):
                break
    assert labour.begun == runs[:2]
    assert await labour.status(runs[2]) == "queued"


@pytest.mark.parametrize("rate", ["10", "10/m", "0/1s", "10/60", "10/60s "])
async def test_a_rate_that_cannot_be_read_is_refused_with_an_example(
    workers: Workers, labour: Labour, queues: dict[str, QueueSettings], rate: str
) -> None:
    queues["default"] = QueueSettings(rate=rate)
    with pytest.raises(ConfigError, match='for example `"10/60s"`'):
        await workers("a").run_worker(labour.by(workers("a")), stop=asyncio.Event())


UNLOADED = """
import asyncio, sys
import standpipe, standpipe.cli, standpipe.runtime
from standpipe.clock import Clock
from standpipe.engines.dbos import DbosEngine
from standpipe.engines.leases import LeaseOwnership
from standpipe.engines.turns import Turns
from standpipe.testing.engines import LeasingStore
from standpipe.testing.fakes import FakeClock

clock = FakeClock()
store = LeasingStore(clock)
ownership = LeaseOwnership(store, worker="w", host="here", clock=clock)
turns = Turns(url="postgresql://nobody@127.0.0.1:1/none", home="h", worker="w")
engine = DbosEngine(store, ownership, turns=turns, clock=clock, queues={})

async def all_but_work():
    await engine.submit("r1")
    await engine.wake("r1")
    await engine.cancel("r1")
    await engine.live_workers()

asyncio.run(all_but_work())
print(*sys.modules)
"""


def test_only_a_worker_loads_dbos() -> None:
    asked = subprocess.run([sys.executable, "-c", UNLOADED], capture_output=True, check=True)
    loaded = {name.partition(".")[0] for name in asked.stdout.decode().split()}
    assert loaded & {"dbos", "sqlalchemy", "psycopg"} == set()
    assert "standpipe" in loaded


async def test_a_worker_without_the_extra_says_what_to_install(
    workers: Workers, labour: Labour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dbos", None)
    with pytest.raises(ConfigError, match=r"standpipe\[cluster\]"):
        await workers("a").run_worker(labour.by(workers("a")), stop=asyncio.Event())


@pytest.fixture
def role(postgres: Server) -> Iterator[str]:
    """A role that owns nothing."""
    with psycopg.connect(postgres.url(), autocommit=True) as db:
        name = f"worker{next(HOMES)}"
        db.execute(f"create role {name} login".encode())
        yield name


async def test_a_worker_that_may_not_make_its_tables_is_told_who_does_and_works_with_them_then(
    store: LeasingStore, clock: FakeClock, postgres: Server, role: str
) -> None:
    owners = postgres.database()
    theirs = owners.replace("postgres@", f"{role}@")
    ownership = LeaseOwnership(store, worker="a", host="here", clock=clock)
    turns = Turns(url=theirs, home="h", worker="a")
    engine, labour = (
        DbosEngine(store, ownership, turns=turns, clock=clock, queues={}),
        Labour(store),
    )
    with pytest.raises(UsageError, match="journal migrate"):
        await engine.run_worker(labour.by(engine), stop=asyncio.Event())
    migrate(owners)
    with pytest.raises(UsageError, match="journal migrate"):
        await engine.run_worker(labour.by(engine), stop=asyncio.Event())
    migrate(owners, role=role)
    labour.go.set()
    run = await queued(store, clock)
    async with at_work(engine, labour):
        await labour.ended(run)


async def test_tables_of_an_older_release_are_refused_until_they_are_migrated(
    store: LeasingStore, clock: FakeClock, postgres: Server
) -> None:
    url = postgres.database()
    migrate(url)
    with psycopg.connect(url, autocommit=True) as db:
        table = sql.Identifier(SCHEMA, "dbos_migrations")
        db.execute(sql.SQL("update {} set version = version - 1").format(table))
    ownership = LeaseOwnership(store, worker="a", host="here", clock=clock)
    turns = Turns(url=url, home="h", worker="a")
    engine, labour = (
        DbosEngine(store, ownership, turns=turns, clock=clock, queues={}),
        Labour(store),
    )
    with pytest.raises(UsageError, match="older than this release"):
        await engine.run_worker(labour.by(engine), stop=asyncio.Event())


class Killed(BaseException):
    """What ends a process that makes tables."""


async def test_tables_whose_making_was_cut_short_are_made_by_the_next_worker(
    store: LeasingStore, clock: FakeClock, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.database()

    def first_table(*_args: object, **_named: object) -> None:
        with psycopg.connect(url, autocommit=True) as db:
            db.execute(f"create schema if not exists {SCHEMA}".encode())
            table = sql.Identifier(SCHEMA, "dbos_migrations")
            db.execute(
                sql.SQL("create table {} (version bigint not null primary key)").format(table)
            )
        raise Killed

    ownership = LeaseOwnership(store, worker="a", host="here", clock=clock)
    turns = Turns(url=url, home="h", worker="a")
    engine, labour = (
        DbosEngine(store, ownership, turns=turns, clock=clock, queues={}),
        Labour(store),
    )
    with monkeypatch.context() as patch:
        patch.setattr(DBOS, "migrate", first_table)
        with pytest.raises(Killed):
            await engine.run_worker(labour.by(engine), stop=asyncio.Event())
    labour.go.set()
    run = await queued(store, clock)
    async with at_work(engine, labour):
        await labour.ended(run)


def test_who_changes_tables_waits_for_who_makes_them_but_not_for_ever(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.database()
    monkeypatch.setattr("standpipe.engines.turns._LOCK_TRIES", 2, raising=False)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("select pg_advisory_lock(%s)", [LOCK])
        with pytest.raises(JournalError, match="somebody else makes the queue's tables"):
            migrate(url)
    migrate(url)


async def test_a_database_that_is_not_said_as_a_url_is_refused_with_an_example() -> None:
    async def nothing(_turn: str, _run: str) -> None: ...

    turns = Turns(url="host=db password=hidden", home="h", worker="a")
    with pytest.raises(ConfigError, match="postgresql://") as refused:
        async with turns.taken(nothing, "default", QueueSettings(), concurrency=1):
            pass
    assert "hidden" not in str(refused.value)
