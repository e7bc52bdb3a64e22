"""A journal of an older schema becomes one of the newest, whole and with a copy kept, or is left as it is."""

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from standpipe.errors import NotFoundError, SchemaError
from standpipe.journal.verify import verify
from standpipe.stores.file import schema
from standpipe.stores.sqlite import SqliteStore
from standpipe.testing.fakes import FakeClock

SPINE = Path(__file__).parents[1] / "golden/journals/spine.db"  # schema 1


@pytest.fixture
def old(tmp_path: Path) -> Path:
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks/r1.lock").touch()  # left behind by a run that ended
    return Path(shutil.copy(SPINE, tmp_path / "journal.db"))


def ask(path: Path, statement: str) -> list[tuple[object, ...]]:
    db = sqlite3.connect(path)
    try:
        return db.execute(statement).fetchall()
    finally:
        db.close()


@contextmanager
def locked(path: Path, how: int = fcntl.LOCK_EX) -> Generator[None]:
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(file, how)
        yield
    finally:
        os.close(file)


async def test_an_old_journal_is_the_newest_after_it_was_opened_and_says_what_it_said(
    old: Path,
) -> None:
    entries = ask(old, "select * from entry order by run, seq")
    store = SqliteStore(old, FakeClock(), create=False)
    assert (await verify(store)).whole
    await store.seal()
    assert (await verify(store)).whole
    await store.close()
    assert ask(old, "pragma user_version") == [(schema.SCHEMA_VERSION,)]
    assert ask(old, "select * from entry order by run, seq") == entries


async def test_the_tables_are_those_of_a_new_journal(old: Path, tmp_path: Path) -> None:
    await SqliteStore(old, FakeClock()).close()
    await SqliteStore(tmp_path / "new.db", FakeClock()).close()
    tables = "select type, name, tbl_name, sql from sqlite_master order by type, name"
    assert ask(old, tables) == ask(tmp_path / "new.db", tables)


async def test_what_is_sealed_stays_sealed(old: Path) -> None:
    [[heads]] = ask(old, "select heads from seal order by n desc limit 1")
    store = SqliteStore(old, FakeClock())
    count = len(await store.seals())
    await store.seal()
    assert len(await store.seals()) == count  # nothing has changed since
    await store.close()
    with sqlite3.connect(old) as db:
        db.execute("delete from entry where run = 'r1' and seq = (select max(seq) from entry)")
    db.close()
    cut = SqliteStore(old, FakeClock())
    assert "r1" in str(heads)
    assert not (await verify(cut)).whole
    await cut.close()


async def test_the_journal_as_it_was_is_kept_beside_it(old: Path) -> None:
    before = ask(old, "select * from run order by id")
    await SqliteStore(old, FakeClock()).close()
    copy = old.with_name("journal.db.backup-1")
    assert ask(copy, "pragma user_version") == [(1,)]
    assert ask(copy, "pragma integrity_check") == [("ok",)]
    assert ask(copy, "select * from run order by id") == before
    assert not list(old.parent.glob("*.half*"))


async def test_entries_that_are_only_in_the_log_are_in_the_copy(old: Path) -> None:
    writer = sqlite3.connect(old)
    writer.execute("pragma wal_autocheckpoint=0")
    writer.execute("insert into series values ('in the log', 1)")
    writer.commit()
    await SqliteStore(old, FakeClock()).close()
    writer.close()
    copy = old.with_name("journal.db.backup-1")
    assert ask(copy, "select n from series where name = 'in the log'") == [(1,)]


@pytest.mark.parametrize(
    ("lock", "how", "said"),
    [
        ("locks/r1.lock", fcntl.LOCK_EX, "run `r1` is being worked on"),
        ("journal.lock", fcntl.LOCK_SH, "it is open"),
    ],
    ids=["a run", "an open journal"],
)
async def test_while_somebody_holds_the_home_nothing_is_changed_and_one_is_told(
    old: Path, lock: str, how: int, said: str
) -> None:
    with locked(old.parent / lock, how), pytest.raises(SchemaError, match=said) as raised:
        SqliteStore(old, FakeClock())
    assert "standpipe journal migrate" in raised.value.hint
    assert ask(old, "pragma user_version") == [(1,)]
    assert not list(old.parent.glob("*.backup*"))
    await SqliteStore(old, FakeClock()).close()
    assert ask(old, "pragma user_version") == [(2,)]


async def test_many_that_start_at_once_migrate_once_and_all_go_on(old: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        opening = [threads.submit(SqliteStore, old, FakeClock()) for _ in range(4)]
    stores = [store.result() for store in opening]
    for store in stores:
        assert (await verify(store)).whole
        await store.close()
    assert ask(old.with_name("journal.db.backup-1"), "pragma user_version") == [(1,)]


async def test_a_step_that_fails_leaves_the_journal_as_it_was(old: Path) -> None:
    with sqlite3.connect(old) as db:
        db.execute("create table run_of_1 (x)")  # in the way of the step
    db.close()
    before = ask(old, "select * from run")
    with pytest.raises(Exception, match="cannot be used"):
        SqliteStore(old, FakeClock())
    assert ask(old, "pragma user_version") == [(1,)]
    assert ask(old, "select * from run") == before


async def test_an_open_journal_keeps_others_from_changing_its_schema(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    store = SqliteStore(path, FakeClock())
    with pytest.raises(BlockingIOError), schema.alone(tmp_path / "journal.lock"):
        pass
    await store.close()
    with schema.alone(tmp_path / "journal.lock"):
        pass


def test_a_newer_schema_is_refused_and_the_way_out_is_named(old: Path) -> None:
    with sqlite3.connect(old) as db:
        db.execute("pragma user_version=99")
    db.close()
    before = old.read_bytes()
    with pytest.raises(SchemaError, match="has schema 99, this standpipe knows 2") as raised:
        SqliteStore(old, FakeClock(), create=False)
    assert "update standpipe" in raised.value.hint
    assert old.read_bytes() == before


def test_what_is_not_there_is_not_migrated(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        SqliteStore(tmp_path / "journal.db", FakeClock(), create=False)
    assert not list(tmp_path.iterdir())
