"""Journals of different sizes: does it take longer to go on, to look, to verify?

Rule 1: runs of 40 entries, as a mail agent makes them; all have ended but one, which is resumed.
"""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from standpipe.actions import Effect
from standpipe.cli.scaffold import scaffold
from standpipe.clock import SystemClock, stamp
from standpipe.desk.blockers import run_rows
from standpipe.governor.recovery import Return
from standpipe.journal.entries import (
    Decided,
    Draft,
    Intended,
    Proposed,
    RunCreated,
    RunEnded,
    SegmentEnded,
    SegmentStarted,
    Settled,
)
from standpipe.journal.journal import Journal
from standpipe.journal.store import Store
from standpipe.journal.verify import must_be_whole, verify
from standpipe.opening import open_store
from standpipe.outcomes.outcome import Succeeded
from standpipe.policy.decision import Allow

SIZES = {"1k": 1_000, "10k": 10_000, "100k": 100_000, "1M": 1_000_000}
RUN = 40
LARGE = 500_000  # verified once, because that takes long
BATCH = 200  # runs that are written at once
TEXT = "twelve words about an order that somebody made on a Tuesday " * 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The figures of one journal."""

    entries: int
    megabytes: float
    resume_ms: float
    status_ms: float
    command_ms: float
    verified_per_second: float

    @staticmethod
    def heading() -> str:
        names = (
            "MB",
            "resume ms",
            "ratio",
            "status ms",
            "ratio",
            "command ms",
            "ratio",
            "verify/s",
        )
        return f"{'entries':>9}" + "".join(f"{name:>12}" for name in names)

    def row(self, first: "Size") -> str:
        """Return a line of the table; ratios are to the first journal."""
        cells = [f"{self.megabytes:.1f}"]
        for name in ("resume_ms", "status_ms", "command_ms"):
            value, before = getattr(self, name), getattr(first, name)
            cells += [f"{value:.2f}", f"{value / before:.2f}"]
        cells.append(f"{self.verified_per_second:,.0f}")
        return f"{self.entries:>9}" + "".join(f"{cell:>12}" for cell in cells)


def measure(entries: int, home: Path, rounds: int) -> Size:
    """Write a journal of this size and look how it behaves."""
    scaffold(home, model="script:story.yaml")
    asyncio.run(_write(home, entries))
    files = (home / ".standpipe").glob("journal.db*")
    command = [sys.executable, "-m", "standpipe", "status", "--home", str(home)]

    async def status() -> None:
        await _with_store(home, _rows)

    async def resume() -> None:
        await _with_store(home, _resume)

    async def whole() -> None:
        await _with_store(home, _verify)

    async def as_command() -> None:
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)  # noqa: ASYNC221 -- alone

    return Size(
        entries=entries,
        megabytes=sum(file.stat().st_size for file in files) / 1e6,
        resume_ms=_median_ms(resume, rounds * 4),
        status_ms=_median_ms(status, rounds * 4),
        command_ms=_median_ms(as_command, rounds),
        verified_per_second=entries * 1000 / _median_ms(whole, 1 if entries > LARGE else rounds),
    )


def _median_ms(act: Callable[[], Awaitable[None]], rounds: int) -> float:
    times: list[float] = []

    async def timed() -> None:
        start = time.perf_counter()
        await act()
        times.append(time.perf_counter() - start)

    for _ in range(rounds):
        asyncio.run(timed())
    return statistics.median(times) * 1000


async def _with_store(home: Path, act: Callable[[Store], Awaitable[None]]) -> None:
    store = open_store(home)
    try:
        await act(store)
    finally:
        await store.close()


async def _rows(store: Store) -> None:
    await run_rows(store)


async def _verify(store: Store) -> None:
    assert (await verify(store)).whole


async def _resume(store: Store) -> None:
    """Do what a segment does before it asks the model."""
    await must_be_whole(store, "r1")
    epoch = await store.start_segment("r1", _started())
    await Journal(store, "r1", epoch).refresh()


async def _write(home: Path, entries: int) -> None:
    store = open_store(home, create=True)
    try:
        for number in range(entries // RUN):
            run = await store.create(
                RunCreated(task=f"Answer mail {number}", agent="a", model="m", config="")
            )
            epoch = await store.start_segment(run, _started())
            await store.append(run, epoch, [*_story(run), *(_end(run, epoch) if number else ())])
            if number % BATCH == 0:
                await store.seal()
        await store.seal()
    finally:
        await store.close()


def _story(run: str) -> Iterator[Draft]:
    for number in range(1, (RUN - 4) // 4 + 1):
        action = f"{run}.{number}.1"
        said = {"to": "dana@example.com", "text": TEXT}
        yield Draft(action, Proposed("send_note", said, Effect.ONCE, "manifest", why="asked"))
        yield Draft(f"{action}#1", Decided(Allow("allowed"), "digest"))
        yield Draft(f"{action}#1", Intended(1, "key", 30.0, tool="send_note"))
        yield Draft(
            f"{action}#1", Settled("send_note", 1, Succeeded("x" * 50), Return("it worked"))
        )


def _end(run: str, epoch: int) -> Iterator[Draft]:
    yield Draft(str(epoch), SegmentEnded("done"))
    yield Draft(run, RunEnded("done", "All sent."))


def _started() -> Draft:
    return Draft("", SegmentStarted("bench", 1, stamp(SystemClock().now()), "0"))
