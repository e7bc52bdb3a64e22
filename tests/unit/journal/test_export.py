"""An export says all that the journal says, and what was changed in it is found without the journal."""

import gzip
import io
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from standpipe.errors import BrokenJournalError, UsageError
from standpipe.journal.entries import Draft, RunCreated, SegmentStarted
from standpipe.journal.export import changed_since, export, read_time
from standpipe.journal.exported import exported_lines, verify_export
from standpipe.journal.snapshot import PortSnapshot
from standpipe.stores.memory import MemoryStore
from standpipe.stores.snapshot import SqliteSnapshot
from standpipe.stores.sqlite import SqliteStore
from standpipe.testing.fakes import FakeClock
from standpipe.testing.store_suite import note

STARTED = Draft("", SegmentStarted("tests", 1, "", "0"))
ODD = 'nul \x00 bidi \u202e fish 🐟 quote " back \\ ,"data": ,"prev":" '


async def filled(store: MemoryStore | SqliteStore, clock: FakeClock) -> None:
    for task in ("first", ODD):
        run = await store.create(RunCreated(task, "a", "m", ""))
        epoch = await store.start_segment(run, STARTED)
        await store.append(run, epoch, [note("a", "x"), note("b", ODD)])
        await store.seal()
        clock.advance(3600)


@pytest.fixture
async def lines() -> list[bytes]:
    clock = FakeClock()
    store = MemoryStore(clock)
    await filled(store, clock)
    return [line async for line in export(PortSnapshot(store))]


def verified(lines: Sequence[bytes]) -> tuple[str, ...]:
    return verify_export(lines).broken


async def test_an_export_is_whole_and_holds_every_entry(lines: list[bytes]) -> None:
    found = verify_export(lines)
    assert (found.broken, found.streams, found.entries) == ((), 2, 8)
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)


async def test_both_ways_to_look_at_a_store_export_the_same(tmp_path: Path) -> None:
    clock = FakeClock()
    store = SqliteStore(tmp_path / "journal.db", clock)
    await filled(store, clock)
    own = SqliteSnapshot(tmp_path / "journal.db")
    assert [one async for one in export(own)] == [one async for one in export(PortSnapshot(store))]
    await own.close()
    await store.close()


CHANGES: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "a word": (lambda seen: [line.replace(b'"x"', b'"y"') for line in seen], "r1/3: decision.noted"),
    "a space in the data": (lambda seen: [line.replace(b'"data":{', b'"data":{ ') for line in seen], "r1/1: "),
    "an entry gone": (lambda seen: [*seen[:4], *seen[5:]], "r1/2: entry 2 is missing"),
    "an entry twice": (lambda seen: [*seen[:5], *seen[4:]], "r1/2: an entry stands at 2"),
    "entries swapped": (lambda seen: [*seen[:4], seen[5], seen[4], *seen[6:]], "r1/2: entry 2 is missing"),
    "a run gone": (lambda seen: [line for line in seen if b'{"run":"r2"' not in line], "r2: the whole stream"),
    "a tail cut": (lambda seen: [line for line in seen if b'"r2","seq":4' not in line], "r2/4: entries at its end"),
    "the end gone": (lambda seen: seen[:-1], "the end of the export is missing"),
    "half a line": (lambda seen: [*seen[:-1], seen[-1][:9]], "cannot be read"),
    "a seal gone": (lambda seen: [seen[0], *seen[2:]], "seal 2 does not follow"),
    "a seal changed": (lambda seen: [seen[0], seen[1].replace(b'"n":1', b'"n":7'), *seen[2:]], "seal 7 is not what"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
async def test_what_somebody_changed_in_an_export_is_found(change: str, lines: list[bytes]) -> None:
    changed, said = CHANGES[change]
    assert any(said in line for line in verified(changed(lines))), verified(changed(lines))


async def test_some_runs_are_exported_whole_and_verify_alone() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    await filled(store, clock)
    snapshot = PortSnapshot(store)
    since = await changed_since(snapshot, "2026-11-22T07:30:00.000Z")
    assert since == {"r2"}
    lines = [line async for line in export(snapshot, since)]
    found = verify_export(lines)
    assert (found.broken, found.streams, found.entries) == ((), 1, 4)
    cut = [line for line in lines if b'"r2","seq":4' not in line]
    assert any("a seal still knows" in line for line in verified(cut))


async def test_exports_that_follow_each_other_are_checked_one_by_one(lines: list[bytes]) -> None:
    found = verify_export([*lines, *lines])
    assert (found.broken, found.streams, found.entries) == ((), 4, 16)
    assert len(verified([*lines[:5], *lines])) >= 1


async def test_a_compressed_export_is_read_like_a_plain_one(lines: list[bytes]) -> None:
    plain = b"".join(lines)
    for content in (plain, gzip.compress(plain), gzip.compress(plain) * 2):
        file = io.BufferedReader(io.BytesIO(content))
        with exported_lines(file) as read:
            assert verify_export(read).whole


@pytest.mark.parametrize("text", [[], [b"{}\n"], [b"\x00\xff"], [b'{"kind":"export.begun"}\n']])
def test_what_is_no_export_is_told(text: list[bytes]) -> None:
    with pytest.raises(UsageError, match="no export"):
        verify_export(text)


async def test_an_export_of_a_newer_format_is_told(lines: list[bytes]) -> None:
    newer = lines[0].replace(b'"format":1', b'"format":2')
    with pytest.raises(UsageError, match="format 2, this standpipe reads 1"):
        verify_export([newer])


async def test_an_export_is_made_with_the_key_and_verified_with_it_only() -> None:
    lines = [one async for one in export(PortSnapshot(MemoryStore(FakeClock())), keyed=True)]
    with pytest.raises(UsageError, match="has a key"):
        verify_export(lines)
    assert verify_export(lines, secret=b"key").whole


async def test_an_entry_that_is_no_json_is_not_exported_as_if_it_were(tmp_path: Path) -> None:
    clock = FakeClock()
    store = SqliteStore(tmp_path / "journal.db", clock)
    await filled(store, clock)
    await store.close()
    with sqlite3.connect(tmp_path / "journal.db") as db:
        db.execute("update entry set data = '{' where run = 'r1' and seq = 3")
    db.close()
    snapshot = SqliteSnapshot(tmp_path / "journal.db")
    with pytest.raises(BrokenJournalError, match="r1/3 cannot be exported"):
        _ = [line async for line in export(snapshot)]
    await snapshot.close()


def test_a_time_is_read_as_people_type_it() -> None:
    assert read_time("2026-11-01") == "2026-11-01T00:00:00.000Z"
    assert read_time("2026-11-01T07:00:00+01:00") == "2026-11-01T06:00:00.000Z"
    with pytest.raises(UsageError, match="`soon` is no time"):
        read_time("soon")
