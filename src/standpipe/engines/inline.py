"""The embedded engine: a run is worked on by the process that asked for it, or by any worker of its home.

Rule 1: the queue is the journal's own list of runs; nothing is written down a second time.
Rule 2: a bad run never stops the others: it waits longer and longer, the loop goes on.
Rule 3: who owns a run is asked of locks on one machine, of leases on many.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime

from standpipe.clock import Clock
from standpipe.engines.pauses import Pauses
from standpipe.engines.port import Hold, Ownership, Told, Work, Worker
from standpipe.errors import BrokenJournalError, JournalError
from standpipe.journal.store import Store

POLL_SECONDS = 0.2
_LOOKED_AT = 100


class InlineEngine:
    """Claim what is due, work on it, look again."""

    def __init__(self, store: Store, ownership: Ownership, *, clock: Clock) -> None:
        self._store = store
        self._ownership = ownership
        self._clock = clock
        self._silent = False
        self.told: Told = lambda _error: None
        self._news = asyncio.Event()

    async def submit(self, run: str) -> None:
        """Look at once; a run that is due stands in the journal."""
        await self.wake(run)

    async def wake(self, run: str, at: datetime | None = None) -> None:
        """Look at once; when a run may go on stands in its row."""
        del run, at
        self._news.set()

    async def cancel(self, run: str) -> None:
        """Let a worker end the run: the wish is in its journal."""
        await self.wake(run)

    def owning(self, run: str) -> AbstractAsyncContextManager[Hold]:
        """Own a run for as long as the context lasts.

        Raises:
            OwnedError: somebody living owns it.
        """
        return self._ownership.owning(run)

    async def live_workers(self) -> Sequence[Worker]:
        """Return the workers that are alive."""
        return await self._ownership.workers()

    async def run_worker(
        self, work: Work, *, queue: str = "", concurrency: int = 1, stop: asyncio.Event
    ) -> None:
        """Work on what is due, `concurrency` runs at once, until `stop`; then give every run back."""
        # one that comes back at once is slowed down
        pauses = Pauses(self._clock, self._store, rest_seconds=POLL_SECONDS)
        async with self._ownership.at_work(), _crew(work, concurrency, pauses) as crew:
            looking = asyncio.create_task(self._look(crew, queue))
            stopping = asyncio.create_task(stop.wait())
            try:  # a database that does not answer holds up nobody who is told to stop
                await asyncio.wait({looking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                looking.cancel()
                stopping.cancel()
                await asyncio.wait({looking, stopping})
            if not looking.cancelled():
                looking.result()
            self._ownership.give_back()
            await crew.ended()

    async def _look(self, crew: "_Crew", queue: str) -> None:
        while True:
            self._news.clear()
            await self._claim(crew, queue)
            await crew.change(self._news)

    async def _claim(self, crew: "_Crew", queue: str) -> None:
        if not crew.free:
            return
        try:
            due = await self._store.due(queue, _LOOKED_AT + crew.known)
        except BrokenJournalError:
            raise
        except JournalError as error:  # the disk or the database comes back, or somebody reads this
            if not self._silent:
                self.told(error)
            self._silent = True
            return
        self._silent = False
        for run in due:
            crew.begin(run)


class _Crew:
    """The runs this worker works on, and those it leaves alone for a while."""

    def __init__(self, work: Work, concurrency: int, pauses: Pauses) -> None:
        self._work = work
        self._concurrency = concurrency
        self._pauses = pauses
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def free(self) -> int:
        """How many more may begin."""
        return self._concurrency - len(self._tasks)

    @property
    def known(self) -> int:
        """How many runs that are due would not be begun now."""
        return len(self._tasks) + len(self._pauses)

    def begin(self, run: str) -> None:
        """Begin a run, if there is room and it is not to be left alone."""
        if not self.free or run in self._tasks or run in self._pauses:
            return
        attempt = self._pauses.attempt(self._work, run)
        self._tasks[run] = asyncio.create_task(attempt, name=f"run {run}")

    async def change(self, news: asyncio.Event) -> None:
        """Return when something ended, when there is news, or after a moment."""
        waiting = asyncio.ensure_future(news.wait())
        try:
            await asyncio.wait(
                {waiting, *self._tasks.values()},
                timeout=POLL_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            waiting.cancel()
        self._clear()

    async def ended(self) -> None:
        """Return when nothing is worked on any more."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())
            self._clear()

    async def cancel(self) -> None:
        """End everything that is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _clear(self) -> None:
        for run in [run for run, task in self._tasks.items() if task.done()]:
            task = self._tasks.pop(run)
            if not task.cancelled():
                task.result()  # what is no mistake of one run, `KeyboardInterrupt`, ends the worker


@asynccontextmanager
async def _crew(work: Work, concurrency: int, pauses: Pauses) -> AsyncGenerator[_Crew]:
    crew = _Crew(work, concurrency, pauses)
    try:
        yield crew
    finally:
        await crew.cancel()
