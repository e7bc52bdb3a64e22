"""Write down what may not happen, and count it like a failure: the agent is told once, a human the second time.

Rule 1: what an open question would clear points to it; nobody is asked a second time.
Rule 2: a pause that is too long for anybody parks the run with its time.
"""

from dataclasses import dataclass

from standpipe.actions import Action
from standpipe.clock import Clock
from standpipe.governor.fingerprint import fingerprints
from standpipe.governor.recovery import Escalate, Recovery, Stop, Wait, recover
from standpipe.ids import response_of
from standpipe.journal import drafts
from standpipe.journal.entries import Draft
from standpipe.journal.journal import Journal
from standpipe.journal.questions import raised
from standpipe.journal.views import denials
from standpipe.outcomes.outcome import Failed, Kind
from standpipe.policy.decision import Deny
from standpipe.policy.situation import Refusal

_CLEARED_BY_ANSWERS = ("open_site", "in_doubt")
_THE_END = ("budget", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Denials:
    """The denials of one run."""

    journal: Journal
    clock: Clock

    async def written(
        self, action: Action, deny: Deny, number: int, refusal: Refusal | None
    ) -> list[Draft]:
        """Count a denial like a failure: the agent is told once, a human the second time."""
        if refusal and deny.rule == refusal.rule in _CLEARED_BY_ANSWERS:
            mends = refusal.blocker or refusal.rule == "in_doubt"  # otherwise only its code does
            recovery = Escalate(deny.reason) if mends else Stop(deny.reason)
            known = drafts.decided(
                action, deny, number=number, recovery=recovery, blocker=refusal.blocker
            )
            return [known]
        if refusal and deny.rule == refusal.rule == "wait":
            wait = Wait(deny.reason, refusal.seconds)
            return await self._held_up(action, deny, number, wait, Kind.RATE_LIMITED)
        if deny.rule in _THE_END:
            return [drafts.decided(action, deny, number=number, recovery=Stop(deny.reason))]
        recovery = self._after_denial(action, deny)
        if isinstance(recovery, Escalate) and refusal and refusal.blocker:
            asked = refusal.blocker
            return [drafts.decided(action, deny, number=number, recovery=recovery, blocker=asked)]
        if not isinstance(recovery, Escalate):
            return [drafts.decided(action, deny, number=number, recovery=recovery)]
        return await self._held_up(action, deny, number, recovery, Kind.DENIED)

    def _after_denial(self, action: Action, deny: Deny) -> Recovery:
        failed = _denial(action.tool.origin, deny)
        before = [
            _denial(body.origin, said)
            for body, said in denials(self.journal.entries, outside=response_of(action.id))
            if body.tool == action.tool.name
        ]
        site = fingerprints(action.tool.name, action.arguments, failed).site
        seen = 1 + sum(
            fingerprints(action.tool.name, action.arguments, other).site == site for other in before
        )
        return recover(failed, tool=action.tool, attempt=1, seen=seen, jitter=0.0)

    async def _held_up(
        self, action: Action, deny: Deny, number: int, recovery: Recovery, kind: Kind
    ) -> list[Draft]:
        question = await raised(
            self.journal, self.clock, action, Failed(kind, deny.reason), recovery
        )
        decided = drafts.decided(
            action, deny, number=number, recovery=recovery, blocker=question.key
        )
        return [decided, question]


def _denial(origin: str, deny: Deny) -> Failed:
    if deny.rule in (Kind.LOOP, Kind.NO_PROGRESS):
        return Failed(Kind(deny.rule), deny.reason, code=deny.rule)
    kind = Kind.UNKNOWN_TOOL if origin == "unknown" else Kind.DENIED
    return Failed(kind, deny.reason, code=deny.rule)
