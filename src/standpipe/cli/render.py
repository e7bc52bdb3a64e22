"""Reports, fleets and inboxes as lines for a terminal."""

import shlex
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from standpipe.clock import Clock, SystemClock, stamp
from standpipe.desk.blockers import Waiting
from standpipe.desk.fleet import Fleet, FleetRun, sentence_of
from standpipe.desk.inert import inert
from standpipe.desk.phrases import once_said, span
from standpipe.desk.report import Report
from standpipe.desk.sections import (
    Row,
    answer_command,
    call_details,
    page,
    time_left,
    ways_on,
    why_asked,
)
from standpipe.desk.sentences import Tone

Lines = Iterator[tuple[str, Tone]]
_LINE_MAX = 600
_FLEET_TONES = {
    "done": Tone.GOOD,
    "blocked": Tone.PERSON,
    "running": Tone.PLAIN,
    "queued": Tone.PLAIN,
    "cancelled": Tone.QUIET,
}


def report_lines(report: Report, *, home: str | None = None, clock: Clock | None = None) -> Lines:
    """Yield a report, what needs you first."""
    laid = page(report, now=stamp((clock or SystemClock()).now()))
    typed = f"`standpipe resume {report.run}`"  # in the summaries that are ours, not the agent's
    head = laid.head
    if home and report.status in {"blocked", "lost"}:
        named = f"`{command_text(typed.strip('`'), home)}`"
        head = replace(head, text=head.text.replace(typed, named))
    yield from _row(head, indent="", home=home)
    for section in laid.sections:
        yield "", Tone.PLAIN
        yield section.title, Tone.QUIET
        for row in section.rows:
            yield from _row(row, indent="  ", home=home)


def fleet_lines(fleet: Fleet) -> Lines:
    """Yield one line per run."""
    cost = fleet.cost.total_usd
    spent = f", ${cost:.2f}" if cost else ""
    yield f"{sentence_of(fleet)}{spent}", Tone.PLAIN
    for run in fleet.runs:
        yield from _run(run)


def inbox_lines(waiting: Sequence[Waiting], *, home: str | None = None) -> Lines:
    """Yield what waits, with the exact call and what one types."""
    if not waiting:
        yield "nothing waits for you", Tone.GOOD
    for one in waiting:
        yield from _row(waiting_row(one), indent="", home=home)


def waiting_row(one: Waiting) -> Row:
    """Return a question with everything one needs to decide."""
    parked = ", parked" if one.state == "parked" else ""
    setting = f"to stop asking, write in standpipe.toml: {one.setting}" if one.setting else ""
    details = (
        why_asked(one.kind, one.why),
        *call_details(one.action),
        ways_on(one.kind),
        time_left(one.expires_at or "", "") if one.kind == "wait" else "",
        setting,
    )
    return Row(
        text=f"{one.id} {one.kind.replace('_', ' ')} ({one.run}{parked}): {once_said(one.ask)}",
        tone=Tone.PERSON,
        details=tuple(filter(None, details)),
        commands=(
            f"standpipe run {one.run}" if one.kind == "wait" else answer_command(one.id, one.kind),
        ),
    )


def row_lines(row: Row) -> Lines:
    """Yield one row with what stands under it."""
    yield from _row(row, indent="", home=None)


def command_text(command: str, home: str | None) -> str:
    """Return a command as it can be typed here: with the home, if one was named."""
    return f"{command} --home {inert(shlex.quote(home))}" if home else command


def _run(run: FleetRun) -> Lines:
    tone = _FLEET_TONES.get(run.status, Tone.BAD)
    head = f"{run.run:<5} {run.status:<9} {run.task}"
    said = f"{head}: {run.summary}" if run.summary else head
    since = f" for {span(run.step_seconds)}" if run.step_seconds and run.summary else ""
    yield inert(f"{said}{since}", limit=_LINE_MAX), tone
    if run.trouble:
        yield f"      {inert(f'trouble: {run.trouble}', limit=_LINE_MAX)}", Tone.CARE


def _row(row: Row, *, indent: str, home: str | None) -> Lines:
    yield indent + inert(row.text, limit=_LINE_MAX), row.tone
    for detail in row.details:
        yield f"{indent}  {inert(detail, limit=_LINE_MAX)}", Tone.PLAIN if indent else Tone.QUIET
    for command in row.commands:
        yield f"{indent}  $ {command_text(command, home)}", Tone.PERSON
