import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from standpipe.journal.store import Store
from standpipe.journal.verify import verify
from standpipe.stores.memory import MemoryStore
from standpipe.stores.sqlite import SqliteStore
from standpipe.testing.fakes import FakeClock
from standpipe.testing.store_suite import StoreSuite, note


@asynccontextmanager
async def opened(path: Path, clock: FakeClock) -> AsyncIterator[Store]:
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
    async def store(self, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Store]:
        async with opened(tmp_path / "journal.db", clock) as store:
            yield store

    @pytest.fixture
    async def beside(self, store: Store, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Store]:
        async with opened(tmp_path / "journal.db", clock) as store:
            yield store

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
