"""The decision log of a run: who decided what, and WHY.

Rule 1: what the rules simply allow is no decision worth a line; everything else is.
Rule 2: a question and its answer are two decisions: one by the runtime, one by a person.
"""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from standpipe.desk.phrases import call_text
from standpipe.governor.recovery import Alternate, Escalate, Recovery, Skip, Stop
from standpipe.journal.entries import (
    AnswerGiven,
    BlockedRaised,
    CancelRequested,
    Decided,
    Entry,
    ModelFailed,
    Noted,
    Proposed,
    Restored,
    ScopeSet,
    Settled,
)
from standpipe.policy.decision import Ask, Deny

_OURS = frozenset({"runtime", "clock", "standpipe", "verify"})


class Decision(Struct, frozen=True, kw_only=True):
    """One decision, with the reason beside it."""

    at: str
    by: str  # agent | runtime | human
    what: str
    why: str
    alternatives: tuple[str, ...] = ()


def decisions(entries: Iterable[Entry]) -> Iterator[Decision]:
    """Yield the decisions of a run in their order."""
    calls: dict[str, Proposed] = {}
    asks: dict[str, BlockedRaised] = {}
    for entry in entries:
        match entry.body:
            case Proposed() as body:
                calls[entry.action] = body
            case BlockedRaised() as body:
                asks[entry.key] = body
            case _:
                pass
        told = _by_people(entry, asks) or _by_rules(entry, calls) or _by_governor(entry)
        if told:
            yield told


def _by_people(entry: Entry, asks: Mapping[str, BlockedRaised]) -> Decision | None:
    match entry.body:
        case AnswerGiven(answer=answer, by=by):
            ask = asks[entry.key].ask if entry.key in asks else ""
            who = "runtime" if by in _OURS else "human"
            return Decision(at=entry.at, by=who, what=f"answered {entry.key}: {answer}", why=ask)
        case Noted(by=by, what=what, why=why, alternatives=others):
            return Decision(at=entry.at, by=by, what=what, why=why, alternatives=others)
        case ScopeSet(tools=tools, why=why):
            return Decision(at=entry.at, by="agent", what=f"uses only {', '.join(tools)}", why=why)
        case CancelRequested(by=by):
            return Decision(
                at=entry.at, by="human", what="cancelled the run", why=f"{by} asked for it"
            )
        case Restored(changes=changes, by=by):
            what = f"took back {len(changes)} of the files it changed"
            return Decision(at=entry.at, by="human", what=what, why=f"{by} asked for it")
        case _:
            return None


def _by_rules(entry: Entry, calls: Mapping[str, Proposed]) -> Decision | None:
    call = calls.get(entry.action)
    name = call_text(call.tool, call.arguments) if call else entry.action
    match entry.body:
        case Decided(by=by) if by != "policy":
            return None  # the answer itself is the decision
        case Decided(decision=Deny(reason=reason)):
            return Decision(at=entry.at, by="runtime", what=f"did not allow {name}", why=reason)
        case Decided(decision=Ask(reason=reason, kind=kind)) if kind != "question":
            what = f"held {name} and asked"
            return Decision(at=entry.at, by="runtime", what=what, why=reason)
        case _:
            return None


def _by_governor(entry: Entry) -> Decision | None:
    match entry.body:
        case Settled(tool=tool, recovery=recovery) | ModelFailed(model=tool, recovery=recovery):
            what = _chosen(tool, recovery)
            return (
                Decision(at=entry.at, by="runtime", what=what, why=recovery.why) if what else None
            )
        case _:
            return None


def _chosen(tool: str, recovery: Recovery) -> str:
    match recovery:
        case Alternate(tool=other):
            return f"tried `{other}` instead of `{tool}`"
        case Escalate():
            return f"stopped trying `{tool}` and asked a person"
        case Skip():
            return f"went on without `{tool}`"
        case Stop():
            return f"stopped the run at `{tool}`"
        case _:
            return ""
