"""What the journal says meanwhile, read from a process of its own beside all writers.

Rule 1: a journal that cannot be read just now (a database that is stopped) says what it said last.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from durable_lab.stories import Story

from standpipe.clock import SystemClock, stamp
from standpipe.desk.blockers import blocker_rows, run_rows
from standpipe.errors import StandpipeError
from standpipe.journal.projections import BlockerRow, RunRow
from standpipe.journal.store import Store
from standpipe.opening import open_store

SHOWN = 200
FINAL = ("done", "failed", "cancelled")


@dataclass(slots=True)
class Watch:
    """The rows of a home as they were at the last `look`."""

    home: Path
    runs: dict[str, RunRow] = field(default_factory=dict[str, RunRow])  # by the caller's id
    blockers: dict[str, BlockerRow] = field(default_factory=dict[str, BlockerRow])
    store: Store | None = None

    async def look(self) -> None:
        try:
            store = self.opened()
            self.runs = {row.caller_id: row for row in (await run_rows(store)).values()}
            self.blockers = await blocker_rows(store)
        except StandpipeError:
            return

    def opened(self) -> Store:
        """Return the journal, opened once; nobody has made it before the first run.

        Raises:
            StandpipeError: it cannot be opened now.
        """
        if self.store is None:
            self.store = open_store(self.home)
        return self.store

    async def close(self) -> None:
        if self.store:
            await self.store.close()

    def unended(self, stories: Sequence[Story]) -> list[Story]:
        """Return the stories that have not come to an end."""
        return [story for story in stories if self.status(story) not in FINAL]

    def may_go_on(self, story: Story) -> bool:
        """Return whether a process could go on with a run now, or begin it."""
        row = self.runs.get(story.name)
        if row is None or row.status != "blocked":
            return row is None or row.status not in FINAL
        return bool(row.wake_at) and row.wake_at <= stamp(SystemClock().now())

    def owner(self, story: str) -> int:
        """Return the process that works on a run, 0 where there is none."""
        row = self.runs.get(story)
        return row.pid if row and row.status == "running" else 0

    def owners(self) -> set[int]:
        """Return the processes that work on runs."""
        return {row.pid for row in self.runs.values() if row.status == "running"}

    def status(self, story: Story) -> str:
        """Return how a run ended or where it stands; empty where it never began."""
        row = self.runs.get(story.name)
        return row.status if row else ""

    def why(self, story: Story) -> str:
        """Return what a run said at its end."""
        row = self.runs.get(story.name)
        return row.summary[:SHOWN] if row else "it never began"
