"""The embedded engine: a run is worked on by the process that asked for it.

Rule 1: the owner holds an OS lock on a file per run; a dead owner is known at once, no lease to wait for.
Rule 2: the engine only says who may work. What happened, and what may happen next, is in the journal.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from standpipe.errors import UsageError


class InlineEngine:
    """Let one process at a time work on a run."""

    def __init__(self, locks: Path) -> None:
        self._locks = locks

    @contextmanager
    def owning(self, run: str) -> Generator[None]:
        """Own `run` for as long as the context lasts.

        Raises:
            UsageError: a living process owns it.
        """
        from filelock import FileLock, Timeout  # noqa: PLC0415 -- reading commands own nothing

        self._locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._locks / f"{run}.lock", blocking=False)
        try:
            with lock:
                yield
        except Timeout:
            raise UsageError(
                f"run `{run}` is being worked on by another process",
                hint="`standpipe status` shows it; `standpipe cancel RUN` ends it",
            ) from None
