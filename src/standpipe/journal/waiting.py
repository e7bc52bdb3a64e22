"""When a run may go on that nobody works on: as soon as nobody has to be asked any more.

Rule 1: a run wakes by itself after its waits, and after the last answer it waits for, whichever run was asked.
Rule 2: whoever creates a run that is in no queue begins it at once. If it did not, others may.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from msgspec.structs import replace

from standpipe.journal.entries import (
    AnswerGiven,
    CancelRequested,
    Entry,
    RunCreated,
    SegmentEnded,
)
from standpipe.journal.projections import BLOCKERS, RUNS, BlockerRow, RunRow
from standpipe.journal.rows import Rows, added

_BY_THE_CLOCK = "wait"
_LOOK_SECONDS = 60


def wake(entry: Entry, rows: Rows) -> None:
    """Take in what a run waits for, and what ends a wait."""
    match entry.body:
        case RunCreated(queue=""):
            _wakes(rows, entry.run, {"running"}, _later(entry.at))
        case SegmentEnded(ended="blocked", waits_for=asked):
            for name in asked:
                if question := rows.read(BlockerRow, BLOCKERS, name):
                    waiters = added(question.waiters, entry.run)
                    rows.put(BLOCKERS, name, replace(question, waiters=waiters))
            _set(rows, entry.run, entry.at)
        case AnswerGiven():
            question = rows.read(BlockerRow, BLOCKERS, entry.key)
            for run in () if question is None else question.waiters:
                _set(rows, run, entry.at)
        case CancelRequested():
            _wakes(rows, entry.run, {"blocked", "queued"}, entry.at)
        case _:
            pass


def _wakes(rows: Rows, name: str, statuses: Collection[str], at: str) -> None:
    run = rows.read(RunRow, RUNS, name)
    if run and run.status in statuses:
        rows.put(RUNS, name, replace(run, wake_at=at))


def _set(rows: Rows, name: str, now: str) -> None:
    run = rows.read(RunRow, RUNS, name)
    if run and run.status == "blocked":
        questions = [rows.read(BlockerRow, BLOCKERS, asked) for asked in run.waits_for]
        rows.put(RUNS, name, replace(run, wake_at=_when(questions, now)))


def _when(questions: list[BlockerRow | None], now: str) -> str:
    """Return when the last of them is out of the way; an empty text if only a person knows."""
    times = [now] if questions else [""]
    for question in questions:
        if question is None:  # what another run has in the air: look again later
            times.append(_later(now))
            continue
        if question.answer is not None:
            continue
        if question.kind != _BY_THE_CLOCK:
            return ""
        times.append(question.expires_at)
    return max(times)


def _later(now: str) -> str:
    then = datetime.fromisoformat(now) + timedelta(seconds=_LOOK_SECONDS)
    return then.isoformat(timespec="milliseconds").replace("+00:00", "Z")
