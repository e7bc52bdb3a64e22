"""When a run may go on by itself, as a fold over what it waits for."""

import pytest

from standpipe.journal.entries import (
    AnswerGiven,
    BlockedRaised,
    Body,
    CancelRequested,
    Draft,
    RunCreated,
    SegmentEnded,
    SegmentStarted,
)
from standpipe.journal.projections import RUNS, RunRow, read_row
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import FakeClock

NOW, LATER, LAST = (
    "2026-11-22T07:00:00.000Z",
    "2026-11-22T08:00:00.000Z",
    "2026-11-22T09:00:00.000Z",
)


def question(kind: str = "approval", until: str = "") -> BlockedRaised:
    return BlockedRaised(kind, "may I?", "because", expires_at=until)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(FakeClock())


async def begin(store: MemoryStore, **given: object) -> str:
    return await store.create(RunCreated("t", "agent", "m", "", **given))  # pyright: ignore[reportArgumentType]


async def blocked(store: MemoryStore, run: str, *asked: str, **raised: BlockedRaised) -> str:
    """Let a segment of `run` end with these questions, and those that somebody else `asked`."""
    epoch = await store.start_segment(run, Draft("", SegmentStarted("w", 1, "", "0")))
    said: list[Body] = list(raised.values())
    drafts = [Draft(key, body) for key, body in zip(raised, said, strict=True)]
    end = SegmentEnded("blocked", "waits", (*raised, *asked))
    await store.append(run, epoch, [*drafts, Draft(str(epoch), end)])
    return await wakes(store, run)


async def wakes(store: MemoryStore, run: str) -> str:
    row = read_row(RunRow, await store.row(RUNS, run))
    assert row is not None
    return row.wake_at


async def answer(store: MemoryStore, run: str, blocker: str) -> None:
    await store.post(run, [Draft(blocker, AnswerGiven("yes", "ann"))])


async def test_a_run_in_no_queue_is_begun_within_a_minute_or_by_others(store: MemoryStore) -> None:
    run = await begin(store)
    assert await wakes(store, run) == "2026-11-22T07:01:00.000Z"
    await store.start_segment(run, Draft("", SegmentStarted("w", 1, "", "0")))
    assert await wakes(store, run) == ""


async def test_a_run_that_waits_for_a_person_never_wakes_by_itself(store: MemoryStore) -> None:
    assert await blocked(store, await begin(store), b1=question(until=LATER)) == ""


async def test_a_run_that_waits_for_a_time_wakes_then(store: MemoryStore) -> None:
    run = await begin(store)
    assert await blocked(store, run, b1=question("wait", LATER), b2=question("wait", LAST)) == LAST


async def test_a_run_wakes_after_the_last_answer_it_waits_for(store: MemoryStore) -> None:
    run = await begin(store)
    assert await blocked(store, run, b1=question(), b2=question()) == ""
    await answer(store, run, "b1")
    assert await wakes(store, run) == ""
    await answer(store, run, "b2")
    assert await wakes(store, run) == NOW


async def test_an_answer_shortens_no_wait(store: MemoryStore) -> None:
    run = await begin(store)
    await blocked(store, run, b1=question(), b2=question("wait", LATER))
    await answer(store, run, "b1")
    assert await wakes(store, run) == LATER


async def test_an_answer_to_one_run_wakes_every_run_that_waits_for_it(store: MemoryStore) -> None:
    first, second = await begin(store), await begin(store)
    await blocked(store, first, b1=question("failure"))
    await blocked(store, second, "b1")
    await answer(store, first, "b1")
    assert [await wakes(store, first), await wakes(store, second)] == [NOW, NOW]


async def test_an_answer_that_came_before_the_run_waited_for_it_is_kept(store: MemoryStore) -> None:
    first, second = await begin(store), await begin(store)
    await blocked(store, first, b1=question("failure"))
    await answer(store, first, "b1")
    assert await blocked(store, second, "b1") == NOW


async def test_a_run_that_says_it_is_blocked_and_names_nothing_waits_for_a_person(
    store: MemoryStore,
) -> None:
    assert await blocked(store, await begin(store)) == ""


async def test_a_submitted_run_waits_in_its_queue_until_its_time(store: MemoryStore) -> None:
    soon, later = await begin(store, queue="mail"), await begin(store, queue="mail", wake_at=LATER)
    rows = [read_row(RunRow, await store.row(RUNS, run)) for run in (soon, later)]
    assert [(row.status, row.wake_at) for row in rows if row] == [
        ("queued", NOW),
        ("queued", LATER),
    ]


async def test_a_run_that_is_cancelled_while_nobody_works_on_it_wakes_to_end(
    store: MemoryStore,
) -> None:
    waiting, queued = await begin(store), await begin(store, queue="mail", wake_at=LATER)
    await blocked(store, waiting, b1=question())
    for run in (waiting, queued):
        await store.post(run, [Draft("cancel", CancelRequested("ann"))])
    assert [await wakes(store, waiting), await wakes(store, queued)] == [NOW, NOW]


async def test_a_run_that_is_worked_on_does_not_wake(store: MemoryStore) -> None:
    run = await begin(store)
    await blocked(store, run, b1=question("wait", LATER))
    await store.start_segment(run, Draft("", SegmentStarted("w", 1, "", "0")))
    assert await wakes(store, run) == ""
