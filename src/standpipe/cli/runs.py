"""Which run a person meant: its id, a prefix of it, the caller's `--id`, or none for the last one."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from standpipe.clock import SystemClock, stamp
from standpipe.config import find_home
from standpipe.desk.blockers import blocker_rows, run_rows
from standpipe.desk.fleet import can_go_on, meant, status_of_row
from standpipe.desk.report import Report, report
from standpipe.errors import NotFoundError
from standpipe.ids import natural
from standpipe.journal.entries import Entry
from standpipe.journal.projections import RunRow
from standpipe.journal.store import Store
from standpipe.opening import entries_of_run, looked_after, open_store

R = TypeVar("R")


@asynccontextmanager
async def journal(home: Path) -> AsyncGenerator[Store]:
    """Open the journal of a home to read it or to post an answer."""
    store = open_store(home)
    try:
        yield store
    finally:
        await store.close()


def asked(home: str | None, question: Callable[[Store], Coroutine[Any, Any, R]]) -> R:
    """Put one question to the journal of a home.

    Raises:
        NotFoundError: nothing ran in this home yet.
    """

    async def ask() -> R:
        async with journal(find_home(home)) as store:
            return await question(store)

    return asyncio.run(ask())


def asked_if_begun(
    home: str | None, question: Callable[[Store], Coroutine[Any, Any, R]], nothing: R
) -> R:
    """Put a question to a home in which maybe nothing ever ran; then the answer is `nothing`."""
    folder = find_home(home)

    async def ask() -> R:
        async with AsyncExitStack() as opened:
            try:
                store = await opened.enter_async_context(journal(folder))
            except NotFoundError:
                return nothing
            return await question(store)

    return asyncio.run(ask())


async def where(store: Store, row: RunRow) -> str:
    """Return where a run stands now, whoever works on it looked after."""
    return status_of_row(row, await looked_after(store), stamp(SystemClock().now()))


async def unfinished(store: Store) -> list[str]:
    """Return the runs that can go on and that nobody works on, the most important first."""
    questions, watch = await blocker_rows(store), await looked_after(store)
    now = stamp(SystemClock().now())
    found = [
        row
        for row in (await run_rows(store)).values()
        if can_go_on(row, questions, alive=watch, now=now)
    ]
    return [row.id for row in sorted(found, key=lambda row: (-row.priority, natural(row.id)))]


async def entries_of(store: Store, home: str | None, typed: str | None) -> Sequence[Entry]:
    """Return the entries of the run a person meant."""
    return await entries_of_run(find_home(home), store, meant(await run_rows(store), typed).id)


async def report_of(store: Store, home: str | None, typed: str | None) -> Report:
    """Return the report of the run a person meant."""
    row = meant(await run_rows(store), typed)
    living = (await looked_after(store))(row) if row.epoch else None
    rows = await blocker_rows(store)
    entries = await entries_of_run(find_home(home), store, row.id)
    return report(entries, elsewhere=rows, alive=living)
