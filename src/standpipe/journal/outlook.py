"""What the gate may know before it decides: the run so far, and what the home remembers.

Rule 1: everything here is read from the journal and its projections; nothing is kept beside them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from standpipe.actions import Action, Effect
from standpipe.clock import Clock
from standpipe.governor.budget import Limits, Spent, over
from standpipe.governor.sites import Site, may_try
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
from standpipe.journal.projections import SITES, TOOLS, WAITS, ToolRow, WaitRow, read_row
from standpipe.journal.views import answers, created, readings, scope, texts
from standpipe.policy.egress import host_of
from standpipe.policy.situation import Reading, Situation, normal

_POSTED = AnswerGiven | CancelRequested | Restored | RunLost


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Build the situation of a call. `called` names a result in a sentence."""

    journal: Journal
    clock: Clock
    limits: Limits
    tools: Sequence[str]
    egress: Sequence[str]
    wait_seconds_max: float
    trusted: Sequence[str]
    called: Callable[[str, Mapping[str, object]], str]
    secrets_in: Callable[[object], tuple[str, ...]]
    read: dict[int, Reading] = field(default_factory=dict[int, Reading])

    async def situation(self, action: Action) -> Situation:
        """Return what the rules may know about this moment."""
        entries = self.journal.entries
        blocked = await self.open_site(action)
        return Situation(
            tools=tuple(self.tools),
            scope=scope(self.journal.of(RunCreated, ScopeSet)),
            egress=tuple(self.egress),
            trusted=tuple(map(normal, self._trusted())),
            readings=tuple(self._readings(entries)) if _lands_somewhere(action) else (),
            over_budget=over(self.limits, spent(self.journal, self.clock.now())),
            open_site=_refusal(blocked) if blocked else await self._pause(action),
            secrets_in=self.secrets_in,
        )

    async def open_site(self, action: Action) -> Site | None:
        """Return the site that refuses this call for now, if there is one."""
        index = read_row(ToolRow, await self.journal.store.row(TOOLS, action.tool.name))
        host = _host(action)
        for name in () if index is None else index.sites:
            site = read_row(Site, await self.journal.store.row(SITES, name))
            here = site is not None and (not host or not site.host or site.host == host)
            if site and here and not may_try(site, self.clock.now()):
                return site
        return None

    async def seen(self, site: str) -> int:
        """Return how often a site has failed since anything resolved it."""
        row = read_row(Site, await self.journal.store.row(SITES, site))
        return row.count if row else 0

    async def host_wait(self, action: Action) -> float:
        """Return the seconds for which the other side asked not to be called."""
        waits = [0.0]
        for name in filter(None, (_host(action), action.tool.name)):
            row = read_row(WaitRow, await self.journal.store.row(WAITS, name))
            if row:
                until = datetime.fromisoformat(row.from_at) + timedelta(seconds=row.delay_seconds)
                waits.append((until - self.clock.now()).total_seconds())
        return max(waits)

    async def _pause(self, action: Action) -> str | None:
        seconds = await self.host_wait(action)
        if seconds <= self.wait_seconds_max:
            return None
        return f"the other side of `{action.tool.name}` asked not to be called for another {seconds:.0f} s"

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


def _host(action: Action) -> str:
    url = action.arguments.get("url")
    return (host_of(url) or "") if isinstance(url, str) else ""


def _refusal(site: Site) -> str:
    return (
        f"`{site.tool}` failed {site.count} times the same way ({site.kind}: {site.message}) and is not tried again "
        f"until somebody answers {site.blocker or 'the question about it'}"
    )
