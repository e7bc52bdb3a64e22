"""How the tables come to be, and who may do what with them."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from itertools import count

import psycopg
import pytest

from standpipe.clock import SystemClock
from standpipe.errors import (
    BrokenJournalError,
    ConfigError,
    JournalError,
    NotFoundError,
    SchemaError,
    UsageError,
)
from standpipe.journal.entries import RunCreated
from standpipe.journal.verify import verify
from standpipe.stores.postgres import SCHEMA_VERSION, PostgresStore, migrate
from standpipe.stores.postgres.batch import CALLER, LEASE, SERIES, Rows
from standpipe.stores.postgres.link import Link, told
from standpipe.stores.postgres.statements import questions
from standpipe.testing.postgres import Server
from standpipe.testing.store_suite import START, note

TASK = RunCreated("a task", "agent", "script:x", "")
ROLES = count(1)


@pytest.fixture
def url(postgres: Server) -> str:
    return postgres.database()


@pytest.fixture
def roles(postgres: Server, url: str) -> Iterator[tuple[str, str]]:
    """Return the URLs of a role that owns the tables and of one that works with them."""
    number = next(ROLES)
    owner, worker = f"owner_{number}", f"worker_{number}"
    with psycopg.connect(url, autocommit=True) as db:
        database = db.info.dbname
        for role in (owner, worker):
            db.execute(f"create role {role} login".encode())
        db.execute(f"grant create on database {database} to {owner}".encode())
        yield postgres.url(database, user=owner), postgres.url(database, user=worker)
        for role in (owner, worker):
            db.execute(f"drop owned by {role} cascade".encode())
            db.execute(f"drop role {role}".encode())


@asynccontextmanager
async def opened(url: str, *, create: bool = True) -> AsyncGenerator[PostgresStore]:
    store = PostgresStore(url, SystemClock(), home="the home", create=create)
    try:
        yield store
    finally:
        await store.close()


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(statement.encode())


def pretend(url: str, version: int) -> None:
    """Let another version have migrated last."""
    with psycopg.connect(url) as db:
        db.execute("update standpipe.meta set version = %s", (version,))


async def test_the_first_runs_of_new_homes_make_the_tables_once(url: str) -> None:
    async with opened(url) as one, opened(url) as two, opened(url) as three:
        runs = await asyncio.gather(*(store.create(TASK) for store in (one, two, three)))
    assert sorted(runs) == ["r1", "r2", "r3"]


async def test_who_only_reads_finds_nothing_and_makes_nothing(url: str) -> None:
    async with opened(url, create=False) as store:
        assert await store.rows("run") == {}
        assert await store.row("run", "r1") is None
        assert list(await store.read("r1")) == []
        assert dict(await store.sealed()) == {}
        with pytest.raises(NotFoundError, match="nothing ran in this home yet"):
            await store.post("r1", [note("a")])
    execute(url, "create schema standpipe")  # fails if it was made


async def test_an_empty_schema_waits_for_its_owner(url: str) -> None:
    execute(url, "create schema standpipe")
    async with opened(url) as store:
        with pytest.raises(SchemaError, match="`standpipe journal migrate`"):
            await store.create(TASK)
    assert (await migrate(url)).before == 0
    async with opened(url) as store:
        assert await store.create(TASK) == "r1"


async def test_migrating_twice_changes_nothing(url: str) -> None:
    done = await asyncio.gather(migrate(url), migrate(url))
    assert sorted(step.before for step in done) == [0, SCHEMA_VERSION]
    again = await migrate(url)
    assert (again.before, again.after) == (SCHEMA_VERSION, SCHEMA_VERSION)


@pytest.mark.parametrize(
    ("version", "hint"),
    [(SCHEMA_VERSION + 1, "update standpipe"), (SCHEMA_VERSION - 1, "`standpipe journal migrate`")],
)
async def test_another_schema_is_refused_by_name(url: str, version: int, hint: str) -> None:
    await migrate(url)
    pretend(url, version)
    async with opened(url) as store:
        with pytest.raises(SchemaError, match=f"schema {version}") as caught:
            await store.create(TASK)
    assert hint in caught.value.hint


async def test_a_newer_schema_is_not_migrated_back(url: str) -> None:
    await migrate(url)
    pretend(url, SCHEMA_VERSION + 1)
    with pytest.raises(SchemaError, match="written by a newer one"):
        await migrate(url)


async def test_a_worker_at_work_stops_when_somebody_migrates_meanwhile(url: str) -> None:
    async with opened(url) as store:
        run = await store.create(TASK)
        epoch = await store.start_segment(run, START)
        pretend(url, SCHEMA_VERSION + 1)
        with pytest.raises(SchemaError):
            await store.append(run, epoch, [note("a")])
        pretend(url, SCHEMA_VERSION)
        await store.append(run, epoch, [note("b")])
        assert [entry.key for entry in await store.read(run, after=2)] == ["b"]


async def test_the_role_of_a_worker_can_do_its_work(roles: tuple[str, str]) -> None:
    owner, worker = roles
    await migrate(owner, worker=worker.partition("//")[2].partition("@")[0])
    async with opened(worker) as store:
        run = await store.create(TASK)
        assert await store.lease(run, "w1", 60)
        epoch = await store.start_segment(run, START, owner="w1")
        await store.append(run, epoch, [note("a")])
        await store.post(run, [note("b")])
        await store.seal()
        assert await store.beat("w1", "here", 60) == {run}
        await store.release(run, "w1")
        assert list(await store.due("")) == [run]
        assert len(await store.workers()) == 1
        assert (await verify(store)).whole


@pytest.mark.parametrize(
    "statement",
    [
        "delete from standpipe.entry",
        "update standpipe.entry set data = ''",
        "truncate standpipe.seal",
        "update standpipe.seal set hash = ''",
        "delete from standpipe.run",
        "delete from standpipe.view",
        "update standpipe.meta set version = 9",
        "drop table standpipe.entry",
        "create table standpipe.own (n integer)",
    ],
)
async def test_the_role_of_a_worker_can_do_nothing_else(
    roles: tuple[str, str], statement: str
) -> None:
    owner, worker = roles
    await migrate(owner, worker=worker.partition("//")[2].partition("@")[0])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(worker, statement)


async def test_a_role_without_rights_is_told_which_command_gives_them(
    roles: tuple[str, str],
) -> None:
    owner, worker = roles
    async with opened(worker) as store:
        with pytest.raises(SchemaError, match="`standpipe journal migrate`"):
            await store.create(TASK)
    await migrate(owner)
    async with opened(worker) as store:
        with pytest.raises(JournalError, match="does not let this role use it"):
            await store.create(TASK)


async def test_a_role_that_does_not_exist_is_told_with_the_statement_that_makes_it(
    url: str,
) -> None:
    with pytest.raises(UsageError, match='role "nobody_here" does not exist') as caught:
        await migrate(url, worker="nobody_here")
    assert "`create role ROLE login`" in caught.value.hint


@pytest.mark.parametrize("error", [psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted])
def test_what_the_server_calls_corrupted_is_damage(error: type[psycopg.Error]) -> None:
    assert isinstance(told(error("invalid page in block 7")), BrokenJournalError)


def test_a_server_that_is_gone_is_no_damage() -> None:
    gone = told(psycopg.OperationalError("connection refused"))
    assert isinstance(gone, JournalError)
    assert not isinstance(gone, BrokenJournalError)


@pytest.mark.parametrize(
    "url", ["postgresql://me:secret@[bad/x", "me:secret", "postgresql://me:sec@ret@host/x"]
)
async def test_a_url_that_cannot_be_read_is_not_quoted(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PostgresStore(url, SystemClock(), home="the home")
    assert "sec" not in str(caught.value)
    assert caught.value.hint


WANTED = Rows(
    streams={"r1": None},
    entries={("r1", "key", "kind"): None},
    views={("run", "r1"): None, (CALLER, "c"): None, (SERIES, "run"): None, (LEASE, "r1"): None},
)


async def test_plans_made_on_empty_tables_look_rows_up_by_their_whole_key(url: str) -> None:
    """A plan is kept: what reads all rows of a home once would do so for ever."""
    await migrate(url)
    async with Link(url, SystemClock()).connection() as db:
        for query, values in questions("the home", WANTED):
            found = await (await db.execute(f"explain {query}".encode(), values)).fetchall()
            plan = "\n".join(line for (line,) in found)
            assert "Seq Scan" not in plan, plan
            assert "Filter" not in plan.replace("Filter: (until > clock_timestamp())", ""), plan
