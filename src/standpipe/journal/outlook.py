"""What the gate may know before it decides: the run so far, and what the home remembers.

Rule 1: everything here is read from the journal and its projections; nothing is kept beside them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from standpipe.actions import Action, Effect, Tool
from standpipe.clock import Clock
from standpipe.governor.budget import Limits, Spent, over
from standpipe.journal.drafts import call_digest
from standpipe.journal.entries import (
    AnswerGiven,
    CancelRequested,
    Entry,
    ModelResponded,
    Proposed,
    Restored,
    RunCreated,
    RunLost,
    ScopeSet,
    SegmentStarted,
)
from standpipe.journal.journal import Journal
from standpipe.journal.readings import readings, texts
from standpipe.journal.refusals import Refusals, View
from standpipe.journal.trail import Trail
from standpipe.journal.views import answers, cancelled, created, scope
from standpipe.policy.situation import Reading, Refusal, Situation, normal

_POSTED = AnswerGiven | CancelRequested | Restored | RunLost


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Build the situation of a call. `called` names a result in a sentence."""

    journal: Journal
    clock: Clock
    steady: Callable[[], datetime]  # for the minutes a run may take
    refusals: Refusals
    limits: Limits
    tools: Mapping[str, Tool]
    egress: Sequence[str]
    wait_seconds_max: float
    trusted: Sequence[str]
    called: Callable[[str, Mapping[str, object]], str]
    secrets_in: Callable[[object], tuple[str, ...]]
    read: dict[int, Reading] = field(default_factory=dict[int, Reading])
    trail: Trail = field(default_factory=Trail)

    async def situation(self, action: Action, view: View) -> Situation:
        """Return what the rules may know about this moment."""
        entries = self.journal.entries
        return Situation(
            tools=tuple(self.tools),
            scope=scope(self.journal.of(RunCreated, ScopeSet)),
            egress=tuple(self.egress),
            trusted=tuple(map(normal, self._trusted())),
            readings=tuple(self._readings(entries)) if _lands_somewhere(action) else (),
            over_budget=over(self.limits, spent(self.journal, self.steady())),
            refusal=await self.refusal(action, view),
            secrets_in=self.secrets_in,
        )

    async def refusal(self, action: Action, view: View) -> Refusal | None:
        """Return what stands in the way of this call, here or anywhere in this home."""
        return (
            self.cancelled()
            or await self.refusals.of(action, view)
            or self._too_long(action, view.pause_seconds)
            or self._going_in_circles(action)
        )

    def cancelled(self) -> Refusal | None:
        """Return what refuses every call of a run that somebody has cancelled."""
        who = cancelled(self.journal.of(CancelRequested))
        return (
            Refusal("cancelled", f"{who} cancelled the run; nothing new is started")
            if who
            else None
        )

    def _too_long(self, action: Action, seconds: float) -> Refusal | None:
        if seconds <= self.wait_seconds_max:
            return None
        reason = f"the other side of `{action.tool.name}` asked not to be called for another {seconds:.0f} s"
        return Refusal("wait", reason, seconds=seconds)

    def _going_in_circles(self, action: Action) -> Refusal | None:
        """Refuse the call that would go on with what has led nowhere; anything else is a way out."""
        found = self.trail.finding(self.journal, self.tools)
        if found is None:
            return None
        goes_on = call_digest(action) in found.calls or (
            not found.calls and action.tool.name in found.tools
        )
        return Refusal(found.kind.value, found.message) if goes_on else None

    def _trusted(self) -> Iterator[str]:
        yield created(self.journal.of(RunCreated)).task
        yield from (given.answer for given in answers(self.journal.of(AnswerGiven)).values())
        yield from self.trusted

    def _readings(self, entries: Sequence[Entry]) -> Iterator[Reading]:
        for reading in readings(entries):
            if reading.seq not in self.read:  # a text is made ready for searching once
                self.read[reading.seq] = Reading(
                    reading.action,
                    self.called(reading.tool, reading.arguments),
                    normal("\n".join(texts(reading.value))),
                    reading.label,
                )
            yield self.read[reading.seq]


def spent(journal: Journal, now: datetime) -> Spent:
    """Return what a run has used of its budget; waiting for people costs no minutes."""
    calls = [e.body for e in journal.of(ModelResponded) if isinstance(e.body, ModelResponded)]
    costs = [body.cost_usd for body in calls if body.cost_usd is not None]
    proposed = [e.body for e in journal.of(Proposed) if isinstance(e.body, Proposed)]
    return Spent(
        model_calls=len(calls),
        actions=sum(body.origin != "agent" for body in proposed),
        seconds=_worked_seconds(journal, now),
        cost_usd=sum(costs) if costs else None,
    )


def _worked_seconds(journal: Journal, now: datetime) -> float:
    """Add up the segments; what others posted in between (answers, a cancel) is no work of ours."""
    worked, began = 0.0, ""
    for started in journal.of(SegmentStarted):
        before = (
            e.at
            for e in reversed(journal.entries[: started.seq - 1])
            if not isinstance(e.body, _POSTED)
        )
        worked += _between(began, next(before, started.at))
        began = started.at
    return worked + (now - datetime.fromisoformat(began)).total_seconds() if began else 0.0


def _between(start: str, end: str) -> float:
    if not start:
        return 0.0
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def _lands_somewhere(action: Action) -> bool:
    """Only an effect outside asks where its values came from; searching all readings is not free."""
    tool = action.tool
    return tool.effect is not Effect.READ and not tool.local and tool.origin != "agent"
