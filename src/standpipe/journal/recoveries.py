"""What comes next after a failure: the table of the governor, asked with what the journal has counted.

Rule 1: all that is counted is read from the journal; nothing is kept beside it.
Rule 2: people see a failure in time, all waits included, so a wait gets only what is left of that.
"""

from collections.abc import Callable
from dataclasses import dataclass

from standpipe.actions import Action
from standpipe.clock import Clock, moment
from standpipe.governor.fingerprint import Fingerprints
from standpipe.governor.recovery import Recovery, recover
from standpipe.governor.sites import HOST_WIDE, MODEL_CAUSED, host_site, together
from standpipe.ids import proposed_id, response_of
from standpipe.journal.drafts import needs_human
from standpipe.journal.entries import CredentialRefreshed, Intended, SegmentStarted, Settled
from standpipe.journal.journal import Journal
from standpipe.journal.refusals import Refusals
from standpipe.journal.views import seen_by_model
from standpipe.outcomes.outcome import Failed, Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Recoveries:
    """Choose, for one run. `jitter` in [0, 1); `wait_seconds_max`: when people have to see it."""

    journal: Journal
    refusals: Refusals
    clock: Clock
    jitter: Callable[[], float]
    same_way: int
    wait_seconds_max: float

    async def choose(
        self, action: Action, outcome: Failed | Unknown, prints: Fingerprints, attempt: int
    ) -> Recovery:
        """Choose what happens after an attempt that failed, from the table and from what was counted."""
        same_way = action.tool.same_way or self.same_way
        host = outcome.host if isinstance(outcome, Failed) else ""
        return recover(
            outcome,
            tool=action.tool,
            attempt=attempt,
            seen=await self._seen(action, outcome, prints, same_way),
            refreshed=self.refreshed(action),
            jitter=self.jitter(),
            same_way=same_way,
            alternates=self._alternates_left(action),
            wait_seconds_max=self.seconds_left(action),
            repeats_left=await self.refusals.may_repeat(host)
            and not await self.refusals.is_probe(action),
        )

    def parks(self, recovery: Recovery, action: Action | None = None) -> bool:
        """Whether a recovery ends the run until somebody, or the clock, says go."""
        longest = self.seconds_left(action) if action else self.wait_seconds_max
        return needs_human(recovery, wait_seconds_max=longest)

    def seconds_left(self, action: Action) -> float:
        """Return how long a wait may still be: people see a failure in time, all waits included."""
        story = self.journal.story(action.id)
        first = next((e.at for e in story if isinstance(e.body, Settled)), "")
        if not first or self._resumed_since(first):
            return self.wait_seconds_max
        gone = (self.clock.now() - moment(first)).total_seconds()
        return max(0.0, self.wait_seconds_max - gone)

    def refreshed(self, action: Action) -> bool:
        """Whether the credential was renewed before the last attempt: a rejection then is a real one.

        A new process has lost a renewed value, so what counts is this segment.
        """
        return 0 < self._renewed(action) < self._intended(action)

    def renewed_since(self, action: Action) -> bool:
        """Whether the credential was renewed after the last attempt had started."""
        return self._renewed(action) > self._intended(action)

    def met_with(self, action: Action, host: str) -> str:
        """Return what all attempts of this call depended on: a renewed credential is no change."""
        story = self.journal.story(action.id)
        before = [e.body.depends for e in story if isinstance(e.body, Settled)]
        return together(*before, self.refusals.depends(action, host))

    def mended(self, action: Action) -> str:
        """Return the site of the call this one was tried instead of."""
        proposed = proposed_id(action.id)
        if proposed == action.id:
            return ""
        sites = [e.body.site for e in self.journal.story(proposed) if isinstance(e.body, Settled)]
        return sites[-1] if sites else ""

    async def _seen(
        self, action: Action, outcome: Failed | Unknown, prints: Fingerprints, same_way: int
    ) -> int:
        """Count the failures of a site, this one included; what a model did in one breath is done once."""
        if isinstance(outcome, Failed) and outcome.kind in MODEL_CAUSED:
            here = response_of(action.id)
            story = self.journal.entries
            return seen_by_model(story, site=prints.site, tool=action.tool.name, here=here)
        host = outcome.host if outcome.kind in HOST_WIDE and isinstance(outcome, Failed) else ""
        wide = host_site(host, prints.cause) if host else ""
        return await self.refusals.seen(action.tool.name, outcome, prints, wide, same_way)

    def _alternates_left(self, action: Action) -> tuple[str, ...]:
        return tuple(name for name in action.tool.alternates if name != action.tool.name)

    def _resumed_since(self, at: str) -> bool:
        """Whether people have seen it since: the run was blocked, and somebody went on with it."""
        return any(entry.at > at for entry in self.journal.of(SegmentStarted))

    def _renewed(self, action: Action) -> int:
        places = [
            entry.seq
            for entry in self.journal.of(CredentialRefreshed)
            if isinstance(entry.body, CredentialRefreshed)
            and entry.epoch == self.journal.epoch
            and entry.body.credential == action.tool.refresh
        ]
        return places[-1] if places else 0

    def _intended(self, action: Action) -> int:
        story = self.journal.story(action.id)
        return max((e.seq for e in story if isinstance(e.body, Intended)), default=0)
