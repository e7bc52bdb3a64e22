"""Open a home: its journal, its secrets, its tools; the only module that names concrete stores and engines.

Rule 1: opening a journal to read it loads nothing else, and no database client where there is a file.
Rule 2: redaction is handed on as an argument; whoever comes in by a tool or a person passes it.
"""

import asyncio
import os
import platform
import re
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from msgspec.structs import replace

from standpipe.clock import AnchoredClock, Clock, SystemClock
from standpipe.config import SECRET_LENGTH_MIN, environment, load_settings
from standpipe.desk.fleet import Alive
from standpipe.desk.liveness import alive
from standpipe.engines.inline import InlineEngine
from standpipe.engines.leases import LeaseOwnership, Leasing
from standpipe.engines.locks import LockOwnership
from standpipe.engines.port import Engine
from standpipe.errors import ConfigError, OwnedError, StandpipeError, UsageError
from standpipe.execution.executor import Executor
from standpipe.execution.pool import Home, Pool
from standpipe.execution.workspace import Workspace
from standpipe.journal.archive import archive, archived_entries, ripe
from standpipe.journal.entries import Entry
from standpipe.journal.projections import RunRow
from standpipe.journal.snapshot import PortSnapshot, Snapshot, Tombstone
from standpipe.journal.store import Store
from standpipe.memory.upkeep import Upkeep
from standpipe.security.credentials import Credentials
from standpipe.security.key import key_of
from standpipe.security.preflight import refuse_unusable
from standpipe.security.secrets import Masker
from standpipe.segment import OpenHome
from standpipe.settings import SETTINGS, Settings
from standpipe.stores.file.holding import Holding, alone
from standpipe.stores.retention import bury
from standpipe.stores.snapshot import SqliteSnapshot
from standpipe.stores.sqlite import SqliteStore
from standpipe.tools.agent import TOOLS
from standpipe.tools.overrides import for_tools, sections

STATE_FOLDER = ".standpipe"
_NAMES_A_JOURNAL = re.compile(r"^\s*(\[\s*journal\s*\]|journal\s*[.=])", re.MULTILINE)
_ANCHOR_SECONDS = 10.0
BUILTIN = ("files", "http", "mail", "sql")


def open_store(home: Path, *, create: bool = False, clock: Clock | None = None) -> Store:
    """Open the journal of a home; only a run creates one.

    clock: what entries are stamped with.

    Raises:
        NotFoundError: nothing ran in this home yet.
        ConfigError: standpipe.toml names a database that cannot be meant.
    """
    clock, secret = clock or SystemClock(), b""
    text = (home / SETTINGS).read_text(errors="replace")
    if _NAMES_A_JOURNAL.search(text):  # else nobody has to parse it
        settings = load_settings(home)
        secret = journal_secret(settings)
        if settings.journal.store == "postgres":
            return _database(home, settings, clock, create=create, secret=secret)
    path = home / STATE_FOLDER / "journal.db"
    return SqliteStore(path, clock, create=create, secret=secret)


def open_snapshot(home: Path) -> Snapshot:
    """Look at the journal of a home as it lies there; a journal in a file is not even migrated.

    Raises:
        NotFoundError: nothing ran in this home yet.
    """
    if _in_a_database(home):
        return PortSnapshot(open_store(home))
    return SqliteSnapshot(home / STATE_FOLDER / "journal.db")


async def entries_of_run(home: Path, store: Store, run: str) -> Sequence[Entry]:
    """Return the entries of a run; those that went into an archive are read there.

    Raises:
        BrokenJournalError: the archive is gone, or it is not what was written.
    """
    entries = await store.read(run)
    if entries and entries[0].seq == 1:
        return entries
    return [*await _archived(home, run), *entries]


async def archive_runs(home: Path, *, before: str, at: str) -> Sequence[Tombstone]:
    """Put runs that ended before a time into archives, and take them out of the journal.

    Raises:
        UsageError: the journal is in a database, where nobody of ours may delete.
    """
    if _in_a_database(home):
        raise UsageError(
            "a journal in PostgreSQL is not archived: its roles may delete nothing",
            hint="`standpipe journal export` copies it; pg_dump backs it up",
        )
    await _schema_version(home)  # where nothing ran yet, that is said before anything is made
    state, locks = home / STATE_FOLDER, home / STATE_FOLDER / "locks"
    journal, secret = state / "journal.db", journal_secret(load_settings(home))
    locks.mkdir(exist_ok=True)
    with closing(Holding(journal)), alone(locks / "archive.lock", wait=True):
        snapshot = SqliteSnapshot(journal)
        try:
            over = await ripe(snapshot, before=before)
            stones = await archive(snapshot, over, state / "archive", at=at, secret=secret)
            return bury(journal, stones)
        finally:
            await snapshot.close()


async def _archived(home: Path, run: str) -> Sequence[Entry]:
    """Return what an archive holds of a run; nothing where it has no tombstone."""
    snapshot = open_snapshot(home)
    try:
        stone = (await snapshot.tombstones()).get(run)
    finally:
        await snapshot.close()
    if stone is None:
        return ()
    secret = journal_secret(load_settings(home))
    return archived_entries(home / STATE_FOLDER / "archive", stone, secret=secret)


class Migration(NamedTuple):
    """The versions of a schema: what was found, and what is there now."""

    before: int
    after: int


async def migrate_journal(home: Path, *, worker: str = "") -> Migration:
    """Bring the journal of a home to the schema of this version.

    worker: a role of the database that is given what workers need.

    Raises:
        UsageError: there are no roles where the journal is a file.
    """
    if _in_a_database(home):
        from standpipe.stores.postgres import migrate  # noqa: PLC0415 -- the extra `postgres`

        settings = load_settings(home)
        done = await migrate(database_url(settings), worker=worker)
        if settings.engine.kind == "dbos":
            from standpipe.engines import turns  # noqa: PLC0415 -- the extra `cluster`

            await asyncio.to_thread(turns.migrate, database_url(settings), role=worker)
        return Migration(done.before, done.after)
    if worker:
        hint = 'leave --worker out, or write [journal] store = "postgres"'
        raise UsageError("a journal in a file has no roles", hint=hint)
    before = await _schema_version(home)
    await open_store(home).close()  # a journal in a file is migrated as it is opened
    return Migration(before, await _schema_version(home))


def _in_a_database(home: Path) -> bool:
    text = (home / SETTINGS).read_text(errors="replace")
    return bool(_NAMES_A_JOURNAL.search(text)) and load_settings(home).journal.store == "postgres"


async def _schema_version(home: Path) -> int:
    snapshot = SqliteSnapshot(home / STATE_FOLDER / "journal.db")
    try:
        return await snapshot.version()
    finally:
        await snapshot.close()


def journal_secret(settings: Settings) -> bytes:
    """Return the key that makes the chain one nobody else can write; empty where none is named.

    Raises:
        ConfigError: a key is named, and the environment does not have it.
    """
    name = settings.journal.journal_key
    if not name:
        return b""
    if value := environment.take_secrets(settings).get(name):
        return value.encode()
    place = settings.place("journal", "journal_key")
    hint = f"export {name}=..., the key this journal was begun with"
    raise ConfigError(f"{place}: the secret `{name}` is not set in the environment", hint=hint)


def database_url(settings: Settings) -> str:
    """Return where the journal is, as libpq reads it.

    Raises:
        ConfigError: the settings do not say, or the environment does not.
    """
    name, place = settings.journal.url_secret, settings.place("journal", "store")
    if not name:
        hint = 'url_secret = "STANDPIPE_DATABASE_URL": the NAME of an environment variable'
        raise ConfigError(f"{place}: a journal in PostgreSQL needs `url_secret`", hint=hint)
    if url := environment.take_secrets(settings).get(name):
        return url
    hint = f"export {name}=postgresql://USER@HOST/DATABASE"
    raise ConfigError(f"{place}: the secret `{name}` is not set in the environment", hint=hint)


def name_in_database(home: Path, settings: Settings) -> str:
    """Return what a home is called in its database."""
    return settings.journal.home or home.name


def _database(
    home: Path, settings: Settings, clock: Clock, *, create: bool, secret: bytes
) -> Store:
    url, name = database_url(settings), name_in_database(home, settings)
    try:
        from standpipe.stores.postgres import PostgresStore  # noqa: PLC0415 -- the extra `postgres`
    except ImportError:
        hint = "pip install 'standpipe[postgres]'"
        raise ConfigError("a journal in PostgreSQL needs psycopg", hint=hint) from None
    return PostgresStore(url, clock, home=name, create=create, secret=secret)


class _Dated(Protocol):
    """A store that knows what time it is."""

    async def now(self) -> datetime: ...


@asynccontextmanager
async def in_step(home: OpenHome) -> AsyncGenerator[None]:
    """Keep the clock of a home with that of its database, for as long as the context lasts."""
    if not isinstance(home.clock, AnchoredClock):
        yield
        return
    clock, store = home.clock, cast("_Dated", home.store)
    clock.anchor(await store.now())

    async def follow() -> None:
        while True:
            await asyncio.sleep(_ANCHOR_SECONDS)
            with suppress(StandpipeError):  # while it is away, the clock runs on by itself
                clock.anchor(await store.now())

    following = asyncio.create_task(follow())
    try:
        yield
    finally:
        following.cancel()
        await asyncio.wait({following})


def refuse_owned(store: Store, row: RunRow) -> None:
    """Refuse a run that a process of this machine works on though its lock is free: somebody took that away.

    Raises:
        OwnedError: there is one.
    """
    if isinstance(store, Leasing) or row.status != "running" or row.pid == os.getpid():
        return
    if row.process_started and alive(row):  # without its start time a pid may be anybody's
        raise OwnedError(
            f"run `{row.id}` is being worked on by process {row.pid}, though nobody holds its lock",
            hint=f"wait for it, or end it: kill {row.pid}; leave .standpipe/locks alone meanwhile",
        )


async def looked_after(store: Store) -> Alive:
    """Return who can tell whether a run is still worked on: leases of the store, or processes here."""
    if not isinstance(store, Leasing):
        return alive
    living = {worker.id for worker in await store.workers() if worker.alive}
    return lambda row: row.worker in living


def engine_of(home: OpenHome) -> Engine:
    """Return who says which run is worked on, when, and by whom."""
    if not isinstance(home.store, Leasing):
        locks = LockOwnership(home.folder / STATE_FOLDER / "locks", worker=home.worker)
        return InlineEngine(home.store, locks, clock=home.clock)
    host = platform.node()
    owners = LeaseOwnership(home.store, worker=home.worker, host=host, clock=home.clock)
    if home.settings.engine.kind == "inline":
        return InlineEngine(home.store, owners, clock=home.clock)
    from standpipe.engines.dbos import DbosEngine  # noqa: PLC0415 -- the extra `cluster`
    from standpipe.engines.turns import Turns  # noqa: PLC0415 -- as above

    name = name_in_database(home.folder, home.settings)
    turns = Turns(url=database_url(home.settings), home=name, worker=home.worker)
    queues = home.settings.queues
    return DbosEngine(home.store, owners, turns=turns, clock=home.clock, queues=queues)


def opened_home(folder: Path, *, model: str | None, clock: Clock | None, version: str) -> OpenHome:
    """Open the journal of a home and take its secrets from the environment."""
    settings = load_settings(folder)
    Upkeep(folder).prepare()
    environment.quieten_libraries()
    known = environment.take_secrets(settings)
    credentials = environment.take_model_credentials()
    refuse_unusable(settings, known)
    if clock is None:  # of many machines, one may be wrong: then the database's clock counts
        clock = AnchoredClock() if settings.journal.store == "postgres" else SystemClock()
    store = open_store(folder, create=True, clock=clock)
    key = key_of(folder / STATE_FOLDER)
    masker = Masker(known, key=key)
    for name, value in credentials.items():
        if name.endswith("_KEY") and len(value) >= SECRET_LENGTH_MIN:
            masker.add(name, value)
    opened = OpenHome(
        folder=folder,
        settings=settings,
        clock=clock,
        store=store,
        executor=Executor(clock=clock),
        masker=masker,
        given=Credentials({**credentials, **known}, settings.secrets, key=key),
        credentials=credentials,
        model=model,
        worker=f"{platform.node()}-{os.getpid()}-{secrets.token_hex(2)}",
        version=version,
        journal_secret=journal_secret(settings),
        alive=partial(_is_alive, store),
    )
    opened.executor = _executor(opened, known)
    return opened


async def _is_alive(store: Store, row: RunRow) -> bool:
    return (await looked_after(store))(row)


def _executor(home: OpenHome, known: Mapping[str, str]) -> Executor:
    workspace, tools_py = home.folder / "workspace", home.folder / "tools.py"
    shared = Home(
        home=home.folder,
        workspace=workspace,
        environment=environment.for_children(),
        portable=environment.portable(),
    )
    modules = tuple(f"standpipe.tools.{name}" for name in BUILTIN)
    named = {name: known[name] for name in home.settings.secrets if name in known}
    builtin = Pool(
        replace(
            shared,
            settings=sections(home.settings, known, portable=environment.portable()),
            secrets=named,
            modules=modules,
        )
    )
    own = Pool(replace(shared, secrets=for_tools(home.settings, known), tools_py=tools_py))

    def renewed(name: str, value: str) -> None:
        home.masker.add(name, value)
        home.given.renew(name, value)

    return Executor(
        clock=home.clock,
        builtin=builtin,
        home=own if tools_py.exists() else None,
        workspace=Workspace(workspace, home.folder / STATE_FOLDER / "blobs"),
        inner={tool.name: home.inner(tool.name) for tool in TOOLS},
        mask=home.masker.mask,
        on_secret=renewed,
    )
