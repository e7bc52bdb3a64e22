"""A journal that an earlier version wrote is read on: what it counted counts, what it closed is closed."""

import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from standpipe.actions import Action, Effect, Tool
from standpipe.desk.report import report
from standpipe.governor.fingerprint import VERSION
from standpipe.governor.sites import Site
from standpipe.journal.projections import SITES, read_row
from standpipe.journal.verify import verify
from standpipe.journal.views import open_blockers, pointed_at
from standpipe.outcomes.outcome import Failed, Refused
from standpipe.stores.sqlite import SqliteStore
from standpipe.testing.fakes import FakeClock
from standpipe.testing.gates import open_gate

SPINE = Path(__file__).parents[1] / "golden/journals/spine.db"
SAVE = Tool(name="save", effect=Effect.IDEMPOTENT, origin="home")
FETCH = Tool(name="fetch", effect=Effect.READ, origin="home")
TWICE = sqlite3.IntegrityError("UNIQUE constraint failed: payroll.k")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    shutil.copy(SPINE, tmp_path / "journal.db")
    opened = SqliteStore(tmp_path / "journal.db", FakeClock())
    yield opened
    await opened.close()


async def test_it_is_whole_and_its_report_can_be_read(store: SqliteStore) -> None:
    found = await verify(store)
    assert found.whole
    told = report(await store.read("r1"))
    assert [failure.kind for failure in told.failures] == ["conflict", "forbidden", "in_doubt"]


async def test_what_failed_once_under_an_old_name_has_failed_twice_now(store: SqliteStore) -> None:
    gate, _ = await open_gate({"save": SAVE}, {"save": [TWICE]}, store=store, clock=FakeClock())
    action = Action(id="r2.1.1", tool=SAVE, arguments={"row": 2}, why="asked")
    assert isinstance(await gate.perform(action), Failed)
    assert len(open_blockers(gate.record.journal.entries)) == 1
    rows = [read_row(Site, text) for text in (await store.rows(SITES)).values()]
    [site] = [row for row in rows if row and row.tool == "save" and row.count]
    assert (site.count, site.version, site.aliases) == (2, VERSION, ("3a472f17c936",))


async def test_a_site_that_was_open_is_open(store: SqliteStore) -> None:
    gate, executor = await open_gate({"fetch": FETCH}, {"fetch": ["data"]}, store=store)
    refused = await gate.perform(Action(id="r2.1.1", tool=FETCH, arguments={"day": "friday"}))
    assert isinstance(refused, Refused)
    assert (executor.calls, pointed_at(gate.record.journal.entries)) == ([], ("b1",))
