"""Who has this home open: OS locks that end with their process.

Rule 1: an open journal holds `journal.lock` together with all others that have it open.
Rule 2: whoever changes the schema holds it alone. A dead process holds nothing.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


class Holding:
    """Hold the home of a journal, with others, until `close`."""

    def __init__(self, journal: Path) -> None:
        self._file = _open(journal.with_name("journal.lock"))
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


@contextmanager
def alone(lock: Path, *, wait: bool = False) -> Generator[None]:
    """Hold a lock that nobody else holds.

    Raises:
        BlockingIOError: somebody does, and `wait` is not set.
    """
    file = _open(lock)
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(file)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
