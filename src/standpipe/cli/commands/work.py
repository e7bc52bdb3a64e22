"""`submit` and `worker`: hand a task to workers, and be one.

Rule 1: `submit` ends with 0 once the task is durably queued, and starts nothing itself.
Rule 2: the first SIGTERM or Ctrl-C lets the action in flight end and gives every run back: exit code 0.
Rule 3: the second one stops at once: 143 or 130. What was in flight is found in doubt, and looked after.
"""

import asyncio
import os
import re
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from standpipe.cli.render import command_text
from standpipe.cli.runs import asked_if_begun
from standpipe.cli.terminal import as_json, say, show
from standpipe.cli.times import wake_at
from standpipe.clock import SystemClock, seconds_of, stamp
from standpipe.config import find_home
from standpipe.desk.blockers import run_rows
from standpipe.desk.fleet import meant_instead_of_a_task
from standpipe.desk.inert import inert
from standpipe.desk.report import Report
from standpipe.desk.sentences import Tone
from standpipe.errors import StandpipeError, UsageError
from standpipe.journal.entries import Entry
from standpipe.journal.projections import RUNS, RunRow, read_row
from standpipe.runtime import DEFAULT_QUEUE, Runtime

SIGNALLED = 128
STOP_SECONDS = 2.0  # what the second signal leaves to end tools and close the journal
_QUEUE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TONES = {"done": Tone.GOOD, "blocked": Tone.PERSON, "failed": Tone.BAD, "trouble": Tone.BAD}


class Submitted(Struct, frozen=True):
    """What `submit --json` prints."""

    run: str
    queue: str
    wake_at: str


class Told(Struct, frozen=True, omit_defaults=True):
    """One line of `worker --json`. `event`: began, ended, gone (back, or somebody else's), trouble."""

    event: str
    at: str
    run: str = ""
    status: str = ""
    text: str = ""
    hint: str = ""


def submit(options: Namespace) -> int:
    """Queue a task for workers and print the id of its run."""
    home, queue = find_home(options.home), _queue(options.queue)
    if not options.task.strip():
        raise UsageError("submit what?", hint='standpipe submit "TASK", a task id or a task file')
    rows = asked_if_begun(str(home), run_rows, dict[str, RunRow]())
    if known := meant_instead_of_a_task(rows, options.task, with_id=bool(options.id)):
        command = command_text(f"standpipe run {known.id}", options.home)
        raise UsageError(
            f"`{options.task}` is a run, not a task", hint=f"`{command}` goes on with it"
        )
    now = SystemClock().now()
    at = stamp(wake_at(options.at, options.delay, now=now))
    submitted = asyncio.run(_submitted(home, options, queue=queue, at=at))
    print(as_json(submitted) if options.json else submitted.run)
    return 0


def worker(options: Namespace) -> int:
    """Work on what is due until a signal ends it."""
    home, queue = find_home(options.home), _queue(options.queue)
    if options.concurrency < 1:
        raise UsageError("`--concurrency` is less than 1", hint="--concurrency 4")
    try:
        grace = seconds_of(options.grace)
    except UsageError as error:
        raise UsageError(f"`--grace`: {error.message}", hint=error.hint) from None
    return asyncio.run(_worked(home, options, queue=queue, grace_seconds=grace))


class Crier:
    """Say in one line what begins, ends or cannot be."""

    def __init__(self, *, as_lines_of_json: bool) -> None:
        self._json = as_lines_of_json
        self._begun: set[str] = set()

    def heard(self, entry: Entry) -> None:
        """Tell of a run when its first sentence is written."""
        if entry.run not in self._begun:
            self._begun.add(entry.run)
            self._tell("began", entry.run)

    def ended(self, report: Report) -> None:
        """Tell how far a run got."""
        self._begun.discard(report.run)
        asks = ", ".join(ask.id for ask in report.blocked_on)
        text = f"waits for {asks}" if asks else report.summary
        self._tell("ended", report.run, status=report.status, text=text)

    def gone(self, run: str) -> None:
        """Tell that a run which began here goes on elsewhere, or later."""
        if run in self._begun:
            self._begun.discard(run)
            self._tell("gone", run, text="given back")

    def trouble(self, error: Exception, run: str = "") -> None:
        """Tell what cannot be."""
        self._begun.discard(run)
        message, hint = (
            (error.message, error.hint)
            if isinstance(error, StandpipeError)
            else (f"{type(error).__name__}: {error}", "")
        )
        self._tell("trouble", run, text=message, hint=hint)

    def ready(self, queue: str) -> None:
        """Tell that runs are looked for."""
        self._tell("ready", text=f"working on queue {queue}")

    def _tell(
        self, event: str, run: str = "", *, status: str = "", text: str = "", hint: str = ""
    ) -> None:
        at = stamp(SystemClock().now())
        if self._json:
            told = Told(event, at, run=run, status=status, text=text, hint=hint)
            print(as_json(told, on_one_line=True), flush=True)
            return
        words = " ".join(word for word in (run, status or event) if word)
        line = ": ".join(part for part in (words, *text.splitlines()[:1]) if part)
        tone = _TONES.get(status or event, Tone.QUIET)
        show([(inert(f"{at} {line}"), tone)])
        if hint:
            show([(inert(f"{at} hint: {hint}"), Tone.QUIET)])
        sys.stdout.flush()


class Signals:
    """Take the first signal as a wish and the second as an order."""

    def __init__(self, *, grace_seconds: float, leave: Callable[[int], object] = os._exit) -> None:
        self.stop = asyncio.Event()
        self.code = 0
        self._leave = leave
        self._timers: list[asyncio.TimerHandle] = []
        self._grace = grace_seconds
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()

    @contextmanager
    def caught(self) -> Generator[None]:
        """Listen for as long as the context lasts; from then on one more signal ends the process."""
        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            self._loop.add_signal_handler(number, self.heard, number)
        try:
            yield
        finally:
            for number in numbers:
                self._loop.remove_signal_handler(number)
                signal.signal(number, self._leave_late)  # the loop and threads of others close yet
            for timer in self._timers:
                timer.cancel()

    def heard(self, number: int) -> None:
        """Begin to stop, or stop at once."""
        if not self.stop.is_set():
            say(f"stopping: what is in flight may end within {self._grace:g} s; again: at once")
            self.stop.set()
            self._timers.append(self._loop.call_later(self._grace, self._cancel))
            return
        self.code = SIGNALLED + number
        self._timers.append(self._loop.call_later(STOP_SECONDS, self._leave, self.code))
        self._cancel()

    def _leave_late(self, number: int, _frame: object) -> None:
        self._leave(SIGNALLED + number)

    def _cancel(self) -> None:
        if self._task:
            self._task.cancel()


async def _submitted(home: Path, options: Namespace, *, queue: str, at: str) -> Submitted:
    async with Runtime.open(home, model=options.model, tools=False) as runtime:
        run = await runtime.submit(
            options.task,
            queue=queue,
            caller_id=options.id or "",
            wake_at=at,
            priority=options.priority,
        )
        row = read_row(RunRow, await runtime.store.row(RUNS, run))
    known = row or RunRow(id=run, agent="", task="", model="", started_at="")
    return Submitted(run, known.queue or queue, known.wake_at or at)


async def _worked(home: Path, options: Namespace, *, queue: str, grace_seconds: float) -> int:
    signals, crier = Signals(grace_seconds=grace_seconds), Crier(as_lines_of_json=options.json)
    with signals.caught():
        try:
            async with Runtime.open(home) as runtime:
                await runtime.work(
                    crier, queue=queue, concurrency=options.concurrency, stop=signals.stop
                )
        except asyncio.CancelledError:
            if not signals.stop.is_set():
                raise
            command = command_text("standpipe status", options.home)
            say(f"stopped in the middle; `{command}` shows where", Tone.CARE)
    return signals.code


def _queue(typed: str) -> str:
    if not _QUEUE.fullmatch(typed):
        hint = f"letters, digits, `.`, `_` and `-`; without --queue it is `{DEFAULT_QUEUE}`"
        raise UsageError(f"`{typed}` cannot be the name of a queue", hint=hint)
    return typed
