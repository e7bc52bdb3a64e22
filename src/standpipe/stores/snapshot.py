"""A SQLite journal at one moment, through a connection of its own.

Rule 1: read only: no migration, no table, no repair. A newer or older schema is read all the same.
Rule 2: one transaction: what living writers add afterwards is not seen.
Rule 3: a text that is no UTF-8 any more is handed on, so that the hash tells which entry it is in.
"""

import sqlite3
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from standpipe.errors import BrokenJournalError, JournalError, NotFoundError
from standpipe.journal.chain import Stored
from standpipe.journal.seals import Seal
from standpipe.journal.snapshot import Head, Tombstone
from standpipe.stores.file import schema
from standpipe.stores.file.faults import code_of
from standpipe.stores.retention import BURIED

BATCH = 1000
DAMAGE_MAX = 20
_ENTRIES = """select run, seq, epoch, key, kind, v, at, cast(data as blob), prev, hash from entry
where run = ? and seq > ? order by seq limit ?"""


class SqliteSnapshot:
    """Look at the journal in `path`; close it soon, as the file cannot shrink its log meanwhile."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise NotFoundError(
                f"no journal at `{path}`", hint="nothing ran in this home yet; `standpipe run TASK`"
            )
        self._path = path
        with self._named():
            self._db = _reading(path)

    async def damage(self) -> Sequence[str]:
        """Return what SQLite itself says about its pages and indexes."""
        try:
            rows = self._db.execute(f"pragma integrity_check({DAMAGE_MAX})").fetchall()
        except sqlite3.DatabaseError as error:
            return (f"the journal `{self._path}` is damaged: {error}",)
        lines = [str(row[0]) for row in rows]
        return () if lines == ["ok"] else [f"the file: {line}" for line in lines]

    async def seals(self) -> Sequence[Seal]:
        return [
            Seal(*row) for row in self._all("select n, at, heads, prev, hash from seal order by n")
        ]

    async def heads(self) -> Mapping[str, Head | None]:
        heads: dict[str, Head | None] = dict.fromkeys(
            str(row[0]) for row in self._all("select distinct run from entry")
        )
        seal = "seal" if await self.version() > 1 else "0"
        rows = self._all(f"select id, seq, head, {seal} from run where seq > 0")  # noqa: S608 -- a constant
        heads.update({run: Head(seq, head, seal) for run, seq, head, seal in rows})
        return heads

    async def tombstones(self) -> Mapping[str, Tombstone]:
        rows = self._all("select value from meta where name glob ?", (f"{BURIED}*",))
        stones = [msgspec.json.decode(str(row[0]), type=Tombstone) for row in rows]
        return {stone.run: stone for stone in stones}

    async def version(self) -> int:
        """Return the version of the schema."""
        return int(self._all("pragma user_version")[0][0])

    async def entries(self, run: str) -> AsyncIterator[Sequence[Stored]]:
        after = 0
        while rows := self._all(_ENTRIES, (run, after, BATCH)):
            yield [Stored(*row) for row in rows]
            after = rows[-1][1]

    async def rows(self, view: str) -> Mapping[str, bytes]:
        rows = self._all("select key, cast(data as blob) from view where name = ?", (view,))
        return {str(key): row for key, row in rows}

    async def close(self) -> None:
        self._db.close()

    def _all(self, query: str, values: Sequence[str | int] = ()) -> list[tuple[Any, ...]]:
        with self._named():
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.OperationalError as error:
                if "decode to UTF-8" not in str(error):
                    raise
            self._db.text_factory = _as_it_lies_there
            try:
                return self._db.execute(query, values).fetchall()
            finally:
                self._db.text_factory = str

    @contextmanager
    def _named(self) -> Generator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if code_of(error) == sqlite3.SQLITE_ERROR:  # a table or a column is not there
                raise self._damaged(error) from error
            raise JournalError(
                f"the journal `{self._path}` cannot be read: {error}",
                hint="check its rights, and that the disk is there",
            ) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: sqlite3.Error) -> BrokenJournalError:
        return BrokenJournalError(
            f"the journal `{self._path}` is damaged: {error}", hint="restore it from a backup"
        )


def _reading(path: Path) -> sqlite3.Connection:
    """Open for reading; on a medium that cannot be written, as a file that nobody changes."""
    name = path.absolute().as_uri()
    log = path.with_name(f"{path.name}-wal")
    for how in ("mode=ro", "mode=ro&immutable=1"):
        db = sqlite3.connect(
            f"{name}?{how}", uri=True, isolation_level=None, timeout=10, check_same_thread=False
        )
        try:
            db.execute("begin")
            [tables] = db.execute("select count(*) from sqlite_master").fetchone()
        except sqlite3.OperationalError:
            db.close()
            if log.exists() and log.stat().st_size:  # what it holds would be overlooked
                raise
        except sqlite3.DatabaseError:
            db.close()
            raise
        else:
            return db if tables else _without_entries(db)
    raise sqlite3.OperationalError("unable to open database file")


def _without_entries(db: sqlite3.Connection) -> sqlite3.Connection:
    """Look at a journal whose disk was full before its tables were made: nothing was said in it."""
    db.close()
    empty = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    schema.create(empty)
    empty.execute("begin")
    return empty


def _as_it_lies_there(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
