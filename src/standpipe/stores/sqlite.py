"""The journal in one SQLite file.

Rule 1: WAL and `synchronous=FULL`: an append that returned survives a power cut.
Rule 2: one transaction per append, taken with BEGIN IMMEDIATE; `seq` and `head` are read inside it,
because answers come from other processes.
Rule 3: nothing is retried behind the caller's back; a failed write rolls back whole and says why.
"""

import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from standpipe.clock import Clock, stamp
from standpipe.errors import (
    BrokenJournalError,
    FencedError,
    JournalError,
    JournalFullError,
    NotFoundError,
    StaleError,
)
from standpipe.ids import HOME, digest, run_id
from standpipe.journal.chain import GENESIS, Stored, decode, encode, place
from standpipe.journal.entries import Draft, Entry, RunCreated, kind_of
from standpipe.journal.folds import project
from standpipe.journal.projections import Row, RunRow
from standpipe.journal.store import Seen

SCHEMA_VERSION = 1
APPLICATION_ID = 0x53545044  # "STPD"
SCHEMA = """
create table entry (
  run text not null, seq integer not null, epoch integer not null, key text not null,
  kind text not null, v integer not null, at text not null, data text not null,
  prev text not null, hash text not null,
  primary key (run, seq), unique (run, key, kind)
) strict, without rowid;
create table run (
  id text primary key, status text not null, epoch integer not null, seq integer not null,
  head text not null, owner text, lease_until text, wake_at text, parent text,
  caller_id text unique
) strict;
create table seal (n integer primary key, at text not null, heads text not null,
  prev text not null, hash text not null) strict;
create table worker (id text primary key, host text not null, beat_at text not null) strict;
create table view (name text not null, key text not null, data text not null,
  primary key (name, key)) strict, without rowid;
create table series (name text primary key, n integer not null) strict;
create table meta (name text primary key, value text not null) strict;
"""
_RESTORE = "restore it from a backup"
_AGAIN = "somebody else was faster; decide again"
COLUMNS = "run, seq, epoch, key, kind, v, at, data, prev, hash"


class SqliteStore:
    """Keep entries in `path`; several processes may use it at once."""

    def __init__(self, path: Path, clock: Clock, *, create: bool = True) -> None:
        self._clock = clock
        self._path = path
        with _named(path):
            self._db = _open(path, create=create)

    async def create(self, created: RunCreated) -> str:
        with self._transaction() as db:
            known = db.execute(
                "select id from run where caller_id = ?", (created.caller_id or None,)
            ).fetchone()
            if known:
                return str(known[0])
            run = run_id(_next(db, "run"))
            db.execute(
                "insert into run (id, status, epoch, seq, head, parent, caller_id) values (?, 'running', 0, 0, ?, ?, ?)",
                (run, GENESIS, created.parent or None, created.caller_id or None),
            )
            self._write(db, run, [Draft(run, created)])
            return run

    async def start_segment(self, run: str, draft: Draft) -> int:
        with self._transaction() as db:
            epoch = _stream(db, run).epoch + 1
            db.execute("update run set epoch = ? where id = ?", (epoch, run))
            self._write(db, run, [Draft(str(epoch), draft.body)])
            return epoch

    async def append(
        self, run: str, epoch: int, drafts: Sequence[Draft], *, seen: Seen | None = None
    ) -> Sequence[Entry]:
        with self._transaction() as db:
            now = _stream(db, run).epoch
            if now != epoch:
                raise FencedError(
                    f"run `{run}` is at epoch {now}, this process at {epoch}",
                    hint="another process went on with it; this one stops",
                )
            for (view, key), row in (seen or {}).items():
                if _look(db, view, key) != row:
                    raise StaleError(f"the row {view}/{key} has changed", hint=_AGAIN)
            return self._write(db, run, drafts)

    async def post(self, run: str, drafts: Sequence[Draft]) -> Sequence[Entry]:
        with self._transaction() as db:
            _stream(db, run)
            return self._write(db, run, drafts)

    async def read(self, run: str, after: int = 0) -> Sequence[Entry]:
        with _named(self._path):
            rows = self._db.execute(
                f"select {COLUMNS} from entry where run = ? and seq > ? order by seq",  # noqa: S608 -- a constant
                (run, after),
            ).fetchall()
        return [_entry(row) for row in rows]

    async def stored(self, run: str) -> Sequence[Stored]:
        with _named(self._path):
            rows = self._db.execute(
                f"select {COLUMNS} from entry where run = ? order by seq",  # noqa: S608 -- a constant
                (run,),
            ).fetchall()
        return [
            Stored(name, seq, epoch, key, kind, v, at, str(data).encode(), prev, own)
            for name, seq, epoch, key, kind, v, at, data, prev, own in rows
        ]

    async def streams(self) -> Sequence[str]:
        with _named(self._path):
            rows = self._db.execute(
                "select id from run where seq > 0 union select distinct run from entry"
            ).fetchall()
        return [str(row[0]) for row in rows]

    async def number(self, series: str) -> int:
        with self._transaction() as db:
            return _next(db, series)

    async def row(self, view: str, key: str) -> bytes | None:
        with _named(self._path):
            return _look(self._db, view, key)

    async def rows(self, view: str) -> Mapping[str, bytes]:
        with _named(self._path):
            rows = self._db.execute("select key, data from view where name = ?", (view,)).fetchall()
        return {str(key): str(row).encode() for key, row in rows}

    async def seal(self) -> None:
        with self._transaction() as db:
            heads = dict(db.execute("select id, head from run where seq > 0").fetchall())
            last = db.execute("select n, heads, hash from seal order by n desc limit 1").fetchone()
            n, known, prev = last or (0, "{}", GENESIS)
            covered = msgspec.json.encode(heads, order="sorted").decode()
            if covered == known:
                return
            at = stamp(self._clock.now())
            own = _seal_hash(prev, n + 1, at, covered)
            db.execute("insert into seal values (?, ?, ?, ?, ?)", (n + 1, at, covered, prev, own))

    async def sealed(self) -> Mapping[str, str]:
        with _named(self._path):
            rows = self._db.execute(
                "select n, at, heads, prev, hash from seal order by n"
            ).fetchall()
        before, heads = GENESIS, "{}"
        for number, (n, at, heads, prev, own) in enumerate(rows, 1):
            if (n, prev, own) != (number, before, _seal_hash(prev, n, at, heads)):
                raise BrokenJournalError(f"seal {number} is not what was written", hint=_RESTORE)
            before = own
        return msgspec.json.decode(heads, type=dict[str, str])

    async def close(self) -> None:
        self._db.close()

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with _named(self._path):
            self._db.execute("begin immediate")
            try:
                yield self._db
            except BaseException:
                if self._db.in_transaction:  # SQLite rolls back by itself when the disk is full
                    self._db.execute("rollback")
                raise
            self._db.execute("commit")

    def _write(self, db: sqlite3.Connection, run: str, drafts: Sequence[Draft]) -> list[Entry]:
        at = stamp(self._clock.now())
        transaction = _Transaction(db, at)
        written = [transaction.append(draft, draft.run or run) for draft in drafts]
        transaction.finish()
        return written


class _Stream(msgspec.Struct):
    epoch: int
    seq: int
    head: str


def _seal_hash(prev: str, n: int, at: str, heads: str) -> str:
    return digest(f"{prev}{n}{at}{heads}".encode())


@dataclass(slots=True)
class _Transaction:
    """The rows an append touches, read once and written once."""

    db: sqlite3.Connection
    at: str
    streams: dict[str, _Stream] = field(default_factory=dict[str, _Stream])
    rows: dict[tuple[str, str], bytes | None] = field(
        default_factory=dict[tuple[str, str], bytes | None]
    )
    updates: dict[tuple[str, str], Row] = field(default_factory=dict[tuple[str, str], Row])

    def append(self, draft: Draft, run: str) -> Entry:
        known = self.db.execute(
            f"select {COLUMNS} from entry where run = ? and key = ? and kind = ?",  # noqa: S608 -- a constant
            (run, draft.key, kind_of(draft.body)),
        ).fetchone()
        if known:
            return _entry(known)
        if run not in self.streams:
            self.streams[run] = _stream(self.db, run)
        stream = self.streams[run]
        entry = place(
            draft, run=run, seq=stream.seq + 1, epoch=stream.epoch, at=self.at, prev=stream.head
        )
        stream.seq, stream.head = entry.seq, entry.hash
        self.db.execute(
            f"insert into entry ({COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 -- a constant
            (
                run, entry.seq, entry.epoch, entry.key, entry.kind, entry.v, self.at,
                encode(entry.body).decode(), entry.prev, entry.hash,
            ),
        )  # fmt: skip
        for update in project(entry, self._look):
            self.updates[update.view, update.key] = update.row
            self.rows[update.view, update.key] = msgspec.json.encode(update.row)
        return entry

    def finish(self) -> None:
        """Write the heads and the projections, in the same transaction."""
        for run, stream in self.streams.items():
            self.db.execute(
                "update run set seq = ?, head = ? where id = ?", (stream.seq, stream.head, run)
            )
        for (view, key), row in self.updates.items():
            text = msgspec.json.encode(row).decode()
            self.db.execute("insert or replace into view values (?, ?, ?)", (view, key, text))
            if isinstance(row, RunRow):
                self.db.execute("update run set status = ? where id = ?", (row.status, key))

    def _look(self, view: str, key: str) -> bytes | None:
        if (view, key) not in self.rows:
            self.rows[view, key] = _look(self.db, view, key)
        return self.rows[view, key]


def _stream(db: sqlite3.Connection, run: str) -> _Stream:
    found = db.execute("select epoch, seq, head from run where id = ?", (run,)).fetchone()
    if found is None:
        raise NotFoundError(f"no run `{run}`", hint="`standpipe status` lists them")
    return _Stream(*found)


def _look(db: sqlite3.Connection, view: str, key: str) -> bytes | None:
    found = db.execute("select data from view where name = ? and key = ?", (view, key)).fetchone()
    return None if found is None else str(found[0]).encode()


def _next(db: sqlite3.Connection, series: str) -> int:
    found = db.execute(
        "insert into series values (?, 1) on conflict (name) do update set n = n + 1 returning n",
        (series,),
    ).fetchone()
    return int(found[0])


def _entry(row: tuple[str, int, int, str, str, int, str, str, str, str]) -> Entry:
    run, seq, epoch, key, kind, v, at, text, prev, own = row
    try:
        body = decode(text)
    except msgspec.DecodeError as error:
        raise BrokenJournalError(
            f"entry {run}/{seq} ({kind}) cannot be read: {error}",
            hint="`standpipe journal verify` lists what is damaged",
        ) from error
    return Entry(run, seq, epoch, key, v, at, body, prev, own)


def _open(path: Path, *, create: bool) -> sqlite3.Connection:
    if not create and not path.exists():
        raise NotFoundError(
            f"no journal at `{path}`", hint="nothing ran in this home yet; `standpipe run TASK`"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
    version = _version(db, path)
    for pragma in ("journal_mode=wal", "synchronous=full", "foreign_keys=on"):
        db.execute(f"pragma {pragma}")
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"journal `{path}` has schema {version}, this standpipe knows {SCHEMA_VERSION}",
            hint="update standpipe; it was written by a newer one",
        )
    if version == 0:
        _create_schema(db)
    return db


def _version(db: sqlite3.Connection, path: Path) -> int:
    """Return the schema version, 0 where there is none yet; nothing is written into a foreign file."""
    owner = db.execute("pragma application_id").fetchone()[0]
    if owner != APPLICATION_ID and db.execute("select count(*) from sqlite_master").fetchone()[0]:
        raise BrokenJournalError(
            f"`{path}` is a database, but no journal of standpipe",
            hint="move it away, or restore the journal from a backup",
        )
    return int(db.execute("pragma user_version").fetchone()[0])


def _create_schema(db: sqlite3.Connection) -> None:
    db.execute("begin immediate")
    if db.execute("pragma user_version").fetchone()[0] == 0:  # nobody else was faster
        for statement in SCHEMA.split(";\n"):
            if statement.strip():
                db.execute(statement)
        db.execute(
            "insert into run (id, status, epoch, seq, head) values (?, '', 0, 0, ?)",
            (HOME, GENESIS),
        )
        db.execute(f"pragma application_id={APPLICATION_ID}")
        db.execute(f"pragma user_version={SCHEMA_VERSION}")
    db.execute("commit")


@contextmanager
def _named(path: Path) -> Generator[None]:
    """Turn SQLite's words into ours; names of other libraries do not leak."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "full" in text or "disk I/O" in text:
            raise JournalFullError(
                f"the journal `{path}` cannot grow: {text}",
                hint="free some space, then `standpipe resume RUN`; nothing that happened is lost",
            ) from error
        if "malformed" in text or "not a database" in text:
            raise BrokenJournalError(
                f"the journal `{path}` is damaged: {text}", hint=_RESTORE
            ) from error
        raise JournalError(
            f"the journal `{path}` cannot be used: {text}",
            hint="check that the folder is writable and on a local disk",
        ) from error
    except OSError as error:
        raise JournalError(
            f"the journal `{path}` cannot be used: {error.strerror}",
            hint="check that the folder is writable",
        ) from error
