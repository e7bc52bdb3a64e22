"""The tables of the journal in SQLite, and how an older file gets the newer ones.

Rule 1: the newest schema is written as a whole, once, into an empty file.
Rule 2: an older file is brought up by numbered steps, all in one transaction, after a copy was kept beside it.
Rule 3: that is done while opening, and only when nobody else holds the home; an open journal never changes
its schema.
"""

import os
import sqlite3
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path

from standpipe.errors import BrokenJournalError, SchemaError
from standpipe.ids import HOME
from standpipe.journal.chain import GENESIS
from standpipe.stores.file.holding import alone

SCHEMA_VERSION = 2
APPLICATION_ID = 0x53545044  # "STPD"

_TABLES = """
create table entry (
  run text not null, seq integer not null, epoch integer not null, key text not null,
  kind text not null, v integer not null, at text not null, data text not null,
  prev text not null, hash text not null,
  primary key (run, seq), unique (run, key, kind)
) strict, without rowid;
create table seal (n integer primary key, at text not null, heads text not null,
  prev text not null, hash text not null) strict;
create table worker (id text primary key, host text not null, beat_at text not null) strict;
create table view (name text not null, key text not null, data text not null,
  primary key (name, key)) strict, without rowid;
create table series (name text primary key, n integer not null) strict;
create table meta (name text primary key, value text not null) strict;
"""
_RUN = """
create table run (
  id text primary key, status text not null, epoch integer not null, seq integer not null,
  head text not null, owner text, lease_until text, wake_at text not null default '', parent text,
  caller_id text unique, queue text not null default 'default', priority integer not null default 0,
  seal integer not null default 0, sealed integer not null default 0
) strict;
create index run_due on run (queue) where wake_at <> '' or status in ('running', 'yielded');
create index run_unsealed on run (id) where seq > sealed;
"""
_STEPS: Mapping[int, tuple[str, ...]] = {  # what brings a file of this version to the next one
    1: (
        "alter table run rename to run_of_1",
        _RUN,
        """
insert into run (id, status, epoch, seq, head, owner, lease_until, wake_at, parent, caller_id)
  select id, status, epoch, seq, head, owner, lease_until, coalesce(wake_at, ''), parent, caller_id
  from run_of_1;
drop table run_of_1;
update run set (seal, sealed) = (
  select seal.n, coalesce((select seq from entry where run = run.id and hash = head.value), run.seq)
  from seal, json_each(seal.heads) head where head.key = run.id order by seal.n desc limit 1)
  where id in (select key from json_each((select heads from seal order by n desc limit 1)));
""",
    ),
}


def version_of(db: sqlite3.Connection, path: Path) -> int:
    """Return the schema version, 0 where there is none yet; nothing is written into a foreign file."""
    owner = db.execute("pragma application_id").fetchone()[0]
    if owner != APPLICATION_ID and db.execute("select count(*) from sqlite_master").fetchone()[0]:
        raise BrokenJournalError(
            f"`{path}` is a database, but no journal of standpipe",
            hint="move it away, or restore the journal from a backup",
        )
    return int(db.execute("pragma user_version").fetchone()[0])


def refuse_newer(version: int, path: Path) -> None:
    """Stop before a file that a newer standpipe wrote.

    Raises:
        SchemaError: it did.
    """
    if version > SCHEMA_VERSION:
        raise SchemaError(
            f"journal `{path}` has schema {version}, this standpipe knows {SCHEMA_VERSION}",
            hint="update standpipe; it was written by a newer one",
        )


def create(db: sqlite3.Connection) -> None:
    """Write the newest schema, unless somebody else was faster."""
    db.execute("begin immediate")
    if db.execute("pragma user_version").fetchone()[0] == 0:
        _run(db, _TABLES, _RUN)
        db.execute(
            "insert into run (id, status, epoch, seq, head) values (?, '', 0, 0, ?)",
            (HOME, GENESIS),
        )
        db.execute(f"pragma application_id={APPLICATION_ID}")
        db.execute(f"pragma user_version={SCHEMA_VERSION}")
    db.execute("commit")


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring an older journal to the newest schema; `journal.db.backup-N` keeps it as it was.

    Whoever has a journal open holds the home, and a run is worked on under a lock of its own (an older
    standpipe takes only that one): all of them are asked for, none is waited for. Two processes that start at
    once migrate once.

    Raises:
        SchemaError: somebody holds the home; nothing was changed.
    """
    with alone(path.with_name("migrate.lock"), wait=True), ExitStack() as holds:
        version = version_of(db, path)
        if version >= SCHEMA_VERSION:
            return  # whoever was here before did it
        for lock in (path.with_name("journal.lock"), *sorted(path.parent.glob("locks/*.lock"))):
            _hold(holds, lock, path, version)
        _back_up(db, path.with_name(f"{path.name}.backup-{version}"))
        upgrade(db, version)


def upgrade(db: sqlite3.Connection, version: int) -> None:
    """Take the steps from a version to the newest, all or none."""
    db.execute("begin immediate")
    for known in range(version, SCHEMA_VERSION):
        _run(db, *_STEPS[known])
    db.execute(f"pragma user_version={SCHEMA_VERSION}")
    db.execute("commit")


def _run(db: sqlite3.Connection, *scripts: str) -> None:
    for script in scripts:
        for statement in script.split(";\n"):
            db.execute(statement)


def _hold(holds: ExitStack, lock: Path, path: Path, version: int) -> None:
    try:
        holds.enter_context(alone(lock))
    except BlockingIOError:
        who = (
            f"run `{lock.stem}` is being worked on" if lock.parent.name == "locks" else "it is open"
        )
        raise SchemaError(
            f"journal `{path}` has schema {version} and must become {SCHEMA_VERSION}, but {who}",
            hint="let the other process end, or stop it; then `standpipe journal migrate`",
        ) from None


def _back_up(db: sqlite3.Connection, target: Path) -> None:
    """Keep a copy of the whole journal, its log included; a half one never has the name."""
    half = target.with_name(f"{target.name}.half")
    half.unlink(missing_ok=True)
    with closing(sqlite3.connect(half)) as copy:
        db.backup(copy)
    with half.open("rb") as file:
        os.fsync(file.fileno())
    half.replace(target)
