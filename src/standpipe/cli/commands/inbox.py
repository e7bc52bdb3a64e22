"""`inbox`, `answer`, `approve` and `deny`: what waits for a person, and what the person says."""

from argparse import Namespace
from collections.abc import Mapping

from msgspec import Struct

from standpipe.cli.asking import OPERATOR
from standpipe.cli.commands.run import go_on
from standpipe.cli.render import command_text, inbox_lines
from standpipe.cli.runs import asked, asked_if_begun
from standpipe.cli.terminal import as_json, interactive, say, show
from standpipe.clock import SystemClock, stamp
from standpipe.config import find_home
from standpipe.desk.answers import Given, give
from standpipe.desk.blockers import blocker_rows, inbox as waiting_in, is_open, run_rows
from standpipe.desk.inert import inert
from standpipe.desk.sentences import Tone
from standpipe.ids import natural
from standpipe.journal.projections import BlockerRow, RunRow
from standpipe.journal.store import Store


class _Answered(Struct, frozen=True):
    given: Given
    goes_on: bool  # its run waits for nothing else
    others: tuple[str, ...] = ()  # runs that waited for the same answer, and for nothing else


def inbox(options: Namespace) -> int:
    """Print what waits, the dearest first."""
    now = stamp(SystemClock().now())
    found = asked_if_begun(options.home, lambda store: waiting_in(store, now=now), [])
    if options.json:
        print(as_json(found))
    else:
        show(inbox_lines(found, home=options.home))
    return 0


def answer(options: Namespace) -> int:
    """Answer in words."""
    return _answer(options, " ".join(options.text))


def approve(options: Namespace) -> int:
    """Answer yes."""
    return _answer(options, "yes")


def deny(options: Namespace) -> int:
    """Answer no, with a reason if there is one."""
    reason = " ".join(options.reason)
    return _answer(options, f"no: {reason}" if reason else "no")


def _answer(options: Namespace, text: str) -> int:
    said = asked(options.home, lambda store: _give(store, options.id, text))
    row = said.given.row
    if options.json:
        print(as_json(row))
        return 0
    again = "" if said.given.fresh else ", as it was before"
    show([(inert(f"{row.id}: {row.answer} ({row.by}{again})"), Tone.GOOD)])
    for other in said.others:
        command = command_text(f"standpipe resume {other}", options.home)
        say(f"{other} waited for it, too: `{command}`", Tone.QUIET)
    if not said.goes_on:
        return 0
    if interactive() and not options.detach:
        options.model = None
        return go_on(find_home(options.home), row.run, options)
    command = command_text(f"standpipe resume {row.run}", options.home)
    say(f"`{command}` goes on with it", Tone.QUIET)
    return 0


async def _give(store: Store, typed: str, text: str) -> _Answered:
    given = await give(store, typed, text, OPERATOR)
    runs = await run_rows(store)
    blockers = await blocker_rows(store)
    answered = {name for name, row in blockers.items() if row.answer is not None}
    others = (
        row.id
        for row in runs.values()
        if row.id != given.row.run and row.status == "blocked" and given.row.id in row.waits_for
        if answered.issuperset(row.waits_for)
    )
    free = _waits_for_nothing(given.row.run, runs, blockers)
    return _Answered(given, free, tuple(sorted(others, key=natural)))


def _waits_for_nothing(
    name: str, runs: Mapping[str, RunRow], blockers: Mapping[str, BlockerRow]
) -> bool:
    run = runs[name]
    left = [row for row in blockers.values() if row.run == name and is_open(row, run)]
    return run.status == "blocked" and not left
