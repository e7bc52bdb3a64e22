"""An engine and a store with leases that live in memory, for tests; they obey the suite of the real ones."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from standpipe.clock import Clock
from standpipe.engines.port import Hold, Told, Work, Worker
from standpipe.errors import OwnedError
from standpipe.journal.entries import Draft
from standpipe.journal.store import Store
from standpipe.stores.memory import MemoryStore

_SOON = 0.01


@dataclass(frozen=True, slots=True)
class FakeWorker:
    """A worker that somebody heard of."""

    id: str
    host: str = "here"
    alive: bool = True


class FakeEngine:
    """Begin whatever is due, at once. Engines with the same `owners` are workers of one home."""

    def __init__(self, store: Store, owners: dict[str, str], *, name: str = "fake") -> None:
        self._store = store
        self._owners = owners
        self._name = name
        self.told: Told = lambda _error: None
        self._holds: set[Hold] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending = False

    async def submit(self, run: str) -> None:
        """Do nothing: what is due is looked for all the time."""

    async def wake(self, run: str, at: datetime | None = None) -> None:
        """Do nothing, as above."""

    async def cancel(self, run: str) -> None:
        """Do nothing, as above."""

    @asynccontextmanager
    async def owning(self, run: str) -> AsyncGenerator[Hold]:
        """Own a run for as long as the context lasts."""
        if owner := self._owners.get(run):
            raise OwnedError(f"run `{run}` is being worked on by {owner}", hint="wait for it")
        hold = Hold(run=run, owner=self._name)
        if self._ending:
            hold.wanted.set()
        self._owners[run] = self._name
        self._holds.add(hold)
        try:
            yield hold
        finally:
            del self._owners[run]
            self._holds.discard(hold)

    async def live_workers(self) -> Sequence[Worker]:
        """Return the workers that are alive."""
        names = [key.removeprefix("worker ") for key in self._owners if key.startswith("worker ")]
        return [FakeWorker(name) for name in names]

    async def run_worker(
        self, work: Work, *, queue: str = "", concurrency: int = 1, stop: asyncio.Event
    ) -> None:
        """Work on what is due until `stop`; then give every run back."""
        self._owners[f"worker {self._name}"] = self._name
        try:
            while not stop.is_set():
                for run in await self._store.due(queue):
                    self._begin(run, work, concurrency)
                await asyncio.sleep(_SOON)
            self._ending = True
            for hold in self._holds:
                hold.wanted.set()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        finally:
            del self._owners[f"worker {self._name}"]
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _begin(self, run: str, work: Work, concurrency: int) -> None:
        self._tasks = {name: task for name, task in self._tasks.items() if not task.done()}
        if len(self._tasks) < concurrency and run not in self._tasks and run not in self._owners:
            self._tasks[run] = asyncio.create_task(_tried(work, run))


async def _tried(work: Work, run: str) -> None:
    try:
        await work(run)
    except Exception:  # noqa: BLE001 -- one bad run never stops the others
        await asyncio.sleep(_SOON)


class LeasingStore(MemoryStore):
    """A store of many machines, in memory; `clock` is the clock of the database."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._time = clock
        self._leases: dict[str, tuple[str, float]] = {}
        self._beats: dict[str, tuple[str, float]] = {}
        self.unreachable = False

    async def start_segment(self, run: str, draft: Draft, *, owner: str = "") -> int:
        """Raise the epoch, if nobody else has a living lease."""
        if self._is_leased(run, but=owner):
            raise OwnedError(f"run `{run}` is leased by {self._leases[run][0]}", hint="wait for it")
        return await super().start_segment(run, draft, owner=owner)

    async def due(self, queue: str, limit: int = 100) -> Sequence[str]:
        """Return what may go on and is not leased."""
        found = await super().due(queue, 10**6)
        return [run for run in found if not self._is_leased(run)][:limit]

    async def lease(self, run: str, worker: str, ttl_seconds: float) -> bool:
        """Let `worker` own a run that nobody living owns."""
        self._reach()
        if self._is_leased(run, but=worker):
            return False
        self._leases[run] = worker, self._time.monotonic() + ttl_seconds
        return True

    async def beat(self, worker: str, host: str, ttl_seconds: float) -> frozenset[str]:
        """Make the leases of `worker` longer, and return the runs it still holds."""
        self._reach()
        until = self._time.monotonic() + ttl_seconds
        self._beats[worker] = host, until
        held = frozenset(run for run, (owner, _) in self._leases.items() if owner == worker)
        self._leases.update(dict.fromkeys(held, (worker, until)))
        return held

    async def release(self, run: str, worker: str) -> None:
        """Give a run back."""
        self._reach()
        if self._leases.get(run, ("", 0.0))[0] == worker:
            del self._leases[run]

    async def workers(self) -> Sequence[Worker]:
        """Return all workers that were ever heard of."""
        now = self._time.monotonic()
        return [FakeWorker(name, host, until > now) for name, (host, until) in self._beats.items()]

    def _is_leased(self, run: str, *, but: str = "") -> bool:
        owner, until = self._leases.get(run, ("", 0.0))
        return bool(owner) and owner != but and until > self._time.monotonic()

    def _reach(self) -> None:
        if self.unreachable:
            raise ConnectionError("the database does not answer")
