"""What a batch computes from rows that somebody fetched; the server itself is in tests/conformance."""

from msgspec.structs import replace

from standpipe.errors import FencedError, NotFoundError, StaleError
from standpipe.journal.entries import BlockedRaised, Draft, RunCreated, SegmentStarted
from standpipe.journal.projections import BLOCKERS, RUNS
from standpipe.stores.postgres.batch import (
    CALLER,
    LEASE,
    SERIES,
    Append,
    Batch,
    Begin,
    Create,
    Number,
    Post,
    Result,
    Rows,
    Stream,
    Write,
)
from standpipe.stores.writer import Failure
from standpipe.testing.store_suite import START, note

AT = "2026-11-22T07:00:00.000Z"
TASK = RunCreated("a task", "agent", "script:x", "", caller_id="mail")
ASK = Draft("b1", BlockedRaised("failure", "what now?", "because"))


def computed(*writes: Write, known: Rows | None = None, sent: Result | None = None) -> Batch:
    """Compute a batch on tables that hold what is `known`, and nothing else."""
    rows = known or Rows()
    while True:
        batch = Batch(AT, rows, all_new=False)
        for write in writes:
            batch.add(write, sent)
        if not batch.missing:
            return batch
        rows.update(batch.missing)


def after(*writes: Write) -> Rows:
    """Return the tables after some writes."""
    batch = computed(*writes)
    rows = batch.known
    rows.update(batch.changed)
    return rows


def test_everything_that_is_needed_is_asked_for_at_once() -> None:
    batch = Batch(AT, Rows(), all_new=False)
    batch.add(Append("r1", 3, [note("a"), ASK], {(BLOCKERS, "b1"): None}))
    batch.add(Begin("r2", START, "w1"))
    batch.add(Number("run"))
    batch.add(Create("r3", TASK))
    assert set(batch.missing.streams) == {"r1", "r2"}
    assert len(batch.missing.entries) == 4
    asked = {
        (RUNS, "r1"),
        (RUNS, "r2"),
        (BLOCKERS, "b1"),
        (LEASE, "r2"),
        (SERIES, "run"),
        (CALLER, "mail"),
    }
    assert set(batch.missing.views) == asked


def test_a_write_that_is_refused_leaves_no_trace_and_disturbs_nobody() -> None:
    known = after(Create("r1", TASK), Begin("r1", START, ""))
    lost = Draft("lost", note("lost").body, run="r9")
    batch = computed(
        Append("r1", 1, [note("a")], {}),
        Append("r1", 0, [note("old")], {}),
        Post("r1", [note("b"), lost]),
        Append("r1", 1, [note("c")], {(BLOCKERS, "b1"): b"{}"}),
        Append("r1", 1, [note("d")], {}),
        known=known,
    )
    failed = [type(one.error) for one in batch.results if isinstance(one, Failure)]
    assert failed == [FencedError, NotFoundError, StaleError]
    assert [(e.key, e.seq) for e in batch.changed.entries.values() if e] == [("a", 3), ("d", 4)]


def test_a_run_that_may_have_been_created_is_not_created_again() -> None:
    anonymous = RunCreated("a task", "agent", "script:x", "")
    batch = computed(Create("r1", anonymous), known=after(Create("r1", anonymous)), sent="r1")
    assert batch.results == ["r1"]
    assert not batch.changed
    assert computed(Create("r1", anonymous), sent="r1").changed.created == {"r1": anonymous}


def test_a_segment_that_may_have_begun_does_not_begin_twice() -> None:
    begin = Begin("r1", START, "")
    written = computed(begin, known=after(Create("r1", TASK), begin), sent=1)
    assert written.results == [1]
    assert not written.changed
    assert computed(begin, known=after(Create("r1", TASK)), sent=1).results == [1]


def test_the_segment_of_somebody_else_is_not_taken_for_ones_own() -> None:
    assert isinstance(START.body, SegmentStarted)
    theirs = Begin("r1", Draft("", replace(START.body, worker="another")), "")
    batch = computed(Begin("r1", START, ""), known=after(Create("r1", TASK), theirs), sent=1)
    assert batch.results == [2]


def test_what_an_append_was_decided_on_may_have_been_changed_by_itself() -> None:
    ask = Append("r1", 1, [ASK], {(BLOCKERS, "b1"): None})
    known = after(Create("r1", TASK), Begin("r1", START, ""), ask)
    assert isinstance(computed(ask, known=known).results[0], Failure)
    [told] = computed(ask, known=known, sent=[]).results
    assert isinstance(told, list)
    assert told == [known.entries["r1", "b1", "blocked.raised"]]


def test_an_epoch_that_has_moved_on_refuses_what_may_have_been_written_too() -> None:
    ask = Append("r1", 1, [ASK], {})
    known = after(Create("r1", TASK), Begin("r1", START, ""), ask, Begin("r1", START, ""))
    [told] = computed(ask, known=known, sent=[]).results
    assert isinstance(told, Failure)
    assert isinstance(told.error, FencedError)


def test_streams_go_on_where_the_last_write_of_the_batch_left_them() -> None:
    batch = computed(Create("r1", TASK), Begin("r1", START, ""), Append("r1", 1, [note("a")], {}))
    stream = batch.changed.streams["r1"]
    assert isinstance(stream, Stream)
    assert (stream.epoch, stream.seq) == (1, 3)
    assert computed(Number("run"), Number("run")).results == [1, 2]
