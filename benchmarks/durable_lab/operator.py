"""A person who answers every question, and tells the truth.

Rule 1: whether something happened is looked up in the ledger, once nothing of it can still be on its way.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

from durable_lab.ledger import Ledger
from durable_lab.watch import Watch

from standpipe.clock import moment
from standpipe.desk.answers import give
from standpipe.errors import StandpipeError
from standpipe.journal.entries import Proposed
from standpipe.journal.projections import BlockerRow

LOOK_SECONDS = 0.2
SURE_SECONDS = 1.0  # a request of a dead process lands within this, or never
ANSWERS = {"approval": "yes", "question": "blue", "failure": "it is mended, try again"}


@dataclass(slots=True)
class Operator:
    """Answer what waits. `answered` counts by kind."""

    watch: Watch
    ledger: Ledger
    answered: dict[str, str] = field(default_factory=dict[str, str])  # kind by blocker

    async def work(self) -> None:
        """Answer for ever."""
        while True:
            await self.watch.look()
            for row in [*self.watch.blockers.values()]:
                if row.answer is None and row.kind != "wait":
                    await self._answer(row)
            await asyncio.sleep(LOOK_SECONDS)

    async def _answer(self, row: BlockerRow) -> None:
        if (datetime.now(UTC) - moment(row.raised_at)).total_seconds() < SURE_SECONDS:
            return
        try:
            said = await self._truth(row) if row.kind == "in_doubt" else ANSWERS[row.kind]
            await give(self.watch.opened(), row.id, said, "operator")
        except StandpipeError:
            return  # withdrawn meanwhile, or the database is down: look again
        self.answered[row.id] = row.kind

    async def _truth(self, row: BlockerRow) -> str:
        for entry in await self.watch.opened().read(row.run):
            if entry.action == row.action and isinstance(entry.body, Proposed):
                return "yes" if self.ledger.effects(str(entry.body.arguments["order"])) else "no"
        raise AssertionError(f"{row.id} asks about {row.action}, which nobody proposed")
