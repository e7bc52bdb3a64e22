"""What SQLite and the operating system say about the file, in our words."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from standpipe.errors import BrokenJournalError, JournalError
from standpipe.stores.file.room import no_room

_PRIMARY = 0xFF  # the lower byte of an extended result code
_NO_ROOM = (
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_SHMOPEN,
    sqlite3.SQLITE_IOERR_TRUNCATE,
)
_RESTORE = "restore it from a backup"


@contextmanager
def named(path: Path) -> Generator[None]:
    """Turn the words of others into ours; names of other libraries do not leak."""
    try:
        yield
    except sqlite3.Error as error:
        raise journal_error(error, path) from error
    except OSError as error:
        raise JournalError(
            f"the journal `{path}` cannot be used: {error.strerror}",
            hint="check that the folder is writable",
        ) from error


def journal_error(error: sqlite3.Error, path: Path) -> JournalError:
    """Say what a failure of SQLite means for the journal."""
    code = code_of(error)
    if lacks_room(error):
        return no_room(path, str(error))
    match code & _PRIMARY:
        case sqlite3.SQLITE_IOERR:
            return JournalError(
                f"the disk failed under the journal `{path}`: {error} ({_name(error)})",
                hint="check the disk; then `standpipe journal verify`, and `standpipe run RUN` goes on",
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return JournalError(
                f"the journal `{path}` is kept by another process that writes and does not end",
                hint="see who has it open (`fuser` names them); then `standpipe run RUN` goes on",
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return BrokenJournalError(f"the journal `{path}` is damaged: {error}", hint=_RESTORE)
        case _:
            return JournalError(
                f"the journal `{path}` cannot be used: {error}",
                hint="check that the folder is writable and on a local disk",
            )


def lacks_room(error: sqlite3.Error) -> bool:
    """Tell whether more room would have helped."""
    return is_full(error) or code_of(error) in _NO_ROOM


def is_full(error: sqlite3.Error) -> bool:
    """Tell whether there was no room and SQLite has undone what it had begun."""
    return code_of(error) & _PRIMARY == sqlite3.SQLITE_FULL


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether somebody else has the lock."""
    return code_of(error) & _PRIMARY == sqlite3.SQLITE_BUSY


def ends_connection(error: sqlite3.Error) -> bool:
    """Tell whether what a connection believes of the file is worth nothing any more."""
    return code_of(error) & _PRIMARY == sqlite3.SQLITE_IOERR


def code_of(error: sqlite3.Error) -> int:
    """Return the extended result code, 0 where the failure is not one of SQLite's own."""
    return getattr(error, "sqlite_errorcode", 0) or 0


def _name(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", "") or "no code"
