"""Owning a run by a lock of this machine: a dead owner is known at once, there is no lease to wait for.

Rule 1: the lock is what counts; the process id in its file is for people.
Rule 2: the system lets go of a lock when its process dies, however it dies.
"""

import os
import platform
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from standpipe.engines.port import Hold, Worker
from standpipe.errors import OwnedError

_WORKERS = "worker-"


@dataclass(frozen=True, slots=True)
class LocalWorker:
    """A process of this machine that works on runs."""

    id: str
    host: str
    alive: bool = True


class LockOwnership:
    """Let one process of this machine at a time work on a run."""

    def __init__(self, folder: Path, *, worker: str = "") -> None:
        self._folder = folder
        self._worker = worker or str(os.getpid())
        self._holds: set[Hold] = set()
        self._ending = False

    @asynccontextmanager
    async def owning(self, run: str) -> AsyncGenerator[Hold]:
        """Own `run` for as long as the context lasts.

        Raises:
            OwnedError: a living process owns it.
        """
        with self._locked(run):
            hold = Hold(run=run)
            if self._ending:
                hold.wanted.set()
            self._holds.add(hold)
            try:
                yield hold
            finally:
                self._holds.discard(hold)

    @asynccontextmanager
    async def at_work(self) -> AsyncGenerator[None]:
        """Be one of the living workers."""
        self._ending = False
        with self._taken(f"{_WORKERS}{self._worker}"):
            yield

    def give_back(self) -> None:
        """Want every run back, also those that are taken from now on."""
        self._ending = True
        for hold in self._holds:
            hold.wanted.set()

    async def workers(self) -> Sequence[Worker]:
        """Return the workers of this machine; the locks of the dead are cleared away."""
        found = sorted(self._folder.glob(f"{_WORKERS}*.lock"))
        return [
            LocalWorker(path.stem.removeprefix(_WORKERS), platform.node())
            for path in found
            if self._is_taken(path)
        ]

    @contextmanager
    def _locked(self, run: str) -> Generator[None]:
        path = self._folder / f"{run}.lock"
        try:
            with self._taken(run, keep=True):
                path.write_text(f"{os.getpid()}\n")
                yield
        except _TakenError:
            raise OwnedError(
                f"run `{run}` is being worked on by {_process(path)}",
                hint=f"`standpipe status` shows it; `standpipe cancel {run}` ends it",
            ) from None

    @contextmanager
    def _taken(self, name: str, *, keep: bool = False) -> Generator[None]:
        from filelock import FileLock, Timeout  # noqa: PLC0415 -- reading commands own nothing

        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{name}.lock"
        lock = FileLock(path, blocking=False)
        try:
            lock.acquire()
        except Timeout:
            raise _TakenError from None
        try:
            yield
        finally:
            if not keep:
                path.unlink(missing_ok=True)
            lock.release()

    def _is_taken(self, path: Path) -> bool:
        try:
            with self._taken(path.stem):
                return False
        except _TakenError:
            return True


class _TakenError(Exception):
    """Somebody else has the lock."""


def _process(path: Path) -> str:
    try:
        pid = path.read_text().strip()
    except OSError:
        pid = ""
    return f"process {pid}" if pid.isdigit() else "another process"
