"""Which failures a run met, and which of them are still open.

Rule 1: a failure is resolved by a later success of the same kind of call, by an alternate that worked,
or by a human's answer. Nothing else resolves it, least of all the agent's opinion.
Rule 2: a `not_found` of a read stops blocking the end once the agent went on and succeeded elsewhere.
Rule 3: attempts below the model are attempts; a call counts once, however often it was tried.
Rule 4: a site is open while one of its calls is: what worked later for another call mends only that one.
"""

from collections.abc import Sequence

from msgspec import Struct

from standpipe.actions import Effect
from standpipe.governor.recovery import Recovery, Refresh, Retry, Skip, Wait
from standpipe.governor.sites import resolves
from standpipe.ids import proposed_id
from standpipe.journal.entries import (
    BlockedRaised,
    Decided,
    Entry,
    ModelFailed,
    ModelResponded,
    Proposed,
    Reconciled,
    Settled,
    Verdict,
)
from standpipe.journal.tried import tried
from standpipe.journal.views import answers
from standpipe.outcomes.outcome import Failed, Kind, Succeeded, Unknown

INSTEAD = " worked instead"
SKIP = "skip"  # the answer to a failure with which a person lets the run go on without it


class Failure(Struct, frozen=True, kw_only=True):
    """One site a run failed at; `overcome_by` is empty while nothing has resolved it.

    `count` is how many calls failed there, `attempts` how often they were tried in all; `tried` says
    what was done about it below the model.
    """

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
    code: str = ""
    host: str = ""
    tried: tuple[str, ...] = ()
    overcome_by: str = ""

    @property
    def open(self) -> bool:
        return not self.overcome_by


def failures(entries: Sequence[Entry]) -> list[Failure]:
    """Return the failures of a run by site, in the order of their first appearance."""
    return [_failure(group, entries) for group in _sites(entries).values()]


def failure_at(entry: Entry, entries: Sequence[Entry]) -> Failure:
    """Return the failure of the site at which `entry`, an outcome of this run, failed."""
    return _failure(_sites(entries)[_site(entry) or entry.key], entries)


def unresolved(entries: Sequence[Entry]) -> list[Failure]:
    """Return the failures that keep a run from being done; a `done` that was sent back is not one."""
    return [failure for failure in failures(entries) if failure.open and failure.tool != "done"]


def _sites(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    sites: dict[str, list[Entry]] = {}
    for entry in entries:
        site = _site(entry)
        if site is not None:
            sites.setdefault(site or entry.key, []).append(entry)
    return sites


def _site(entry: Entry) -> str | None:
    match entry.body:
        case Settled(outcome=Failed() | Unknown(), site=site) | ModelFailed(site=site):
            return site
        case _:
            return None


def _failure(group: Sequence[Entry], entries: Sequence[Entry]) -> Failure:
    calls = {_call(entry): entry for entry in group}  # the last of each
    ends = [(entry, _overcome(entry, entries)) for entry in calls.values()]
    last, overcome = next((end for end in reversed(ends) if not end[1]), ends[-1])
    tool, failed, recovery = _facts(last)
    final = [entry for entry in group if _is_final(entry)]
    return Failure(
        action=_call(last),
        tool=tool,
        kind=Kind.IN_DOUBT if isinstance(failed, Unknown) else failed.kind,
        site=_site(last) or "",
        message=failed.message,
        count=max(len(calls), len(final)),
        attempts=len(group),
        first_at=group[0].at,
        last_at=group[-1].at,
        recovery=str(recovery.__struct_config__.tag),
        why=recovery.why,
        code=failed.code if isinstance(failed, Failed) else "",
        host=failed.host if isinstance(failed, Failed) else "",
        tried=tried(group, entries),
        overcome_by=overcome,
    )


def _call(entry: Entry) -> str:
    """Name the call, or the request to the model, that an attempt belongs to."""
    return entry.action or entry.key.partition("#")[0]


def _facts(entry: Entry) -> tuple[str, Failed | Unknown, Recovery]:  # local, unpacked at once
    match entry.body:
        case ModelFailed(failed=failed, recovery=recovery, model=model):
            return model, failed, recovery
        case Settled(tool=tool, outcome=Failed() | Unknown() as outcome, recovery=recovery):
            return tool, outcome, recovery
        case body:
            raise TypeError(f"not a failure: {body!r}")


def _is_final(entry: Entry) -> bool:
    return not isinstance(_facts(entry)[2], Retry | Wait | Refresh)


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
                return f"`{tool}`{INSTEAD}" if entry.action != last.action else "a later attempt"
            case Reconciled(verdict=verdict, by=by) if about_it and verdict is not Verdict.GAVE_UP:
                return f"{by}: {verdict}"
            case Decided(recovery=Skip(), by=by) if about_it:
                return f"{by} skipped it"
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
            case Settled(outcome=Succeeded(), tool=tool, hosts=hosts) if (
                proposals[entry.action].origin != "agent"
            ):
                same_tool = tool == body.tool
                here = same_tool and (not body.host or not hosts or body.host in hosts)
                if resolves(kind, same_site=here, same_tool=same_tool):
                    return f"`{tool}` worked later"
                if missing:
                    return "the agent went on without it"
            case _:
                pass
    return ""


def _proposals(entries: Sequence[Entry]) -> dict[str, Proposed]:
    return {entry.action: entry.body for entry in entries if isinstance(entry.body, Proposed)}


def _answered(last: Entry, entries: Sequence[Entry]) -> str:
    """A question about the site is about all calls that failed there before it was asked."""
    given, site = answers(entries), _site(last)
    for entry in entries:
        match entry.body:
            case BlockedRaised() as asked if entry.key in given and entry.seq >= last.seq:
                named = asked.action and asked.action in {last.key, _call(last)}
                said = given[entry.key]
                mends = asked.kind != "wait" or skips(said.answer)  # time alone mends nothing
                if mends and (named or (site and asked.site == site)):
                    done = "skipped it in answering" if skips(said.answer) else "answered"
                    return f"{said.by} {done} {entry.key}"
            case _:
                pass
    return ""


def skips(answer: str) -> bool:
    """Return whether an answer says to go on without what failed.

    Example:
        >>> skips("skip: nobody reads it"), skips("skip the line and try again")
        (True, False)
    """
    return answer.partition(":")[0].strip().casefold() == SKIP


def _denied(body: Settled) -> str:
    """A checklist that sent the agent back is not a failure of the work."""
    match body.outcome:
        case Failed(kind=Kind.DENIED):
            return "denied"
        case _:
            return ""
