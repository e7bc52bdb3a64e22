"""The connections of one process to one PostgreSQL server, and what to do when they fail.

Rule 1: a connection is set up and checked before it is used, and thrown away once anything went wrong on it.
Rule 2: what passes by itself (a restart, a deadlock, a time-out) is waited for with patience, and no caller
sees it. A server that never answered this process is not waited for: then the settings are wrong.
Rule 3: words of the server leave here only inside our own errors, and the URL never does.
"""

import asyncio
import itertools
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, LiteralString, TypeVar

import psycopg  # noqa: TID253 -- this package loads only when it is configured
from psycopg.conninfo import (  # noqa: TID253 -- this package loads only when it is configured
    conninfo_to_dict,
    make_conninfo,
)
from psycopg.rows import TupleRow  # noqa: TID253 -- this package loads only when it is configured

from standpipe.clock import Clock
from standpipe.errors import (
    BrokenJournalError,
    ConfigError,
    JournalError,
    JournalFullError,
    NotFoundError,
    SchemaError,
    StandpipeError,
    UsageError,
)

T = TypeVar("T")
Connection = psycopg.AsyncConnection[TupleRow]

CONNECTIONS_MAX = 5
PATIENCE_SECONDS = 60.0
STATEMENT_SECONDS = 30.0
_IDLE_SECONDS = 2  # a process frozen inside a transaction keeps the others out no longer
_PAUSE_SECONDS_MAX = 1.0
_DEFAULTS: Final = {  # a peer that is gone without a word is noticed
    "application_name": "standpipe",
    "connect_timeout": "10",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_PASSING: Final = (
    "08",     # the connection is lost
    "40001",  # could not be serialised
    "40P01",  # deadlock
    "53300",  # too many connections
    "55P03",  # a lock was not to be had in time
    "57",     # stopped by an operator, a restart or a time-out
    "25P03",  # too long idle in a transaction: this process stood still
)  # fmt: skip
# A plan that is kept must not scan a table because that was small when it was made.
_SETUP: Final = """
select set_config('synchronous_commit',
    case current_setting('synchronous_commit') when 'remote_apply' then 'remote_apply' else 'on' end, false),
  set_config('statement_timeout', %s, false),
  set_config('idle_in_transaction_session_timeout', %s, false),
  set_config('default_transaction_isolation', 'read committed', false),
  set_config('enable_seqscan', 'off', false), set_config('enable_hashjoin', 'off', false),
  set_config('enable_mergejoin', 'off', false), set_config('plan_cache_mode', 'force_generic_plan', false),
  set_config('TimeZone', 'UTC', false)
"""


class Link:
    """Lend connections to one server, a few at most."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        statement_seconds: float = STATEMENT_SECONDS,
        check: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> None:
        self._conninfo = conninfo(url)
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._statement_seconds = statement_seconds
        self._check = check
        self._idle: list[Connection] = []
        self._places = asyncio.Semaphore(CONNECTIONS_MAX)
        self._met = False  # the server has answered this process before
        self._hurried = False

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """Lend a connection; it is in autocommit."""
        async with self._places:
            db = self._idle.pop() if self._idle else await self._connect()
            try:
                yield db
            except BaseException:
                await db.close()
                if db.broken:  # the server is gone, and the other connections with it
                    await self.close()
                raise
            self._idle.append(db)

    async def patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work`, again and again while what keeps it from happening may pass.

        Raises:
            JournalError: it did not pass in time, or it never will.
        """
        until = self._clock.monotonic() + self._patience_seconds
        for attempt in itertools.count():
            met = self._met
            try:
                return await work()
            except psycopg.Error as error:
                late = self._hurried or self._clock.monotonic() >= until
                if late or not (met and passes(error)):
                    raise told(error) from error
            await self._clock.sleep(_pause_seconds(attempt))
        raise AssertionError  # pragma: no cover -- a count has no end

    async def ask(self, query: LiteralString, *values: object) -> list[TupleRow]:
        """Return the rows of one statement; none, for who only reads, where there are no tables yet."""

        async def work() -> list[TupleRow]:
            async with self.connection() as db:
                return await (await db.execute(query, values)).fetchall()

        try:
            return await self.patiently(work)
        except NotFoundError:
            return []

    def hurry(self) -> None:
        """Wait for nothing that does not work any more: this process is about to end."""
        self._hurried = True

    async def close(self) -> None:
        """Close what is not in use."""
        while self._idle:
            await self._idle.pop().close()

    async def _connect(self) -> Connection:
        db = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
        try:
            limits = (f"{self._statement_seconds:.3f}s", f"{_IDLE_SECONDS}s")
            await db.execute(_SETUP, limits)
            await _must_be_durable(db)
            if self._check:
                await self._check(db)
        except BaseException:
            await db.close()
            raise
        self._met = True
        return db


def conninfo(url: str) -> str:
    """Return what to connect with: what the URL says, and our own settings where it says nothing.

    Raises:
        ConfigError: it is no URL of a database; it is not quoted, it may hold a password.
    """
    try:
        said = conninfo_to_dict(url)
    except psycopg.Error:
        hint = "for example `postgresql://user:password@host/database`"
        raise ConfigError("the URL of the database cannot be read", hint=hint) from None
    if "@" in str(said.get("host", "")):
        hint = "write an `@` inside a password as `%40`"
        raise ConfigError("the URL of the database has more than one `@`", hint=hint)
    return make_conninfo("", **{**_DEFAULTS, **said})


def passes(error: BaseException | None) -> bool:
    """Return whether the same may work a moment later."""
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate.startswith(_PASSING)


def told(error: psycopg.Error) -> StandpipeError:
    """Say what the server said in our own words."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    match error.sqlstate:
        case "53100":
            hint = "free some space there, then `standpipe run RUN`; nothing that happened is lost"
            return JournalFullError(f"the database cannot grow: {said}", hint=hint)
        case "42501":
            hint = "give the worker's role its rights; docs/many-machines.md has the statements"
            return JournalError(f"the database does not let this role use it: {said}", hint=hint)
        case "42704":
            hint = "`create role ROLE login` as an administrator of the server, then the same again"
            return UsageError(f"the database does not know this name: {said}", hint=hint)
        case "XX001" | "XX002":
            return BrokenJournalError(
                f"the database is damaged: {said}", hint="restore it from a backup"
            )
        case "42P01" | "42703" | "3F000":
            return SchemaError(
                f"the journal's tables are not as they should be: {said}",
                hint="`standpipe journal migrate`",
            )
        case _:
            hint = "check that the server runs, and the URL; then `standpipe run RUN` goes on"
            return JournalError(f"the database cannot be used: {said}", hint=hint)


def _pause_seconds(attempt: int) -> float:
    """Wait longer each time, and never all at the same moment."""
    most = min(_PAUSE_SECONDS_MAX, 0.02 * 2**attempt)
    return most * (0.5 + secrets.SystemRandom().random() / 2)


async def _must_be_durable(db: Connection) -> None:
    """Refuse a server on which an append that returned could still be lost."""
    asked = "select current_setting('fsync'), current_setting('synchronous_commit')"
    found = await (await db.execute(asked)).fetchone()
    fsync, synchronous = found or ("", "")
    if fsync != "on":
        raise ConfigError(
            "the database runs with `fsync = off`: a power cut would lose what was promised",
            hint="set `fsync = on` in postgresql.conf and restart the server",
        )
    if synchronous not in ("on", "remote_apply"):
        raise ConfigError(
            f"the database keeps `synchronous_commit = {synchronous}`: an append could be lost",
            hint="connect without a pooler that changes settings, and let the role set it",
        )
