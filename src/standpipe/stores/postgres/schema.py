"""The tables in PostgreSQL, and how they come to be.

Rule 1: a database has one schema of this name, for several homes; every key begins with the home.
Rule 2: tables are made and changed by `migrate` alone, one process at a time, never by a worker at work.
Only a database that has no such schema at all gets one by the first run of a home.
Rule 3: of the indexes of a table only one begins with the home. A plan that was made for an empty table could
else find a row by its home alone, and keep on doing so when there are a million.
Rule 4: text that people, models or tools chose is kept as bytes: PostgreSQL's text cannot hold NUL.
"""

from collections.abc import Mapping
from typing import Final, LiteralString

import psycopg  # noqa: TID253 -- this package loads only when it is configured
from msgspec import Struct
from psycopg.errors import (  # noqa: TID253 -- this package loads only when it is configured
    InsufficientPrivilege,
    LockNotAvailable,
)
from psycopg.sql import (  # noqa: TID253 -- this package loads only when it is configured
    SQL,
    Identifier,
)

from standpipe.errors import JournalError, NotFoundError, SchemaError
from standpipe.stores.postgres.link import Connection, conninfo, told

SCHEMA_VERSION = 2  # the same number as in SQLite for the same journal
_LOCK = 0x53545044  # "STPD"
_LOCK_SECONDS = 10
_TABLES: Final = """
create schema if not exists standpipe;
create table standpipe.meta (id integer primary key check (id = 1), version integer not null);
create table standpipe.home (home text primary key, n bigint not null) with (fillfactor = 50);
create table standpipe.entry (
  home text not null, run text not null, seq bigint not null, epoch bigint not null, key bytea not null,
  kind text not null, v integer not null, at text not null, data bytea not null,
  prev text not null, hash text not null,
  primary key (home, run, seq), unique (home, run, key, kind)
);
create table standpipe.run (
  home text not null, id text not null, status text not null, epoch bigint not null, seq bigint not null,
  head text not null, wake_at timestamptz, queue text not null, priority integer not null,
  parent text, caller_id bytea, seal bigint not null default 0, unsealed boolean not null,
  primary key (home, id), unique (caller_id, home)
) with (fillfactor = 70);
create index run_due on standpipe.run (home, queue, priority desc, wake_at)
  where status in ('queued', 'running', 'yielded') or status = 'blocked' and wake_at is not null;
create index run_unsealed on standpipe.run (home) where unsealed;
create table standpipe.lease (
  home text not null, run text not null, worker text not null, until timestamptz not null,
  primary key (home, run)
) with (fillfactor = 50);
create index lease_worker on standpipe.lease (worker, home);
create table standpipe.worker (
  home text not null, id text not null, host text not null, beat_at timestamptz not null,
  until timestamptz not null, primary key (home, id)
) with (fillfactor = 50);
create table standpipe.seal (
  home text not null, n bigint not null, at text not null, heads text not null,
  prev text not null, hash text not null, primary key (home, n)
);
create table standpipe.view (
  home text not null, name text not null, key bytea not null, data bytea not null,
  primary key (home, name, key)
) with (fillfactor = 70);
create table standpipe.series (home text not null, name text not null, n bigint not null, primary key (home, name));
insert into standpipe.meta values (1, 0);
"""
# What a worker needs, and no more: what was said stays said. It deletes nothing, anywhere.
_GRANTS: Final = """
grant usage on schema standpipe to {role};
grant select on standpipe.meta to {role};
grant select, insert on standpipe.entry, standpipe.seal to {role};
grant select, insert, update on standpipe.home, standpipe.run, standpipe.view, standpipe.series,
  standpipe.lease, standpipe.worker to {role};
"""
# Not `to_regclass`: it remembers what was missing before the lock was waited for.
_HAS_SCHEMA: Final = "select exists (select from pg_namespace where nspname = 'standpipe')"
_HAS_TABLES: Final = """
select exists (select from pg_tables where schemaname = 'standpipe' and tablename = 'meta')
"""
_PATIENCE: Final = """
select set_config('lock_timeout', %s, true), set_config('statement_timeout', '0', true),
  set_config('idle_in_transaction_session_timeout', '0', true)
"""
MIGRATIONS: Mapping[int, LiteralString] = {2: _TABLES}  # version: what leads to it


class Migrated(Struct, frozen=True):
    """What a migration found and left; 0: there was nothing."""

    before: int
    after: int


async def migrate(url: str, *, worker: str = "") -> Migrated:
    """Bring the tables of a database to this version, as the role that owns them.

    `worker`: a role that is given what workers need; without one, only the owner can work.

    Raises:
        SchemaError: a newer version wrote them.
        JournalError: the database cannot be used, or somebody else holds it.
    """
    try:
        async with await psycopg.AsyncConnection.connect(conninfo(url), autocommit=True) as db:
            done = await _migrate(db)
            if worker:
                await db.execute(SQL(_GRANTS).format(role=Identifier(worker)))
            return done
    except LockNotAvailable as error:
        raise JournalError(
            f"the tables are in use: {told(error).message}",
            hint="nothing was changed; try again, or stop the workers meanwhile",
        ) from error
    except psycopg.Error as error:
        raise told(error) from error


async def check(db: Connection, home: str, *, create: bool) -> None:
    """Refuse a schema that is not ours; let the first run of a home make it where there is none.

    Raises:
        SchemaError: it has another version, or this role may not make it.
        NotFoundError: there is none, and who asks only reads.
    """
    version = await _version(db)
    if version == 0 and not await _exists(db):
        if not create:
            hint = "nothing ran in this home yet; `standpipe run TASK`"
            raise NotFoundError("no journal in this database", hint=hint)
        try:
            version = (await _migrate(db)).after
        except InsufficientPrivilege as error:
            raise SchemaError(
                f"the database has no journal, and this role may not make one: {told(error).message}",
                hint="`standpipe journal migrate` as the role that is to own it",
            ) from error
    must_fit(version)
    if create:
        await db.execute(
            "insert into standpipe.home values (%s, 0) on conflict do nothing", (home,)
        )


def must_fit(version: int) -> None:
    """Refuse tables of another version.

    Raises:
        SchemaError: it is newer, or older.
    """
    if version > SCHEMA_VERSION:
        raise SchemaError(
            f"the database has schema {version}, this standpipe knows {SCHEMA_VERSION}",
            hint="update standpipe; it was written by a newer one",
        )
    if version < SCHEMA_VERSION:
        raise SchemaError(
            f"the database has schema {version}, this standpipe needs {SCHEMA_VERSION}",
            hint="`standpipe journal migrate` as the role that owns it, then start the workers again",
        )


async def _migrate(db: Connection) -> Migrated:
    """Take the missing steps under a lock, all or none."""
    async with db.transaction():
        await db.execute(_PATIENCE, (f"{_LOCK_SECONDS}s",))
        await db.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
        before = await _version(db)
        if before > SCHEMA_VERSION:
            must_fit(before)
        for version in sorted(MIGRATIONS):
            if version > before:
                await db.execute(MIGRATIONS[version])
        await db.execute("update standpipe.meta set version = %s", (SCHEMA_VERSION,))
    return Migrated(before, SCHEMA_VERSION)


async def _version(db: Connection) -> int:
    """Return the version of the tables, 0 where there are none."""
    if not await _said(db, _HAS_TABLES):
        return 0
    return int(await _said(db, "select version from standpipe.meta") or 0)


async def _exists(db: Connection) -> bool:
    return bool(await _said(db, _HAS_SCHEMA))


async def _said(db: Connection, query: LiteralString) -> int | None:
    found = await (await db.execute(query)).fetchone()
    return found[0] if found else None
