"""Group commit: what waits at the same time is written in one transaction.

Rule 1: first come, first written. Whoever arrives while a batch is under way joins the next one.
Rule 2: a write that fails fails alone; only when the batch itself fails do all of it fail.
Rule 3: whoever stops waiting leaves the queue; once its batch has begun, the write may happen all the same.
Rule 4: a lone writer is not handed over: it writes where it stands, and gives nothing up to the loop.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

W = TypeVar("W")

BATCH_MAX = 256


class Occupied(Exception):  # noqa: N818 -- a state, not a failure; it never leaves this folder
    """Somebody else is writing just now and nothing was done: wait in the queue."""


@dataclass(slots=True, eq=False)
class Failure:
    """What came of a write that failed alone."""

    error: Exception


@dataclass(slots=True, eq=False)
class _Waiting(Generic[W]):
    work: W
    done: asyncio.Future[object]


@dataclass(slots=True)
class GroupWriter(Generic[W]):
    """Put the writes of one process in a queue.

    Args:
        commit: writes a batch in one transaction and returns what came of each, in order: its result, or a
            `Failure`. What it raises is the end of every write of the batch. It is never called twice at once.
        alone: writes one at once, without waiting, or raises `Occupied`; None where a write cannot be done so.
    """

    commit: Callable[[Sequence[W]], Awaitable[Sequence[object]]]
    alone: Callable[[W], object] | None = None
    batch_max: int = BATCH_MAX
    _queue: deque[_Waiting[W]] = field(default_factory=deque[_Waiting[W]])
    _draining: asyncio.Task[None] | None = None
    _turn: asyncio.Task[object] | None = None  # who wrote alone in this turn of the loop

    async def write(self, work: W) -> object:
        """Write `work`, with whatever else waits; return once it is on disk."""
        if self.alone is not None and self._nobody_else():
            try:
                return self.alone(work)
            except Occupied:
                pass
        loop = asyncio.get_running_loop()
        waiting = _Waiting(work, loop.create_future())
        self._queue.append(waiting)
        if not self._busy(loop):
            self._draining = loop.create_task(self._drain())
        return await waiting.done

    async def settle(self) -> None:
        """Return when nothing waits any more."""
        if self._draining and self._busy(asyncio.get_running_loop()):
            await asyncio.wait([self._draining])

    def _busy(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Tell whether a batch is under way; what an earlier loop left behind is dead."""
        task = self._draining
        return task is not None and not task.done() and task.get_loop() is loop

    def _nobody_else(self) -> bool:
        """Tell whether a task is the only one that wants to write in this turn of the loop."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if self._busy(loop):
            return False
        if self._turn is None or self._turn.get_loop() is not loop:
            self._turn = task
            loop.call_soon(self._turn_ends)
        return self._turn is task

    def _turn_ends(self) -> None:
        self._turn = None

    async def _drain(self) -> None:
        try:
            while self._queue:
                if batch := self._next_batch():
                    await self._write_batch(batch)
                    await asyncio.sleep(0)  # whoever goes on at once is in the next batch
        finally:
            self._draining = None
            while self._queue:  # the loop ends: nobody is left to write for
                self._queue.popleft().done.cancel()

    def _next_batch(self) -> list[_Waiting[W]]:
        size = min(len(self._queue), self.batch_max)
        taken = [self._queue.popleft() for _ in range(size)]
        return [waiting for waiting in taken if not waiting.done.done()]

    async def _write_batch(self, batch: Sequence[_Waiting[W]]) -> None:
        try:
            results = await self.commit([waiting.work for waiting in batch])
        except Exception as error:  # noqa: BLE001 -- told to everybody who waits for it
            results = [Failure(error)] * len(batch)
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.done.cancel()
            raise
        for waiting, result in zip(batch, results, strict=True):
            if waiting.done.done():
                continue  # it was written, and nobody waits for it any more
            if isinstance(result, Failure):
                waiting.done.set_exception(result.error)
            else:
                waiting.done.set_result(result)
