"""`standpipe status`: all runs at a glance."""

from argparse import Namespace

from standpipe.cli.render import fleet_lines
from standpipe.cli.runs import asked, began
from standpipe.cli.terminal import as_json, show
from standpipe.clock import SystemClock, stamp
from standpipe.desk.blockers import run_rows
from standpipe.desk.fleet import fleet, sentence_of
from standpipe.desk.liveness import alive


def status(options: Namespace) -> int:
    """Print the fleet."""
    rows = asked(options.home, run_rows) if began(options.home) else {}
    found = fleet(rows.values(), alive=alive, now=stamp(SystemClock().now()))
    if options.json:
        print(as_json(found))
    elif options.line:
        print(sentence_of(found))
    else:
        show(fleet_lines(found))
    return 0
