"""The rows of DBOS, and nothing else of it: a turn is one wish that a run be worked on.

Rule 1: a turn holds the id of a run. Its own id is `HOME/RUN/RANDOM`: a second turn for the run is a new row.
Rule 2: one DBOS per process, with an executor id of this start of it; somebody else's is refused, not borrowed.
Rule 3: its tables live in a schema of their own, made where there is none and changed by `migrate` only.
Rule 4: what goes wrong in there leaves as an error of ours.
"""

import asyncio
import logging
import math
import re
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from standpipe.clock import stamp
from standpipe.errors import ConfigError, JournalError, UsageError
from standpipe.ids import digest
from standpipe.settings import QueueSettings

if TYPE_CHECKING:
    from dbos import DBOSClient, DBOSConfig
    from dbos._queue import QueueRateLimit  # not exported
    from psycopg import Connection as PsycopgConnection

    Connection: TypeAlias = PsycopgConnection[tuple[Any, ...]]

SCHEMA = "standpipe_dbos"
LOCK = 0x53545051  # "STPQ"
POLL_SECONDS = 0.1
_SHAPE = "1"  # of what a turn holds: every release that writes this one may take it
_SEGMENT = "segment"
_CONNECTIONS = 5
_NOTED_SECONDS = 5  # within these DBOS has written down that a turn is over
_LOCK_SECONDS = 0.1
_LOCK_TRIES = 600
_UNFINISHED = "being made by standpipe"  # the comment of the schema until its tables are whole
_ATTEMPTS_MAX = 1_000_000_000  # the journal counts attempts
_PRIORITY_MIDDLE = 2**30  # there the smallest number comes first, and none is below 1
_OVER = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
_OVER_MAX = 1_000
_SECONDS_IN = {"s": 1, "m": 60, "h": 3600}

# Called with the id of a turn and the run it is for.
Take: TypeAlias = Callable[[str, str], Coroutine[object, object, None]]


@dataclass(frozen=True, slots=True)
class Turn:
    """One wish that a run be worked on; `worker` took it, nobody did while it is empty."""

    id: str
    run: str
    worker: str


class Turns:
    """The turns of one queue of one home, while this process is a worker."""

    def __init__(self, *, url: str, home: str, worker: str) -> None:
        self.worker = worker
        self._url = url
        self._home = digest(home.encode())[:16]  # DBOS takes few characters, a home any
        self._queue = ""
        self._over_at = -math.inf  # the last turn, by the loop
        self._is_ours = False
        self._opened: DBOSClient | None = None

    @asynccontextmanager
    async def taken(
        self, take: Take, queue: str, settings: QueueSettings, *, concurrency: int
    ) -> AsyncGenerator[None]:
        """Take the turns of a queue for as long as the context lasts; what was taken is over before that.

        Raises:
            UsageError: DBOS is not installed, somebody else uses it in this process, or its tables do not fit.
        """
        loop = asyncio.get_running_loop()

        async def taken(turn: str, run: str) -> None:
            try:
                await take(turn, run)
            finally:
                self._over_at = loop.time()

        async def told(turn: str, run: str) -> None:  # on a loop of DBOS, in a thread of its own
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(taken(turn, run), loop))

        self._queue = f"{self._home}.{queue}"
        patience_seconds = 0
        try:
            await asyncio.to_thread(self._connect)
            await asyncio.to_thread(self._register, settings, concurrency)
            await asyncio.to_thread(self._launch, told)
            yield
            patience_seconds = _NOTED_SECONDS if loop.time() - self._over_at < _NOTED_SECONDS else 0
        finally:
            await asyncio.to_thread(self._close, patience_seconds)

    async def waiting(self) -> Sequence[Turn]:
        """Return the turns that nobody took, or that somebody works on."""
        with _ours():
            rows = await self._client.list_workflows_async(
                queue_name=self._queue,
                status=["ENQUEUED", "PENDING"],
                load_input=False,
                load_output=False,
            )
        return [
            Turn(
                row.workflow_id,
                row.workflow_id.split("/")[1],
                (row.executor_id or "") if row.status == "PENDING" else "",
            )
            for row in rows
        ]

    async def give(self, run: str, *, priority: int) -> None:
        """Let a run have a turn, unless one waits already."""
        first = max(1, min(_PRIORITY_MIDDLE - priority, 2 * _PRIORITY_MIDDLE - 1))
        with _ours():
            await self._client.enqueue_async(
                {
                    "workflow_name": _SEGMENT,
                    "queue_name": self._queue,
                    "workflow_id": f"{self._home}/{run}/{secrets.token_hex(8)}",
                    "deduplication_id": run,
                    "duplication_policy": "return-existing",
                    "priority": first,
                    "app_version": self._version,
                },
                run,
            )

    async def put_back(self, turns: Collection[Turn]) -> None:
        """Let somebody else take turns that were taken."""
        if turns:
            with _ours():
                await self._client.resume_workflows_async(
                    [turn.id for turn in turns], queue_name=self._queue
                )

    async def tidy(self, before: datetime) -> None:
        """Forget turns that were over before a time; DBOS keeps them for ever."""
        with _ours():
            rows = await self._client.list_workflows_async(
                workflow_id_prefix=f"{self._home}/",
                status=_OVER,
                completed_before=stamp(before),
                limit=_OVER_MAX,
                load_input=False,
                load_output=False,
            )
            if rows:
                await self._client.delete_workflows_async([row.workflow_id for row in rows])

    @property
    def _client(self) -> "DBOSClient":
        if not self._opened:
            raise JournalError("the queue is closed", hint="only a worker opens it")
        return self._opened

    def _connect(self) -> None:
        """Open the tables, and make them where there are none at all."""
        try:
            from dbos import DBOSClient, DBOSPortableJSONSerializer
        except ImportError:
            raise ConfigError(
                '`[engine] kind = "dbos"` needs packages that are not installed',
                hint="`pip install 'standpipe[cluster]'`",
            ) from None
        if "://" not in self._url:  # libpq reads other forms too
            raise ConfigError(
                '`[engine] kind = "dbos"` needs the database as a URL',
                hint="for example `postgresql://user:password@host/database`",
            )
        with _ours():
            _make(self._url)
            self._opened = DBOSClient(
                system_database_url=self._url,
                dbos_system_schema=SCHEMA,
                serializer=DBOSPortableJSONSerializer(),
                system_database_pool_size=_CONNECTIONS,
                application_name=self._application,
                retry_connection_errors=False,
            )

    def _register(self, settings: QueueSettings, concurrency: int) -> None:
        """Say the limits of the queue. They are one row for all workers: who starts last says them."""
        together = settings.concurrency
        with _ours():
            self._client.register_queue(
                self._queue,
                worker_concurrency=min(concurrency, together or concurrency),
                global_concurrency=together,
                limiter=_limiter(settings.rate) if settings.rate else None,
                polling_interval_sec=POLL_SECONDS,
            )

    def _launch(self, take: Take) -> None:
        """Start DBOS. Two in one process are one, whatever the second says: then it is not ours."""
        from dbos import DBOS, DBOSPortableJSONSerializer

        config: DBOSConfig = {
            "name": self._application,
            "system_database_url": self._url,
            "dbos_system_schema": SCHEMA,
            "sys_db_pool_size": _CONNECTIONS,
            "application_version": self._version,
            "executor_id": self.worker,
            "serializer": DBOSPortableJSONSerializer(),
            "run_migrations": False,
            "log_level": "CRITICAL",
        }
        DBOS(config=config)
        if DBOS.executor_id != self.worker:
            raise UsageError(
                "this process uses DBOS for something else",
                hint="start `standpipe worker` as a process of its own",
            )
        self._is_ours = True

        @DBOS.workflow(name=_SEGMENT, max_recovery_attempts=_ATTEMPTS_MAX)
        async def segment(run: str) -> None:
            await take(DBOS.workflow_id or "", run)

        with _ours():
            DBOS.listen_queues([self._queue])
            DBOS.launch()
        logging.getLogger("dbos").setLevel(logging.ERROR)

    def _close(self, patience_seconds: int) -> None:
        if self._is_ours:
            from dbos import DBOS

            self._is_ours = False
            DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=patience_seconds)
        if self._opened:
            self._opened.destroy()
            self._opened = None

    @property
    def _application(self) -> str:
        return f"standpipe-{self._home}"

    @property
    def _version(self) -> str:
        """Return the version of our application, pinned: by itself it would change with every DBOS."""
        return f"{_SHAPE}-{self._home}"  # no two applications may have one of the same name


def migrate(url: str, *, role: str = "") -> None:
    """Bring the tables of DBOS to what this release needs; `role` may then work with them.

    Raises:
        UsageError: who asks may not.
        JournalError: somebody else makes the tables, for a minute already.
    """
    with _ours(), _locked(url) as connection:
        _migrate(connection, url, role=role)


def _make(url: str) -> None:
    """Make the tables where there are none, and where a worker was killed while it made them.

    No worker of another release can be at work there: the tables it needs were never whole.
    """
    with _locked(url) as connection:
        if _is_unfinished(connection) is not False:
            _migrate(connection, url)


def _migrate(connection: "Connection", url: str, *, role: str = "") -> None:
    """Let DBOS make or change its tables; while it makes them the comment of the schema says so."""
    from dbos import DBOS
    from psycopg import sql

    schema, comment = sql.Identifier(SCHEMA), sql.SQL("comment on schema {} is {}")
    unfinished = _is_unfinished(connection)
    if unfinished is None:
        with connection.transaction():
            connection.execute(sql.SQL("create schema {}").format(schema))
            connection.execute(comment.format(schema, _UNFINISHED))
    DBOS.migrate(url, schema=SCHEMA, application_role=role or None)
    if unfinished is not False:
        connection.execute(comment.format(schema, None))


def _is_unfinished(connection: "Connection") -> bool | None:
    """Return whether the making of the tables was begun and never ended, None where it was never begun."""
    row = connection.execute(
        "select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = %s", [SCHEMA]
    ).fetchone()
    return row[0] == _UNFINISHED if row else None


@contextmanager
def _locked(url: str) -> "Generator[Connection]":
    """Be the only one that makes or changes the tables.

    The others ask again and again: a session that waits inside a statement would hold up the indexes DBOS makes
    `concurrently`, and those the lock.

    Raises:
        JournalError: somebody else did not end in time.
    """
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(_LOCK_TRIES):
            if connection.execute("select pg_try_advisory_lock(%s)", [LOCK]).fetchone() == (True,):
                break
            time.sleep(_LOCK_SECONDS)  # noqa: TID251 -- in a thread of its own, for another process
        else:
            raise JournalError(
                "somebody else makes the queue's tables",
                hint="their indexes wait for open snapshots, such as `pg_dump`; start again when it has ended",
            )
        yield connection


@contextmanager
def _ours() -> Generator[None]:
    """Turn an error of DBOS, or of what it stands on, into one of ours."""
    import psycopg
    from dbos import error as dbos
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 -- comes with DBOS

    try:
        yield
    except dbos.DBOSInitializationError as error:
        raise _older(error) from error
    except (dbos.DBOSException, SQLAlchemyError, psycopg.Error) as error:
        cause = getattr(error, "orig", None) or error
        if isinstance(cause, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
            raise _older(cause) from error
        if isinstance(cause, psycopg.errors.InsufficientPrivilege):
            raise UsageError(
                f"the queue tables in schema `{SCHEMA}` are not for this role ({_line(cause)})",
                hint="`standpipe journal migrate` as their owner, who then grants them",
            ) from error
        raise JournalError(
            f"the queue in schema `{SCHEMA}` cannot be used ({_line(cause)})",
            hint="nothing is lost; what is due stands in the journal",
        ) from error


def _older(error: BaseException) -> UsageError:
    return UsageError(
        f"the queue tables in schema `{SCHEMA}` are older than this release needs ({_line(error)})",
        hint="`standpipe journal migrate`",
    )


def _line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def _limiter(rate: str) -> "QueueRateLimit":
    """Read how many runs may begin in a period.

    Raises:
        ConfigError: it says something else.

    Example:
        >>> _limiter("10/5m")
        {'limit': 10, 'period': 300.0}
    """
    said = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,4})([smh])", rate)
    if not said:
        raise ConfigError(
            f'`rate = "{rate}"` of a queue cannot be read',
            hint='runs that begin in a period of seconds, minutes or hours, for example `"10/60s"`',
        )
    return {"limit": int(said[1]), "period": float(said[2]) * _SECONDS_IN[said[3]]}
