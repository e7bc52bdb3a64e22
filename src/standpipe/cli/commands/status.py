"""`standpipe status`: all runs at a glance."""

from argparse import Namespace

from standpipe.cli.render import fleet_lines
from standpipe.cli.runs import asked_if_begun, looked_after
from standpipe.cli.terminal import as_json, show
from standpipe.clock import SystemClock, stamp
from standpipe.desk.blockers import blocker_rows, run_rows
from standpipe.desk.fleet import Fleet, fleet, sentence_of
from standpipe.desk.liveness import alive
from standpipe.journal.store import Store


def status(options: Namespace) -> int:
    """Print the fleet."""
    found = asked_if_begun(options.home, _fleet, fleet((), alive=alive, now=_now()))
    if options.json:
        print(as_json(found))
    elif options.line:
        print(sentence_of(found))
    else:
        show(fleet_lines(found))
    return 0


async def _fleet(store: Store) -> Fleet:
    rows, questions = await run_rows(store), await blocker_rows(store)
    answered = {name for name, row in questions.items() if row.answer is not None}
    watch = await looked_after(store)
    return fleet(rows.values(), alive=watch, now=_now(), answered=answered)


def _now() -> str:
    return stamp(SystemClock().now())
