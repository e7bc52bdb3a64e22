"""What one append does inside a transaction: entries, the rows beside them, the row of the run.

`seq` and `head` are read inside the transaction, because answers come from other processes.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from standpipe.errors import NotFoundError
from standpipe.journal.chain import Stored, encode, entry_of, place
from standpipe.journal.entries import Draft, Entry
from standpipe.journal.folds import project
from standpipe.journal.projections import Row, RunRow

Columns: TypeAlias = tuple[str, int, int, str, str, int, str, str, str, str]
COLUMNS = "run, seq, epoch, key, kind, v, at, data, prev, hash"
DEFAULT_QUEUE = "default"
_KNOWN = f"select {COLUMNS} from entry where run = ? and key = ? and kind = ?"  # noqa: S608 -- a constant
_INSERT = (
    f"insert into entry ({COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 -- a constant
    " on conflict (run, key, kind) do nothing"
)
_VIEW = "insert or replace into view values (?, ?, ?)"
_HEAD = "update run set seq = ?, head = ? where id = ?"
_RUN = (
    "update run set seq = coalesce(?, seq), head = coalesce(?, head), status = ?, queue = ?,"
    " priority = ?, wake_at = ? where id = ?"
)


class Stream(msgspec.Struct):
    """Where a stream stands."""

    epoch: int
    seq: int
    head: str


def write(
    db: sqlite3.Connection,
    run: str,
    drafts: Sequence[Draft],
    *,
    at: str,
    secret: bytes = b"",
    known: Stream | None = None,
) -> list[Entry]:
    """Write drafts into the stream of `run`, or where they say, with all that follows from them.

    `known` is where the stream of `run` stands, for whoever has read it in this transaction.
    """
    work = _Work(db, at, secret, streams={run: known} if known else {})
    written = [work.append(draft, draft.run or run) for draft in drafts]
    work.finish()
    return written


def stream(db: sqlite3.Connection, run: str) -> Stream:
    """Return where a stream stands.

    Raises:
        NotFoundError: there is no such run.
    """
    found = db.execute("select epoch, seq, head from run where id = ?", (run,)).fetchone()
    if found is None:
        raise NotFoundError(f"no run `{run}`", hint="`standpipe status` lists them")
    return Stream(*found)


def look(db: sqlite3.Connection, view: str, key: str) -> bytes | None:
    """Return a row of a projection."""
    found = db.execute("select data from view where name = ? and key = ?", (view, key)).fetchone()
    return None if found is None else str(found[0]).encode()


def next_number(db: sqlite3.Connection, series: str) -> int:
    """Return the next number of a series."""
    found = db.execute(
        "insert into series values (?, 1) on conflict (name) do update set n = n + 1 returning n",
        (series,),
    ).fetchone()
    return int(found[0])


def as_stored(row: Columns) -> Stored:
    """Return an entry as it lies there."""
    run, seq, epoch, key, kind, v, at, text, prev, own = row
    return Stored(run, seq, epoch, key, kind, v, at, text.encode(), prev, own)


@dataclass(slots=True)
class _Work:
    """The rows an append touches, read once and written once."""

    db: sqlite3.Connection
    at: str
    secret: bytes
    streams: dict[str, Stream] = field(default_factory=dict[str, Stream])
    rows: dict[tuple[str, str], bytes | None] = field(
        default_factory=dict[tuple[str, str], bytes | None]
    )
    updates: dict[tuple[str, str], Row] = field(default_factory=dict[tuple[str, str], Row])

    def append(self, draft: Draft, run: str) -> Entry:
        if run not in self.streams:
            self.streams[run] = stream(self.db, run)
        now = self.streams[run]
        entry = place(
            draft,
            run=run,
            seq=now.seq + 1,
            epoch=now.epoch,
            at=self.at,
            prev=now.head,
            secret=self.secret,
        )
        inserted = self.db.execute(
            _INSERT,
            (
                run, entry.seq, entry.epoch, entry.key, entry.kind, entry.v, self.at,
                encode(entry.body).decode(), entry.prev, entry.hash,
            ),
        )  # fmt: skip
        if inserted.rowcount == 0:  # it was said before
            told = self.db.execute(_KNOWN, (run, entry.key, entry.kind)).fetchone()
            return entry_of(as_stored(told))
        now.seq, now.head = entry.seq, entry.hash
        for update in project(entry, self._look):
            self.updates[update.view, update.key] = update.row
            self.rows[update.view, update.key] = msgspec.json.encode(update.row)
        return entry

    def finish(self) -> None:
        """Write the projections, and where each stream stands now."""
        for (view, key), row in self.updates.items():
            text = self.rows[view, key] or b""
            self.db.execute(_VIEW, (view, key, text.decode()))
            if isinstance(row, RunRow):
                self._write_run(key, row)
        for run, now in self.streams.items():
            self.db.execute(_HEAD, (now.seq, now.head, run))

    def _write_run(self, run: str, row: RunRow) -> None:
        now = self.streams.pop(run, None)  # none for a run that an entry of another one let go on
        head = (now.seq, now.head) if now else (None, None)
        queue = row.queue or DEFAULT_QUEUE
        self.db.execute(_RUN, (*head, row.status, queue, row.priority, row.wake_at, run))

    def _look(self, view: str, key: str) -> bytes | None:
        if (view, key) not in self.rows:
            self.rows[view, key] = look(self.db, view, key)
        return self.rows[view, key]
