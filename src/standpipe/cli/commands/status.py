"""`standpipe status`: all runs at a glance."""

from argparse import Namespace

from standpipe.cli.render import fleet_lines
from standpipe.cli.runs import asked, began
from standpipe.cli.terminal import as_json, show
from standpipe.clock import SystemClock, stamp
from standpipe.desk.blockers import blocker_rows, run_rows
from standpipe.desk.fleet import fleet, sentence_of
from standpipe.desk.liveness import alive
from standpipe.journal.projections import BlockerRow, RunRow
from standpipe.journal.store import Store


def status(options: Namespace) -> int:
    """Print the fleet."""
    rows, questions = asked(options.home, _rows) if began(options.home) else ({}, {})
    answered = {name for name, row in questions.items() if row.answer is not None}
    now = stamp(SystemClock().now())
    found = fleet(rows.values(), alive=alive, now=now, answered=answered)
    if options.json:
        print(as_json(found))
    elif options.line:
        print(sentence_of(found))
    else:
        show(fleet_lines(found))
    return 0


async def _rows(store: Store) -> tuple[dict[str, RunRow], dict[str, BlockerRow]]:
    return await run_rows(store), await blocker_rows(store)
