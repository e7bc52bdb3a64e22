"""The story of one action: who wanted it, why it was let through, what came of it."""

from collections.abc import Sequence

from msgspec import Struct

from standpipe.actions import Integrity
from standpipe.desk.phrases import call_text, once_said, reason, short
from standpipe.desk.sentences import Teller
from standpipe.ids import match
from standpipe.journal.entries import (
    AnswerGiven,
    BlockedRaised,
    Decided,
    Entry,
    Intended,
    Proposed,
    Reconciled,
    Settled,
)
from standpipe.journal.views import outcome_of
from standpipe.outcomes.outcome import Failed, Refused, Succeeded, Unknown
from standpipe.policy.decision import Allow, Ask, Deny


class Story(Struct, frozen=True, kw_only=True):
    """One action, told; `sentences` in the order in which they came true."""

    action: str
    tool: str
    arguments: dict[str, object]
    why: str
    sentences: tuple[str, ...]
    outcome: str


def actions(entries: Sequence[Entry]) -> list[str]:
    """Return the ids of the actions of a run, in their order."""
    return list(dict.fromkeys(entry.action for entry in entries if entry.action))


def stories(entries: Sequence[Entry]) -> list[Story]:
    """Tell the story of every action of a run."""
    return [_story(entries, action) for action in actions(entries)]


def why(entries: Sequence[Entry], typed: str) -> Story:
    """Tell the story of the action a person meant.

    Raises:
        NotFoundError: the run has no such action.
    """
    return _story(entries, match(typed, actions(entries), what="action"))


def _story(entries: Sequence[Entry], action: str) -> Story:
    story = [entry for entry in entries if entry.action == action]
    call = next(entry.body for entry in story if isinstance(entry.body, Proposed))
    told = [*_proposed(call), *_decided(story, entries), *_tried(story), _ended(story)]
    return Story(
        action=action,
        tool=call.tool,
        arguments=dict(call.arguments),
        why=call.why,
        sentences=tuple(told),
        outcome=str(outcome_of(story).__struct_config__.tag).capitalize(),
    )


def _proposed(call: Proposed) -> list[str]:
    reason = f", because: {call.why}" if call.why else ""
    told = [f"the agent proposed {call_text(call.tool, call.arguments)}{reason}"]
    if call.label.integrity is Integrity.UNTRUSTED and call.label.sources:
        told.append(f"it had read untrusted text before, in {', '.join(call.label.sources)}")
    return told


def _decided(story: Sequence[Entry], entries: Sequence[Entry]) -> list[str]:
    told: list[str] = []
    for entry in story:
        match entry.body:
            case Decided(decision=Allow(rule=rule), by="policy"):
                told.append(f"allowed by the rule `{rule}`")
            case Decided(decision=Ask(rule=rule, reason=reason), blocker=blocker):
                told.append(f"held by the rule `{rule}`: {reason}")
                told += _answer(blocker, entries)
            case Decided(decision=Deny(rule=rule, reason=reason), by="policy"):
                told.append(f"denied by the rule `{rule}`: {reason}")
            case Decided(decision=Deny(reason=reason), by=by):
                told.append(f"denied by {by}: {reason}")
            case Decided(decision=Allow(), by=by):
                told.append(f"allowed by {by}, for exactly this call")
            case _:
                pass
    return told


def _answer(blocker: str, entries: Sequence[Entry]) -> list[str]:
    told: list[str] = []
    for entry in entries:
        match entry.body:
            case BlockedRaised(ask=ask) if entry.key == blocker:
                told.append(f"{blocker} asked a person at {entry.at}: {ask}")
            case AnswerGiven(answer=answer, by=by) if entry.key == blocker:
                told.append(f"{by} answered at {entry.at}: {answer}")
            case _:
                pass
    return told


def _tried(story: Sequence[Entry]) -> list[str]:
    """Tell every attempt with what came next, in the words of the log."""
    teller, told = Teller(), list[str]()
    tries = sum(isinstance(entry.body, Intended) for entry in story)
    if tries:
        told.append(f"tried {tries} time{'s' if tries > 1 else ''}")
    for entry in story:
        line = teller.tell(entry)
        if line and isinstance(entry.body, Settled | Reconciled):
            told.append(line.text)
        match entry.body:
            case Settled(outcome=Failed() | Unknown(), recovery=recovery):
                told.append(f"because {reason(recovery.why)}")
            case _:
                pass
    return told


def _ended(story: Sequence[Entry]) -> str:
    match outcome_of(story):
        case Succeeded(value=value, by=by):
            source = "" if by == "tool" else f", says {by}"
            return f"it succeeded{source}: {short(value)}"
        case Failed(kind=kind, message=message):
            return f"it failed ({kind.replace('_', ' ')}): {once_said(message)}"
        case Unknown(message=message, blocker=blocker):
            asked = f"; {blocker} asks a person" if blocker else ""
            return f"nobody knows whether it happened: {once_said(message)}{asked}"
        case Refused(blocker=blocker) if blocker:
            return f"nothing was done; it waits for {blocker}"
        case Refused():
            return "nothing was done"
