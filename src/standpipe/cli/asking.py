"""Ask a person right here, between two segments of a run.

Rule 1: an answer given here is the same entry as `standpipe answer` writes.
Rule 2: an empty line, or the end of the input, parks the question; nothing is decided by silence.
"""

import sys
from pathlib import Path

from msgspec.structs import replace

from standpipe.cli.render import row_lines, waiting_row
from standpipe.cli.runs import asked
from standpipe.cli.terminal import say, show
from standpipe.clock import SystemClock, stamp
from standpipe.desk.answers import give
from standpipe.desk.blockers import Waiting, inbox
from standpipe.desk.report import Report
from standpipe.desk.sentences import Tone
from standpipe.errors import UsageError

OPERATOR = "operator"
_CHOICES = {"approval": "yes, no, no: REASON", "in_doubt": "yes, no, give-up"}


def ask_here(home: Path, report: Report) -> bool:
    """Ask what a run waits for; return whether everything is answered."""
    names = {ask.id for ask in report.blocked_on}
    now = stamp(SystemClock().now())
    waiting = asked(str(home), lambda store: inbox(store, now=now))
    mine = [one for one in waiting if one.id in names]
    answered = [_asked(home, one) for one in mine]  # an empty line is for one question only
    return bool(answered) and all(answered)


def _asked(home: Path, one: Waiting) -> bool:
    if one.kind == "wait":
        return False
    show(row_lines(replace(waiting_row(one), commands=())), stream=sys.stderr)
    while text := _line(f"{_CHOICES.get(one.kind, 'your answer')} (empty: later) > "):
        try:
            asked(str(home), lambda store, text=text: give(store, one.id, text, OPERATOR))
        except UsageError as error:
            say(error.message, Tone.BAD)
            say(f"hint: {error.hint}", Tone.QUIET)
        else:
            return True
    return False


def _line(prompt: str) -> str:
    print(prompt, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()
