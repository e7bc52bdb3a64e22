from pathlib import Path

import pytest

from standpipe.journal.store import Store
from standpipe.stores.memory import MemoryStore
from standpipe.stores.sqlite import SqliteStore
from standpipe.testing.fakes import FakeClock
from standpipe.testing.store_suite import StoreSuite


class TestMemoryStore(StoreSuite):
    @pytest.fixture
    def store(self, clock: FakeClock) -> Store:
        return MemoryStore(clock)


class TestSqliteStore(StoreSuite):
    @pytest.fixture
    def store(self, clock: FakeClock, tmp_path: Path) -> Store:
        return SqliteStore(tmp_path / "journal.db", clock)
