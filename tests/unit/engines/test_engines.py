from pathlib import Path

import pytest

from standpipe.engines.inline import InlineEngine
from standpipe.engines.leases import LeaseOwnership
from standpipe.engines.locks import LockOwnership
from standpipe.journal.store import Store
from standpipe.stores.memory import MemoryStore
from standpipe.stores.sqlite import SqliteStore
from standpipe.testing.engine_suite import EngineSuite, Workers
from standpipe.testing.engines import FakeEngine, LeasingStore
from standpipe.testing.fakes import FakeClock

pytestmark = pytest.mark.timeout(120)


class TestInlineEngineOnOneMachine(EngineSuite):
    @pytest.fixture
    def store(self, clock: FakeClock, tmp_path: Path) -> Store:
        return SqliteStore(tmp_path / "journal.db", clock)

    @pytest.fixture
    def workers(self, store: Store, clock: FakeClock, tmp_path: Path) -> Workers:
        locks = tmp_path / "locks"
        return lambda name: InlineEngine(store, LockOwnership(locks, worker=name), clock=clock)


class TestInlineEngineOnManyMachines(EngineSuite):
    @pytest.fixture
    def store(self, clock: FakeClock) -> LeasingStore:
        return LeasingStore(clock)

    @pytest.fixture
    def workers(self, store: LeasingStore, clock: FakeClock) -> Workers:
        def worker(name: str) -> InlineEngine:
            ownership = LeaseOwnership(store, worker=name, host="here", clock=clock)
            return InlineEngine(store, ownership, clock=clock)

        return worker


class TestFakeEngine(EngineSuite):
    @pytest.fixture
    def store(self, clock: FakeClock) -> Store:
        return MemoryStore(clock)

    @pytest.fixture
    def workers(self, store: Store) -> Workers:
        owners: dict[str, str] = {}
        return lambda name: FakeEngine(store, owners, name=name)
