"""What every journal store promises. Subclass it with a `store` fixture and run it with pytest.

class TestMyStore(StoreSuite):
    @pytest.fixture
    def store(self, clock): return MyStore(clock)
"""

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
    SegmentStarted,
    Settled,
    SiteClosed,
)
from standpipe.journal.projections import BLOCKERS, RUNS, BlockerRow, RunRow, read_row
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
