"""What waits for a person, in all runs of a home: the inbox.

Rule 1: the dearest question comes first: what may have happened, what is held, what is asked.
Rule 2: a question that expired is parked, not answered: nothing runs, nothing is denied.
Rule 3: what a run that is over still asks is withdrawn, unless the answer mends something for others.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from standpipe.desk.report import FINAL, Call
from standpipe.ids import natural
from standpipe.journal.entries import BlockedRaised
from standpipe.journal.projections import BLOCKERS, RUNS, BlockerRow, RunRow, read_row
from standpipe.journal.store import Store

_ORDER = ("in_doubt", "approval", "question", "failure", "wait")


class Waiting(Struct, frozen=True, kw_only=True):
    """One line of the inbox, with everything one needs to decide."""

    id: str
    run: str
    agent: str
    task: str
    kind: str
    ask: str
    why: str
    action: Call | None
    choices: tuple[str, ...]
    setting: str
    default: str
    raised_at: str
    expires_at: str | None
    state: str  # open | parked


async def inbox(store: Store, *, now: str, run: str = "") -> list[Waiting]:
    """Return what waits, of one run or of all."""
    runs = await run_rows(store)
    found = [row for row in (await blocker_rows(store)).values() if not run or row.run == run]
    open_rows = [row for row in found if is_open(row, runs.get(row.run))]
    shown = await _arguments(store, {row.run for row in open_rows})
    return [
        _waiting(row, runs.get(row.run), shown.get(row.id, {}), now) for row in _sorted(open_rows)
    ]


async def run_rows(store: Store) -> dict[str, RunRow]:
    """Return the runs of a home by id."""
    rows = await store.rows(RUNS)
    return {key: read for key, row in rows.items() if (read := read_row(RunRow, row))}


async def blocker_rows(store: Store) -> dict[str, BlockerRow]:
    """Return every question that was ever asked, by id."""
    rows = await store.rows(BLOCKERS)
    return {key: read for key, row in rows.items() if (read := read_row(BlockerRow, row))}


def is_open(row: BlockerRow, run: RunRow | None) -> bool:
    """Return whether an answer to this question would still change something."""
    over = run is not None and run.status in FINAL
    return row.answer is None and (not over or bool(row.site))


async def _arguments(store: Store, runs: Iterable[str]) -> dict[str, Mapping[str, object]]:
    return {
        entry.key: entry.body.shows
        for run in runs
        for entry in await store.read(run)
        if isinstance(entry.body, BlockedRaised)
    }


def _sorted(rows: Iterable[BlockerRow]) -> Sequence[BlockerRow]:
    def cost_of_waiting(row: BlockerRow) -> tuple[int, tuple[tuple[int, str], ...]]:
        return _ORDER.index(row.kind) if row.kind in _ORDER else len(_ORDER), natural(row.id)

    return sorted(rows, key=cost_of_waiting)


def _waiting(row: BlockerRow, run: RunRow | None, shows: Mapping[str, object], now: str) -> Waiting:
    return Waiting(
        id=row.id,
        run=row.run,
        agent=run.agent if run else "",
        task=f"{run.task_id} {run.task}".strip() if run else "",
        kind=row.kind,
        ask=row.ask,
        why=row.why,
        action=Call(row.action, row.tool, shows) if row.action else None,
        choices=row.choices,
        setting=row.setting,
        default=row.default,
        raised_at=row.raised_at,
        expires_at=row.expires_at or None,
        state="parked" if row.expires_at and row.expires_at <= now else "open",
    )
