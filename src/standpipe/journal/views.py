"""Questions to the journal, answered by pure folds."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from standpipe.actions import Action, Effect, Label, Tool, join
from standpipe.errors import StateError
from standpipe.governor.recovery import Alternate, Escalate, Refresh, Retry, Wait
from standpipe.ids import response_of
from standpipe.journal.entries import (
    AnswerGiven,
    BlockedRaised,
    CancelRequested,
    Decided,
    Entry,
    InDoubt,
    Intended,
    ModelRefused,
    Proposed,
    Reconciled,
    RunCreated,
    ScopeSet,
    SegmentStarted,
    Settled,
    Verdict,
)
from standpipe.journal.states import State, state_after
from standpipe.outcomes.outcome import Failed, Kind, Outcome, Refused, Succeeded, Unknown
from standpipe.policy.decision import Allow, Ask, Decision, Deny

PROGRESS_MAX = 4  # the same failure so often is none, whatever was edited in between
KEYED_ATTEMPTS_MAX = 3  # after that the other side does not honour the key, or is gone


class Decide(Struct, frozen=True):
    """Nobody has decided; or somebody has answered, and `answer` says what."""

    answer: str | None = None
    by: str = ""


class Intend(Struct, frozen=True):
    """It may happen: write the intent of this attempt, then act."""

    attempt: int


class Repeat(Struct, frozen=True):
    """The intent is on disk, and acting on it (again) does no harm: same attempt, same key."""

    attempt: int


class Reconcile(Struct, frozen=True):
    """It may have happened: ask `verify` first."""

    attempt: int


class Doubt(Struct, frozen=True):
    """It may have happened and there is nothing to ask: a human has to say."""

    attempt: int


class Settle(Struct, frozen=True):
    """A human said what became of it."""

    attempt: int
    answer: str
    by: str


class LeaveOut(Struct, frozen=True):
    """It failed, and a person said to go on without it."""

    by: str


class Tell(Struct, frozen=True):
    """It is over, or held: tell what stands, do nothing."""


Step = Decide | Intend | Repeat | Reconcile | Doubt | Settle | LeaveOut | Tell


def next_step(action: Action, story: Sequence[Entry], answers: Mapping[str, AnswerGiven]) -> Step:
    """Return what may happen next with an action after its `story` (the table of `states.py`, read).

    Raises:
        StateError: this id was proposed before with another call.
    """
    bodies = [entry.body for entry in story]
    _same_call(action, story)
    match state_after(bodies, action=action.id):
        case State.NEW | State.PROPOSED:
            return Decide()
        case State.HELD:
            return _held(story, answers)
        case State.ALLOWED | State.ABSENT:
            return Intend(attempts(story) + 1) if _still_holds(action, story) else Decide()
        case State.INTENDED | State.UNKNOWN as state:
            once = any(isinstance(b, Proposed) and b.effect is Effect.ONCE for b in bodies)
            return _after_intent(action.tool, state, attempts(story), once=once)
        case State.IN_DOUBT:
            return _in_doubt(bodies[-1], answers)
        case State.FAILED:
            step = _after_failure(bodies[-1], attempts(story))
            return step if step == Tell() or _still_holds(action, story) else Decide()
        case _:
            return Tell()


def _same_call(action: Action, story: Sequence[Entry]) -> None:
    for entry in story:
        match entry.body:
            case Proposed(tool=tool, arguments=arguments) if (tool, arguments) != (
                action.tool.name,
                action.arguments,
            ):
                raise StateError(
                    f"action `{action.id}` was proposed before with other arguments",
                    hint="a decision holds for one exact call; a new call needs a new id",
                )
            case _:
                pass


def _still_holds(action: Action, story: Sequence[Entry]) -> bool:
    """A decision holds for one exact call and manifest; a changed one is decided again."""
    decided = [entry.body.digest for entry in story if isinstance(entry.body, Decided)]
    return bool(decided) and decided[-1] == action.digest


def _held(story: Sequence[Entry], answers: Mapping[str, AnswerGiven]) -> Step:
    match story[-1].body:
        case Decided(blocker=blocker) if blocker in answers:
            given = answers[blocker]
            return Decide(given.answer, given.by)
        case _:
            return Tell()


def _after_intent(tool: Tool, state: State, attempt: int, *, once: bool) -> Step:
    """`once`: what the tool was when it was tried; a manifest that changed since excuses nothing."""
    if state is State.INTENDED and not once and tool.effect is not Effect.ONCE:
        return Repeat(attempt)
    if tool.verify:
        return Reconcile(attempt)
    if tool.idempotency_key and attempt < KEYED_ATTEMPTS_MAX:
        return Repeat(attempt) if state is State.INTENDED else Intend(attempt + 1)
    return Doubt(attempt)


def _in_doubt(last: object, answers: Mapping[str, AnswerGiven]) -> Step:
    match last:
        case InDoubt(attempt=attempt, blocker=blocker) if blocker in answers:
            return Settle(attempt, answers[blocker].answer, answers[blocker].by)
        case _:
            return Tell()


def _after_failure(last: object, attempt: int) -> Step:
    match last:
        case Settled(recovery=Retry() | Wait() | Refresh()):
            return Intend(attempt + 1)
        case _:
            return Tell()


def attempts(story: Iterable[Entry]) -> int:
    """Count the intents of an action: how often it may have been tried."""
    return sum(isinstance(entry.body, Intended) for entry in story)


def standing(story: Sequence[Entry]) -> Decision | None:
    """Return the decision that stands for an action, if anybody has decided."""
    decided = [entry.body for entry in story if isinstance(entry.body, Decided)]
    return decided[-1].decision if decided else None


def outcome_of(story: Sequence[Entry]) -> Outcome:
    """Return what became of an action; a gap after the intent means that nobody knows."""
    last = story[-1].body if story else None
    match last:
        case Settled(outcome=outcome):
            return outcome
        case Reconciled(verdict=Verdict.HAPPENED, value=value, by=by):
            return Succeeded(value, by=by)
        case Reconciled(verdict=Verdict.GAVE_UP, by=by):
            return Failed(Kind.IN_DOUBT, f"{by} said that nobody can tell; it was given up")
        case InDoubt(what=what, blocker=blocker):
            return Unknown(what, blocker=blocker)
        case Decided(decision=Ask(reason=reason), blocker=blocker):
            return Refused(reason, blocker=blocker)
        case Decided(decision=Deny(reason=reason)):
            return Refused(reason)
        case Decided(decision=Allow()):
            return Refused("it may happen, and waits until the other side may be asked")
        case _:
            return Unknown("interrupted; it may have happened")


def alternate_of(story: Sequence[Entry]) -> str | None:
    """Return the tool that was tried instead, if the last recovery says so."""
    match story[-1].body if story else None:
        case Settled(recovery=Alternate(tool=tool)):
            return tool
        case _:
            return None


def tried_again_at(entry: Entry) -> datetime | None:
    """Return the time before which a waiting action must not be tried."""
    match entry.body:
        case Settled(recovery=Wait(delay_seconds=delay)):
            return datetime.fromisoformat(entry.at) + timedelta(seconds=delay)
        case _:
            return None


def interrupted_tree(entries: Iterable[Entry]) -> str:
    """Return the workspace before the oldest attempt nobody saw the end of; empty if there is none."""
    open_ones: dict[str, str] = {}
    for entry in entries:
        match entry.body:
            case Intended(tree=tree):
                open_ones[entry.action] = tree
            case Settled() | Reconciled():
                open_ones.pop(entry.action, None)
            case _:
                pass
    return next((tree for tree in open_ones.values() if tree), "")


def created(entries: Sequence[Entry]) -> RunCreated:
    """Return what a run is about."""
    for entry in entries:
        if isinstance(entry.body, RunCreated):
            return entry.body
    raise StateError("a run without a beginning", hint="`standpipe journal verify`")


def answers(entries: Iterable[Entry]) -> dict[str, AnswerGiven]:
    """Return the answers a run has been given, by blocker."""
    return {entry.key: entry.body for entry in entries if isinstance(entry.body, AnswerGiven)}


def open_blockers(entries: Sequence[Entry]) -> dict[str, BlockedRaised]:
    """Return what a run waits for, by blocker, in the order it was raised."""
    given = answers(entries)
    return {
        entry.key: entry.body
        for entry in entries
        if isinstance(entry.body, BlockedRaised) and entry.key not in given
    }


def cancelled(entries: Iterable[Entry]) -> str | None:
    """Return who asked a run to end, if anybody did."""
    asked = [entry.body.by for entry in entries if isinstance(entry.body, CancelRequested)]
    return asked[0] if asked else None


def pointed_at(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Return the open questions of other runs that refuse calls of this segment."""
    answered, pointed = answers(entries), list[str]()
    for entry in entries:
        match entry.body:
            case SegmentStarted():
                pointed.clear()  # whoever goes on may try again
            case Decided(decision=Deny(rule="in_doubt"), recovery=Escalate(), blocker=""):
                pointed.append(entry.action)  # nobody has asked yet: its run has to go on first
            case (
                Decided(recovery=Escalate(), blocker=blocker)
                | Settled(recovery=Escalate(), blocker=blocker)
                | ModelRefused(blocker=blocker)
            ) if blocker not in answered:
                pointed.append(blocker)
            case _:
                pass
    return tuple(dict.fromkeys(filter(None, pointed)))


def seen_by_model(entries: Iterable[Entry], *, site: str, tool: str, here: str) -> int:
    """Count how often a run has failed at `site`, the failure in the response `here` included.

    For what a model gets wrong by its own arguments: it is counted per run, once per response, since
    the tool last worked or a person answered. Files that changed in between are progress, up to a point.
    """
    failed: dict[str, int] = {}  # response -> how many changes came before it
    asked: set[str] = set()
    changes = 0
    for entry in entries:
        match entry.body:
            case Settled(outcome=Succeeded(), tool=name) if name == tool:
                failed.clear()
            case Settled(outcome=Succeeded(), changes=changed) if changed:
                changes += 1
            case Settled(outcome=Failed(), site=where) if where == site:
                failed.setdefault(response_of(entry.action), changes)
            case BlockedRaised(site=where) if where == site:
                asked.add(entry.key)
            case AnswerGiven() if entry.key in asked:
                failed.clear()
            case _:
                pass
    failed.setdefault(here, changes)
    if len(failed) >= PROGRESS_MAX:
        return len(failed)
    return sum(before == changes for before in failed.values())


def scope(entries: Iterable[Entry]) -> tuple[str, ...] | None:
    """Return the tools a run may use, if it was narrowed."""
    narrowed = None
    for entry in entries:
        match entry.body:
            case RunCreated(scope=tools) | ScopeSet(tools=tools):
                narrowed = tools if narrowed is None else narrowed
            case _:
                pass
    return narrowed


def session_label(entries: Iterable[Entry]) -> Label:
    """Return the label of everything the model may have read so far: the lowest of all."""
    return join(entry.body.label for entry in entries if isinstance(entry.body, Settled))


def denials(entries: Iterable[Entry], *, outside: str) -> list[tuple[Proposed, Deny]]:
    """Return the calls that were denied, with what was proposed, oldest first.

    The calls of the response `outside` are left out: nobody had told the model when it made them.
    """
    proposed: dict[str, Proposed] = {}
    found: list[tuple[Proposed, Deny]] = []
    for entry in entries:
        match entry.body:
            case Proposed() as body if response_of(entry.action) != outside:
                proposed[entry.action] = body
            case Decided(decision=Deny() as deny) if entry.action in proposed:
                found.append((proposed[entry.action], deny))
            case _:
                pass
    return found
