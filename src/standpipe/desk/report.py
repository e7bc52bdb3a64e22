"""The report of a run: one object that becomes page, terminal, e-mail and JSON.

Rule 1: it is a pure fold of the run's entries; nothing in it is remembered, and no model wrote it.
Rule 2: what nobody knows is `null`: a price, an end. It is never 0 and never guessed.
Rule 3: an effect nobody saw the end of stands in the list as `Unknown`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from standpipe.actions import Effect
from standpipe.desk import decisions as log
from standpipe.desk.changes import FileChange, files
from standpipe.desk.failing import Failure, met
from standpipe.desk.phrases import did, doing, reason, receipt
from standpipe.desk.sentences import sentence
from standpipe.governor.recovery import Refresh, Retry, Wait
from standpipe.ids import proposed_id
from standpipe.journal.entries import (
    BlockedRaised,
    Check,
    Checked,
    Entry,
    Intended,
    LessonRecorded,
    ModelFailed,
    ModelResponded,
    Proposed,
    Reconciled,
    RunCreated,
    RunEnded,
    RunLost,
    SegmentEnded,
    SegmentStarted,
    Settled,
)
from standpipe.journal.projections import BlockerRow
from standpipe.journal.views import created, open_blockers, outcome_of, pointed_at
from standpipe.outcomes.outcome import Succeeded, Unknown

FINAL = frozenset({"done", "failed", "cancelled"})
UNVERIFIED = "unverified"
EVIDENCE = "evidence"  # the line of the checklist that holds what only the agent says


class Call(Struct, frozen=True):
    """The exact call a question is about."""

    id: str = ""
    tool: str = ""
    arguments: Mapping[str, object] = {}


class Ask(Struct, frozen=True, kw_only=True):
    """What only a person can give; `id` is what `answer` takes."""

    id: str
    kind: str  # approval | question | failure | in_doubt | wait
    ask: str
    why: str
    action: Call | None = None
    default: str = "park"
    expires_at: str | None = None


class Outside(Struct, frozen=True, kw_only=True):
    """Something outside that is no longer as it was, or perhaps not."""

    action: str
    tool: str
    summary: str
    why: str
    reversible: bool
    outcome: str  # Succeeded | Unknown
    at: str


class Line(Struct, frozen=True):
    """One line of the checklist."""

    name: str
    passed: bool
    evidence: str


class Lesson(Struct, frozen=True):
    """What code wrote down so that it does not happen again."""

    id: str
    statement: str
    count: int
    rung: str


class Usage(Struct, frozen=True, kw_only=True):
    """What it took. An attempt is an intent: more than one per call where something was tried again."""

    model_calls: int
    tool_calls: int
    attempts: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    wall_seconds: float


class Report(Struct, frozen=True, kw_only=True):
    """What a tired human needs to know about a run, in this order."""

    run: str
    agent: str
    task: str
    status: str  # queued | running | done | blocked | failed | cancelled | lost
    summary: str
    started_at: str
    ended_at: str | None
    blocked_on: tuple[Ask, ...]
    failures: tuple[Failure, ...]
    effects: tuple[Outside, ...]
    files: tuple[FileChange, ...]
    decisions: tuple[log.Decision, ...]
    checklist: tuple[Line, ...]
    lessons: tuple[Lesson, ...]
    usage: Usage


def report(
    entries: Sequence[Entry],
    *,
    elsewhere: Mapping[str, BlockerRow] | None = None,
    alive: bool | None = None,
) -> Report:
    """Fold a run into its report.

    `elsewhere` are the questions of the home, for a run that waits for the answer to another run's.
    `alive` is whether the run's process is still there; None where nobody looked.
    """
    begun, status = created(entries), status_of(entries, alive=alive)
    asks = () if status in FINAL else _asks(entries, elsewhere or {})
    return Report(
        run=entries[0].run,
        agent=begun.agent,
        task=f"{begun.task_id} {begun.task}".strip(),
        status=status,
        summary=_summary(entries, status, asks),
        started_at=entries[0].at,
        ended_at=_ended_at(entries, status),
        blocked_on=asks,
        failures=tuple(met(entries)),
        effects=tuple(effects(entries)),
        files=tuple(files(entries)),
        decisions=tuple(log.decisions(entries)),
        checklist=_checklist(entries),
        lessons=_lessons(entries),
        usage=_usage(entries),
    )


def status_of(entries: Sequence[Entry], *, alive: bool | None = None) -> str:
    """Return where a run stands; without a living process nothing is running."""
    status = "running"
    for entry in entries:
        match entry.body:
            case RunCreated(queue=queue) if queue:
                status = "queued"
            case RunEnded(status=ended):
                return ended
            case RunLost():
                status = "lost"
            case SegmentEnded(ended="yielded"):
                status = "lost"  # nobody works on it, and nobody is asked
            case SegmentEnded(ended=ended):
                status = ended
            case SegmentStarted():
                status = "running"
            case _:
                pass
    return "lost" if status == "running" and alive is False else status


def effects(entries: Sequence[Entry]) -> list[Outside]:
    """Return what happened outside, or may have, oldest first."""
    stories: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.action:
            stories.setdefault(entry.action, []).append(entry)
    told = (_effect(action, story) for action, story in stories.items())
    return sorted((effect for effect in told if effect), key=lambda effect: effect.at)


def _effect(action: str, story: Sequence[Entry]) -> Outside | None:
    call = story[0].body
    tried = any(isinstance(entry.body, Intended) for entry in story)
    if not tried or not isinstance(call, Proposed) or _stays_inside(call, story):
        return None
    match outcome_of(story):
        case Succeeded(value=value):
            word, name = "Succeeded", receipt(value)
        case Unknown():
            word, name = "Unknown", ""
        case _:
            return None
    what = did(call.tool, call.arguments)
    return Outside(
        action=action,
        tool=call.tool,
        summary=f"{what} (receipt {name})" if name else what,
        why=call.why,
        reversible=call.reversible,
        outcome=word,
        at=story[-1].at,
    )


def _stays_inside(call: Proposed, story: Sequence[Entry]) -> bool:
    """Return whether only files of the home, or the agent's own memory, can have changed."""
    if call.effect is Effect.READ or call.origin == "agent" or call.local:
        return True
    wrote = any(
        entry.body.changes for entry in story if isinstance(entry.body, Settled | Reconciled)
    )
    return call.reversible and wrote


def _asks(entries: Sequence[Entry], elsewhere: Mapping[str, BlockerRow]) -> tuple[Ask, ...]:
    own = [_ask(name, body) for name, body in open_blockers(entries).items()]
    others = [elsewhere[name] for name in dict.fromkeys(pointed_at(entries)) if name in elsewhere]
    known = {ask.id for ask in own}
    return (*own, *(_ask_of(row) for row in others if row.answer is None and row.id not in known))


def _ask(name: str, body: BlockedRaised) -> Ask:
    return Ask(
        id=name,
        kind=body.kind,
        ask=body.ask,
        why=body.why,
        action=Call(body.action, body.tool, body.shows) if body.action else None,
        default=body.default,
        expires_at=body.expires_at or None,
    )


def _ask_of(row: BlockerRow) -> Ask:
    return Ask(
        id=row.id,
        kind=row.kind,
        ask=row.ask,
        why=f"asked by {row.run}: {row.why}",
        action=Call(row.action, row.tool) if row.action else None,
        default=row.default,
        expires_at=row.expires_at or None,
    )


def _summary(entries: Sequence[Entry], status: str, asks: Sequence[Ask]) -> str:
    run = entries[0].run
    match status:
        case "blocked" if asks:
            more = f" (and {len(asks) - 1} more)" if len(asks) > 1 else ""
            return f"waits for {asks[0].id}: {asks[0].ask}{more}"
        case "blocked":
            return f"answered; `standpipe resume {run}` goes on"
        case "lost":
            return f"its process is gone; `standpipe resume {run}` goes on where it stopped"
        case "queued":
            return "waits for a worker"
        case "running":
            return _under_way(entries)
        case _:
            ends = [entry.body for entry in entries if isinstance(entry.body, RunEnded)]
            return (ends[-1].summary or reason(ends[-1].why)) if ends else ""


def _under_way(entries: Sequence[Entry]) -> str:
    for entry in reversed(entries):
        match entry.body:
            case Settled(recovery=Retry() | Wait() | Refresh()) | ModelFailed():
                return told.text if (told := sentence(entry)) else "thinking"
            case Settled() | Reconciled() | ModelResponded():
                return "thinking"
            case Proposed(tool=tool, arguments=arguments):
                return doing(tool, arguments)
            case _:
                pass
    return "starting"


def _ended_at(entries: Sequence[Entry], status: str) -> str | None:
    if status in {"running", "blocked", "queued"}:
        return None
    ends = [entry.at for entry in entries if isinstance(entry.body, RunEnded | RunLost)]
    return ends[-1] if ends else entries[-1].at


def _checklist(entries: Iterable[Entry]) -> tuple[Line, ...]:
    runs, claims = list[tuple[Check, ...]](), list[Line]()
    for entry in entries:
        match entry.body:
            case Checked(checks=checks):
                runs.append(checks)
            case RunEnded(status="done", evidence=evidence) if evidence:
                claims = [Line(EVIDENCE, passed=True, evidence=_claimed("; ".join(evidence)))]
            case _:
                pass
    checked = [
        Line(one.name, one.passed, one.evidence if one.verified else _claimed(one.evidence))
        for one in (runs[-1] if runs else ())
    ]
    return (*checked, *claims)


def _claimed(evidence: str) -> str:
    return f"{UNVERIFIED}, the agent says: {evidence}" if evidence else UNVERIFIED


def _lessons(entries: Iterable[Entry]) -> tuple[Lesson, ...]:
    latest = {
        entry.body.id: Lesson(
            entry.body.id, entry.body.statement, entry.body.count, entry.body.rung
        )
        for entry in entries
        if isinstance(entry.body, LessonRecorded)
    }
    return tuple(latest.values())


def _usage(entries: Sequence[Entry]) -> Usage:
    said = [entry.body for entry in entries if isinstance(entry.body, ModelResponded)]
    calls = {
        entry.action
        for entry in entries
        if isinstance(entry.body, Proposed) and entry.body.origin != "agent"
    }
    costs = [body.cost_usd for body in said if body.cost_usd is not None]
    known = len(costs) == len(said) > 0
    return Usage(
        model_calls=len(said),
        tool_calls=sum(proposed_id(action) == action for action in calls),
        attempts=sum(
            isinstance(entry.body, Intended) and entry.action in calls for entry in entries
        ),
        input_tokens=sum(body.input_tokens for body in said),
        output_tokens=sum(body.output_tokens for body in said),
        cost_usd=round(sum(costs), 6) if known else None,
        wall_seconds=_seconds(entries[0].at, entries[-1].at),
    )


def _seconds(start: str, end: str) -> float:
    passed = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    return round(passed.total_seconds(), 3)
