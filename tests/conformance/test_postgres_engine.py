"""The embedded engine over a real database, whose clock nobody can move."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import pytest

from standpipe.clock import Clock, SystemClock
from standpipe.engines.inline import InlineEngine
from standpipe.engines.leases import LeaseOwnership
from standpipe.stores.postgres import PostgresStore
from standpipe.testing.engine_suite import EngineSuite, Workers
from standpipe.testing.postgres import Server

HOMES = count(1)
TTL_SECONDS = 0.8

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def url(postgres: Server) -> str:
    return postgres.database()


class TestInlineEngineOnPostgres(EngineSuite):
    later_seconds = 1.0

    @pytest.fixture
    def clock(self) -> Clock:
        return SystemClock()

    async def pass_time(self, clock: Clock, seconds: float) -> None:
        del clock
        await asyncio.sleep(seconds)

    @pytest.fixture
    async def store(self, clock: Clock, url: str) -> AsyncIterator[PostgresStore]:
        store = PostgresStore(url, clock, home=f"engine {next(HOMES)}")
        yield store
        await store.close()

    @pytest.fixture
    def workers(self, store: PostgresStore, clock: Clock) -> Workers:
        def worker(name: str) -> InlineEngine:
            ownership = LeaseOwnership(
                store, worker=name, host="here", clock=clock, ttl_seconds=TTL_SECONDS
            )
            return InlineEngine(store, ownership, clock=clock)

        return worker
