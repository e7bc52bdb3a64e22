"""Take out of a SQLite journal what an archive holds.

Rule 1: a run goes only as it was archived: one that was written to meanwhile stays, and is archived again.
Rule 2: its tombstone is written in the transaction that takes its entries out.
Rule 3: whoever calls holds the home, as every open journal does, so that nobody changes the schema meanwhile.
Rule 4: its rows stay, so that its id and the caller's id are never given twice.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from standpipe.errors import JournalError
from standpipe.journal.snapshot import Tombstone

BURIED = "archived/"  # the names of tombstones in the table `meta`
_WAIT_SECONDS = 30


def bury(path: Path, stones: Sequence[Tombstone]) -> Sequence[Tombstone]:
    """Take out runs that are in an archive; return those that went.

    Raises:
        JournalError: the journal cannot be written.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=_WAIT_SECONDS)) as db:
            db.execute("pragma synchronous=full")
            return [stone for stone in stones if _went(db, stone)]
    except sqlite3.Error as error:
        raise JournalError(
            f"the journal `{path}` cannot be written: {error}",
            hint="what was archived stays in both places, which harms nobody; archive again",
        ) from error


def _went(db: sqlite3.Connection, stone: Tombstone) -> bool:
    db.execute("begin immediate")
    try:
        known = db.execute("select seq, head from run where id = ?", (stone.run,)).fetchone()
        same = known == (stone.seq, stone.head)
        if same:
            text = msgspec.json.encode(stone).decode()
            db.execute("insert into meta values (?, ?)", (f"{BURIED}{stone.run}", text))
            db.execute("delete from entry where run = ?", (stone.run,))
    except BaseException:
        db.execute("rollback")
        raise
    db.execute("commit")
    return same
