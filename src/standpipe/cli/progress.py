"""What a run is doing, while it does it: a live line on a terminal, plain lines without one.

Rule 1: it listens to what is on disk already, so nobody is told what did not happen.
Rule 2: everything goes to stderr; stdout belongs to the report.
"""

import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from standpipe.cli.terminal import STYLES, coloured, show
from standpipe.clock import Clock, SystemClock
from standpipe.desk.inert import inert
from standpipe.desk.phrases import doing
from standpipe.desk.sentences import Sentence, Teller, Tone
from standpipe.journal.entries import (
    BlockedRaised,
    Decided,
    Entry,
    Intended,
    ModelRequested,
    ModelResponded,
    Proposed,
    Reconciled,
    SegmentEnded,
    Settled,
)
from standpipe.policy.decision import Ask

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_LINE_MAX = 300


@dataclass(slots=True)
class Progress:
    """Listen to a run and tell it; `after_seq` is what was told before.

    `asks_here`: somebody is asked between two segments, so what is asked is told there, once.
    """

    clock: Clock = field(default_factory=SystemClock)
    after_seq: int = 0
    run: str = ""
    asks_here: bool = False
    cost_usd: float | None = None
    doing: str = "starting"
    _began: float = 0.0
    _teller: Teller = field(default_factory=Teller)
    _console: "Console | None" = None

    def __call__(self, entry: Entry) -> None:
        """Take the next entry; one that was there before is not told again."""
        self.run = entry.run
        if entry.seq <= self.after_seq:
            return
        self.after_seq = entry.seq
        told = self._teller.tell(entry)
        self._follow(entry)
        if told and not _gave_way(entry) and not (self.asks_here and _asks(entry)):
            self._tell(told)

    def remember(self, entries: Iterable[Entry]) -> None:
        """Know what happened before, without telling it."""
        for entry in entries:
            if entry.seq > self.after_seq:
                self.run, self.after_seq = entry.run, entry.seq
                self._teller.tell(entry)
                self._follow(entry)

    @contextmanager
    def live(self) -> Generator["Progress"]:
        """Keep a line with what is going on, its cost and its time, where that is possible."""
        self._began = self.clock.monotonic()
        if not coloured(sys.stderr):
            yield self
            return
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True, markup=False, highlight=False, emoji=False)
        shown = Live(
            get_renderable=self._line,
            console=console,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with shown:
            self._console = console
            try:
                yield self
            finally:
                self._console = None

    def status(self) -> str:
        """Return the live line: run, time, cost, and what it is doing and why."""
        seconds = self.clock.monotonic() - self._began
        cost = "" if self.cost_usd is None else f" ${self.cost_usd:.4f}"
        return inert(f"{self.run} {seconds:.0f} s{cost} {self.doing}", limit=_LINE_MAX)

    def _follow(self, entry: Entry) -> None:
        match entry.body:
            case ModelRequested():
                self.doing = "thinks"
            case ModelResponded(cost_usd=cost) if cost is not None:
                self.cost_usd = (self.cost_usd or 0.0) + cost
            case Intended():
                self.doing = _with_why(self._teller.proposed.get(entry.action))
            case Settled() | Reconciled():
                self.doing = "thinks"
            case _:
                pass

    def _tell(self, told: Sentence) -> None:
        line = f"  {inert(told.text, limit=_LINE_MAX)}"
        if self._console is None:
            show([(line, told.tone)], stream=sys.stderr)
            return
        from rich.text import Text

        self._console.print(Text(line, style=STYLES[told.tone]), soft_wrap=True)

    def _line(self) -> "Text":
        from rich.text import Text

        return Text(self.status(), style=STYLES[Tone.QUIET], overflow="ellipsis", no_wrap=True)


def _gave_way(entry: Entry) -> bool:
    """Return whether this process stops in the middle: the error that ends it says why, once."""
    return isinstance(entry.body, SegmentEnded) and entry.body.ended == "yielded"


def _asks(entry: Entry) -> bool:
    """Return whether an entry holds a call for a person, or puts it to one."""
    match entry.body:
        case BlockedRaised(kind=kind):
            return kind != "wait"
        case Decided(decision=Ask()):
            return True
        case _:
            return False


def _with_why(call: Proposed | None) -> str:
    if call is None:
        return "acts"
    what = doing(call.tool, call.arguments)
    return f"{what}: {call.why}" if call.why else what
