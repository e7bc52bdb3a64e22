"""Which run a person meant: its id, a prefix of it, the caller's `--id`, or none for the last one."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from standpipe.config import find_home
from standpipe.desk.blockers import blocker_rows, run_rows
from standpipe.desk.fleet import meant, status_of_row
from standpipe.desk.liveness import alive
from standpipe.desk.report import Report, report
from standpipe.journal.entries import Entry
from standpipe.journal.projections import RunRow
from standpipe.journal.store import Store
from standpipe.runtime import STATE_FOLDER, open_store

R = TypeVar("R")


@asynccontextmanager
async def journal(home: Path) -> AsyncGenerator[Store]:
    """Open the journal of a home to read it or to post an answer."""
    store = open_store(home)
    try:
        yield store
    finally:
        await store.close()


def began(home: str | None) -> bool:
    """Return whether anything ever ran in this home."""
    return (find_home(home) / STATE_FOLDER / "journal.db").exists()


def asked(home: str | None, question: Callable[[Store], Coroutine[Any, Any, R]]) -> R:
    """Put one question to the journal of a home."""

    async def ask() -> R:
        async with journal(find_home(home)) as store:
            return await question(store)

    return asyncio.run(ask())


def where(row: RunRow) -> str:
    """Return where a run stands now, its process looked after."""
    return status_of_row(row, alive)


async def entries_of(store: Store, typed: str | None) -> Sequence[Entry]:
    """Return the entries of the run a person meant."""
    return await store.read(meant(await run_rows(store), typed).id)


async def report_of(store: Store, typed: str | None) -> Report:
    """Return the report of the run a person meant."""
    row = meant(await run_rows(store), typed)
    living = alive(row) if row.epoch else None
    rows = await blocker_rows(store)
    return report(await store.read(row.id), elsewhere=rows, alive=living)
