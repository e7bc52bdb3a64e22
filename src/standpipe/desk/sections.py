"""A report in the order in which a tired human needs it. Every rendering shows these sections.

Rule 1: what needs you comes first, then what a person forbade, what happened outside, files,
    decisions with why, failures.
Rule 2: the texts are foreign; whoever shows them makes them inert. Only `commands` are ours.
Rule 3: a part with nothing in it is left out, and nothing is told twice.
"""

import re
from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from standpipe.desk.changes import FileChange
from standpipe.desk.decisions import Decision
from standpipe.desk.failing import HELPS, OVERCOME, TRIED, Failure
from standpipe.desk.phrases import once_said, short, span
from standpipe.desk.report import (
    EVIDENCE,
    FINAL,
    UNVERIFIED,
    Ask,
    Call,
    Lesson,
    Line,
    Outside,
    Report,
    Usage,
)
from standpipe.desk.sentences import Tone, lesson_text
from standpipe.journal.failures import INSTEAD
from standpipe.journal.tried import times
from standpipe.outcomes.outcome import Kind

_ARGUMENT_MAX = 600
_TONES = {
    "done": Tone.GOOD,
    "running": Tone.PLAIN,
    "queued": Tone.QUIET,
    "blocked": Tone.PERSON,
    "cancelled": Tone.CARE,
}
_RECOVERED: Mapping[str, str] = {  # what is done below the model is told by `tried`
    "Return": "the agent was told",
    "Skip": "went on without it",
    "Escalate": "you were asked",
    "Stop": "the run was stopped",
}
_OUTCOMES: Mapping[str, str] = {"denied": "", "a later attempt": "then it worked"}
_SAID_NO = re.compile(r"answered b\d+: no(?:: (.*))?", re.DOTALL)
_MAY_I = re.compile(r"may I (.*)\?", re.DOTALL)
_BY_GOVERNOR = ("tried `", "stopped trying `", "stopped the run at `", "went on without `")
_ANSWERS = {"approval": "yes|no", "in_doubt": "yes|no|give-up", "failure": "TEXT|skip"}
_WAYS_ON = (
    "any answer lets it be tried once more, so say what has changed; `skip` goes on without it"
)


class Row(Struct, frozen=True, kw_only=True):
    """One line, with what stands under it, and the commands one can copy."""

    text: str
    tone: Tone = Tone.PLAIN
    details: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


class Section(Struct, frozen=True):
    """One part of the report."""

    title: str
    rows: tuple[Row, ...]


class Page(Struct, frozen=True, kw_only=True):
    """The whole report: one sentence with its circumstances, and the parts that have something to say."""

    head: Row
    sections: tuple[Section, ...]


def page(report: Report, *, now: str = "") -> Page:
    """Lay out a report; `now` is the time at which it is read, for what waits."""
    parts = (
        Section("Needs you", _needs(report, now)),
        Section("Did not happen", tuple(_forbidden(report))),
        Section("Happened outside", tuple(map(_outside, report.effects))),
        Section("Files", _files(report)),
        Section("Decisions", tuple(map(_decision, report.decisions))),
        Section("Failures", tuple(map(_failure, filter(_is_failure, report.failures)))),
        Section(
            "Checklist", tuple(_check(line) for line in report.checklist if line.name != EVIDENCE)
        ),
        Section("Lessons", tuple(map(_lesson, report.lessons))),
    )
    return Page(
        head=_head(report),
        sections=(
            *(part for part in parts if part.rows),
            Section("Usage", (_usage(report.usage),)),
        ),
    )


def call_details(call: Call | None) -> tuple[str, ...]:
    """Return the exact arguments of a call, one a line."""
    if call is None:
        return ()
    items = call.arguments.items()
    return tuple(f"{name}: {short(value, limit=_ARGUMENT_MAX)}" for name, value in items)


def answer_command(name: str, kind: str) -> str:
    """Return what one types to answer."""
    return f"standpipe answer {name} {_ANSWERS.get(kind, 'TEXT')}"


def ways_on(kind: str) -> str:
    """Say what an answer to a question does, where its words do not say so themselves."""
    return _WAYS_ON if kind == "failure" else ""


def time_left(until: str, now: str) -> str:
    """Say when a run that waits for a time may go on, and how long that is.

    Example:
        >>> time_left("2026-11-22T07:30:00.000Z", "2026-11-22T07:00:00.000Z")
        'goes on at 2026-11-22T07:30:00.000Z, in 30 min'
    """
    if not until or not now:
        return f"goes on at {until}" if until else ""
    seconds = (datetime.fromisoformat(until) - datetime.fromisoformat(now)).total_seconds()
    return f"goes on at {until}, in {span(seconds)}" if seconds > 0 else "may go on now"


def why_asked(kind: str, why: str) -> str:
    """Return the line that says why; the question about a failure has said it already."""
    return f"why: {once_said(why)}" if why and kind != "failure" else ""


def _head(report: Report) -> Row:
    ended = f", ended {report.ended_at}" if report.ended_at else ""
    claims = [_check(line).text for line in report.checklist if line.name == EVIDENCE]
    return Row(
        text=f"{report.run} {report.status}: {once_said(report.summary)}",
        tone=_TONES.get(report.status, Tone.BAD),
        details=(
            *claims,
            f"task: {report.task}",
            f"agent {report.agent}, started {report.started_at}{ended}",
        ),
    )


def _needs(report: Report, now: str) -> tuple[Row, ...]:
    if report.blocked_on or report.status in FINAL or report.status in {"running", "queued"}:
        return tuple(_ask(ask, report.run, now) for ask in report.blocked_on)
    what = "answered, and nobody has gone on yet" if report.status == "blocked" else report.summary
    return (Row(text=what, tone=Tone.PERSON, commands=(f"standpipe resume {report.run}",)),)


def _ask(ask: Ask, run: str, now: str) -> Row:
    waits = ask.kind == "wait"
    expiry = (
        time_left(ask.expires_at or "", now)
        if waits
        else "stays open; nothing is decided by silence"
    )
    details = (why_asked(ask.kind, ask.why), *call_details(ask.action), ways_on(ask.kind), expiry)
    return Row(
        text=f"{ask.id} {ask.kind.replace('_', ' ')}: {once_said(ask.ask)}",
        tone=Tone.PERSON,
        details=tuple(filter(None, details)),
        commands=(f"standpipe run {run}" if waits else answer_command(ask.id, ask.kind),),
    )


def _forbidden(report: Report) -> list[Row]:
    """Return the calls to which a person said no."""
    rows: list[Row] = []
    for decision in report.decisions if report.status in FINAL else ():
        said, call = _SAID_NO.fullmatch(decision.what), _MAY_I.fullmatch(decision.why)
        if decision.by == "human" and said and call:
            reason = f": {said[1]}" if said[1] else ""
            rows.append(Row(text=f"{call[1]}: you said no{reason}", tone=Tone.CARE))
    return rows


def _outside(effect: Outside) -> Row:
    unknown = effect.outcome == "Unknown"
    mark = "perhaps: " if unknown else ""
    end = "reversible" if effect.reversible else "cannot be taken back"
    return Row(
        text=f"{mark}{effect.summary} ({effect.action}, {end})",
        tone=Tone.CARE if unknown else Tone.PLAIN,
        details=(f"why: {effect.why}",) if effect.why else (),
    )


def _files(report: Report) -> tuple[Row, ...]:
    rows = tuple(map(_file, report.files))
    if not rows:
        return ()
    undo = (f"standpipe changes {report.run}", f"standpipe undo {report.run}")
    return (*rows[:-1], Row(text=rows[-1].text, details=rows[-1].details, commands=undo))


def _file(change: FileChange) -> Row:
    return Row(
        text=f"{change.change} {change.path} +{change.added} -{change.removed} ({change.action})",
        details=(f"why: {change.why}",) if change.why else (),
    )


def _decision(decision: Decision) -> Row:
    others = f"instead of: {', '.join(decision.alternatives)}" if decision.alternatives else ""
    told = decision.by == "runtime" and decision.what.startswith(_BY_GOVERNOR)  # as a failure
    details = (f"why: {once_said(decision.why)}" if decision.why and not told else "", others)
    return Row(text=f"{decision.by} {decision.what}", details=tuple(filter(None, details)))


def _is_failure(failure: Failure) -> bool:
    """Whether it is told here: what the checklist found stands under its own title."""
    return failure.kind != Kind.CHECKLIST


def _failure(failure: Failure) -> Row:
    often = f" {times(failure.count)}" if failure.count > 1 else ""
    kind = failure.kind.replace("_", " ")
    helps = failure.marked(HELPS)
    done = (failure.marked(TRIED), _RECOVERED.get(failure.recovery, ""), _overcome(failure))
    details = ("; ".join(filter(None, done)), f"what helps: {helps}" if helps else "")
    return Row(
        text=f"{failure.tool} failed{often} ({kind}): {once_said(failure.message)}",
        tone=Tone.QUIET if failure.overcome else Tone.BAD,
        details=tuple(filter(None, details)),
    )


def _overcome(failure: Failure) -> str:
    by = failure.marked(OVERCOME)
    tool = by.removesuffix(INSTEAD)
    if by != tool and failure.marked(TRIED).endswith(f"tried {tool}"):
        return "that worked"
    return _OUTCOMES.get(by, by)


def _check(line: Line) -> Row:
    claim = line.evidence.removeprefix(UNVERIFIED).lstrip(", ")
    unverified = line.passed and line.evidence.startswith(UNVERIFIED)
    mark = UNVERIFIED if unverified else "passed" if line.passed else "FAILED"
    evidence = once_said(claim if unverified else line.evidence)
    tone = Tone.CARE if unverified else Tone.PLAIN if line.passed else Tone.BAD
    return Row(text=f"{mark} {line.name}{f': {evidence}' if evidence else ''}", tone=tone)


def _lesson(lesson: Lesson) -> Row:
    return Row(text=f"{lesson.id} {lesson_text(lesson.statement, lesson.count)}, {lesson.rung}")


def _usage(usage: Usage) -> Row:
    cost = "price unknown" if usage.cost_usd is None else f"${usage.cost_usd:.4f}"
    return Row(
        text=f"{usage.wall_seconds:.1f} s, {cost}, {usage.model_calls} model calls, "
        f"{usage.tool_calls} tool calls in {usage.attempts} attempts, "
        f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out",
        tone=Tone.QUIET,
    )
