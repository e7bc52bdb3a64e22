"""Put ended runs out of the journal into one compressed export per month.

Rule 1: open, blocked and in-doubt runs stay, and those whose question keeps a site open.
Rule 2: an archive is on disk, and was read back and found whole, before anything is taken out of the journal;
killed in between, both have the run, which harms nobody.
Rule 3: a tombstone stays (run, last number, head), so that what is gone is known to be gone on purpose.
Rule 4: what went can be told as before: its entries are read in the archive, and must lead to its tombstone.
"""

import gzip
import os
import shutil
import zlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from standpipe.errors import BrokenJournalError
from standpipe.files import fsync_folder
from standpipe.ids import natural
from standpipe.journal.chain import entry_of
from standpipe.journal.entries import Entry
from standpipe.journal.export import export
from standpipe.journal.exported import exported_lines, exported_run, verify_export
from standpipe.journal.projections import (
    BLOCKERS,
    FINAL,
    RUNS,
    TWINS,
    BlockerRow,
    RunRow,
    TwinRow,
    read_row,
)
from standpipe.journal.snapshot import Head, Snapshot, Tombstone
from standpipe.journal.streams import StreamCheck

R = TypeVar("R", BlockerRow, RunRow, TwinRow)
_KEEPS = frozenset({"in_doubt", "failure"})  # questions that matter beyond the end of their run


class Ripe(Struct, frozen=True):
    """A run that may go; `month` is that of its end."""

    run: str
    month: str


async def ripe(snapshot: Snapshot, *, before: str) -> Sequence[Ripe]:
    """Return the runs that ended before a time and that nobody waits for, the oldest first."""
    kept = await _waited_for(snapshot)
    heads, buried = await snapshot.heads(), await snapshot.tombstones()
    rows = _read(await snapshot.rows(RUNS), RunRow)
    over = [
        row
        for row in rows
        if row.status in FINAL and row.ended_at and row.ended_at < before
        if row.id not in kept and row.id not in buried and heads.get(row.id)
    ]  # fmt: skip
    return [Ripe(row.id, row.ended_at[:7]) for row in sorted(over, key=_by_end)]


async def archive(
    snapshot: Snapshot, runs: Iterable[Ripe], folder: Path, *, at: str, secret: bytes = b""
) -> Sequence[Tombstone]:
    """Write runs into the archives of their months; return what may be taken out of the journal now.

    Raises:
        BrokenJournalError: a run is not what was written; nothing of its month is taken out.
    """
    months: dict[str, list[str]] = {}
    for one in runs:
        months.setdefault(one.month, []).append(one.run)
    heads, stones = await snapshot.heads(), list[Tombstone]()
    for month, names in sorted(months.items()):
        path = folder / f"{month}.jsonl.gz"
        await _add(snapshot, names, path, secret)
        for name in sorted(names, key=natural):
            if head := heads[name]:
                stones.append(Tombstone(name, head.seq, head.hash, at, path.name))
    return stones


def archived_entries(folder: Path, stone: Tombstone, *, secret: bytes = b"") -> Sequence[Entry]:
    """Return the entries that went into an archive, once they are found whole up to their tombstone.

    Raises:
        BrokenJournalError: the archive is gone, or it is not what was written.
    """
    path, run = folder / stone.file, stone.run
    try:
        with path.open("rb") as file, exported_lines(file) as lines:
            stored = exported_run(lines, run, secret=secret)
    except (OSError, EOFError, zlib.error) as error:
        raise _untrusted(run, path, getattr(error, "strerror", None) or str(error)) from error
    except BrokenJournalError as error:
        raise _untrusted(run, path, error.message) from error
    check = StreamCheck(run, secret, stone.head)
    check.feed(stored)
    check.end(Head(stone.seq, stone.head))
    if check.findings:
        raise _untrusted(run, path, check.findings[0].line)
    return [entry_of(one) for one in stored]


async def _waited_for(snapshot: Snapshot) -> frozenset[str]:
    """Return the runs with an open question of weight, or with a call nobody saw the end of."""
    asked = _read(await snapshot.rows(BLOCKERS), BlockerRow)
    twins = _read(await snapshot.rows(TWINS), TwinRow)
    waiting = {row.run for row in asked if row.answer is None and (row.kind in _KEEPS or row.site)}
    return frozenset({*waiting, *(flight.run for twin in twins for flight in twin.flights)})


async def _add(snapshot: Snapshot, names: Sequence[str], path: Path, secret: bytes) -> None:
    """Append one export to the archive of a month, whole or not at all."""
    with _appended(path, names, secret) as packed:
        async for line in export(snapshot, names, keyed=bool(secret)):
            packed.write(line)


@contextmanager
def _appended(path: Path, names: Sequence[str], secret: bytes) -> Generator[gzip.GzipFile]:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        if path.exists():
            with path.open("rb") as old:
                shutil.copyfileobj(old, file)
        start = file.tell()
        with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as packed:
            yield packed
        file.flush()
        os.fsync(file.fileno())
    _must_read_back(new, start, names, secret)
    new.replace(path)
    fsync_folder(path.parent)


def _must_read_back(path: Path, start: int, names: Sequence[str], secret: bytes) -> None:
    with path.open("rb") as file:
        file.seek(start)
        with exported_lines(file) as lines:
            found = verify_export(lines, secret=secret)
    if not found.whole or found.streams != len(names):
        path.unlink()
        why = found.broken[0] if found.broken else "not every run is in it"
        raise BrokenJournalError(
            f"nothing was archived: {why}",
            hint="`standpipe journal verify` lists what is damaged",
        )


def _untrusted(run: str, path: Path, why: str) -> BrokenJournalError:
    return BrokenJournalError(
        f"`{run}` went into `{path}`, which cannot be trusted: {why}",
        hint="restore that file from a backup; `standpipe journal verify --file FILE` checks it",
    )


def _read(rows: Mapping[str, bytes], kind: type[R]) -> list[R]:
    return [row for text in rows.values() if (row := read_row(kind, text))]


def _by_end(row: RunRow) -> tuple[str, tuple[tuple[int, str], ...]]:
    return row.ended_at, natural(row.id)
