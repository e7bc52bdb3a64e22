"""Old runs go into an archive; what is gone is known to be gone on purpose."""

import gzip
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from standpipe.errors import BrokenJournalError
from standpipe.journal.archive import archive, archived_entries, ripe
from standpipe.journal.entries import (
    BlockedRaised,
    Draft,
    RunCreated,
    RunEnded,
    SegmentEnded,
    SegmentStarted,
)
from standpipe.journal.exported import exported_lines, verify_export
from standpipe.journal.snapshot import Tombstone
from standpipe.journal.verify import Verdict, check
from standpipe.stores.retention import bury
from standpipe.stores.snapshot import SqliteSnapshot
from standpipe.stores.sqlite import SqliteStore
from standpipe.testing.fakes import FakeClock
from standpipe.testing.store_suite import note

BEFORE, AT = "2026-12-24T00:00:00.000Z", "2026-12-25T00:00:00.000Z"
DAY_SECONDS = 86_400


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """Runs that ended in two months, a blocked one, one in doubt, one that ended yesterday."""
    clock, path = FakeClock(), tmp_path / "journal.db"
    store = SqliteStore(path, clock)
    await run(store, end="done")
    await run(store)
    await run(store, BlockedRaised("in_doubt", "did it happen?", "", action="r3.1.1"), end="failed")
    await run(store, BlockedRaised("approval", "may I?", "", action="r4.1.1"), end="cancelled")
    clock.advance(20 * DAY_SECONDS)
    await run(store, end="failed")
    clock.advance(20 * DAY_SECONDS)
    await run(store, end="done")
    await store.seal()
    await store.close()
    return path


async def run(store: SqliteStore, asks: BlockedRaised | None = None, *, end: str = "") -> None:
    name = await store.create(RunCreated("mail", "a", "m", ""))
    epoch = await store.start_segment(name, Draft("", SegmentStarted("tests", 1, "", "0")))
    if asks:
        await store.append(name, epoch, [Draft(f"b{name}", asks)])
    if end:
        ended = [Draft("1", SegmentEnded(end)), Draft(name, RunEnded(end, "over"))]
        await store.append(name, epoch, ended)


async def archived(path: Path) -> Sequence[Tombstone]:
    snapshot = SqliteSnapshot(path)
    try:
        runs = await ripe(snapshot, before=BEFORE)
        return await archive(snapshot, runs, path.parent / "archive", at=AT)
    finally:
        await snapshot.close()


async def verdict(path: Path) -> Verdict:
    snapshot = SqliteSnapshot(path)
    try:
        return await check(snapshot)
    finally:
        await snapshot.close()


def verdict_of_file(path: Path) -> Verdict:
    with path.open("rb") as file, exported_lines(file) as lines:
        return verify_export(lines)


async def test_what_ended_long_ago_goes_by_month_and_the_rest_stays(path: Path) -> None:
    stones = bury(path, await archived(path))
    assert [(stone.run, stone.file) for stone in stones] == [
        ("r1", "2026-11.jsonl.gz"), ("r4", "2026-11.jsonl.gz"), ("r5", "2026-12.jsonl.gz"),
    ]  # fmt: skip
    found = await verdict(path)
    assert (found.broken, found.archived) == ((), 3)
    months = [
        verdict_of_file(path.parent / "archive" / f"2026-{month}.jsonl.gz") for month in (11, 12)
    ]
    assert [(one.broken, one.streams) for one in months] == [((), 2), ((), 1)]
    assert bury(path, await archived(path)) == []


async def test_an_archived_run_keeps_its_row_and_its_id(path: Path) -> None:
    bury(path, await archived(path))
    store = SqliteStore(path, FakeClock())
    assert set(await store.rows("run")) == {f"r{number}" for number in range(1, 7)}
    assert await store.read("r1") == []
    assert await store.create(RunCreated("next", "a", "m", "")) == "r7"
    await store.close()


async def test_killed_before_the_entries_went_both_have_them_and_nothing_is_broken(
    path: Path,
) -> None:
    await archived(path)
    assert (await verdict(path)).broken == ()
    assert len(bury(path, await archived(path))) == 3
    assert (await verdict(path)).broken == ()
    assert verdict_of_file(path.parent / "archive/2026-11.jsonl.gz").broken == ()


async def test_killed_while_the_archive_is_written_the_old_one_stays(path: Path) -> None:
    await archived(path)
    file = path.parent / "archive/2026-11.jsonl.gz"
    before = file.read_bytes()
    file.with_name(f"{file.name}.new").write_bytes(before[:50])
    await archived(path)
    assert file.read_bytes().startswith(before)
    assert not file.with_name(f"{file.name}.new").exists()


async def test_a_run_that_was_written_to_meanwhile_stays(path: Path) -> None:
    stones = await archived(path)
    store = SqliteStore(path, FakeClock())
    await store.post("r1", [note("late")])
    await store.close()
    assert [stone.run for stone in bury(path, stones)] == ["r4", "r5"]
    assert (await verdict(path)).broken == ()


async def test_what_is_written_to_an_archived_run_follows_its_tombstone(path: Path) -> None:
    bury(path, await archived(path))
    store = SqliteStore(path, FakeClock())
    await store.post("r1", [note("late")])
    await store.seal()
    await store.close()
    assert (await verdict(path)).broken == ()


async def test_a_tombstone_does_not_excuse_another_end(path: Path) -> None:
    stones = await archived(path)
    bury(path, stones)
    with sqlite3.connect(path) as db:
        db.execute(
            "update meta set value = json_set(value, '$.head', 'x') where name = 'archived/r1'"
        )
    db.close()
    assert any(
        "r1/5: entries at its end are missing" in line for line in (await verdict(path)).broken
    )


async def test_a_broken_run_is_not_archived(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("update entry set at = '2026' where run = 'r1' and seq = 2")
    db.close()
    with pytest.raises(BrokenJournalError, match="nothing was archived: r1/2"):
        await archived(path)
    assert not (path.parent / "archive/2026-11.jsonl.gz").exists()


async def test_an_archive_gives_back_the_entries_of_a_run(path: Path) -> None:
    store = SqliteStore(path, FakeClock())
    before = await store.read("r4")
    await store.close()
    await archived(path)
    stones = bury(path, await archived(path))  # the first time it was killed: they are there twice
    stone = next(stone for stone in stones if stone.run == "r4")
    assert archived_entries(path.parent / "archive", stone) == before


async def test_an_archived_run_is_not_told_where_its_archive_is_not_what_was_written(
    path: Path,
) -> None:
    [stone, *_] = bury(path, await archived(path))
    folder = path.parent / "archive"
    file = folder / stone.file
    packed = file.read_bytes()
    text = gzip.decompress(packed)
    wrong = (
        gzip.compress(text.replace(b'"over"', b'"well"')),
        gzip.compress(text.replace(b'"at":', b'"At":')),
        gzip.compress(b"".join(text.splitlines(keepends=True)[:5])),
        packed[:-9],
        b"",
    )
    for each in wrong:
        file.write_bytes(each)
        with pytest.raises(BrokenJournalError, match=r"`r1` went into .* cannot be trusted"):
            archived_entries(folder, stone)
    file.unlink()
    with pytest.raises(BrokenJournalError, match="No such file"):
        archived_entries(folder, stone)


async def test_an_archive_is_json_lines_in_gzip(path: Path) -> None:
    await archived(path)
    text = gzip.decompress((path.parent / "archive/2026-12.jsonl.gz").read_bytes()).decode()
    assert text.splitlines()[0].startswith('{"kind":"export.begun"')
