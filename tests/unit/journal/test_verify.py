"""What somebody or something changed in a journal is found, named, and nothing else is."""

import sqlite3
from pathlib import Path
from typing import NoReturn

import pytest
from msgspec.structs import astuple

from standpipe.actions import Action, Effect, Tool
from standpipe.desk.answers import give
from standpipe.errors import BrokenJournalError, JournalError
from standpipe.journal.chain import Stored, link_of
from standpipe.journal.entries import Draft, RunEnded, SegmentEnded
from standpipe.journal.snapshot import PortSnapshot
from standpipe.journal.verify import Verdict, check, verify
from standpipe.stores.memory import MemoryStore
from standpipe.stores.snapshot import SqliteSnapshot
from standpipe.stores.sqlite import SqliteStore
from standpipe.testing.fakes import FakeClock
from standpipe.testing.gates import open_gate
from standpipe.testing.store_suite import note

PAGE_BYTES = 4096
FETCH = Tool(name="fetch", effect=Effect.READ, origin="home")
PAY = Tool(name="pay", origin="home", control=())


@pytest.fixture
async def journal(tmp_path: Path) -> Path:
    """A journal of two runs: one ended, one that asked, was answered and is under way."""
    path = tmp_path / "journal.db"
    store = SqliteStore(path, FakeClock())
    for arguments in ({"day": "friday"}, {"day": "monday"}):
        gate, _ = await open_gate(
            {"fetch": FETCH, "pay": PAY}, {"fetch": ["x"], "pay": ["paid"]}, store=store
        )
        run = gate.record.journal.run
        await gate.perform(Action(id=f"{run}.1.1", tool=FETCH, arguments=arguments))
    await gate.perform(Action(id="r2.1.2", tool=PAY, arguments={}, why="it is due"))
    await give(store, "b1", "yes", "ann")
    ended = [Draft("1", SegmentEnded("done")), Draft("r1", RunEnded("done", "all sent"))]
    await store.append("r1", 1, ended)
    await store.seal()
    await store.close()
    return path


async def checked(path: Path, run: str = "") -> Verdict:
    snapshot = SqliteSnapshot(path)
    try:
        return await check(snapshot, run=run)
    finally:
        await snapshot.close()


def damage(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def content(path: Path) -> bytes:
    return path.read_bytes()


def overwrite(path: Path, *, page_with: bytes, by: bytes) -> None:
    """Damage the beginning of the last page that holds a text."""
    whole = content(path)
    start = whole.rindex(page_with) // PAGE_BYTES * PAGE_BYTES
    path.write_bytes(whole[:start] + by + whole[start + len(by) :])


async def test_a_journal_nobody_touched_is_whole(journal: Path) -> None:
    found = await checked(journal)
    assert (found.broken, found.newer, found.streams) == ((), (), 2)
    assert found.entries == 18


@pytest.mark.parametrize(
    ("column", "other"),
    [
        ("epoch", "9"), ("key", "'odd'"), ("kind", "'action.wished'"), ("v", "7"),
        ("at", "'2026-11-22T07:00:00.001Z'"), ("data", "replace(data, 'fetch', 'fetcj')"),
        ("prev", "replace(prev, substr(prev, 9, 1), 'g')"), ("hash", "replace(hash, substr(hash, 9, 1), 'g')"),
        ("key", "cast(x'72ff' as text)"), ("data", "replace(data, 'fetch', cast(x'ff' as text))"),
        ("hash", "cast(x'ff00' as text)"), ("kind", "''"),
    ],
)  # fmt: skip
async def test_a_flipped_byte_is_found_in_every_column(
    journal: Path, column: str, other: str
) -> None:
    damage(journal, f"update entry set {column} = {other} where run = 'r1' and seq = 3")  # noqa: S608 -- our own
    found = await checked(journal)
    [first, *_] = found.findings
    assert (first.run, first.seq, first.sound) == ("r1", 3, 2)
    assert "is not what was written; 2 entries before it sound" in first.line
    assert {finding.run for finding in found.findings} == {"r1"}


SWAP = (
    "update entry set seq = 103 where run = 'r1' and seq = 3",
    "update entry set seq = 3 where run = 'r1' and seq = 4",
    "update entry set seq = 4 where run = 'r1' and seq = 103",
)
SWAP_DATA = (
    "create temp table kept as select data from entry where run = 'r1' and seq = 3",
    "update entry set data = (select data from entry where run = 'r1' and seq = 4) where run = 'r1' and seq = 3",
    "update entry set data = (select data from kept) where run = 'r1' and seq = 4",
)
ADD = (
    """insert into entry select run, 100, epoch, 'more', kind, v, at, data, hash, hash from entry
    where run = 'r1' order by seq desc limit 1""",
)


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (("delete from entry where run = 'r1' and seq = 3",), "r1/3: entry 3 is missing; 2 entries"),
        (("delete from entry where run = 'r1' and seq in (3, 4)",), "r1/3: entries 3 to 4 are missing"),
        (("delete from entry where run = 'r1' and seq > 6",), "r1/7: entries at its end are missing"),
        (SWAP, "r1/3: action.decided is not what was written"),
        (SWAP_DATA, "r1/3: action.proposed is not what was written"),
        (ADD, "are missing"),
        (("delete from entry where run = 'r1'",), "r1/1: entries at its end are missing"),
        (("delete from entry where run = 'r1'", "delete from run where id = 'r1'"), "which a seal still knows"),
        (("update entry set run = 'r3' where run = 'r1'",), "r3/1: run.created is not what was written"),
        (("delete from seal",), "seal 1 is missing"),
        (("update seal set heads = '{}'",), "seal 1 is not what was written"),
        (("update run set head = prev from seal where id = 'r1'",), "another end"),
        (("update view set data = json_set(data, '$.status', 'failed') where name = 'run' and key = 'r1'",),
         "r1: the row run/r1 says status 'failed', its entries 'done'"),
        (("update view set data = json_set(data, '$.actions', 7) where name = 'run' and key = 'r1'",), "says actions 7"),
        (("update view set data = 'x' where name = 'run' and key = 'r1'",), "the row run/r1 cannot be read"),
        (("delete from view where name = 'run' and key = 'r1'",), "the row run/r1 is missing"),
        (("update view set data = json_set(data, '$.answer', 'no') where name = 'blocker'",),
         "r2: the row blocker/b1 says answer 'no', its entries 'yes'"),
        (("drop table seal",), "no such table"),
    ],
    ids=[
        "one gone", "two gone", "a cut tail", "swapped", "contents swapped", "one more", "all gone", "a vanished run",
        "moved", "no seals", "a seal", "a head", "a status", "a count", "an unreadable row", "no row", "an answer",
        "no table",
    ],
)  # fmt: skip
async def test_what_somebody_changed_is_found(
    journal: Path, statements: tuple[str, ...], said: str
) -> None:
    damage(journal, *statements)
    found = await checked(journal)
    assert any(said in line for line in found.broken), found.broken


async def test_entries_cut_off_before_any_seal_are_known_to_the_table_of_runs(
    journal: Path,
) -> None:
    damage(
        journal,
        "delete from seal",
        "update run set seal = 0",
        "delete from entry where run = 'r2' and seq > 4",
    )
    [line] = (await checked(journal)).broken
    assert line == "r2/5: entries at its end are missing, up to 10; 4 entries before it sound"


async def test_an_entry_written_anew_with_its_hash_does_not_fit_the_next_one(
    journal: Path, tmp_path: Path
) -> None:
    other = SqliteStore(tmp_path / "other.db", FakeClock())
    gate, _ = await open_gate({"fetch": FETCH}, {"fetch": ["x"]}, store=other)
    await gate.perform(Action(id="r1.1.1", tool=FETCH, arguments={"day": "sunday"}))
    await other.close()
    columns = "seq, epoch, key, kind, v, at, data, prev, hash"
    damage(
        journal,
        f"attach '{tmp_path / 'other.db'}' as other",
        "delete from entry where run = 'r1' and seq = 3",
        f"insert into entry (run, {columns}) select run, {columns} from other.entry where run = 'r1' and seq = 3",  # noqa: S608 -- our own
    )
    assert any(
        "r1/4: action.decided does not follow the entry before it" in line
        for line in (await checked(journal)).broken
    )


async def test_one_run_is_checked_alone(journal: Path) -> None:
    damage(journal, "delete from entry where run = 'r1' and seq = 3")
    assert (await checked(journal, "r2")).whole
    assert not (await checked(journal, "r1")).whole


async def test_a_damaged_page_is_a_finding_and_the_other_runs_are_still_checked(
    journal: Path,
) -> None:
    damage(journal, "pragma wal_checkpoint(truncate)")
    overwrite(journal, page_with=b"run.created", by=b"\xaa" * 64)
    found = await checked(journal)
    assert not found.whole
    assert any("malformed" in line or "btree" in line.casefold() for line in found.broken)


async def test_a_file_without_a_first_page_is_told_in_our_words(journal: Path) -> None:
    overwrite(journal, page_with=b"SQLite format 3", by=b"\x00" * 100)
    with pytest.raises(BrokenJournalError, match="is damaged"):
        await checked(journal)


class Unreachable(PortSnapshot):
    """A database that is gone in the middle of the look."""

    async def heads(self) -> NoReturn:
        raise JournalError("the database cannot be used: it is gone")


async def test_a_journal_that_cannot_be_reached_gets_no_verdict() -> None:
    with pytest.raises(JournalError, match="it is gone"):
        await check(Unreachable(MemoryStore(FakeClock())))


async def test_it_changes_nothing(journal: Path) -> None:
    before = content(journal)
    await checked(journal)
    assert content(journal) == before


async def test_an_illegal_step_is_found_even_where_the_chain_is_whole() -> None:
    store = MemoryStore(FakeClock())
    gate, _ = await open_gate({"fetch": FETCH}, {"fetch": ["x"]}, store=store)
    await gate.perform(Action(id="r1.1.1", tool=FETCH, arguments={}))
    intended = next(e for e in gate.record.journal.entries if e.kind == "action.intended")
    await store.post("r1", [Draft("r1.1.1#2", intended.body)])
    [line] = (await verify(store)).broken
    assert "`intended` cannot follow `succeeded` for action `r1.1.1`" in line


async def test_what_a_living_writer_adds_meanwhile_is_no_finding(tmp_path: Path) -> None:
    clock = FakeClock()
    store = SqliteStore(tmp_path / "journal.db", clock)
    gate, _ = await open_gate({"fetch": FETCH}, {"fetch": ["x"]}, store=store, clock=clock)

    class Busy(PortSnapshot):
        async def heads(self):
            clock.advance(1)
            await gate.perform(Action(id="r1.1.1", tool=FETCH, arguments={}))
            await store.seal()
            return await super().heads()

        async def entries(self, run: str):
            async for batch in super().entries(run):
                yield batch
            clock.advance(1)
            await store.append("r1", 1, [note("later")])
            await store.seal()

    assert (await check(Busy(store))).broken == ()
    snapshot = SqliteSnapshot(tmp_path / "journal.db")
    await snapshot.heads()
    await store.append("r1", 1, [note("much later")])
    await store.seal()
    assert (await check(snapshot)).broken == ()
    await snapshot.close()
    await store.close()


async def test_an_entry_of_a_newer_version_is_named_and_no_damage(journal: Path) -> None:
    add(journal, kind="action.outcome", v=2, data=b'{"type":"action.outcome","how":"anew"}')
    found = await checked(journal)
    assert (found.broken, found.newer) == ((), ("r1/9: action.outcome of version 2",))


async def test_an_entry_of_an_unknown_kind_is_of_a_newer_version(journal: Path) -> None:
    add(journal, kind="dream.dreamt", v=1, data=b'{"type":"dream.dreamt"}')
    found = await checked(journal)
    assert (found.broken, found.newer) == ((), ("r1/9: dream.dreamt of version 1",))


async def test_a_body_nobody_can_read_is_found_though_its_hash_is_right(journal: Path) -> None:
    add(journal, kind="action.outcome", v=1, data=b"[1]")
    [line] = (await checked(journal)).broken
    assert "r1/9: action.outcome cannot be read" in line


def add(path: Path, *, kind: str, v: int, data: bytes) -> None:
    """Write one more entry with the right hash."""
    with sqlite3.connect(path) as db:
        seq, prev = db.execute("select seq, head from run where id = 'r1'").fetchone()
        row = Stored(
            "r1", seq + 1, 1, "r1.1.1#9", kind, v, "2026-11-22T07:00:00.000Z", data, prev, ""
        )
        own = link_of(row)
        values = (*astuple(row)[:7], data.decode(), prev, own)
        db.execute("insert into entry values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        db.execute("update run set seq = seq + 1, head = ? where id = 'r1'", (own,))
    db.close()
