"""`cancel`: end a run, wherever it is worked on.

Rule 1: the wish is on disk before anything is done about it, so it holds after a crash; then the exit code is 0.
Rule 2: nothing is ended behind the back of its owner: whoever works on a run ends it; else it is ended here.
"""

import asyncio
from argparse import Namespace

from standpipe.cli.asking import OPERATOR
from standpipe.cli.commands.run import take_up
from standpipe.cli.progress import Progress
from standpipe.cli.render import command_text, report_lines
from standpipe.cli.runs import asked, report_of, where
from standpipe.cli.terminal import as_json, say, show
from standpipe.clock import SystemClock
from standpipe.config import find_home
from standpipe.desk.blockers import run_rows
from standpipe.desk.fleet import meant
from standpipe.desk.report import FINAL, Report
from standpipe.desk.sentences import Tone
from standpipe.errors import StandpipeError, UsageError
from standpipe.journal.entries import CancelRequested, Draft, Entry
from standpipe.journal.store import Store

_WAIT_SECONDS = 5.0  # its owner looks twice a second; a call that is under way may take longer
_LOOK_SECONDS = 0.1


def cancel(options: Namespace) -> int:
    """Ask a run to end; where nothing works on it, end it now."""
    name = asked(options.home, lambda store: _requested(store, options))
    left = asked(options.home, lambda store: _is_left(store, name))
    found = asked(options.home, lambda store: report_of(store, options.home, name))
    if left and found.status not in FINAL:
        found = _ended_here(found, options)
    if options.json:
        print(as_json(found))
    elif found.status in FINAL:
        show(report_lines(found, home=options.home))
    elif not left:
        say(f"{name} ends {'in a moment' if options.now else 'before its next step'}")
    return 0


async def _requested(store: Store, options: Namespace) -> str:
    """Write down the wish, and return whose end it is; `--now` after one without it goes further."""
    row = meant(await run_rows(store), options.run)
    if row.status in FINAL:
        hint = command_text(f"standpipe report {row.id}", options.home)
        raise UsageError(f"{row.id} is {row.status} already", hint=hint)
    wish = CancelRequested(OPERATOR, options.now)
    before = [entry for entry in await store.read(row.id) if _says(entry, wish)]
    if before:
        say(f"{row.id} was cancelled before, at {before[0].at}; once is enough", Tone.QUIET)
    else:
        await store.post(row.id, [Draft("cancel-now" if options.now else "cancel", wish)])
    return row.id


def _says(entry: Entry, wish: CancelRequested) -> bool:
    return isinstance(entry.body, CancelRequested) and entry.body.now >= wish.now


async def _is_left(store: Store, name: str) -> bool:
    """Give whoever works on a run some time to end it; return whether nobody works on it."""
    clock = SystemClock()
    until = clock.monotonic() + _WAIT_SECONDS
    while True:
        row = meant(await run_rows(store), name)
        if not row.epoch or await where(store, row) != "running":
            return True
        if clock.monotonic() > until:
            return False
        await clock.sleep(_LOOK_SECONDS)


def _ended_here(found: Report, options: Namespace) -> Report:
    """Take up a run that nobody works on, so that it ends; what hinders that does not hinder the wish."""
    home = find_home(options.home)
    try:
        return asyncio.run(take_up(home, found.run, None, Progress(run=found.run)))
    except StandpipeError as error:
        say(f"{found.run} is cancelled, but could not be ended yet: {error.message}", Tone.CARE)
        say(f"hint: {error.hint}", Tone.QUIET)
        return found
