"""A journal at one moment, as it lies there: what `verify`, `export` and `archive` read.

Rule 1: nothing is decoded, mended or changed; what cannot be read at all is a `BrokenJournalError`.
Rule 2: a store that has no such look at one moment is read through its port (`PortSnapshot`), the seals before
the entries and the rows before and after them, so that what living writers add is no finding.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct

from standpipe.journal.chain import Stored
from standpipe.journal.seals import Seal
from standpipe.journal.store import Store


class Head(Struct, frozen=True):
    """How a stream ends, as the table of runs has it, and the number of the last seal that covers it."""

    seq: int
    hash: str
    seal: int = 0


class Tombstone(Struct, frozen=True):
    """What stays of a run whose entries were put into an archive."""

    run: str
    seq: int
    head: str
    at: str
    file: str


class Snapshot(Protocol):
    """What lies in a journal. `entries` come oldest first, in lists of a bounded length."""

    async def damage(self) -> Sequence[str]:
        """Return what the storage itself finds broken."""
        ...

    async def seals(self) -> Sequence[Seal]: ...
    async def heads(self) -> Mapping[str, Head | None]:
        """Return every stream with its end; None where only the entries know it."""
        ...

    async def tombstones(self) -> Mapping[str, Tombstone]: ...
    def entries(self, run: str) -> AsyncIterator[Sequence[Stored]]: ...
    async def rows(self, view: str) -> Mapping[str, bytes]: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class PortSnapshot:
    """Look at a store through its port: no single moment, but one from which nothing is missing."""

    store: Store

    async def damage(self) -> Sequence[str]:
        return ()

    async def seals(self) -> Sequence[Seal]:
        return await self.store.seals()

    async def heads(self) -> Mapping[str, Head | None]:
        return dict.fromkeys(await self.store.streams())

    async def tombstones(self) -> Mapping[str, Tombstone]:
        return {}

    async def entries(self, run: str) -> AsyncIterator[Sequence[Stored]]:
        yield await self.store.stored(run)

    async def rows(self, view: str) -> Mapping[str, bytes]:
        return await self.store.rows(view)

    async def close(self) -> None:
        await self.store.close()
