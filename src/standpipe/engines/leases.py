"""Owning a run by a lease, among many machines: who does not say again and again that it lives, loses it.

Rule 1: only the clock of the database says when a lease is over. Our own, which never jumps, only says when we are
no longer sure: a ttl after the last beat that got through, counted from before it was sent. Then nothing starts.
Rule 2: a lease that ran out and that nobody took is taken up again by the next beat; no run fails by an outage.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Protocol, runtime_checkable

from standpipe.clock import Clock
from standpipe.engines.port import Hold, Leases, Worker
from standpipe.errors import OwnedError, StandpipeError
from standpipe.journal.projections import RUNS, RunRow, read_row
from standpipe.journal.store import Store

TTL_SECONDS = 2.0
BEATS_PER_TTL = 4


@runtime_checkable
class Leasing(Store, Leases, Protocol):
    """A store of many machines."""


class LeaseOwnership:
    """Let one worker at a time, on whichever machine, work on a run."""

    def __init__(
        self,
        store: Leasing,
        *,
        worker: str,
        host: str,
        clock: Clock,
        ttl_seconds: float = TTL_SECONDS,
    ) -> None:
        self._store = store
        self._worker = worker
        self._host = host
        self._clock = clock
        self._ttl = ttl_seconds
        self._moving: set[str] = set()
        self._held: dict[str, Hold] = {}
        self._sure_until: dict[str, float] = {}
        self._users = 0
        self._beating: asyncio.Task[None] | None = None
        self._ending = False

    @asynccontextmanager
    async def owning(self, run: str) -> AsyncGenerator[Hold]:
        """Own `run` for as long as the context lasts and the beats get through.

        Raises:
            OwnedError: a living worker owns it.
        """
        hold = await self._leased(run)
        try:
            async with self._beats():
                yield hold
        finally:
            del self._held[run], self._sure_until[run]
            if not hold.lost.is_set():
                await self._release(run)

    @asynccontextmanager
    async def at_work(self) -> AsyncGenerator[None]:
        """Be one of the living workers."""
        self._ending = False
        async with self._beats():
            yield

    def give_back(self) -> None:
        """Want every run back, also those that are taken from now on."""
        self._ending = True
        for hold in self._held.values():
            hold.wanted.set()

    async def workers(self) -> Sequence[Worker]:
        """Return the workers that live by the clock of the database."""
        return [worker for worker in await self._store.workers() if worker.alive]

    async def _leased(self, run: str) -> Hold:
        if run in self._held or run in self._moving:
            raise _refused(run, "this process")
        asked = self._clock.monotonic()
        with self._moved(run):
            if not await self._store.lease(run, self._worker, self._ttl):
                raise _refused(run, await self._owner(run))
            hold = Hold(run=run, owner=self._worker, sure=lambda: self._is_sure(run))
            if self._ending:
                hold.wanted.set()
            self._held[run], self._sure_until[run] = hold, asked + self._ttl
        return hold

    def _is_sure(self, run: str) -> bool:
        return self._clock.monotonic() < self._sure_until.get(run, 0.0)

    async def _owner(self, run: str) -> str:
        row = read_row(RunRow, await self._store.row(RUNS, run))
        return f"worker `{row.worker}`" if row and row.worker else "another worker"

    async def _release(self, run: str) -> None:
        """Give a run back; a lease that cannot be given back runs out."""
        with self._moved(run), suppress(StandpipeError, OSError, TimeoutError):
            async with asyncio.timeout(self._ttl):
                await self._store.release(run, self._worker)

    @contextmanager
    def _moved(self, run: str) -> Generator[None]:
        """Let nothing else here touch a lease that is being asked for, or given back."""
        self._moving.add(run)
        try:
            yield
        finally:
            self._moving.discard(run)

    @asynccontextmanager
    async def _beats(self) -> AsyncGenerator[None]:
        """Beat for as long as anybody needs it."""
        self._users += 1
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat_on())
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                beating, self._beating = self._beating, None
                beating.cancel()
                await asyncio.wait({beating})

    async def _beat_on(self) -> None:
        while True:
            with suppress(StandpipeError, OSError, TimeoutError):  # the holds are not sure any more
                await self._beat()
            await asyncio.sleep(self._ttl / BEATS_PER_TTL)

    async def _beat(self) -> None:
        asked, before = self._clock.monotonic(), dict(self._held)
        async with asyncio.timeout(self._ttl):
            held = await self._store.beat(self._worker, self._host, self._ttl)
        for run, hold in before.items():
            if self._held.get(run) is not hold:
                continue
            if run in held:
                self._sure_until[run] = asked + self._ttl
            else:
                hold.lost.set()
        for run in held:
            if run not in self._held and run not in self._moving:  # asked for, and then not wanted
                await self._release(run)


def _refused(run: str, owner: str) -> OwnedError:
    return OwnedError(
        f"run `{run}` is being worked on by {owner}",
        hint=f"`standpipe status` shows it; `standpipe cancel {run}` ends it",
    )
