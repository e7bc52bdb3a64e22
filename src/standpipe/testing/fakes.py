"""A clock that does not wait, a tool that plays its lines, a store that dies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from standpipe.journal.chain import Stored
from standpipe.journal.entries import Draft, Entry, RunCreated
from standpipe.journal.seals import Seal
from standpipe.journal.store import Seen, Store


class FakeClock:
    """Time that moves when somebody sleeps; `slept` remembers for how long."""

    def __init__(self, start: datetime = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)) -> None:
        self._now = start
        self._started = start
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now - self._started).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)

    def jump(self, seconds: float) -> None:
        """Let somebody set the clock; no time passes."""
        self._now += timedelta(seconds=seconds)
        self._started += timedelta(seconds=seconds)


class Crash(BaseException):
    """The process is gone; nothing catches this."""


@dataclass(slots=True)
class DyingStore:
    """Pass everything on until `writes_left` are used up, then be gone: before or after the commit."""

    store: Store
    writes_left: int
    after_commit: bool = False

    async def create(self, created: RunCreated) -> str:
        return await self.store.create(created)

    async def start_segment(self, run: str, draft: Draft, *, owner: str = "") -> int:
        return await self.store.start_segment(run, draft, owner=owner)

    async def due(self, queue: str, limit: int = 100) -> Sequence[str]:
        return await self.store.due(queue, limit)

    async def append(
        self, run: str, epoch: int, drafts: Sequence[Draft], *, seen: Seen | None = None
    ) -> Sequence[Entry]:
        if self.writes_left == 0:
            if self.after_commit:
                self.after_commit = False  # the dead write no more
                await self.store.append(run, epoch, drafts, seen=seen)
            raise Crash
        self.writes_left -= 1
        return await self.store.append(run, epoch, drafts, seen=seen)

    async def post(self, run: str, drafts: Sequence[Draft]) -> Sequence[Entry]:
        return await self.store.post(run, drafts)

    async def read(self, run: str, after: int = 0) -> Sequence[Entry]:
        return await self.store.read(run, after)

    async def stored(self, run: str) -> Sequence[Stored]:
        return await self.store.stored(run)

    async def streams(self) -> Sequence[str]:
        return await self.store.streams()

    async def number(self, series: str) -> int:
        return await self.store.number(series)

    async def row(self, view: str, key: str) -> bytes | None:
        return await self.store.row(view, key)

    async def rows(self, view: str) -> Mapping[str, bytes]:
        return await self.store.rows(view)

    async def seal(self) -> None:
        await self.store.seal()

    async def sealed(self, run: str = "") -> Mapping[str, str]:
        return await self.store.sealed(run)

    async def seals(self) -> Sequence[Seal]:
        return await self.store.seals()

    async def close(self) -> None:
        await self.store.close()
