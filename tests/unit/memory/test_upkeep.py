from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from standpipe.governor.recovery import Escalate, Retry
from standpipe.journal.entries import Draft, Entry, LessonRecorded, RunCreated, Settled
from standpipe.memory.lessons import Lessons
from standpipe.memory.upkeep import Upkeep
from standpipe.outcomes.outcome import Failed, Kind
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import FakeClock

NOW = datetime(2026, 11, 22, 7, tzinfo=UTC)
FAILED = Failed(Kind.CREDENTIAL, "no", code="535")


async def failed_twice() -> Sequence[Entry]:
    """Return a run in which one cause failed in two actions, with a retry on the way."""
    store = MemoryStore(FakeClock())
    run = await store.create(RunCreated(task="t", agent="a", model="m", config=""))
    again = Settled("send_email", 1, FAILED, Retry("passing", 0.0), cause="0a1b2c3d4e5f")
    final = Settled("send_email", 2, FAILED, Escalate("twice"), cause="0a1b2c3d4e5f")
    await store.post(
        run,
        [
            Draft("r1.1.1#1", again),
            Draft("r1.1.1#2", final),
            Draft("r1.2.1#1", final),
        ],
    )
    return await store.read(run)


def count(home: Path) -> int:
    [lesson] = Lessons(home).listed().lessons
    return lesson.count


async def test_a_kill_between_the_lesson_and_its_entry_counts_nothing_twice(
    tmp_path: Path,
) -> None:
    entries = await failed_twice()
    first = list(Upkeep(tmp_path).learn(entries, now=NOW))
    assert count(tmp_path) == 2
    second = list(Upkeep(tmp_path).learn(entries, now=NOW))  # the journal heard of neither
    assert [draft.key for draft in second] == [draft.key for draft in first]
    assert [draft.key for draft in first] == ["r1.1.1#2", "r1.2.1#1"]
    assert isinstance(second[-1].body, LessonRecorded)
    assert (second[-1].body.count, count(tmp_path)) == (2, 2)


async def test_a_copied_brain_learns_from_a_new_journal_under_the_old_keys(tmp_path: Path) -> None:
    entries = await failed_twice()
    list(Upkeep(tmp_path).learn(entries, now=NOW))
    later = [replace(entry, at="2026-11-29T07:00:00Z") for entry in entries]
    list(Upkeep(tmp_path).learn(later, now=NOW))
    assert count(tmp_path) == 4
