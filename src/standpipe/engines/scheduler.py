"""Begin what `[[schedule]]` plans, for as long as a worker runs.

Rule 1: every worker of a home does this; the name of an occurrence makes sure that it becomes one run.
Rule 2: an occurrence is handed in with its planned time, so a worker whose clock is ahead begins nothing early.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime

from standpipe.clock import Clock, moment
from standpipe.engines.schedules import Last, Schedule, due_now
from standpipe.journal.projections import FINAL, RUNS, RunRow, read_row
from standpipe.journal.store import Store

LOOK_SECONDS = 0.5

Submit = Callable[
    [Schedule, str, datetime], Awaitable[str]
]  # schedule, caller's id, planned -> run


class Scheduler:
    """Look twice a second which occurrence is due, and submit it.

    told: hears, once each, why an occurrence could not be submitted; the others go on.
    """

    def __init__(
        self,
        schedules: Sequence[Schedule],
        store: Store,
        submit: Submit,
        *,
        clock: Clock,
        told: Callable[[Exception], None],
    ) -> None:
        self._schedules = schedules
        self._store = store
        self._submit = submit
        self._clock = clock
        self._told = told
        self._newest: dict[str, str] = {}
        self._said: set[tuple[str, str]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Look until `stop`."""
        while self._schedules and not stop.is_set():
            await self.look()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)

    async def look(self) -> None:
        """Submit what is due now."""
        for schedule in self._schedules:
            try:
                await self._begin(schedule)
            except Exception as error:  # noqa: BLE001 -- one schedule that cannot be never stops the others
                if (schedule.id, str(error)) not in self._said:
                    self._said.add((schedule.id, str(error)))
                    self._told(error)

    async def _begin(self, schedule: Schedule) -> None:
        """Ask by the run we know first; all of them are read only when something seems due."""
        now = self._clock.now()
        run = self._newest.get(schedule.id, "")
        row = read_row(RunRow, await self._store.row(RUNS, run)) if run else None
        if not due_now(schedule, _last(schedule, row), now):
            return
        row = await self._newest_row(schedule)
        if planned := due_now(schedule, _last(schedule, row), now):
            name = schedule.caller_id(planned)
            self._newest[schedule.id] = await self._submit(schedule, name, planned)
        elif row:
            self._newest[schedule.id] = row.id

    async def _newest_row(self, schedule: Schedule) -> RunRow | None:
        rows = [read_row(RunRow, row) for row in (await self._store.rows(RUNS)).values()]
        mine = [
            (planned, row) for row in rows if row and (planned := schedule.planned(row.caller_id))
        ]
        return max(mine, key=lambda one: one[0])[1] if mine else None


def _last(schedule: Schedule, row: RunRow | None) -> Last | None:
    planned = schedule.planned(row.caller_id) if row else None
    if row is None or planned is None:
        return None
    over = row.status in FINAL and row.ended_at
    return Last(planned, moment(row.ended_at) if over else None)
