"""The engine of many machines: DBOS keeps queues and their limits in PostgreSQL, workers take turns from them.

Rule 1: only a worker loads DBOS. Whoever submits or answers writes the journal; the sweep of a worker asks it what
is due, by the clock of the database, and gives that a turn. A turn that was lost or never given is given then.
Rule 2: of DBOS no steps, no `recv`, no delays (they go by the clocks of the workers) and no recovery (it does
not know who died): a turn whose worker is gone by our own beats goes back into its queue.
Rule 3: a turn is a hint. The lease says who works, the journal what is to be done; a turn too many does nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime, timedelta

from standpipe.clock import Clock
from standpipe.engines.pauses import Pauses
from standpipe.engines.port import LOOK_SECONDS, Hold, Ownership, Told, Work, Worker
from standpipe.engines.turns import Turn, Turns
from standpipe.errors import BrokenJournalError, JournalError
from standpipe.journal.projections import FINAL, RUNS, RunRow, read_row
from standpipe.journal.store import Store
from standpipe.settings import QueueSettings

DEFAULT_QUEUE = "default"
SWEEP_SECONDS = 0.2
_LOOK_AGAIN_SECONDS = 2.0  # at all turns, though nothing is due
_TIDY_SECONDS = 600.0
_KEPT = timedelta(days=1)
_LOOKED_AT = 100


class DbosEngine:
    """Let the workers of many machines take runs from queues whose limits they share."""

    def __init__(
        self,
        store: Store,
        ownership: Ownership,
        *,
        turns: Turns,
        clock: Clock,
        queues: Mapping[str, QueueSettings],
    ) -> None:
        self.told: Told = lambda _error: None
        self._store = store
        self._ownership = ownership
        self._turns = turns
        self._clock = clock
        self._queues = queues
        self._silent = False
        self._news = asyncio.Event()

    async def submit(self, run: str) -> None:
        """Look at once, in a worker; elsewhere the sweep of one finds what is due."""
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
        """Work on the turns of a queue, `concurrency` at once, until `stop`; then give every run back.

        Raises:
            UsageError: DBOS cannot be used here, and what helps.
        """
        name = queue or DEFAULT_QUEUE
        settings = self._queues.get(name, QueueSettings())
        shift = _Shift(work, concurrency, stop=stop, store=self._store, clock=self._clock)
        async with self._ownership.at_work():
            await self._heard_of()
            taking = self._turns.taken(shift.take, name, settings, concurrency=concurrency)
            async with taking, shift.ended_with_us():
                await self._sweep_until(stop, shift, name)
                self._ownership.give_back()
                await shift.over()

    async def _heard_of(self) -> None:
        """Wait for our first beat: until then others take our turns for those of a dead worker."""
        while self._turns.worker not in await self._alive():  # noqa: ASYNC110 -- of a database
            await asyncio.sleep(LOOK_SECONDS)

    async def _alive(self) -> set[str]:
        return {worker.id for worker in await self.live_workers()}

    async def _sweep_until(self, stop: asyncio.Event, shift: "_Shift", queue: str) -> None:
        sweeping = asyncio.ensure_future(self._sweep_on(shift, queue))
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({sweeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if sweeping.done():
                sweeping.result()  # it does not end by itself; this is why it did
        finally:
            sweeping.cancel()
            stopping.cancel()
            await asyncio.wait({sweeping, stopping})

    async def _sweep_on(self, shift: "_Shift", queue: str) -> None:
        """Sweep for as long as this process is a worker; an outage of the database is waited for."""
        while True:
            self._news.clear()
            try:
                await self._sweep(shift, queue)
                if shift.is_time("tidy", _TIDY_SECONDS):
                    await self._turns.tidy(self._clock.now() - _KEPT)
                self._silent = False
            except BrokenJournalError:
                raise
            except JournalError as error:  # the database comes back, or somebody reads this
                if not self._silent:
                    self.told(error)
                self._silent = True
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._news.wait()

    async def _sweep(self, shift: "_Shift", queue: str) -> None:
        """Give what is due a turn, and put back the turns of the dead. Turns are read before who lives."""
        due = await self._store.due(queue, _LOOKED_AT + len(shift.pauses))
        if not due and not shift.is_time("look again", _LOOK_AGAIN_SECONDS):
            return
        turns, alive = await self._turns.waiting(), await self._alive()
        dead = [turn for turn in turns if turn.worker and turn.worker not in alive]
        lost = shift.lost(turn for turn in turns if turn.worker == self._turns.worker)
        await self._turns.put_back([*dead, *lost])
        waiting = {turn.run for turn in turns}
        for run in due:
            if run not in waiting and run not in shift.pauses:
                await self._turns.give(run, priority=await self._priority(run))

    async def _priority(self, run: str) -> int:
        row = read_row(RunRow, await self._store.row(RUNS, run))
        return row.priority if row else 0


class _Shift:
    """What one worker does with the turns it takes."""

    def __init__(
        self, work: Work, concurrency: int, *, stop: asyncio.Event, store: Store, clock: Clock
    ) -> None:
        self.pauses = Pauses(clock, store)
        self._work = work
        self._places = asyncio.Semaphore(concurrency)
        self._stop = stop
        self._store = store
        self._clock = clock
        self._is_ended = False
        self._taken: dict[str, asyncio.Task[object]] = {}
        self._lost_since: dict[str, float] = {}
        self._last: dict[str, float] = {}

    async def take(self, turn: str, run: str) -> None:
        """Work on a run, if there is still anything to do and somebody to do it."""
        task = asyncio.current_task()
        if (
            self._is_ended or not task or turn in self._taken
        ):  # put back while we had it, and ours again
            return
        self._taken[turn] = task
        try:
            async with self._places:
                if not self._stop.is_set() and run not in self.pauses:
                    await self.pauses.attempt(self._go_on, run)
        finally:
            del self._taken[turn]

    async def over(self) -> None:
        """Return when nothing is worked on any more."""
        while self._taken:
            await asyncio.wait(self._taken.values())

    def lost(self, ours: Iterable[Turn]) -> list[Turn]:
        """Return our turns that nobody here works on for a while: DBOS took them, and did not pass them on."""
        now, since = self._clock.monotonic(), self._lost_since
        idle = [turn for turn in ours if turn.id not in self._taken]
        self._lost_since = {turn.id: since.get(turn.id, now) for turn in idle}
        return [turn for turn in idle if now - self._lost_since[turn.id] > _LOOK_AGAIN_SECONDS]

    def is_time(self, what: str, seconds: float) -> bool:
        """Whether something was last done that long ago."""
        now = self._clock.monotonic()
        if now - self._last.setdefault(what, now) < seconds:
            return False
        self._last[what] = now
        return True

    @asynccontextmanager
    async def ended_with_us(self) -> AsyncGenerator[None]:
        """End what is under way where the worker itself is ended."""
        try:
            yield
        except BaseException:
            self._is_ended = True
            tasks = list(self._taken.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    async def _go_on(self, run: str) -> None:
        row = read_row(RunRow, await self._store.row(RUNS, run))
        if row and row.status not in FINAL and (row.status != "blocked" or row.wake_at):
            await self._work(run)
