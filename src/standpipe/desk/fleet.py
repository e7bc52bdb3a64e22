"""All runs of a home at a glance.

Rule 1: a run that says it is running, and whose process is gone, is lost, whoever asks first.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from standpipe.errors import NotFoundError
from standpipe.ids import match, natural
from standpipe.journal.projections import RunRow

STATUSES = ("running", "blocked", "done", "failed", "cancelled", "lost")
SUMMARY_BYTES = 200
CAUSE_BYTES = 600  # of a run that failed or waits: what happened, what was tried, what helps
Alive = Callable[[RunRow], bool]  # whether somebody still works on it, who said so


class FleetRun(Struct, frozen=True, kw_only=True):
    """One line of `standpipe status`. There are no beats yet: `last_beat_at` is null.

    `trouble` is the last failure of a running run that nothing has overcome yet; `step_seconds` is how
    long it has been at what it does now.
    """

    run: str
    agent: str
    task: str
    status: str
    summary: str
    trouble: str
    step_seconds: float | None
    started_at: str
    last_beat_at: str | None
    last_progress_at: str | None
    stalled: bool
    cost_usd: float | None


class Watcher(Struct, frozen=True):
    """Somebody who would notice."""

    kind: str
    alive: bool
    since: str


class Cost(Struct, frozen=True):
    """What the runs have cost; null while the price of one of them is unknown."""

    total_usd: float | None


class Fleet(Struct, frozen=True, kw_only=True):
    """The shape of `status --json`."""

    updated_at: str
    counts: dict[str, int]
    runs: tuple[FleetRun, ...]
    watchers: tuple[Watcher, ...]
    cost: Cost


def fleet(
    rows: Iterable[RunRow], *, alive: Alive, now: str, answered: Collection[str] = ()
) -> Fleet:
    """Fold the rows of a home, newest run first; `answered` are the questions that have an answer."""
    ordered = sorted(rows, key=lambda row: natural(row.id), reverse=True)
    runs = tuple(_run(row, status_of_row(row, alive), now, answered) for row in ordered)
    counted = Counter(run.status for run in runs)
    costs = [row.cost_usd for row in ordered if row.model_calls]
    known = [cost for cost in costs if cost is not None]
    return Fleet(
        updated_at=now,
        counts={status: counted[status] for status in STATUSES},
        runs=runs,
        watchers=(),
        cost=Cost(round(sum(known, 0.0), 6) if len(known) == len(costs) else None),
    )


def meant(rows: Mapping[str, RunRow], typed: str | None) -> RunRow:
    """Return the run a person meant; a run's own id comes before what a caller called another one.

    Raises:
        NotFoundError: none, or more than one, fits.
    """
    if typed is None:
        if not rows:
            raise NotFoundError("there is no run in this home yet", hint='standpipe run "TASK"')
        return max(rows.values(), key=lambda row: natural(row.id))
    callers = {row.caller_id: row for row in rows.values() if row.caller_id}
    known = typed not in rows and callers.get(typed)
    return known or rows[match(typed, rows, what="run")]


def status_of_row(row: RunRow, alive: Alive) -> str:
    """Return where a run stands, seen from outside."""
    started = row.epoch > 0
    gone = row.status == "running" and started and not alive(row)
    return "lost" if gone else row.status


def sentence_of(fleet: Fleet) -> str:
    """Say it in one line: "1 lost, 2 need you, 7 done"."""
    words = {"lost": "lost", "failed": "failed", "blocked": "need you", "running": "running",
             "done": "done", "cancelled": "cancelled"}  # fmt: skip
    parts = [f"{fleet.counts[key]} {word}" for key, word in words.items() if fleet.counts[key]]
    return ", ".join(parts) or "no runs yet"


def _run(row: RunRow, status: str, now: str, answered: Collection[str]) -> FleetRun:
    running = status == "running"
    explains = status in {"failed", "blocked"}
    told = _summary(row, status)
    if status == "blocked" and row.waits_for and all(name in answered for name in row.waits_for):
        told = f"{', '.join(row.waits_for)} is answered; `standpipe resume {row.id}` goes on"
    return FleetRun(
        run=row.id,
        agent=row.agent,
        task=_cut(f"{row.task_id} {row.task}".strip()),
        status=status,
        summary=_cut(told, CAUSE_BYTES if explains else SUMMARY_BYTES),
        trouble=_cut(row.trouble, CAUSE_BYTES) if running else "",
        step_seconds=_since(row.doing_since if row.doing else row.last_at, now)
        if running
        else None,
        started_at=row.started_at,
        last_beat_at=None,
        last_progress_at=row.last_at or None,
        stalled=False,
        cost_usd=row.cost_usd,
    )


def _summary(row: RunRow, status: str) -> str:
    match status:
        case "lost":
            return f"its process is gone; `standpipe resume {row.id}` goes on where it stopped"
        case "running":
            return row.doing or ("" if row.trouble else "thinking")
        case _:
            return row.summary


def _since(at: str, now: str) -> float | None:
    if not at:
        return None
    passed = datetime.fromisoformat(now) - datetime.fromisoformat(at)
    return max(round(passed.total_seconds(), 1), 0.0)


def _cut(text: str, limit: int = SUMMARY_BYTES) -> str:
    """Keep what fits into a line of a list; details come apart."""
    head = text.encode()[:limit].decode(errors="ignore")
    return head if head == text else f"{head[:-1]}…"
