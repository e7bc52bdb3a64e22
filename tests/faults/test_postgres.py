"""What a database does to whoever uses it: a real server that is killed, locked, filled and slow."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from standpipe.clock import SystemClock
from standpipe.errors import ConfigError, FencedError, JournalError
from standpipe.journal.entries import BlockedRaised, Draft, RunCreated
from standpipe.journal.projections import BLOCKERS
from standpipe.journal.verify import verify
from standpipe.stores.postgres import PostgresStore, migrate
from standpipe.testing.postgres import Server, server
from standpipe.testing.store_suite import START, note

TASK = RunCreated("a task", "agent", "script:x", "")
HOME = "the home"
COMMITTED = "select count(*) > 0 from pg_stat_activity where wait_event = 'SyncRep'"
WAITING = "select count(*) = {} from pg_stat_activity where wait_event = 'transactionid'"
LOCKED_OUT = "select count(*) > 0 from pg_stat_activity where wait_event = 'relation'"


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A server of this module: it is killed again and again."""
    with server() as running:
        yield running


@pytest.fixture
def url(own: Server) -> str:
    return own.database()


@asynccontextmanager
async def opened(
    url: str, *, patience_seconds: float = 60.0, statement_seconds: float = 30.0
) -> AsyncGenerator[PostgresStore]:
    store = PostgresStore(
        url, SystemClock(), home=HOME,
        patience_seconds=patience_seconds, statement_seconds=statement_seconds,
    )  # fmt: skip
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    async with opened(url) as store:
        yield store


async def begin(store: PostgresStore) -> tuple[str, int]:
    run = await store.create(TASK)
    return run, await store.start_segment(run, START)


async def until(url: str, condition: str) -> None:
    """Wait until the server says that something is so."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as db:
        while True:
            found = await (await db.execute(condition.encode())).fetchone()
            if found and found[0]:
                return
            await asyncio.sleep(0.01)


async def until_commits_wait(url: str) -> None:
    """Wait until a commit waits for the standby: each process of the server hears of it in its own time."""
    async with (
        await psycopg.AsyncConnection.connect(url, autocommit=True) as db,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as beside,
    ):
        waits = "select wait_event = 'SyncRep' from pg_stat_activity where pid = %s"
        pid = [db.info.backend_pid]
        while True:
            probe = asyncio.ensure_future(db.execute("comment on schema public is 'a commit'"))
            while not (await asyncio.wait({probe}, timeout=0.01))[0]:
                if (await (await beside.execute(waits, pid)).fetchone()) == (True,):
                    await beside.execute("select pg_cancel_backend(%s)", pid)
                    await probe  # it was written, and nobody waits for the standby any more
                    return
            await probe


async def write(store: PostgresStore, kind: str, run: str, epoch: int) -> object:
    asked = Draft("b1", BlockedRaised("failure", "what now?", "because"))
    match kind:
        case "create":
            return await store.create(TASK)
        case "start_segment":
            return await store.start_segment(run, START)
        case "append":
            return await store.append(run, epoch, [asked], seen={(BLOCKERS, "b1"): None})
        case _:
            return await store.post(run, [note("posted")])


EXPECTED = {
    "create": ["run.created", "segment.started", "run.created"],
    "start_segment": ["run.created", "segment.started", "segment.started"],
    "append": ["run.created", "segment.started", "blocked.raised"],
    "post": ["run.created", "segment.started", "decision.noted"],
}


@pytest.mark.parametrize("written", [True, False], ids=["it was written", "it was not"])
@pytest.mark.parametrize("kind", EXPECTED)
async def test_a_server_that_dies_inside_a_commit_makes_nothing_twice_and_loses_nothing(
    own: Server, url: str, kind: str, written: bool
) -> None:
    async with opened(url) as store:
        run, epoch = await begin(store)
        db = psycopg.connect(url, autocommit=True)
        if written:  # the commit is on disk, and waits for a standby that never answers
            db.execute("alter system set synchronous_standby_names = 'nobody'")
            db.execute("select pg_reload_conf()")
            await until_commits_wait(url)
            db.execute("alter system reset synchronous_standby_names")
        else:
            db.execute("begin; lock table standpipe.entry in exclusive mode")
        writing = asyncio.ensure_future(write(store, kind, run, epoch))
        await until(url, COMMITTED if written else LOCKED_OUT)
        own.kill()
        db.close()
        own.start()
        result = await writing
        runs = [f"r{number}" for number in range(1, 9)]
        kinds = [entry.kind for name in runs for entry in await store.read(name)]
        assert kinds == EXPECTED[kind]
        if kind == "start_segment":
            assert result == epoch + 1
            await store.append(run, epoch + 1, [note("goes on")])
        assert (await verify(store)).whole


async def test_an_append_waits_for_a_server_that_is_away_and_goes_on(
    own: Server, store: PostgresStore, url: str
) -> None:
    run, epoch = await begin(store)
    own.kill()
    appending = [asyncio.ensure_future(store.append(run, epoch, [note(str(n))])) for n in range(5)]
    reading = asyncio.ensure_future(store.read(run))
    done, _ = await asyncio.wait([*appending, reading], timeout=0.2)
    assert not done
    own.start()
    await asyncio.gather(*appending)
    await reading
    assert [entry.key for entry in await store.read(run, after=2)] == list("01234")


async def test_who_was_overtaken_during_an_outage_is_fenced_when_it_is_over(
    own: Server, store: PostgresStore, url: str
) -> None:
    run, epoch = await begin(store)
    async with opened(url) as other:
        await other.read(run)
        own.kill()
        taking = asyncio.ensure_future(other.start_segment(run, START))
        await asyncio.sleep(0)
        own.start()
        assert await taking == epoch + 1
    with pytest.raises(FencedError):
        await store.append(run, epoch, [note("stale")])
    assert (await verify(store)).whole


async def test_patience_ends_and_the_run_goes_on_later(own: Server, url: str) -> None:
    async with opened(url, patience_seconds=0.3) as store:
        run, epoch = await begin(store)
        own.kill()
        with pytest.raises(JournalError, match="the database cannot be used") as told:
            await store.append(run, epoch, [note("a")])
        assert "check that the server runs" in told.value.hint
        own.start()
        await store.append(run, epoch, [note("b")])
        assert [entry.key for entry in await store.read(run, after=2)] == ["b"]


async def test_whoever_closes_does_not_wait_for_a_server_that_is_away(
    own: Server, url: str
) -> None:
    store = PostgresStore(url, SystemClock(), home=HOME)
    run, epoch = await begin(store)
    own.kill()
    appending = asyncio.ensure_future(store.append(run, epoch, [note("a")]))
    await asyncio.sleep(0)
    await store.close()
    with pytest.raises(JournalError):
        await appending
    own.start()


async def test_a_server_that_never_answered_is_not_waited_for(own: Server) -> None:
    async with opened("postgresql://postgres@/d?host=/nowhere") as store:
        with pytest.raises(JournalError, match="cannot be used"):
            await store.create(TASK)


@pytest.mark.parametrize(
    ("code", "times"), [("40001", 3), ("40P01", 2), ("55P03", 2), ("57014", 1)]
)
async def test_what_the_server_asks_to_be_tried_again_is_tried_again(
    store: PostgresStore, url: str, code: str, times: int
) -> None:
    """A trigger of the server itself raises the error for the first appends."""
    run, epoch = await begin(store)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("create sequence tries")
        db.execute(
            f"""
            create function stumble() returns trigger language plpgsql as $$ begin
              if nextval('tries') <= {times} then raise exception 'stumbled' using errcode = '{code}'; end if;
              return new; end $$""".encode()
        )
        db.execute(
            "create trigger stumble before insert on standpipe.entry for each row execute function stumble()"
        )
    await asyncio.gather(*(store.append(run, epoch, [note(str(n))]) for n in range(3)))
    assert [entry.key for entry in await store.read(run, after=2)] == list("012")
    assert (await verify(store)).whole


async def test_a_deadlock_with_somebody_else_costs_nobody_an_entry(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"alter database {db.info.dbname} set deadlock_timeout = '50ms'".encode())
        async with (
            opened(url) as store,
            await psycopg.AsyncConnection.connect(url) as first,
            await psycopg.AsyncConnection.connect(url) as other,
        ):
            run, epoch = await begin(store)
            await first.execute("select from standpipe.run for update")
            await other.execute("set deadlock_timeout = '5s'")  # it is the store that is stopped
            await other.execute("select from standpipe.view for update")
            appending = asyncio.ensure_future(store.append(run, epoch, [note("a")]))
            await until(url, WAITING.format(1))  # the store has the home, and wants the run
            wanting = asyncio.ensure_future(other.execute("update standpipe.home set n = n"))
            await until(url, WAITING.format(2))
            await first.rollback()  # now the store wants the rows, which wait for the home
            await wanting
            await other.commit()
            await appending
            assert [entry.key for entry in await store.read(run, after=2)] == ["a"]
        await until(
            url, "select deadlocks = 1 from pg_stat_database where datname = current_database()"
        )


async def test_a_statement_that_takes_too_long_is_tried_again(url: str) -> None:
    await migrate(url)
    async with opened(url, statement_seconds=0.5) as store:
        run, epoch = await begin(store)
        with psycopg.connect(url) as db:
            db.execute("select from standpipe.home for update")
            appending = asyncio.ensure_future(store.append(run, epoch, [note("a")]))
            done, _ = await asyncio.wait([appending], timeout=1.0)
            assert not done
        await appending
        assert [entry.key for entry in await store.read(run, after=2)] == ["a"]


async def test_connections_that_are_all_taken_are_waited_for(own: Server, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("create role few login connection limit 1")
        db.execute(f"grant create on database {db.info.dbname} to few".encode())
        mine = own.url(db.info.dbname, user="few")
        async with opened(mine) as store:
            run, epoch = await begin(store)
            db.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'few'"
            )
            await until(url, "select count(*) = 0 from pg_stat_activity where usename = 'few'")
            with psycopg.connect(mine):
                appending = asyncio.ensure_future(store.append(run, epoch, [note("a")]))
                done, _ = await asyncio.wait([appending], timeout=0.2)
                assert not done
            await appending
            reads = await asyncio.gather(*(store.read(run) for _ in range(20)))
            assert {len(read) for read in reads} == {3}
        db.execute("drop owned by few")
        db.execute("drop role few")


async def test_a_process_frozen_inside_a_transaction_keeps_nobody_out(
    store: PostgresStore, url: str
) -> None:
    run, epoch = await begin(store)
    frozen = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FROZEN, url, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert frozen.stdout is not None
        assert await frozen.stdout.readline() == b"locked\n"
        frozen.send_signal(signal.SIGSTOP)
        await store.append(run, epoch, [note("a")])
        assert [entry.key for entry in await store.read(run, after=2)] == ["a"]
    finally:
        os.kill(frozen.pid, signal.SIGKILL)
        await frozen.wait()


FROZEN = f"""
import asyncio, sys
from standpipe.clock import SystemClock
from standpipe.stores.postgres.link import Link

async def main():
    async with Link(sys.argv[1], SystemClock()).connection() as db, db.transaction():
        await db.execute("select from standpipe.home where home = '{HOME}' for update")
        print("locked", flush=True)
        while True:
            await asyncio.sleep(0.1)
            await db.execute("select 1")

asyncio.run(main())
"""


async def test_a_server_that_may_lose_what_it_confirmed_is_refused(own: Server, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("alter system set fsync = off")
        db.execute("select pg_reload_conf()")
        try:
            await until(url, "select current_setting('fsync') = 'off'")
            async with opened(url) as store:
                with pytest.raises(ConfigError, match="a power cut would lose what was promised"):
                    await store.create(TASK)
        finally:
            db.execute("alter system reset fsync")
            db.execute("select pg_reload_conf()")
            await until(url, "select current_setting('fsync') = 'on'")


async def test_commits_are_on_disk_whatever_the_database_has_set(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"alter database {db.info.dbname} set synchronous_commit = off".encode())
        db.execute("""
            create function refuse() returns trigger language plpgsql as $$ begin
              if current_setting('synchronous_commit') <> 'on' then raise exception 'not on disk'; end if;
              return new; end $$""")
        async with opened(url) as store:
            run, epoch = await begin(store)
            db.execute(
                "create trigger refuse before insert on standpipe.entry for each row execute function refuse()"
            )
            await store.append(run, epoch, [note("a")])
