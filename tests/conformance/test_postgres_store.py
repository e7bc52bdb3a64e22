import asyncio
from collections.abc import AsyncIterator
from itertools import count

import psycopg
import pytest

from standpipe.errors import JournalError, OwnedError
from standpipe.journal.entries import AnswerGiven, BlockedRaised, Draft, RunCreated, SegmentEnded
from standpipe.journal.projections import BLOCKERS
from standpipe.journal.store import Store
from standpipe.journal.verify import verify
from standpipe.stores.postgres import PostgresStore
from standpipe.testing.fakes import FakeClock
from standpipe.testing.postgres import Server
from standpipe.testing.store_suite import START, StoreSuite, note

TASK = RunCreated("a task", "agent", "script:x", "")
HOMES = count(1)


@pytest.fixture(scope="module")
def url(postgres: Server) -> str:
    """A database that all homes of this module share, as they may."""
    return postgres.database()


@pytest.fixture
def home() -> str:
    return f"home {next(HOMES)}"


class TestPostgresStore(StoreSuite):
    @pytest.fixture
    async def store(self, clock: FakeClock, url: str, home: str) -> AsyncIterator[Store]:
        store = PostgresStore(url, clock, home=home)
        yield store
        await store.close()

    @pytest.fixture
    async def beside(
        self, store: Store, clock: FakeClock, url: str, home: str
    ) -> AsyncIterator[Store]:
        store = PostgresStore(url, clock, home=home)
        yield store
        await store.close()

    async def test_text_that_postgres_cannot_hold_survives_as_a_name_too(
        self, store: Store, clock: FakeClock
    ) -> None:
        run, epoch = await self.begin(store, 'nul \x00 and \\ and {"')
        odd = Draft('a\x00b\\"{}', BlockedRaised("approval", "may I?", ""))
        await store.append(run, epoch, [odd])
        assert (await store.read(run))[-1].key == odd.key
        assert odd.key in await store.rows(BLOCKERS)
        assert await store.row(BLOCKERS, odd.key) is not None
        again = await store.create(RunCreated("", "", "", "", caller_id='nul \x00 and \\ and {"'))
        assert again == run
        assert (await verify(store)).whole

    async def test_homes_of_one_database_know_nothing_of_each_other(
        self, store: PostgresStore, url: str, clock: FakeClock
    ) -> None:
        run, epoch = await self.begin(store, "mail")
        other = PostgresStore(url, clock, home="another one")
        assert await other.create(RunCreated("t", "a", "m", "", caller_id="mail")) == run == "r1"
        await store.append(run, epoch, [note("a")])
        assert len(await other.read(run)) == 1
        assert await other.lease(run, "w1", 60)
        assert await store.lease(run, "w2", 60)
        await store.seal()
        assert dict(await other.sealed()) == {}
        await other.close()

    async def test_an_answer_wakes_a_run_that_waits_for_the_question_of_another(
        self, store: Store
    ) -> None:
        asks, epoch = await self.begin(store)
        await store.append(asks, epoch, [Draft("b1", BlockedRaised("failure", "what now?", ""))])
        waits, epoch = await self.begin(store)
        ended = SegmentEnded("blocked", "what now?", waits_for=("b1",))
        await store.append(waits, epoch, [Draft("1", ended)])
        assert waits not in await store.due("")
        await store.post(asks, [Draft("b1", AnswerGiven("yes", "ann"))])
        assert waits in await store.due("")

    async def test_an_entry_the_server_refuses_fails_alone(self, store: Store, url: str) -> None:
        run, epoch = await self.begin(store)
        with psycopg.connect(url, autocommit=True) as db:
            db.execute(
                "alter table standpipe.entry add constraint short check (length(data) < 5000) not valid"
            )
            try:
                results = await asyncio.gather(
                    store.append(run, epoch, [note("a")]),
                    store.append(run, epoch, [note("b", "x" * 9000)]),
                    store.append(run, epoch, [note("c")]),
                    return_exceptions=True,
                )
            finally:
                db.execute("alter table standpipe.entry drop constraint short")
        assert [type(result) for result in results] == [list, JournalError, list]
        assert [entry.key for entry in await store.read(run, after=2)] == ["a", "c"]

    @pytest.mark.parametrize(
        ("damage", "said"),
        [
            ("delete from standpipe.entry where run = 'r1' and seq = 3 and home = %s", "missing"),
            (
                "update standpipe.entry set data = replace(convert_from(data, 'utf8'), 'x', 'y')::bytea where seq = 3 and home = %s",
                "not what was written",
            ),
            ("update standpipe.seal set heads = '{}' where home = %s", "seal 1 is not what was"),
        ],
        ids=["the last entry", "a word", "the seal"],
    )
    async def test_what_somebody_changed_is_found(
        self, store: Store, url: str, home: str, damage: str, said: str
    ) -> None:
        run, epoch = await self.begin(store)
        await store.append(run, epoch, [note("a", "x")])
        await store.seal()
        with psycopg.connect(url) as db:
            db.execute(damage.encode(), (home,))
        assert any(said in line for line in (await verify(store)).broken)


class TestLeases:
    @pytest.fixture
    async def store(self, url: str, home: str) -> AsyncIterator[PostgresStore]:
        store = PostgresStore(
            url, FakeClock(), home=home
        )  # the clock of a worker counts for nothing
        yield store
        await store.close()

    async def expire(self, url: str, home: str) -> None:
        """Let the leases of a home run out, by the clock of the database."""
        async with await psycopg.AsyncConnection.connect(url) as db:
            await db.execute(
                "update standpipe.lease set until = clock_timestamp() - interval '1 second' where home = %s",
                (home,),
            )
            await db.execute(
                "update standpipe.worker set until = clock_timestamp() - interval '1 second' where home = %s",
                (home,),
            )

    async def test_one_owns_a_run_until_its_lease_runs_out(
        self, store: PostgresStore, url: str, home: str
    ) -> None:
        run = await store.create(TASK)
        assert await store.lease(run, "w1", 60)
        assert await store.lease(run, "w1", 60)
        assert not await store.lease(run, "w2", 60)
        await self.expire(url, home)
        assert await store.lease(run, "w2", 60)
        assert not await store.lease(run, "w1", 60)

    async def test_of_many_that_want_a_run_at_once_one_gets_it(self, store: PostgresStore) -> None:
        run = await store.create(TASK)
        got = await asyncio.gather(*(store.lease(run, f"w{n}", 60) for n in range(8)))
        assert sum(got) == 1

    async def test_what_is_given_back_is_free_at_once(self, store: PostgresStore) -> None:
        run = await store.create(TASK)
        await store.lease(run, "w1", 60)
        await store.release(run, "w2")  # it is not its own
        assert not await store.lease(run, "w2", 60)
        await store.release(run, "w1")
        assert await store.lease(run, "w2", 60)

    async def test_a_beat_keeps_what_nobody_took_and_tells_what_is_gone(
        self, store: PostgresStore, url: str, home: str
    ) -> None:
        kept, taken, never = [await store.create(TASK) for _ in range(3)]
        await store.lease(kept, "w1", 60)
        await store.lease(taken, "w1", 60)
        await self.expire(url, home)
        await store.lease(taken, "w2", 60)
        assert await store.beat("w1", "here", 60) == {kept}
        assert not await store.lease(kept, "w2", 60)
        assert await store.lease(never, "w2", 60)

    async def test_workers_are_alive_by_the_clock_of_the_database(
        self, store: PostgresStore, url: str, home: str
    ) -> None:
        await store.beat("w1", "one", 60)
        await self.expire(url, home)
        await store.beat("w2", "two", 60)
        assert [(w.id, w.host, w.alive) for w in await store.workers()] == [
            ("w2", "two", True),
            ("w1", "one", False),
        ]

    async def test_a_segment_begins_only_where_no_other_worker_has_a_living_lease(
        self, store: PostgresStore, url: str, home: str
    ) -> None:
        run = await store.create(TASK)
        await store.lease(run, "w1", 60)
        with pytest.raises(OwnedError, match="by worker `w1`"):
            await store.start_segment(run, START, owner="w2")
        assert await store.start_segment(run, START, owner="w1") == 1
        await self.expire(url, home)
        assert await store.start_segment(run, START, owner="w2") == 2

    async def test_what_somebody_living_works_on_is_not_due(
        self, store: PostgresStore, url: str, home: str
    ) -> None:
        owned, free = [await store.create(TASK) for _ in range(2)]
        for run in (owned, free):
            await store.start_segment(run, START)
        await store.lease(owned, "w1", 60)
        assert list(await store.due("")) == [free]
        await self.expire(url, home)
        assert list(await store.due("")) == [owned, free]
