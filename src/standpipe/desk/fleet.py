"""All runs of a home at a glance: which one is meant, where each stands, and which could go on.

Rule 1: a run that says it is running, and whose process is gone, is lost, whoever asks first. So is one
    that its process gave back, and one that was created and not begun in time.
Rule 2: a word that looks like the name of a run is never taken for a task.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from difflib import get_close_matches

from msgspec import Struct

from standpipe.errors import NotFoundError
from standpipe.ids import match, natural, run_of
from standpipe.journal.projections import BlockerRow, RunRow

STATUSES = ("queued", "running", "blocked", "done", "failed", "cancelled", "lost")
SUMMARY_BYTES = 200
CAUSE_BYTES = 600  # of a run that failed or waits: what happened, what was tried, what helps
Alive = Callable[[RunRow], bool]  # whether whoever said that it works on a run still does
_ID = re.compile(r"[rb](\d+(\.\d+)*[a-z]*\.?)?", re.IGNORECASE)  # of a run, an action, a question
_QUESTION, _ACTION = re.compile(r"b\d+", re.IGNORECASE), re.compile(r"r\d+\..*", re.IGNORECASE)
_WORD = re.compile(r"[\w.@-]+", re.ASCII)  # a name, if there is a digit in it: `mail-0600`
_TASK = re.compile(r"t-\d+|.*\.md", re.IGNORECASE)
_SHOWN = 5


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
    runs = tuple(_run(row, status_of_row(row, alive, now), now, answered) for row in ordered)
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
        NotFoundError: none, or more than one, fits; or it is the name of something else.
    """
    if typed is None:
        if not rows:
            raise NotFoundError("there is no run in this home yet", hint='standpipe run "TASK"')
        return max(rows.values(), key=lambda row: natural(row.id))
    callers = {row.caller_id: row for row in rows.values() if row.caller_id}
    if typed not in rows and typed in callers:
        return callers[typed]
    if _QUESTION.fullmatch(typed):
        hint = f"`standpipe answer {typed} TEXT` answers it, `standpipe inbox` shows it"
        raise NotFoundError(f"`{typed}` is a question, not a run", hint=hint)
    if _ACTION.fullmatch(typed) and match(run_of(typed), rows, what="run"):
        hint = f"`standpipe why {typed}` tells its story"
        raise NotFoundError(f"`{typed}` is an action, not a run", hint=hint)
    if typed.strip() and not _ID.fullmatch(typed) and (near := _near(rows, typed)):
        raise NotFoundError(f"no run `{typed}`", hint=near)
    return rows[match(typed, rows, what="run")]


def meant_instead_of_a_task(
    rows: Mapping[str, RunRow], typed: str, *, with_id: bool = False
) -> RunRow | None:
    """Return the run that was typed where a task could be; None where it is a task.

    `with_id`: the run has a name beside it, so a task of one word is one.

    Raises:
        NotFoundError: it looks like the name of a run, and there is none.
    """
    called = any(row.caller_id == typed for row in rows.values() if row.caller_id)
    if called or _ID.fullmatch(typed):
        return meant(rows, typed)
    if with_id or not _WORD.fullmatch(typed) or _TASK.fullmatch(typed):
        return None
    if not any(letter.isdecimal() for letter in typed) and not _longer(rows, typed):
        return None
    new = f'for a new run of this name: standpipe run "TASK" --id {typed}'
    raise NotFoundError(f"no run `{typed}`", hint=_near(rows, typed) or new)


def status_of_row(row: RunRow, alive: Alive, now: str = "") -> str:
    """Return where a run stands, seen from outside; without `now` none is too late to begin."""
    if row.status == "yielded":
        return "lost"
    if row.status != "running":
        return row.status
    gone = not alive(row) if row.epoch else "" < row.wake_at <= now
    return "lost" if gone else "running"


def can_go_on(row: RunRow, questions: Mapping[str, BlockerRow], *, alive: Alive, now: str) -> bool:
    """Whether nobody works on a run, and nobody has to be asked or waited for."""
    match status_of_row(row, alive, now):
        case "lost":
            return True
        case "running":
            return not row.epoch  # whoever began it did not come to its first segment
        case "queued":
            return row.wake_at <= now
        case "blocked":
            return row.wake_at <= now if row.wake_at else _is_answered(row, questions, now)
        case _:
            return False


def sentence_of(fleet: Fleet) -> str:
    """Say it in one line: "1 lost, 2 need you, 7 done"."""
    words = {"lost": "lost", "failed": "failed", "blocked": "need you", "running": "running",
             "queued": "queued", "done": "done", "cancelled": "cancelled"}  # fmt: skip
    parts = [f"{fleet.counts[key]} {word}" for key, word in words.items() if fleet.counts[key]]
    return ", ".join(parts) or "no runs yet"


def _run(row: RunRow, status: str, now: str, answered: Collection[str]) -> FleetRun:
    running = status == "running"
    explains = status in {"failed", "blocked"}
    told = _summary(row, status, now)
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


def _near(rows: Mapping[str, RunRow], typed: str) -> str:
    """Name the runs that were called almost so by their callers, if any were."""
    callers = [row.caller_id for row in rows.values() if row.caller_id]
    near = _longer(rows, typed)[-_SHOWN:] or get_close_matches(typed, callers)
    return f"did you mean {' or '.join(f'`{name}`' for name in near)}?" if near else ""


def _longer(rows: Mapping[str, RunRow], typed: str) -> list[str]:
    """Return the names that callers gave to runs, and that begin like this."""
    begin = typed.casefold()
    names = {row.caller_id for row in rows.values() if row.caller_id}
    return sorted((name for name in names if name.casefold().startswith(begin)), key=natural)


def _is_answered(row: RunRow, questions: Mapping[str, BlockerRow], now: str) -> bool:
    """Whether all that a run waits for is out of the way; its row may be older than `wake_at`."""
    own = [name for name, asked in questions.items() if asked.run == row.id]
    asked = [questions[name] for name in row.waits_for or own if name in questions]
    return all(
        one.answer is not None or (one.kind == "wait" and one.expires_at <= now) for one in asked
    )


def _summary(row: RunRow, status: str, now: str) -> str:
    match status:
        case "lost":
            if not row.epoch:
                return f"killed before it began; `standpipe resume {row.id}` begins it"
            why = row.summary if row.status == "yielded" else "its process is gone"
            return f"{why or 'interrupted'}; `standpipe resume {row.id}` goes on where it stopped"
        case "queued":
            where = f" (queue {row.queue})" if row.queue != "default" else ""
            when = f"begins at {row.wake_at}" if row.wake_at > now else "waits for a worker"
            return f"{when}{where}"
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
