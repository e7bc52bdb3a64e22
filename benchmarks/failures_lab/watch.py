"""A peer as a process: what it printed and when, and what a second terminal would show of Standpipe.

Rule 1: the whole process group is ours, and it is ended with the trial.
Rule 2: another process looks: the observer reads the home as `standpipe status` and `standpipe
    report` do, and never asks the run itself.
"""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from standpipe.cli.runs import asked, report_of
from standpipe.desk.report import Report

LOOK_SECONDS = 0.05
GRACE_SECONDS = 3


@dataclass(slots=True)
class Watch:
    """What is known of a process while it runs; times are `time.monotonic()`."""

    process: "subprocess.Popen[bytes]"
    cause: "re.Pattern[str]"
    stdout: list[str] = field(default_factory=list[str])
    stderr: list[str] = field(default_factory=list[str])
    visible_at: float | None = None
    trouble: str = ""  # why the observer could not look

    def notice(self, text: str) -> None:
        """Remember when the cause could be read first."""
        if self.visible_at is None and self.cause.search(text):
            self.visible_at = time.monotonic()


@contextmanager
def watched(
    command: Sequence[str | Path], environment: Mapping[str, str], cause: str, folder: Path,
    home: Path | None,
) -> Generator[Watch]:  # fmt: skip
    """Start a peer and watch it; at the end of the block none of its processes is left."""
    process = subprocess.Popen(
        [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, cwd=folder, env=environment, start_new_session=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stderr
    watch, over = Watch(process, re.compile(cause, re.IGNORECASE)), threading.Event()
    threads = [
        threading.Thread(target=_read, args=(watch, process.stdout, watch.stdout)),
        threading.Thread(target=_read, args=(watch, process.stderr, watch.stderr)),
    ]
    if home:
        threads.append(threading.Thread(target=_look, args=(watch, home, over)))
    for thread in threads:
        thread.start()
    try:
        yield watch
    finally:
        over.set()
        _end(process)
        for thread in threads:
            thread.join(GRACE_SECONDS)


def report_words(report: Report) -> str:
    """Return the sentences of a report that say what went wrong, and no others."""
    asks = [f"{ask.ask} {ask.why}" for ask in report.blocked_on]
    met = [f"{one.kind} {one.message} {one.why}" for one in report.failures]
    return "\n".join([report.summary, *asks, *met])


def _read(watch: Watch, stream: IO[bytes], into: list[str]) -> None:
    for line in iter(stream.readline, b""):
        into.append(line.decode(errors="replace"))
        watch.notice("".join(into[-3:]))  # a sentence may be broken over lines


def _look(watch: Watch, home: Path, over: threading.Event) -> None:
    while not over.wait(LOOK_SECONDS) and watch.visible_at is None:
        if not (home / ".standpipe" / "journal.db").exists():
            continue
        try:
            watch.notice(report_words(asked(str(home), lambda store: report_of(store, None))))
        except Exception as error:  # noqa: BLE001 -- a run that has just begun has nothing to read
            watch.trouble = f"{type(error).__name__}: {error}"


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask the group to end, then make it."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
            if sign is signal.SIGKILL:
                return
