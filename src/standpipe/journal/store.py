"""The seam: what keeps the entries. Every implementation passes `testing/store_suite.py`.

Rule 1: `append` is for the owner of a run and is fenced by its epoch; `post` is for everybody else
(answers, cancel) and is not. Both are all or nothing and on disk once they return.
Rule 2: a draft whose (run, key, kind) is there already is not written again; the recorded entry is told.
Rule 3: projections are written in the transaction of the append, never after it.
Rule 4: whoever decides by a row that others change says so (`seen`): then two runs never decide the same.
Rule 5: `due` is a hint for engines, read from columns that the append copied from the row of the run; a run
that is named twice or late does no harm, because only `start_segment` makes somebody its owner.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from standpipe.journal.chain import Stored
from standpipe.journal.entries import Draft, Entry, RunCreated
from standpipe.journal.seals import Seal

Seen: TypeAlias = Mapping[tuple[str, str], bytes | None]  # (view, key): the row as it was read


class Store(Protocol):
    async def create(self, created: RunCreated) -> str:
        """Begin a run and return its id; a known `caller_id` returns the run that has it."""
        ...

    async def start_segment(self, run: str, draft: Draft, *, owner: str = "") -> int:
        """Raise the epoch, write `draft` under it, and return it.

        `owner` is the worker that begins. Where a store keeps leases, its own must be the living one, or none is.

        Raises:
            OwnedError: another worker has a living lease.
        """
        ...

    async def due(self, queue: str, limit: int = 100) -> Sequence[str]:
        """Return runs of a queue that may go on now, the most important first.

        These are the queued and blocked ones whose time has come, and the begun ones without a living lease.
        Where a store keeps no leases, that is every begun one: the engine finds out by trying to own it.
        `""` and `"default"` name the same queue.
        """
        ...

    async def append(
        self, run: str, epoch: int, drafts: Sequence[Draft], *, seen: Seen | None = None
    ) -> Sequence[Entry]:
        """Write as the owner, if the rows that were `seen` still stand.

        Raises:
            FencedError: a newer epoch exists.
            StaleError: somebody changed one of the rows; decide again.
        """
        ...

    async def post(self, run: str, drafts: Sequence[Draft]) -> Sequence[Entry]:
        """Write as anybody else, under the epoch the run has."""
        ...

    async def read(self, run: str, after: int = 0) -> Sequence[Entry]:
        """Return the entries of a stream with `seq` > `after`, oldest first."""
        ...

    async def stored(self, run: str) -> Sequence[Stored]:
        """Return the rows of a stream as they lie there, unread, oldest first."""
        ...

    async def streams(self) -> Sequence[str]:
        """Return the names of all streams, the home's included."""
        ...

    async def number(self, series: str) -> int:
        """Return the next number of a series; gaps are possible, repeats are not."""
        ...

    async def row(self, view: str, key: str) -> bytes | None:
        """Return one row of a projection as JSON."""
        ...

    async def rows(self, view: str) -> Mapping[str, bytes]:
        """Return all rows of a projection, by key."""
        ...

    async def seal(self) -> None:
        """Cover the heads that changed since the last seal."""
        ...

    async def sealed(self, run: str = "") -> Mapping[str, str]:
        """Return the newest head of each stream that a seal covers; with `run`, of this one only.

        For one stream only the seal that covers it is read, so that a resume costs the same in an old home.

        Raises:
            BrokenJournalError: the chain of seals is broken, or the one seal is not what was written.
        """
        ...

    async def seals(self) -> Sequence[Seal]:
        """Return the seals as they lie there, unread, oldest first."""
        ...

    async def close(self) -> None: ...
