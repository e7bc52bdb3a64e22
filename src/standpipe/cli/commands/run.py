"""`run` and `resume`: let the agent work, and go on.

Rule 1: a question is asked between two segments, while nothing runs.
Rule 2: the exit code is 0 for done and for nothing else.
Rule 3: the same `--id` is the same run, whoever starts it, and however often.
"""

import asyncio
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from standpipe.cli.asking import ask_here
from standpipe.cli.progress import Progress
from standpipe.cli.render import command_text, report_lines
from standpipe.cli.runs import asked, asked_if_begun, journal, report_of, unfinished
from standpipe.cli.terminal import as_json, interactive, say, show
from standpipe.config import find_home
from standpipe.desk.blockers import run_rows
from standpipe.desk.fleet import meant, meant_instead_of_a_task
from standpipe.desk.report import FINAL, Report
from standpipe.desk.sentences import Tone
from standpipe.errors import BrokenJournalError, FencedError, GivenBackError, OwnedError, UsageError
from standpipe.journal.projections import RunRow
from standpipe.runtime import Runtime

EXIT_CODES = {"done": 0, "failed": 1, "blocked": 3, "cancelled": 4, "lost": 5}
INTERRUPTED = 130


def run(options: Namespace) -> int:
    """Work on a task, or go on with a run; ask what it asks, where somebody is there."""
    home = find_home(options.home)
    if options.unfinished:
        return _all_unfinished(home, options)
    if not options.task:
        raise UsageError("run what?", hint='standpipe run "TASK", a task id, a task file, or a run')
    if known := _known_run(home, options):
        return go_on(home, known.id, options)
    progress = Progress(asks_here=_asks_here(options))
    try:
        report = asyncio.run(_begin(home, options, progress))
        report = _attended(home, report, options, progress)
    except KeyboardInterrupt:
        return interrupted(progress, options)
    return _ended(report, options)


def resume(options: Namespace) -> int:
    """Go on with one run."""
    row = meant(asked(options.home, run_rows), options.run)
    return go_on(find_home(options.home), row.id, options)


def go_on(home: Path, name: str, options: Namespace) -> int:
    """Go on with a run where its journal stops, and ask what it asks; one that has ended is told."""
    found = asked(str(home), lambda store: report_of(store, str(home), name))
    if found.status in FINAL:
        return _ended(found, options)
    progress = Progress(run=name, asks_here=_asks_here(options))
    try:
        report = asyncio.run(take_up(home, name, options.model, progress))
        report = _attended(home, report, options, progress)
    except KeyboardInterrupt:
        return interrupted(progress, options)
    return _ended(report, options)


async def take_up(home: Path, name: str, model: str | None, progress: Progress) -> Report:
    """Take one run from where its journal is to an end."""
    async with journal(home) as store:
        progress.remember(await store.read(name))
    async with Runtime.open(home, model=model) as runtime:
        with progress.live():
            return await runtime.resume(name, listener=progress)


def interrupted(progress: Progress, options: Namespace) -> int:
    """Say how to go on; nothing is lost."""
    command = command_text(f"standpipe resume {progress.run}", options.home)
    say(f"interrupted; `{command}` goes on" if progress.run else "interrupted", Tone.CARE)
    return INTERRUPTED


def _all_unfinished(home: Path, options: Namespace) -> int:
    """Go on with every run that can; the exit code is that of the first one that is not done."""
    if options.task or options.id:
        hint = f"standpipe run {options.task or options.id}"
        raise UsageError("`--unfinished` names no run", hint=hint)
    names = asked_if_begun(options.home, unfinished, [])
    if not names:
        say("nothing is unfinished that could go on", Tone.QUIET)
        return 0
    sweep = _Sweep(home, options)
    try:
        asyncio.run(sweep.work(names))
    except KeyboardInterrupt:
        return interrupted(sweep.progress, options)
    return next((code for code in sweep.codes if code), 0)


@dataclass(slots=True)
class _Sweep:
    """Work on one run after the other, and print each report as it ends."""

    home: Path
    options: Namespace
    progress: Progress = field(default_factory=Progress)
    codes: list[int] = field(default_factory=list[int])

    async def work(self, names: Sequence[str]) -> None:
        async with Runtime.open(self.home, model=self.options.model) as runtime:
            for name in names:
                try:
                    await self._one(runtime, name)
                except (OwnedError, FencedError, GivenBackError):  # somebody took it meanwhile
                    say(f"{name} is worked on by somebody else now", Tone.QUIET)
                except (BrokenJournalError, UsageError) as error:  # one bad run stops nobody else
                    say(f"error: {name}: {error.message}", Tone.BAD)
                    say(f"hint: {error.hint}", Tone.QUIET)
                    self.codes.append(2 if isinstance(error, UsageError) else 1)

    async def _one(self, runtime: Runtime, name: str) -> None:
        async with journal(self.home) as store:
            if meant(await run_rows(store), name).status in FINAL:
                return  # somebody else was faster
            self.progress = Progress(run=name)
            self.progress.remember(await store.read(name))
        with self.progress.live():
            report = await runtime.resume(name, listener=self.progress)
        self.codes.append(_ended(report, self.options))


def _known_run(home: Path, options: Namespace) -> RunRow | None:
    """Return the run that was named, by itself or by `--id`; None where a task begins a new one.

    Raises:
        UsageError: the run of this `--id` works on something else.
    """
    nothing: dict[str, RunRow] = {}
    rows = asked_if_begun(str(home), run_rows, nothing)
    if not options.id:
        return meant_instead_of_a_task(rows, options.task)
    known = next((row for row in rows.values() if row.caller_id == options.id), None)
    if known and options.task not in {known.id, known.caller_id}:
        asyncio.run(_same_task(home, options))
    elif not known and (named := meant_instead_of_a_task(rows, options.task, with_id=True)):
        hint = (
            f"`standpipe run {named.id}` goes on with it; a new run wants a task beside its `--id`"
        )
        raise UsageError(f"`{options.task}` is a run, not a task", hint=hint)
    return known


async def _same_task(home: Path, options: Namespace) -> None:
    async with Runtime.open(home, model=options.model, tools=False) as runtime:
        await runtime.known(options.task, options.id)


async def _begin(home: Path, options: Namespace, progress: Progress) -> Report:
    scope = _scope(options.tools)
    async with Runtime.open(home, model=options.model) as runtime:
        with progress.live():
            return await runtime.run(
                options.task, caller_id=options.id or "", scope=scope, listener=progress
            )


def _scope(typed: str | None) -> tuple[str, ...] | None:
    """Return the tools that were named; an empty list never means all of them."""
    if typed is None:
        return None
    names = tuple(name for name in typed.replace(" ", "").split(",") if name)
    if not names:
        raise UsageError("`--tools` names no tool", hint="--tools read_file,write_file")
    return names


def _attended(home: Path, report: Report, options: Namespace, progress: Progress) -> Report:
    """Ask and go on for as long as a run asks and somebody answers."""
    while report.status == "blocked" and _asks_here(options):
        if not ask_here(home, report):
            break
        report = asyncio.run(take_up(home, report.run, options.model, progress))
    return report


def _asks_here(options: Namespace) -> bool:
    return interactive() and not options.detach


def _ended(report: Report, options: Namespace) -> int:
    """Print what came of it, one line of JSON for each of several."""
    if options.json:
        print(as_json(report, on_one_line=getattr(options, "unfinished", False)), flush=True)
    else:
        show(report_lines(report, home=options.home))
    return EXIT_CODES.get(report.status, 1)
