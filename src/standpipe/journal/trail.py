"""The way a run has come, as the rules about loops see it.

Rule 1: it is a fold over the journal, carried on as the journal grows; dropping it loses nothing.
Rule 2: attempts below the model are no steps: the agent did not choose them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from standpipe.actions import Effect, Tool
from standpipe.governor.loops import Finding, Step, look
from standpipe.governor.recovery import Refresh, Retry, Wait
from standpipe.journal.entries import Decided, Entry, Settled
from standpipe.journal.journal import Journal
from standpipe.outcomes.outcome import Kind, Succeeded
from standpipe.policy.decision import Deny

_LOOPS = (Kind.LOOP, Kind.NO_PROGRESS)


@dataclass(slots=True)
class Trail:
    """The finished calls of one run, each made a step once."""

    taken: int = 0  # outcomes looked at
    steps: list[Step] = field(default_factory=list[Step])
    places: list[int] = field(default_factory=list[int])  # `seq` of each step

    def finding(self, journal: Journal, tools: Mapping[str, Tool]) -> Finding | None:
        """Return what goes round in circles after the last call, if anything does."""
        self._go_on(journal, tools)
        found = look(self.steps)
        if found is None or found.calls:
            return found
        # What is counted over many calls starts anew once the agent was told: it has to get a chance.
        told = _told_at(journal)
        return look([s for place, s in zip(self.places, self.steps, strict=True) if place > told])

    def _go_on(self, journal: Journal, tools: Mapping[str, Tool]) -> None:
        settled = journal.of(Settled)
        for entry in settled[self.taken :]:
            body = entry.body
            if isinstance(body, Settled) and not isinstance(body.recovery, Retry | Wait | Refresh):
                began = journal.entries[0].at
                self.steps.append(_step(entry, body, tools.get(body.tool), began))
                self.places.append(entry.seq)
        self.taken = len(settled)


def _step(entry: Entry, body: Settled, tool: Tool | None, began: str) -> Step:
    acts = tool is not None and tool.effect is Effect.ONCE and tool.origin != "agent"
    since = datetime.fromisoformat(entry.at) - datetime.fromisoformat(began)
    return Step(
        tool=body.tool,
        call=body.call,
        came=body.came,
        ok=isinstance(body.outcome, Succeeded),
        empty=body.empty,
        changed=bool(body.changes) or acts,
        poll_seconds=tool.poll_seconds if tool else None,
        at_seconds=since.total_seconds(),
    )


def _told_at(journal: Journal) -> int:
    """Return the place of the last time the agent was told that it gets nowhere."""
    told = [
        entry.seq
        for entry in journal.of(Decided)
        if isinstance(entry.body, Decided)
        and isinstance(entry.body.decision, Deny)
        and entry.body.decision.rule in _LOOPS
    ]
    return told[-1] if told else 0
