"""Write down what became of an attempt nobody saw the end of: by `verify`, or by a human.

Rule 1: `verify` may be believed only once the other side had its time.
Rule 2: where nobody can tell, a human is asked, once; nothing is repeated blindly.
"""

from dataclasses import dataclass

from standpipe.actions import Action, Change, Result, Returned
from standpipe.clock import Clock, moment
from standpipe.journal import drafts
from standpipe.journal.entries import Entry, Intended, SegmentStarted, Verdict
from standpipe.journal.journal import Journal
from standpipe.journal.questions import new_blocker
from standpipe.journal.views import Settle

VERIFIED_ATTEMPTS_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """The doubts of one run."""

    journal: Journal
    clock: Clock

    async def doubt(self, action: Action, attempt: int) -> None:
        """Write down that nobody can tell, and ask."""
        blocker = await new_blocker(self.journal.store)
        now = self.clock.now()
        await self.journal.append(
            *drafts.in_doubt(action, attempt=attempt, blocker=blocker, now=now)
        )

    async def verified(
        self, action: Action, attempt: int, found: Result, changes: tuple[Change, ...] = ()
    ) -> None:
        """Write down what `verify` says; where it cannot tell, or says no too often, ask a human."""
        match found:
            case Returned(value=False) if attempt < VERIFIED_ATTEMPTS_MAX:
                await self._reconcile(action, attempt, Verdict.ABSENT, by="verify", changes=changes)
            case Returned(value=value) if value is not None and value is not False:
                await self._reconcile(
                    action, attempt, Verdict.HAPPENED, by="verify", value=value, changes=changes
                )
            case _:
                await self.doubt(action, attempt)

    async def answered(
        self, action: Action, said: Settle, found: Result, changes: tuple[Change, ...] = ()
    ) -> None:
        """Write down what a human says became of it; a receipt found meanwhile is stronger than a no."""
        word = said.answer.strip().casefold()
        receipt = found.value if isinstance(found, Returned) else None
        if word in {"yes", "y"} or (receipt and receipt is not False):
            verdict = Verdict.HAPPENED
        else:
            verdict = Verdict.ABSENT if word in {"no", "n"} else Verdict.GAVE_UP
        await self._reconcile(
            action, said.attempt, verdict, by=said.by, value=receipt or None, changes=changes
        )

    def seconds_left(self, action: Action) -> float:
        """Return how long the other side has yet, before `verify` may be believed."""
        story = self.journal.story(action.id)
        intended = [entry for entry in story if isinstance(entry.body, Intended)][-1]
        return action.tool.verify_after_seconds - self._seconds_since(intended)

    def _seconds_since(self, intended: Entry) -> float:
        """Say how long ago it was; a jump of the clock, or the wrong one of another machine, is no time."""
        passed = (self.clock.now() - moment(intended.at)).total_seconds()
        ticks = intended.body.ticks if isinstance(intended.body, Intended) else None
        if ticks is not None and self._boot(intended.epoch) == self._boot(self.journal.epoch) != "":
            return self.clock.monotonic() - ticks
        return passed

    def _boot(self, epoch: int) -> str:
        """Return which start of which machine a segment ran in; empty where nobody can tell."""
        for entry in self.journal.of(SegmentStarted):
            if entry.epoch == epoch and isinstance(entry.body, SegmentStarted):
                return entry.body.process_started.partition("-")[0]
        return ""

    async def _reconcile(
        self, action: Action, attempt: int, verdict: Verdict, *, by: str,
        value: object = None, changes: tuple[Change, ...] = (),
    ) -> None:  # fmt: skip
        """Write down what `verify`, or a human, knows."""
        await self.journal.append(
            drafts.reconciled(action, verdict, attempt=attempt, by=by, value=value, changes=changes)
        )
