"""What every journal store promises. Subclass it with a `store` fixture and run it with pytest.

class TestMyStore(StoreSuite):
    @pytest.fixture
    def store(self, clock): return MyStore(clock)

A store that several processes can have open gives a second one as the fixture `beside`.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import pytest

from standpipe.actions import Effect
from standpipe.errors import FencedError, NotFoundError, StaleError
from standpipe.governor.recovery import Return
from standpipe.ids import HOME
from standpipe.journal.chain import GENESIS
from standpipe.journal.entries import (
    AnswerGiven,
    BlockedRaised,
    CancelRequested,
    Decided,
    Draft,
    Intended,
    Noted,
    Proposed,
    RunCreated,
    RunEnded,
    SegmentEnded,
    SegmentStarted,
    Settled,
    SiteClosed,
)
from standpipe.journal.projections import BLOCKERS, RUNS, BlockerRow, RunRow, read_row
from standpipe.journal.seals import covered, fold
from standpipe.journal.store import Store
from standpipe.journal.verify import verify
from standpipe.outcomes.outcome import Succeeded
from standpipe.policy.decision import Allow
from standpipe.testing.fakes import FakeClock

START = Draft("", SegmentStarted("suite", 1, "", "0"))


def note(key: str, what: str = "x") -> Draft:
    return Draft(key, Noted("agent", what, "because"))


class StoreSuite:
    """The suite; `store` is a fixture of the subclass."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def beside(self, store: Store) -> Store:
        """Return the same journal as somebody else has it open."""
        return store

    async def begin(self, store: Store, caller_id: str = "") -> tuple[str, int]:
        created = RunCreated("a task", "agent", "script:x", "", caller_id=caller_id)
        run = await store.create(created)
        return run, await store.start_segment(run, START)

    async def test_entries_come_back_as_they_were_said_in_order(self, store: Store) -> None:
        run, epoch = await self.begin(store)
        await store.append(run, epoch, [note("a"), note("b")])
        read = await store.read(run)
        assert [entry.seq for entry in read] == [1, 2, 3, 4]
        assert [entry.kind for entry in read] == [
            "run.created",
            "segment.started",
            "decision.noted",
            "decision.noted",
        ]
        assert read[2].body == note("a").body

    async def test_numbers_are_dense_and_each_entry_names_the_one_before(
        self, store: Store
    ) -> None:
        run, epoch = await self.begin(store)
        await store.append(run, epoch, [note(str(n)) for n in range(5)])
        read = await store.read(run)
        assert [e.prev for e in read] == [GENESIS, *[e.hash for e in read[:-1]]]
        assert (await verify(store)).whole

    async def test_an_older_epoch_is_refused_and_writes_nothing(self, store: Store) -> None:
        run, old = await self.begin(store)
        new = await store.start_segment(run, START)
        assert new == old + 1
        with pytest.raises(FencedError):
            await store.append(run, old, [note("stale")])
        assert all(entry.key != "stale" for entry in await store.read(run))

    async def test_what_was_decided_on_a_row_that_has_changed_is_not_written(
        self, store: Store
    ) -> None:
        run, epoch = await self.begin(store)
        seen = {(BLOCKERS, "b1"): None, (RUNS, run): await store.row(RUNS, run)}
        question = Draft("b1", BlockedRaised("failure", "what now?", "because"))
        await store.append(run, epoch, [question], seen=seen)
        with pytest.raises(StaleError):
            await store.append(run, epoch, [note("a")], seen=seen)
        assert [entry.key for entry in await store.read(run)][2:] == ["b1"]

    async def test_an_answer_is_not_fenced(self, store: Store) -> None:
        run, _ = await self.begin(store)
        await store.start_segment(run, START)
        await store.post(run, [Draft("cancel", CancelRequested("operator"))])
        assert (await store.read(run))[-1].kind == "cancel.requested"

    async def test_saying_the_same_twice_says_it_once_and_tells_the_first(
        self, store: Store
    ) -> None:
        run, epoch = await self.begin(store)
        [first] = await store.append(run, epoch, [note("a", "one")])
        [again] = await store.append(run, epoch, [note("a", "two")])
        assert again == first
        assert len(await store.read(run)) == 3

    async def test_an_append_that_fails_in_the_middle_writes_nothing(self, store: Store) -> None:
        run, epoch = await self.begin(store)
        before = await store.read(run)
        with pytest.raises((NotFoundError, KeyError)):
            await store.append(run, epoch, [note("a"), Draft("b", note("b").body, run="r999")])
        assert await store.read(run) == before

    async def test_the_same_caller_id_is_the_same_run(self, store: Store) -> None:
        first, _ = await self.begin(store, "mail-0600")
        again = await store.create(RunCreated("other", "agent", "m", "", caller_id="mail-0600"))
        assert again == first
        assert len([e for e in await store.read(first) if e.kind == "run.created"]) == 1

    async def test_runs_get_short_ids_that_are_never_given_twice(self, store: Store) -> None:
        runs = [(await self.begin(store))[0] for _ in range(3)]
        assert runs == ["r1", "r2", "r3"]
        assert [await store.number("blocker") for _ in range(2)] == [1, 2]

    async def test_reading_after_a_number_returns_only_what_is_new(self, store: Store) -> None:
        run, epoch = await self.begin(store)
        await store.append(run, epoch, [note("a")])
        assert [entry.key for entry in await store.read(run, after=2)] == ["a"]
        assert list(await store.read("r77")) == []

    async def test_a_projection_is_there_as_soon_as_the_entry_is(self, store: Store) -> None:
        run, epoch = await self.begin(store)
        raised = BlockedRaised("approval", "may I?", "it costs", action=f"{run}.1.1")
        await store.append(run, epoch, [Draft("b1", raised)])
        row = read_row(BlockerRow, await store.row(BLOCKERS, "b1"))
        assert row is not None
        assert row.answer is None
        await store.post(run, [Draft("b1", AnswerGiven("yes", "operator"))])
        rows = await store.rows(BLOCKERS)
        assert msgspec.json.decode(rows["b1"], type=BlockerRow).answer == "yes"

    async def test_the_first_answer_wins(self, store: Store) -> None:
        run, epoch = await self.begin(store)
        await store.append(run, epoch, [Draft("b1", BlockedRaised("approval", "may I?", ""))])
        await store.post(run, [Draft("b1", AnswerGiven("yes", "ann"))])
        [told] = await store.post(run, [Draft("b1", AnswerGiven("no", "bob"))])
        assert told.body == AnswerGiven("yes", "ann")

    async def test_one_post_may_speak_in_the_stream_of_the_home_too(self, store: Store) -> None:
        run, _ = await self.begin(store)
        closed = SiteClosed("abc", "ann", "renewed")
        await store.post(run, [note("n"), Draft("abc#b1", closed, run=HOME)])
        assert [entry.body for entry in await store.read(HOME)] == [closed]
        assert (await verify(store)).whole

    async def test_a_run_row_follows_its_entries(self, store: Store) -> None:
        run, epoch = await self.begin(store)
        action = f"{run}.1.1"
        settled = Settled("read_file", 1, Succeeded("text"), Return("it worked"))
        await store.append(
            run,
            epoch,
            [
                Draft(action, Proposed("read_file", {}, Effect.READ, "m")),
                Draft(f"{action}#1", Decided(Allow("r"), "d")),
                Draft(f"{action}#1", Intended(1, "k", 30.0)),
                Draft(f"{action}#1", settled),
            ],
        )
        row = read_row(RunRow, await store.row(RUNS, run))
        assert row is not None
        assert (row.actions, row.status, row.epoch) == (1, "running", epoch)

    async def test_odd_text_survives(self, store: Store) -> None:
        run, epoch = await self.begin(store)
        text = 'nul \x00 bidi \u202e emoji 🐟 quote " back \\ ' + "x" * 1_000_000
        await store.append(run, epoch, [note("odd", text)])
        assert (await store.read(run))[-1].body == note("odd", text).body
        assert (await verify(store)).whole

    async def test_half_a_surrogate_pair_is_kept_as_a_mark(self, store: Store) -> None:
        run, epoch = await self.begin(store)
        [told] = await store.append(run, epoch, [note("half", "a \ud83d b")])
        assert told.body == note("half", "a \ufffd b").body == (await store.read(run))[-1].body
        assert (await verify(store)).whole

    async def test_what_is_not_there_is_said_to_be_missing(self, store: Store) -> None:
        with pytest.raises(NotFoundError):
            await store.post("r99", [note("a")])
        assert await store.row(RUNS, "r99") is None

    async def test_a_seal_covers_the_heads_as_they_are(self, store: Store) -> None:
        run, epoch = await self.begin(store)
        assert dict(await store.sealed()) == {}
        await store.seal()
        await store.append(run, epoch, [note("later")])
        await store.seal()
        await store.seal()
        assert (await store.sealed())[run] == (await store.read(run))[-1].hash
        assert (await verify(store)).whole

    async def test_appends_at_once_to_many_runs_stay_dense_and_chained(self, store: Store) -> None:
        runs = [await self.begin(store) for _ in range(12)]

        async def work(run: str, epoch: int) -> None:
            for n in range(8):
                await store.append(run, epoch, [note(f"{n}"), note(f"{n}b")])

        await asyncio.gather(*(work(run, epoch) for run, epoch in runs))
        for run, _ in runs:
            assert [entry.seq for entry in await store.read(run)] == list(range(1, 19))
        assert (await verify(store)).whole

    async def test_appends_at_once_to_one_run_stand_in_the_order_they_came(
        self, store: Store
    ) -> None:
        run, epoch = await self.begin(store)
        await asyncio.gather(*(store.append(run, epoch, [note(str(n))]) for n in range(40)))
        assert [entry.key for entry in await store.read(run, after=2)] == list(map(str, range(40)))
        assert (await verify(store)).whole

    async def test_an_append_that_fails_among_many_fails_alone(self, store: Store) -> None:
        run, old = await self.begin(store)
        epoch = await store.start_segment(run, START)
        lost = Draft("lost", note("lost").body, run="r999")
        results = await asyncio.gather(
            store.append(run, epoch, [note("a")]),
            store.append(run, old, [note("stale")]),
            store.append(run, epoch, [note("b"), lost]),
            store.append(run, epoch, [note("moved")], seen={(RUNS, run): b"{}"}),
            store.append(run, epoch, [note("c")]),
            return_exceptions=True,
        )
        failed = [type(result) for result in results if isinstance(result, BaseException)]
        assert failed == [FencedError, NotFoundError, StaleError]
        assert [entry.key for entry in await store.read(run, after=3)] == ["a", "c"]
        assert (await verify(store)).whole

    async def test_whoever_stops_waiting_takes_nobody_along(self, store: Store) -> None:
        run, epoch = await self.begin(store)
        tasks = [asyncio.ensure_future(store.append(run, epoch, [note(str(n))])) for n in range(30)]
        for turn, task in enumerate(tasks[::3]):
            if turn % 2:
                await asyncio.sleep(0)
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await store.append(run, epoch, [note("last")])
        kept = [entry.key for entry in await store.read(run, after=2)]
        promised = [str(n) for n, result in enumerate(results) if isinstance(result, Sequence)]
        assert set(promised) <= set(kept)
        assert kept[-1] == "last"
        assert (await verify(store)).whole

    async def test_two_that_have_it_open_write_into_one_run(
        self, store: Store, beside: Store
    ) -> None:
        run, epoch = await self.begin(store)
        own = (store.append(run, epoch, [note(f"own {n}")]) for n in range(15))
        theirs = (beside.post(run, [note(f"their {n}")]) for n in range(15))
        await asyncio.gather(*own, *theirs)
        assert len(await store.read(run)) == len(await beside.read(run)) == 32
        assert (await verify(beside)).whole

    async def test_whoever_was_overtaken_is_told_at_the_next_append(
        self, store: Store, beside: Store
    ) -> None:
        run, epoch = await self.begin(store)
        await store.append(run, epoch, [note("a")])
        assert await beside.start_segment(run, START, owner="w2") == epoch + 1
        for stale in (note("b"), note("a")):  # what is there already is not told to it, either
            with pytest.raises(FencedError):
                await store.append(run, epoch, [stale])

    async def test_a_reader_sees_an_append_whole_or_not_at_all(
        self, store: Store, beside: Store
    ) -> None:
        run, epoch = await self.begin(store)
        seen: list[int] = []

        many = (store.append(run, epoch, [note(f"{n}.{i}") for i in range(3)]) for n in range(20))
        writing = asyncio.gather(*many)
        while not writing.done():
            read = await beside.read(run)
            assert [entry.seq for entry in read] == list(range(1, len(read) + 1))
            seen.append(len(read) - 2)
            await asyncio.sleep(0)
        await writing
        assert {length % 3 for length in seen} == {0}

    async def test_the_same_said_by_many_at_once_is_there_once(
        self, store: Store, beside: Store
    ) -> None:
        run, _ = await self.begin(store)
        await store.append(run, 1, [Draft("b1", BlockedRaised("approval", "may I?", ""))])
        said = [Draft("b1", AnswerGiven(word, "somebody")) for word in ("yes", "no") * 5]
        told = await asyncio.gather(
            *((store, beside)[n % 2].post(run, [draft]) for n, draft in enumerate(said))
        )
        assert len({entry.body for [entry] in told}) == 1
        assert len(await store.read(run)) == 4

    async def test_ids_given_at_once_are_all_different(self, store: Store, beside: Store) -> None:
        given = await asyncio.gather(*((store, beside)[n % 2].number("b") for n in range(20)))
        assert sorted(given) == list(range(1, 21))
        created = RunCreated("a task", "agent", "m", "", caller_id="mail-0600")
        runs = await asyncio.gather(*((store, beside)[n % 2].create(created) for n in range(6)))
        assert len(set(runs)) == 1

    async def test_due_are_the_queued_ones_whose_time_has_come_the_important_first(
        self, store: Store
    ) -> None:
        async def submit(queue: str, wake_at: str, priority: int = 0) -> str:
            created = RunCreated(
                "a task", "agent", "m", "", queue=queue, wake_at=wake_at, priority=priority
            )
            return await store.create(created)

        later = await submit("default", "2020-01-02T00:00:00.000Z")
        first = await submit("default", "2020-01-01T00:00:00.000Z")
        urgent = await submit("default", "2020-01-03T00:00:00.000Z", priority=5)
        await submit("default", "2999-01-01T00:00:00.000Z", priority=9)
        other = await submit("mail", "2020-01-01T00:00:00.000Z")
        assert list(await store.due("")) == [urgent, first, later]
        assert list(await store.due("default", 2)) == [urgent, first]
        assert list(await store.due("mail")) == [other]

    async def test_due_are_begun_ones_that_nobody_may_be_working_on(self, store: Store) -> None:
        gone, _ = await self.begin(store)
        back, epoch = await self.begin(store)
        await store.append(back, epoch, [Draft("1", SegmentEnded("yielded", "SIGTERM"))])
        blocked, epoch = await self.begin(store)
        await store.append(blocked, epoch, [Draft("b1", BlockedRaised("approval", "may I?", ""))])
        await store.append(
            blocked, epoch, [Draft("1", SegmentEnded("blocked", "may I?", waits_for=("b1",)))]
        )
        done, epoch = await self.begin(store)
        await store.append(done, epoch, [Draft(done, RunEnded("done", "did it"))])
        assert list(await store.due("")) == [gone, back]

    async def test_due_are_those_whose_creator_did_not_begin_them_in_time(
        self, store: Store, clock: FakeClock
    ) -> None:
        async def create(year: int) -> str:
            clock.jump((datetime(year, 1, 1, tzinfo=UTC) - clock.now()).total_seconds())
            return await store.create(RunCreated("a task", "agent", "m", ""))

        await create(2999)  # whoever created it begins it any moment
        begun, late = await create(2020), await create(2020)
        epoch = await store.start_segment(begun, START)
        await store.append(begun, epoch, [Draft(begun, RunEnded("done", "did it"))])
        clock.jump((datetime(2026, 11, 22, tzinfo=UTC) - clock.now()).total_seconds())
        assert list(await store.due("")) == [late]
        await store.start_segment(late, START)
        assert await _wakes(store, late) == ""

    async def test_a_seal_covers_only_what_changed_since_the_one_before(self, store: Store) -> None:
        first, epoch = await self.begin(store)
        second, _ = await self.begin(store)
        await store.seal()
        await store.append(first, epoch, [note("later")])
        await store.seal()
        kept = await store.seals()
        assert [sorted(covered(seal)) for seal in kept] == [sorted([first, second]), [first]]
        heads = {run: (await store.read(run))[-1].hash for run in (first, second)}
        assert dict(await store.sealed()) == fold(kept) == heads
        assert dict(await store.sealed(second)) == {second: heads[second]}
        assert dict(await store.sealed("r99")) == {}


async def _wakes(store: Store, run: str) -> str:
    row = read_row(RunRow, await store.row(RUNS, run))
    assert row is not None
    return row.wake_at
