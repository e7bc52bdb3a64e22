"""A report in the order in which a tired human needs it. Every rendering shows these sections.

Rule 1: what needs you comes first, then what happened outside, files, decisions with why, failures.
Rule 2: the texts are foreign; whoever shows them makes them inert. Only `commands` are ours.
Rule 3: empty parts are named in one line, so that nobody wonders whether they were forgotten.
"""

from msgspec import Struct

from standpipe.desk.changes import FileChange
from standpipe.desk.decisions import Decision
from standpipe.desk.phrases import short
from standpipe.desk.report import (
    FINAL,
    Ask,
    Call,
    Failure,
    Lesson,
    Line,
    Outside,
    Report,
    Usage,
)
from standpipe.desk.sentences import Tone

_ARGUMENT_MAX = 600
_TONES = {"done": Tone.GOOD, "running": Tone.PLAIN, "blocked": Tone.PERSON, "cancelled": Tone.CARE}
_ANSWERS = {"approval": "yes|no", "in_doubt": "yes|no|give-up"}


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
    """The whole report: one sentence with its circumstances, the parts, and which parts are empty."""

    head: Row
    sections: tuple[Section, ...]
    empty: tuple[str, ...]


def page(report: Report) -> Page:
    """Lay out a report."""
    parts = (
        Section("Needs you", _needs(report)),
        Section("Happened outside", tuple(map(_outside, report.effects))),
        Section("Files", _files(report)),
        Section("Decisions", tuple(map(_decision, report.decisions))),
        Section("Failures", tuple(map(_failure, report.failures))),
        Section("Checklist", tuple(map(_check, report.checklist))),
        Section("Lessons", tuple(map(_lesson, report.lessons))),
    )
    return Page(
        head=_head(report),
        sections=(
            *(part for part in parts if part.rows),
            Section("Usage", (_usage(report.usage),)),
        ),
        empty=tuple(part.title.lower() for part in parts if not part.rows),
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


def _head(report: Report) -> Row:
    ended = f", ended {report.ended_at}" if report.ended_at else ""
    return Row(
        text=f"{report.run} {report.status}: {report.summary}",
        tone=_TONES.get(report.status, Tone.BAD),
        details=(
            f"task: {report.task}",
            f"agent {report.agent}, started {report.started_at}{ended}",
        ),
    )


def _needs(report: Report) -> tuple[Row, ...]:
    if report.blocked_on or report.status in FINAL or report.status == "running":
        return tuple(map(_ask, report.blocked_on))
    what = "answered, and nobody has gone on yet" if report.status == "blocked" else report.summary
    return (Row(text=what, tone=Tone.PERSON, commands=(f"standpipe resume {report.run}",)),)


def _ask(ask: Ask) -> Row:
    expiry = f"without an answer it is parked at {ask.expires_at}" if ask.expires_at else ""
    if ask.kind == "wait":
        expiry = f"may go on at {ask.expires_at}" if ask.expires_at else ""
    return Row(
        text=f"{ask.id} {ask.kind.replace('_', ' ')}: {ask.ask}",
        tone=Tone.PERSON,
        details=tuple(
            filter(None, (f"why: {ask.why}" if ask.why else "", *call_details(ask.action), expiry))
        ),
        commands=(answer_command(ask.id, ask.kind),),
    )


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
    details = (f"why: {decision.why}" if decision.why else "", others)
    return Row(text=f"{decision.by} {decision.what}", details=tuple(filter(None, details)))


def _failure(failure: Failure) -> Row:
    times = f" {failure.count} times" if failure.count > 1 else ""
    return Row(
        text=f"{failure.tool} failed{times} ({failure.kind}): {failure.message}",
        tone=Tone.QUIET if failure.overcome else Tone.BAD,
        details=(f"{failure.recovery.lower()}: {failure.why}",),
    )


def _check(line: Line) -> Row:
    mark = "passed" if line.passed else "FAILED"
    evidence = f": {line.evidence}" if line.evidence else ""
    return Row(text=f"{mark} {line.name}{evidence}", tone=Tone.PLAIN if line.passed else Tone.BAD)


def _lesson(lesson: Lesson) -> Row:
    return Row(text=f"{lesson.id} {lesson.statement} ({lesson.count} times, {lesson.rung})")


def _usage(usage: Usage) -> Row:
    cost = "price unknown" if usage.cost_usd is None else f"${usage.cost_usd:.4f}"
    return Row(
        text=f"{usage.wall_seconds:.1f} s, {cost}, {usage.model_calls} model calls, "
        f"{usage.tool_calls} tool calls in {usage.attempts} attempts, "
        f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out",
        tone=Tone.QUIET,
    )
