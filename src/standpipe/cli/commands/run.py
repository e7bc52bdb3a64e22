"""`run`, `resume` and `cancel`: let the agent work, go on, end.

Rule 1: a question is asked between two segments, while nothing runs.
Rule 2: the exit code is 0 for done and for nothing else.
"""

import asyncio
import re
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from standpipe.cli.asking import OPERATOR, ask_here
from standpipe.cli.progress import Progress
from standpipe.cli.render import command_text, report_lines
from standpipe.cli.runs import asked, journal, report_of, where
from standpipe.cli.terminal import as_json, interactive, say, show
from standpipe.clock import SystemClock, stamp
from standpipe.config import find_home
from standpipe.desk.blockers import run_rows
from standpipe.desk.fleet import meant
from standpipe.desk.report import FINAL, Report
from standpipe.desk.sentences import Tone
from standpipe.errors import NotFoundError, UsageError
from standpipe.ids import natural
from standpipe.journal.entries import CancelRequested, Draft
from standpipe.journal.projections import RunRow
from standpipe.runtime import Runtime

EXIT_CODES = {"done": 0, "failed": 1, "blocked": 3, "cancelled": 4, "lost": 5}
INTERRUPTED = 130
_RUN = re.compile(r"r\d+", re.IGNORECASE)


def run(options: Namespace) -> int:
    """Work on a task, or go on with a run; ask what it asks, where somebody is there."""
    home = find_home(options.home)
    if options.unfinished:
        return _all_unfinished(home, options)
    if not options.task:
        raise UsageError("run what?", hint='standpipe run "TASK", a task id, a task file, or a run')
    if known := _known_run(home, options.task):
        return go_on(home, known, options)
    progress = Progress(asks_here=_asks_here(options))
    try:
        report = asyncio.run(_begin(home, options, progress))
        report = _attended(home, report, options, progress)
    except KeyboardInterrupt:
        return _interrupted(progress, options)
    return _ended([report], options)


def resume(options: Namespace) -> int:
    """Go on with one run."""
    row = meant(asked(options.home, run_rows), options.run)
    return go_on(find_home(options.home), row.id, options)


def go_on(home: Path, name: str, options: Namespace) -> int:
    """Go on with a run where its journal stops, and ask what it asks; one that has ended is told."""
    found = asked(str(home), lambda store: report_of(store, name))
    if found.status in FINAL:
        return _ended([found], options)
    progress = Progress(run=name, asks_here=_asks_here(options))
    try:
        report = asyncio.run(_resume(home, name, options.model, progress))
        report = _attended(home, report, options, progress)
    except KeyboardInterrupt:
        return _interrupted(progress, options)
    return _ended([report], options)


def cancel(options: Namespace) -> int:
    """Ask a run to end; where nothing works on it, end it now."""
    home = find_home(options.home)
    row = meant(asked(options.home, run_rows), options.run)
    status = where(row)
    if status in FINAL:
        hint = command_text(f"standpipe report {row.id}", options.home)
        raise UsageError(f"{row.id} is {status} already", hint=hint)
    draft = Draft("cancel", CancelRequested(OPERATOR))
    asked(options.home, lambda store: store.post(row.id, [draft]))
    if status == "running":
        say(f"{row.id} ends before its next step")
        return 0
    progress = Progress(run=row.id)
    try:
        report = asyncio.run(_resume(home, row.id, None, progress))
    except KeyboardInterrupt:
        return _interrupted(progress, options)
    _ended([report], options)
    return 0


async def _begin(home: Path, options: Namespace, progress: Progress) -> Report:
    scope = _scope(options.tools)
    async with Runtime.open(home, model=options.model) as runtime:
        with progress.live():
            return await runtime.run(
                options.task, caller_id=options.id, scope=scope, listener=progress
            )


def _scope(typed: str | None) -> tuple[str, ...] | None:
    """Return the tools that were named; an empty list never means all of them."""
    if typed is None:
        return None
    names = tuple(name for name in typed.replace(" ", "").split(",") if name)
    if not names:
        raise UsageError("`--tools` names no tool", hint="--tools read_file,write_file")
    return names


async def _resume(home: Path, name: str, model: str | None, progress: Progress) -> Report:
    async with journal(home) as store:
        progress.remember(await store.read(name))
    async with Runtime.open(home, model=model) as runtime:
        with progress.live():
            return await runtime.resume(name, listener=progress)


def _attended(home: Path, report: Report, options: Namespace, progress: Progress) -> Report:
    """Ask and go on for as long as a run asks and somebody answers."""
    while report.status == "blocked" and _asks_here(options):
        if not ask_here(home, report):
            break
        report = asyncio.run(_resume(home, report.run, options.model, progress))
    return report


def _asks_here(options: Namespace) -> bool:
    return interactive() and not options.detach


def _known_run(home: Path, typed: str) -> str | None:
    """Return the run that `typed` names; None where it is a task."""
    try:
        rows = asked(str(home), run_rows)
    except NotFoundError:  # nothing ran here yet
        rows: dict[str, RunRow] = {}
    called = {row.caller_id for row in rows.values() if row.caller_id}
    return meant(rows, typed).id if _RUN.fullmatch(typed) or typed in called else None


def _all_unfinished(home: Path, options: Namespace) -> int:
    """Go on with every run that can; what waits for a person is left alone."""
    rows = asked(options.home, run_rows)
    reports: list[Report] = []
    for name in sorted(rows, key=natural):
        if not _can_go_on(home, rows[name]):
            continue
        progress = Progress(run=name)
        try:
            reports.append(asyncio.run(_resume(home, name, options.model, progress)))
        except KeyboardInterrupt:
            return _interrupted(progress, options)
    if not reports:
        say("nothing is unfinished that could go on", Tone.QUIET)
    return _ended(reports, options)


def _can_go_on(home: Path, row: RunRow) -> bool:
    status = where(row)
    if status != "blocked":
        return status == "lost" or (status == "running" and not row.epoch)
    now = stamp(SystemClock().now())
    asks = asked(str(home), lambda store: report_of(store, row.id)).blocked_on
    return all(ask.kind == "wait" and (ask.expires_at or now) <= now for ask in asks)


def _ended(reports: Sequence[Report], options: Namespace) -> int:
    """Print what came of it; the exit code is that of the first run that is not done."""
    if options.json:
        alone = len(reports) == 1 and not getattr(options, "unfinished", False)
        print(as_json(reports[0] if alone else reports))
    else:
        for report in reports:
            show(report_lines(report, home=options.home))
    codes = [EXIT_CODES.get(report.status, 1) for report in reports]
    return next((code for code in codes if code), 0)


def _interrupted(progress: Progress, options: Namespace) -> int:
    """Say how to go on; nothing is lost."""
    command = command_text(f"standpipe resume {progress.run}", options.home)
    say(f"interrupted; `{command}` goes on" if progress.run else "interrupted", Tone.CARE)
    return INTERRUPTED
