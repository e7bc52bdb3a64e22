"""The key of a home: what its keyed hashes of secrets are made with.

Rule 1: it is random and never leaves the home, so a hash in the journal cannot be tried out elsewhere.
Rule 2: a home that lost it goes on with a new one; what depended on the old one counts as changed.
"""

import os
import secrets
from pathlib import Path

from standpipe.errors import JournalError

_BYTES = 32


def key_of(state: Path) -> bytes:
    """Return the key kept in the state folder of a home; the first to ask makes it.

    Raises:
        JournalError: the folder cannot be written.
    """
    path = state / "key"
    try:
        state.mkdir(parents=True, exist_ok=True)
        try:
            return _read(path)
        except FileNotFoundError:
            own = state / f"key.{os.getpid()}"
            _write(own, secrets.token_bytes(_BYTES))
            try:
                os.link(own, path)  # all or nothing, and only for the first one
            except FileExistsError:
                pass
            finally:
                own.unlink()
            return _read(path)
    except OSError as error:
        raise JournalError(
            f"the key of this home, `{path}`, cannot be read or made: {error.strerror}",
            hint="check that .standpipe/ is writable",
        ) from error


def _read(path: Path) -> bytes:
    key = path.read_bytes()
    if len(key) != _BYTES:
        raise OSError(0, "it has not the length of a key; delete it, and a new one is made")
    return key


def _write(path: Path, key: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(key)
