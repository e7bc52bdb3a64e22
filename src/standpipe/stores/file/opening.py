"""Open the file of a journal: one connection that writes, one that reads beside it.

Rule 1: WAL and `synchronous=FULL`: a commit that returned survives a power cut.
Rule 2: after a failed write or fsync nobody knows what is on disk. The connection is thrown away; the next
one has SQLite put all it sees into the main file, and checks the end of every stream, before it writes on.
Rule 3: where nothing can be written, the journal is read as it lies there.
Rule 4: a journal that another file has taken the place of is never written to: nobody would find it again.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from standpipe.errors import JournalError, NotFoundError
from standpipe.stores.file import schema
from standpipe.stores.file.disks import FileSystem, file_system, refuse_network
from standpipe.stores.file.faults import ends_connection, journal_error, lacks_room, named
from standpipe.stores.file.holding import Holding
from standpipe.stores.file.room import Room
from standpipe.stores.file.tail import must_end_well

Connect = Callable[[str], sqlite3.Connection]
WAIT_SECONDS = 10
_PRAGMAS = (
    "journal_mode=wal",
    "synchronous=full",
    "fullfsync=on",  # macOS: an fsync alone does not reach the disk
    "foreign_keys=on",
)


def connect(address: str) -> sqlite3.Connection:
    """Connect to a file by its URI; a transaction is only what is begun as one."""
    return sqlite3.connect(
        address, uri=True, isolation_level=None, timeout=WAIT_SECONDS, check_same_thread=False
    )


@dataclass(slots=True, kw_only=True)
class JournalFile:
    """An open journal; `unwritable` says why nothing can be written into it."""

    path: Path
    dial: Connect
    secret: bytes
    unwritable: JournalError | None = None
    room: Room
    _writer: sqlite3.Connection | None = None
    _reader: sqlite3.Connection | None = None
    _holding: Holding | None = None
    _copy: TemporaryDirectory[str] | None = None
    _identity: tuple[int, int] | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        create: bool,
        connect: Connect = connect,
        file_system: FileSystem = file_system,
        secret: bytes = b"",
    ) -> "JournalFile":
        """Open a journal, create or migrate it.

        Raises:
            NotFoundError: there is none, and none is to be created.
            JournalError: it cannot be used.
            SchemaError: another version wrote it, and it cannot be brought to this one now.
        """
        if not create and not path.exists():
            raise NotFoundError(
                f"no journal at `{path}`", hint="nothing ran in this home yet; `standpipe run TASK`"
            )
        refuse_network(path, file_system)
        opened = cls(path=path, dial=connect, room=Room(path), secret=secret)
        try:
            with named(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.exists() and not _may_write(path):
                    opened.unwritable = _no_writing(path)
                else:
                    opened._prepare()
                if opened.unwritable:
                    opened.reader()
        except BaseException:
            opened.close()
            raise
        return opened

    def writer(self) -> sqlite3.Connection:
        """Return the connection that writes.

        Raises:
            JournalError: nothing can be written, or its end is not what was written.
        """
        if self.unwritable:
            raise self.unwritable
        if self._writer is None:
            self._writer = self._reopened()
        return self._writer

    def reader(self) -> sqlite3.Connection:
        """Return the connection that reads; it sees what is committed, never what is under way.

        Raises:
            JournalError: it would read a file that is no longer at this path.
        """
        self.must_be_in_place()
        if self._reader is None:
            self._reader = self._read_only() if self.unwritable else self._connected()
            self._reader.execute("pragma query_only=on")
        return self._reader

    def must_be_in_place(self) -> None:
        """Let go of a file that is no longer at this path; what is not committed is undone.

        Raises:
            JournalError: it was moved, deleted or replaced.
        """
        if self._identity in (None, _identity(self.path)):
            return
        self._close_connections()
        raise _replaced(self.path)

    @contextmanager
    def watched(self) -> Generator[None]:
        """Write in here: a failure is told in our words, and what it means for the file is done."""
        with named(self.path):
            try:
                yield
            except sqlite3.Error as error:
                self.met(error)
                raise

    def told(self, error: sqlite3.Error) -> JournalError:
        """Return what a failure of one among several is called, once what it means is done."""
        self.met(error)
        return journal_error(error, self.path)

    def met(self, error: sqlite3.Error) -> None:
        """Do what a failure means for the file."""
        if lacks_room(error):
            self.room.give_back()
        if ends_connection(error):
            self._close_connections()

    def close(self) -> None:
        """Let go of the file and the home, for good."""
        self._close_connections()
        self.dial = _closed
        if self._holding:
            self._holding.close()
        if self._copy:
            self._copy.cleanup()

    def _prepare(self) -> None:
        """See to the schema, hold the home, and keep a reserve."""
        try:
            db = self._writer = self._first()
        except sqlite3.Error as error:
            if not lacks_room(error):
                raise
            self.unwritable = journal_error(error, self.path)
            return
        self._identity = _identity(self.path)
        version = schema.version_of(db, self.path)
        if 0 < version < schema.SCHEMA_VERSION:
            schema.migrate(db, self.path)
        self._holding = Holding(self.path)
        if version == 0:
            schema.create(db)
        schema.refuse_newer(schema.version_of(db, self.path), self.path)
        db.execute("pragma busy_timeout=0")
        self.room.keep()

    def _first(self) -> sqlite3.Connection:
        try:
            return self._connected()
        except sqlite3.Error as error:
            if not lacks_room(error):
                raise
        self.room.give_back()  # even to read takes a little room beside the file
        return self._connected()

    def _connected(self) -> sqlite3.Connection:
        self.must_be_in_place()  # or SQLite would create another one
        db = self.dial(self.path.resolve().as_uri())
        try:
            # before anything is written into a file that is not ours to write
            schema.refuse_newer(schema.version_of(db, self.path), self.path)
            for pragma in _PRAGMAS:
                db.execute(f"pragma {pragma}")
        except BaseException:
            db.close()
            raise
        return db

    def _reopened(self) -> sqlite3.Connection:
        db = self._connected()
        try:
            must_end_well(db, self.secret)
            db.execute("pragma busy_timeout=0")
        except BaseException:
            db.close()
            raise
        return db

    def _read_only(self) -> sqlite3.Connection:
        """Read without writing anything there; a journal of an older schema is brought up in a copy."""
        db = self._as_it_lies()
        version = schema.version_of(db, self.path)
        schema.refuse_newer(version, self.path)
        if version == 0 and self.unwritable:
            raise self.unwritable  # nothing was ever written there
        if version == schema.SCHEMA_VERSION:
            return db
        copy = self.dial(self._aside("newest.db").as_uri())
        with closing(db):
            db.backup(copy)
        schema.upgrade(copy, version)
        return copy

    def _as_it_lies(self) -> sqlite3.Connection:
        """Read the file where it is, or a copy of it and its log.

        SQLite can read beside a process that has the journal open, or died with it. Without the index of the
        log, which would have to be written, there is either no log, and the file alone is all there is, or a
        log that only a copy can be read with.
        """
        address = self.path.resolve().as_uri()
        with suppress(sqlite3.OperationalError):
            return self._readable(f"{address}?mode=ro")
        log = self.path.with_name(f"{self.path.name}-wal")
        if not log.exists() or log.stat().st_size == 0:
            return self._readable(f"{address}?immutable=1")
        target = self._aside("journal.db")
        shutil.copyfile(log, target.with_name(f"{target.name}-wal"))
        shutil.copyfile(self.path, target)
        return self._readable(target.as_uri())

    def _aside(self, name: str) -> Path:
        """Return a place where this may be written."""
        self._copy = self._copy or TemporaryDirectory(prefix="standpipe-")
        return Path(self._copy.name) / name

    def _readable(self, address: str) -> sqlite3.Connection:
        db = self.dial(address)
        try:
            db.execute("select count(*) from sqlite_master").fetchone()
        except BaseException:
            db.close()
            raise
        return db

    def _close_connections(self) -> None:
        for db in (self._reader, self._writer):
            if db is not None:
                with suppress(sqlite3.Error):
                    db.close()
        self._reader = self._writer = None


def _closed(address: str) -> sqlite3.Connection:
    raise sqlite3.ProgrammingError(f"it was closed ({address})")


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from all others, wherever it is; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _replaced(path: Path) -> JournalError:
    return JournalError(
        f"the journal `{path}` was moved or replaced while it was in use",
        hint="end what has this home open, see to it that the right file is there, "
        "then `standpipe run RUN` goes on",
    )


def _no_writing(path: Path) -> JournalError:
    return JournalError(
        f"the journal `{path}` is read-only",
        hint="let this user write in its folder; `status`, `report`, `log` and `journal verify` work as it is",
    )


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
