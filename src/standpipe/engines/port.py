"""The seam: who works on which run, and when. Every engine passes `testing/engine_suite.py`.

Rule 1: an engine starts segments. What happened, and what may happen next, is in the journal, which wins.
Rule 2: it may start a run twice, late, or never: fences keep the first harmless, a sweep over `due` ends the last.
Rule 3: whoever works on a run owns it for that long, and is the only one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeAlias

LOOK_SECONDS = 0.05

Work: TypeAlias = Callable[[str], Awaitable[None]]  # owns a run and takes it to an end
Told: TypeAlias = Callable[[Exception], None]


class Worker(Protocol):
    """A process that works on runs, or did; whoever keeps the list says by its own clock who lives."""

    @property
    def id(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def alive(self) -> bool: ...


@dataclass(slots=True, kw_only=True, eq=False)
class Hold:
    """A run that is ours. Ask it before every effect; it ends with the context that gave it.

    owner: what `Store.start_segment` is told, empty where no lease is kept.
    lost: somebody else owns the run now; nothing that we write about it is taken any more.
    wanted: this process wants to give it back: end what is in flight, begin nothing.
    """

    run: str
    owner: str = ""
    sure: Callable[[], bool] = lambda: True
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    wanted: asyncio.Event = field(default_factory=asyncio.Event)

    def may_start(self) -> bool:
        """Whether an effect may start now."""
        return not self.over() and self.sure()

    async def ready(self) -> bool:
        """Wait for as long as nobody can tell whether the run is still ours; False if this segment is to end."""
        while not self.may_start():
            if self.over():
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True

    def over(self) -> bool:
        """Whether this segment is to begin nothing more."""
        return self.lost.is_set() or self.wanted.is_set()


class Engine(Protocol):
    """`told` hears what stands in the way of all runs, once per trouble."""

    told: Told

    async def submit(self, run: str) -> None:
        """Let some worker begin a run that is in the journal, when it is due."""
        ...

    async def wake(self, run: str, at: datetime | None = None) -> None:
        """Let some worker go on with a run, at once or at a time."""
        ...

    async def cancel(self, run: str) -> None:
        """Take a run that nobody began out of its queue; the wish to end it is in the journal already."""
        ...

    def owning(self, run: str) -> AbstractAsyncContextManager[Hold]:
        """Own a run for as long as the context lasts.

        Raises:
            OwnedError: somebody living owns it.
        """
        ...

    async def run_worker(
        self, work: Work, *, queue: str = "", concurrency: int = 1, stop: asyncio.Event
    ) -> None:
        """Work on what is due, `concurrency` runs at once, until `stop`; then give every run back.

        Cancelling it ends what is in flight too.
        """
        ...

    async def live_workers(self) -> Sequence[Worker]:
        """Return the workers that are alive."""
        ...


class Leases(Protocol):
    """What a store of many machines adds: owners that must say again and again that they live."""

    async def lease(self, run: str, worker: str, ttl_seconds: float) -> bool:
        """Let `worker` own a run that nobody living owns; False where somebody does."""
        ...

    async def beat(self, worker: str, host: str, ttl_seconds: float) -> frozenset[str]:
        """Say that `worker` lives, make its leases longer, and return the runs it still holds."""
        ...

    async def release(self, run: str, worker: str) -> None:
        """Give a run back."""
        ...

    async def workers(self) -> Sequence[Worker]:
        """Return all workers that were ever heard of here."""
        ...


class Ownership(Protocol):
    """Who may work on a run, and who is at work."""

    def owning(self, run: str) -> AbstractAsyncContextManager[Hold]:
        """Own a run for as long as the context lasts.

        Raises:
            OwnedError: somebody living owns it.
        """
        ...

    def at_work(self) -> AbstractAsyncContextManager[None]:
        """Be one of the living workers."""
        ...

    def give_back(self) -> None:
        """Want every run back, also those that are taken from now on."""
        ...

    async def workers(self) -> Sequence[Worker]:
        """Return the workers that are alive."""
        ...
