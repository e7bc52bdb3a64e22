"""Room on the disk: how much there is, and a reserve so that the last words of a run can be written.

Rule 1: while the journal has room, `reserve` holds a little more of it beside the file.
Rule 2: when the disk is full the reserve is given back. From then on an end can be written and nothing
can begin, until there is room for a reserve again.
"""

import errno
import os
import resource
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from standpipe.errors import JournalFullError
from standpipe.journal.entries import (
    Draft,
    Intended,
    ModelRequested,
    Proposed,
    RunCreated,
    SegmentStarted,
)

RESERVE_BYTES = 1_000_000
_MIB = 1 << 20
_BEGINS = (RunCreated, SegmentStarted, ModelRequested, Proposed, Intended)


class Room:
    """The room beside a journal."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._reserve = journal.with_name("reserve")
        self._short = False

    def keep(self) -> None:
        """Set the reserve aside, if it is missing and there is room for twice as much."""
        if self._reserve.exists():
            self._short = False
            return
        self._short = _free(self._journal) < 2 * RESERVE_BYTES
        if self._short:
            return
        try:
            # random, so that a file system that compresses keeps the room too
            self._reserve.write_bytes(os.urandom(RESERVE_BYTES))
        except OSError as error:  # a limit on file sizes leaves room for entries, and none for this
            self._short = error.errno == errno.ENOSPC
            with suppress(OSError):
                self._reserve.unlink(missing_ok=True)

    def give_back(self) -> None:
        """Let the journal have the reserve; nothing new begins until it is there again."""
        with suppress(OSError):
            self._reserve.unlink(missing_ok=True)
        self._short = True

    def must_do_for(self, drafts: Sequence[Draft]) -> None:
        """Refuse to begin something on what is left for endings.

        Raises:
            JournalFullError: there is no more room than that.
        """
        if not self._short or not any(isinstance(draft.body, _BEGINS) for draft in drafts):
            return
        self.keep()
        if self._short:
            raise no_room(self._journal, "what is left is kept for the end of what has begun")


def no_room(journal: Path, why: str) -> JournalFullError:
    """Say that a journal cannot grow, how much is free, and what to do."""
    room, help_ = f"{_free(journal) // _MIB} MiB free there", "free some space"
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY:
        room += f", and a file may have {limit} bytes at most: RLIMIT_FSIZE"
        help_ += " or raise the limit (`ulimit -f`)"
    return JournalFullError(
        f"the journal `{journal}` cannot grow: {why} ({room})",
        hint=f"{help_}, then `standpipe run RUN` goes on; nothing that happened is lost",
    )


def _free(journal: Path) -> int:
    try:
        return shutil.disk_usage(journal.parent).free
    except OSError:
        return 0
