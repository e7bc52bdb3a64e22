import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from standpipe.journal.store import Store
from standpipe.journal.verify import verify
from standpipe.stores.memory import MemoryStore
from standpipe.stores.sqlite import SqliteStore
from standpipe.testing.fakes import FakeClock
from standpipe.testing.store_suite import StoreSuite, note


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@asynccontextmanager
async def opened(path: Path, clock: FakeClock) -> AsyncGenerator[Store]:
    store = SqliteStore(path, clock)
    try:
        yield store
    finally:
        await store.close()


class TestMemoryStore(StoreSuite):
    @pytest.fixture
    def store(self, clock: FakeClock) -> Store:
        return MemoryStore(clock)


class TestSqliteStore(StoreSuite):
    @pytest.fixture
    async def store(self, clock: FakeClock, tmp_path: Path) -> AsyncGenerator[Store]:
        async with opened(tmp_path / "journal.db", clock) as store:
            yield store

    @pytest.fixture
    async def beside(self, store: Store, clock: FakeClock, tmp_path: Path) -> AsyncGenerator[Store]:
        async with opened(tmp_path / "journal.db", clock) as other:
            yield other

    @pytest.mark.parametrize(
        ("damage", "said"),
        [
            ("delete from entry where run = 'r1' and seq = 3", "missing, which a seal still knows"),
            ("delete from entry where run = 'r1'", "missing, which a seal still knows"),
            (
                "update entry set data = replace(data, 'x', 'y') where seq = 3",
                "not what was written",
            ),
            ("update entry set kind = 'run.ended' where seq = 3", "not what was written"),
            ("update entry set data = json_insert(data, '$.zzz', 1) where seq = 3", "not what was"),
            ("update seal set heads = '{}'", "seal 1 is not what was written"),
        ],
        ids=[
            "the last entry",
            "a whole run",
            "a word",
            "a kind",
            "a field nobody reads",
            "the seal",
        ],
    )
    async def test_what_somebody_changed_is_found(
        self, store: Store, tmp_path: Path, damage: str, said: str
    ) -> None:
        run, epoch = await self.begin(store)
        await store.append(run, epoch, [note("a", "x")])
        await store.seal()
        with sqlite3.connect(tmp_path / "journal.db") as db:
            db.execute(damage)
        verdict = await verify(store)
        assert any(said in line for line in verdict.broken)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_with_a_key_only_whoever_has_it_finds_a_journal_whole(
    kind: str, clock: FakeClock, tmp_path: Path
) -> None:
    secret = b"of the house"
    store: Store = MemoryStore(clock, secret=secret)
    if kind == "sqlite":
        store = SqliteStore(tmp_path / "journal.db", clock, secret=secret)
    await StoreSuite().begin(store)
    await store.seal()
    assert (await verify(store, secret=secret)).whole
    assert not (await verify(store, secret=b"guessed")).whole
    assert not (await verify(store)).whole
    await store.close()
