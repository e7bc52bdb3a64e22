"""The file of a journal goes away under those who have it open: nothing is written where nobody looks."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from standpipe.clock import SystemClock
from standpipe.errors import JournalError
from standpipe.journal.entries import Draft, Noted, RunCreated, SegmentStarted
from standpipe.stores.sqlite import SqliteStore

START = Draft("", SegmentStarted("suite", 1, "", "0"))
MOVED = "was moved or replaced while it was in use"


def delete(path: Path) -> None:
    for file in (path, *path.parent.glob(f"{path.name}-*")):
        file.unlink()


def restore(path: Path) -> None:
    """Put an older copy in its place, as a person with a backup does."""
    copy = path.with_name("copy.db")
    shutil.copyfile(path, copy)
    delete(path)
    copy.rename(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
async def store(path: Path) -> AsyncGenerator[SqliteStore]:
    kept = SqliteStore(path, SystemClock())
    try:
        yield kept
    finally:
        await kept.close()


async def begin(store: SqliteStore) -> tuple[str, int]:
    run = await store.create(RunCreated("a task", "agent", "script:x", ""))
    return run, await store.start_segment(run, START)


def note(key: str) -> Draft:
    return Draft(key, Noted("agent", "x", "because"))


@pytest.mark.parametrize("gone", [delete, restore])
async def test_nothing_is_promised_by_a_file_that_nobody_would_find(
    store: SqliteStore, path: Path, gone: Callable[[Path], None]
) -> None:
    run, epoch = await begin(store)
    gone(path)
    for _ in range(2):  # it stays so, whatever is tried
        with pytest.raises(JournalError, match=MOVED) as told:
            await store.append(run, epoch, [note("a")])
        assert str(path) in told.value.message
        assert told.value.hint
    with pytest.raises(JournalError, match=MOVED):
        await store.read(run)


async def test_none_of_several_that_wait_together_is_promised(
    store: SqliteStore, path: Path
) -> None:
    run, epoch = await begin(store)
    delete(path)
    results = await asyncio.gather(
        *(store.append(run, epoch, [note(str(n))]) for n in range(5)), return_exceptions=True
    )
    assert all(isinstance(result, JournalError) for result in results)


async def test_no_empty_journal_is_left_where_the_old_one_was(
    store: SqliteStore, path: Path
) -> None:
    run, epoch = await begin(store)
    delete(path)
    with pytest.raises(JournalError):
        await store.append(run, epoch, [note("a")])
    with pytest.raises(JournalError):
        await store.read(run)
    assert not list(path.parent.glob(path.name))


async def test_whoever_lets_go_of_a_replaced_journal_leaves_the_new_one_whole(
    store: SqliteStore, path: Path
) -> None:
    run, epoch = await begin(store)
    delete(path)
    newer = SqliteStore(path, SystemClock())
    own = [await begin(newer) for _ in range(2)]
    with pytest.raises(JournalError, match=MOVED):
        await store.append(run, epoch, [note("a")])
    await store.close()
    for name, now in own:
        await newer.append(name, now, [note("b")])
    await newer.close()
    again = SqliteStore(path, SystemClock())
    assert [len(await again.read(name)) for name, _ in own] == [3, 3]
    await again.close()


async def test_a_journal_that_is_put_back_is_written_to_again(
    store: SqliteStore, path: Path
) -> None:
    run, epoch = await begin(store)
    await store.append(run, epoch, [note("a")])
    aside = path.parent / "aside"
    aside.mkdir()
    for file in [path, *path.parent.glob(f"{path.name}-*")]:
        file.rename(aside / file.name)
    with pytest.raises(JournalError, match=MOVED):
        await store.append(run, epoch, [note("b")])
    for file in list(aside.iterdir()):
        file.rename(path.parent / file.name)
    await store.append(run, epoch, [note("b")])
    assert [entry.key for entry in await store.read(run)][2:] == ["a", "b"]
