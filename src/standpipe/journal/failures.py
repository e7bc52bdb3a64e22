"""Which failures a run met, and which of them are still open.

Rule 1: a failure is resolved by a later success of the same kind of call, by an alternate that worked,
or by a human's answer. Nothing else resolves it, least of all the agent's opinion.
Rule 2: a `not_found` of a read stops blocking the end once the agent went on and succeeded elsewhere.
Rule 3: attempts below the model are attempts; an action counts once, when its last one is settled.
"""

from collections.abc import Sequence

from msgspec import Struct

from standpipe.actions import Effect
from standpipe.governor.recovery import Recovery, Refresh, Retry, Wait
from standpipe.governor.sites import resolves
from standpipe.ids import proposed_id
from standpipe.journal.entries import (
    BlockedRaised,
    Entry,
    ModelFailed,
    ModelResponded,
    Proposed,
    Reconciled,
    Settled,
    Verdict,
)
from standpipe.journal.views import answers
from standpipe.outcomes.outcome import Failed, Kind, Succeeded, Unknown


class Failure(Struct, frozen=True, kw_only=True):
    """One site a run failed at; `overcome_by` is empty while nothing has resolved it."""

    action: str
    tool: str
    kind: str
    site: str
    message: str
    count: int
    attempts: int
    first_at: str
    last_at: str
    recovery: str
    why: str
    overcome_by: str = ""

    @property
    def open(self) -> bool:
        return not self.overcome_by


def failures(entries: Sequence[Entry]) -> list[Failure]:
    """Return the failures of a run by site, in the order of their first appearance."""
    sites: dict[str, list[Entry]] = {}
    for entry in entries:
        match entry.body:
            case Settled(outcome=Failed() | Unknown(), site=site) | ModelFailed(site=site):
                sites.setdefault(site or entry.key, []).append(entry)
            case _:
                pass
    return [_failure(group, entries) for group in sites.values()]


def unresolved(entries: Sequence[Entry]) -> list[Failure]:
    """Return the failures that keep a run from being done; a `done` that was sent back is not one."""
    return [failure for failure in failures(entries) if failure.open and failure.tool != "done"]


def _failure(group: Sequence[Entry], entries: Sequence[Entry]) -> Failure:
    first, last = group[0], group[-1]
    tool, kind, message, recovery, site = _facts(last)
    final = [entry for entry in group if _is_final(entry)]
    return Failure(
        action=last.action or last.key.partition("#")[0],
        tool=tool,
        kind=kind,
        site=site,
        message=message,
        count=len(final) or 1,
        attempts=len(group),
        first_at=first.at,
        last_at=last.at,
        recovery=str(recovery.__struct_config__.tag),
        why=recovery.why,
        overcome_by=_overcome(last, entries),
    )


def _facts(entry: Entry) -> tuple[str, str, str, Recovery, str]:  # local, unpacked at once
    match entry.body:
        case ModelFailed(failed=failed, recovery=recovery, site=site, model=model):
            return model, failed.kind, failed.message, recovery, site
        case Settled(tool=tool, outcome=Failed(kind, message), recovery=recovery, site=site):
            return tool, kind, message, recovery, site
        case Settled(tool=tool, outcome=Unknown(message, kind), recovery=recovery, site=site):
            return tool, Kind.IN_DOUBT if kind is Kind.IN_DOUBT else kind, message, recovery, site
        case body:
            raise TypeError(f"not a failure: {body!r}")


def _is_final(entry: Entry) -> bool:
    return not isinstance(_facts(entry)[3], Retry | Wait | Refresh)


def _overcome(last: Entry, entries: Sequence[Entry]) -> str:
    """Say what resolved the failure of `last`, or nothing."""
    later = [entry for entry in entries if entry.seq > last.seq]
    if isinstance(last.body, ModelFailed):
        answered = any(isinstance(entry.body, ModelResponded) for entry in later)
        return "a later answer of the model" if answered else _answered(last, entries)
    body = last.body
    assert isinstance(body, Settled)  # noqa: S101 -- `_facts` raised for everything else
    return (
        _same_action(last, later)
        or _later_success(last, body, later, entries)
        or _answered(last, entries)
        or _denied(body)
    )


def _same_action(last: Entry, later: Sequence[Entry]) -> str:
    for entry in later:
        about_it = proposed_id(entry.action) == proposed_id(last.action)
        match entry.body:
            case Settled(outcome=Succeeded(), tool=tool) if about_it:
                return tool if entry.action != last.action else "a later attempt"
            case Reconciled(verdict=verdict, by=by) if about_it and verdict is not Verdict.GAVE_UP:
                return f"{by}: {verdict}"
            case _:
                pass
    return ""


def _later_success(
    last: Entry, body: Settled, later: Sequence[Entry], entries: Sequence[Entry]
) -> str:
    """The agent's own tools resolve nothing: neither a decision nor a note mends what failed."""
    if not isinstance(body.outcome, Failed):
        return ""
    kind, proposals = body.outcome.kind, _proposals(entries)
    missing = kind is Kind.NOT_FOUND and proposals[last.action].effect is Effect.READ
    for entry in later:
        match entry.body:
            case Settled(outcome=Succeeded(), tool=tool, host=host) if (
                proposals[entry.action].origin != "agent"
            ):
                same_tool = tool == body.tool
                if resolves(kind, same_site=same_tool and host == body.host, same_tool=same_tool):
                    return f"`{tool}` worked later"
                if missing:
                    return "the agent went on without it"
            case _:
                pass
    return ""


def _proposals(entries: Sequence[Entry]) -> dict[str, Proposed]:
    return {entry.action: entry.body for entry in entries if isinstance(entry.body, Proposed)}


def _answered(last: Entry, entries: Sequence[Entry]) -> str:
    given = answers(entries)
    for entry in entries:
        match entry.body:
            case BlockedRaised(action=action) if entry.key in given and entry.seq >= last.seq:
                if action and action in {last.action, last.key.partition("#")[0]}:
                    return f"{given[entry.key].by} answered {entry.key}"
            case _:
                pass
    return ""


def _denied(body: Settled) -> str:
    """A checklist that sent the agent back is not a failure of the work."""
    match body.outcome:
        case Failed(kind=Kind.DENIED):
            return "denied"
        case _:
            return ""
