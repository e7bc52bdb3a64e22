"""Does this run have to end, and as what? Asked before every request to the model.

Rule 1: `done` is true only where `done(...)` succeeded, which means that the checklist passed.
Rule 2: a stop beats a question, and a question beats the budget; only giving up waits for the answer.
Rule 3: every end says why in one sentence: kind, site, root cause, what was tried, how often, what helps.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from standpipe.governor.recovery import Escalate, Stop
from standpipe.journal.causes import helps, spenders, told
from standpipe.journal.entries import (
    BlockedRaised,
    Decided,
    Draft,
    Entry,
    ModelFailed,
    ModelRefused,
    Proposed,
    RunEnded,
    SegmentEnded,
    Settled,
)
from standpipe.journal.failures import Failure, failure_at, unresolved
from standpipe.journal.projections import FINAL
from standpipe.journal.tried import times
from standpipe.journal.views import cancelled, open_blockers, pointed_at
from standpipe.outcomes.outcome import Failed, Kind, Succeeded, Unknown
from standpipe.policy.decision import Deny

_ABOUT_FAILURES = frozenset({"failure", "wait", "in_doubt"})
_BY_RULE = {"loop": Kind.LOOP, "no_progress": Kind.NO_PROGRESS}
_AGAIN = "`done` was called again while the same failures were open"


class End(Struct, frozen=True, omit_defaults=True):
    """How a segment ends. `status`: done, failed, cancelled end the run; blocked only pauses it.

    `kind` and `site` are those of the failure that ended it, if one did.
    """

    status: str
    why: str
    summary: str = ""
    evidence: tuple[str, ...] = ()
    kind: str = ""
    site: str = ""
    waits_for: tuple[str, ...] = ()


def must_end(entries: Sequence[Entry], *, over_budget: str | None = None) -> End | None:
    """Return the end that the journal demands, if it demands one."""
    if who := cancelled(entries):
        return End("cancelled", f"{who} cancelled it")
    if end := _done(entries):
        return end
    waiting = open_blockers(entries)
    end = _stopped(entries) or _gave_up(entries)
    if end and not (waiting and end.kind == Kind.GAVE_UP):
        return end
    if waiting:
        return replace(_blocked(waiting, entries), waits_for=tuple(waiting))
    if elsewhere := pointed_at(entries):
        return replace(_refused(elsewhere, entries), waits_for=tuple(elsewhere))
    if over_budget:
        return _spent(over_budget, entries)
    return None


def closing(end: End, *, run: str, epoch: int) -> list[Draft]:
    """Say how a segment ended, and the run with it unless it only waits."""
    said = [Draft(str(epoch), SegmentEnded(end.status, end.why, end.waits_for))]
    if end.status in FINAL:
        summary = end.summary or end.why
        body = RunEnded(end.status, summary, end.evidence, end.why, kind=end.kind, site=end.site)
        said.append(Draft(run, body))
    return said


def _done(entries: Sequence[Entry]) -> End | None:
    claims: dict[str, Proposed] = {}
    for entry in entries:
        match entry.body:
            case Proposed(tool="done") as body:
                claims[entry.action] = body
            case Settled(tool="done", outcome=Succeeded()):
                arguments = claims[entry.action].arguments
                return End(
                    "done",
                    "",
                    summary=str(arguments.get("summary", "")),
                    evidence=_texts(arguments.get("evidence")),
                )
            case _:
                pass
    return None


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, list | tuple):
        return tuple(str(item) for item in cast("Sequence[object]", value))
    return (str(value),) if value else ()


def _stopped(entries: Sequence[Entry]) -> End | None:
    """Return the end that the first `Stop` of the governor means."""
    for entry in entries:
        match entry.body:
            case Settled(recovery=Stop()) | ModelFailed(recovery=Stop()):
                failure = failure_at(entry, entries)
                if failure.kind == Kind.GAVE_UP:
                    return _giving_up(failure, entries)
                return End("failed", told(failure), kind=failure.kind, site=failure.site)
            case Decided(decision=Deny(rule="budget", reason=reason), recovery=Stop()):
                return _spent(reason, entries)
            case Decided(decision=Deny() as deny, recovery=Stop()):
                return _denied(entry, deny, entries)
            case _:
                pass
    return None


def _denied(entry: Entry, deny: Deny, entries: Sequence[Entry]) -> End:
    calls = {e.action: e.body for e in entries if isinstance(e.body, Proposed)}
    call = calls[entry.action]
    refused = {
        e.action
        for e in entries
        if isinstance(e.body, Decided)
        and isinstance(e.body.decision, Deny)
        and calls[e.action].tool == call.tool
    }
    kind = Kind.UNKNOWN_TOOL if call.origin == "unknown" else _BY_RULE.get(deny.rule, Kind.DENIED)
    said = f"`{call.tool}` was refused {times(len(refused))} ({kind}): {deny.reason}"
    return End("failed", f"{said}; what helps: {helps(kind)}", kind=kind)


def _gave_up(entries: Sequence[Entry]) -> End | None:
    """Return the end of an agent that says again it is done, with nothing open but what it was told of.

    The wording of the refusals proves nothing: it follows the failures, and those are compared.
    """
    refused = [
        (at, entry)
        for at, entry in enumerate(entries)
        if isinstance(entry.body, Settled)
        and isinstance(entry.body.outcome, Failed)
        and entry.body.outcome.kind is Kind.GAVE_UP  # only `done` fails so
    ]
    if len(refused) < 2:  # noqa: PLR2004 -- it is sent back once
        return None
    *before, last = [_open_sites(entries[: at + 1]) for at, _ in refused]
    still = last & _open_sites(entries)
    if not still or not last <= set[str]().union(*before):
        return None
    return _giving_up(failure_at(refused[-1][1], entries), entries)


def _open_sites(entries: Sequence[Entry]) -> set[str]:
    return {failure.site or failure.action for failure in unresolved(entries)}


def _giving_up(failure: Failure, entries: Sequence[Entry]) -> End:
    """Say what was left open: the cause of the end is there, not in the word `done`."""
    left = [one for one in unresolved(entries) if one.kind != Kind.GAVE_UP]
    if not left:
        return End("failed", told(failure), kind=failure.kind, site=failure.site)
    how = _AGAIN if failure.tool == "done" else failure.message
    more = "".join(f"; open too: {told(one)}" for one in left[1:2])
    rest = f"; and {len(left) - 2} more" if len(left) > 2 else ""  # noqa: PLR2004 -- two were told
    why = f"the agent gave up ({failure.kind}): {how}: {told(left[0])}{more}{rest}"
    return End("failed", why, kind=failure.kind, site=left[0].site)


def _blocked(waiting: Mapping[str, BlockedRaised], entries: Sequence[Entry]) -> End:
    name, first = next(iter(waiting.items()))
    more = f" (and {len(waiting) - 1} more)" if len(waiting) > 1 else ""
    failure = _asked_about(first, entries)
    if failure is None:
        return End("blocked", f"{first.ask}{more}")
    why = _waiting_for(name, first, failure)
    return End("blocked", f"{why}{more}", kind=failure.kind, site=failure.site)


def _waiting_for(name: str, asked: BlockedRaised, failure: Failure) -> str:
    match asked.kind:
        case "wait":
            return f"waits until {asked.expires_at}, then `standpipe run` goes on: {told(failure)}"
        case "failure":
            return told(failure, then=f"then `standpipe answer {name} TEXT`, or `skip` as the TEXT")
        case _:
            return f"{asked.ask} {told(failure)}"


def _asked_about(asked: BlockedRaised, entries: Sequence[Entry]) -> Failure | None:
    """Return the failure a question is about; a held call and the agent's own question have none."""
    if asked.kind not in _ABOUT_FAILURES or not asked.action:
        return None
    for entry in reversed(entries):
        match entry.body:
            case Settled(outcome=Failed() | Unknown()) | ModelFailed():
                if asked.action in {entry.action, entry.key}:
                    return failure_at(entry, entries)
            case _:
                pass
    return None


def _refused(elsewhere: Sequence[str], entries: Sequence[Entry]) -> End:
    """Say what other runs' questions this run waits for, and what failed there."""
    asked = f"waits for the answer to {', '.join(sorted(elsewhere))}"
    for entry in reversed(entries):
        match entry.body:
            case Decided(recovery=Escalate(why=why), blocker="") if entry.action in elsewhere:
                return End("blocked", why, kind=Kind.IN_DOUBT)
            case Decided(recovery=Escalate(why=why), blocker=blocker) if blocker in elsewhere:
                return End("blocked", f"{asked}: {why}")
            case ModelRefused(why=why, blocker=blocker) if blocker in elsewhere:
                return End("blocked", f"{asked}: {why}")
            case Settled(recovery=Escalate(), blocker=blocker) if blocker in elsewhere:
                failure = failure_at(entry, entries)
                why = f"{asked}: {told(failure)}"
                return End("blocked", why, kind=failure.kind, site=failure.site)
            case _:
                pass
    return End("blocked", asked)


def _spent(said: str, entries: Sequence[Entry]) -> End:
    """Name the cap, and what it went into."""
    into = spenders(entries)
    went = f"; it went into {into}" if into else ""
    why = f"{said} ({Kind.BUDGET}){went}; what helps: {helps(Kind.BUDGET)}"
    return End("failed", why, kind=Kind.BUDGET)
