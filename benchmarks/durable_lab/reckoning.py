"""What chaos did to the runs: the ledger and the journal, compared.

Rule 1: lost is an order that did not land though its run is done; twice is one that landed again.
Rule 2: a doubt is real where chaos met the process between the intent and its outcome and the tool has
    neither `verify` nor a key, or where it met the process that asked `verify`.
Rule 3: a takeover is one by a process that worked already when the other one was killed, and that could
    go on working. Where only a new process was there, it is a restart.
"""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from durable_lab.ledger import Ledger
from durable_lab.stories import Story
from durable_lab.storm import Storm
from durable_lab.watch import Watch

from standpipe.clock import moment
from standpipe.journal.entries import (
    BlockedRaised,
    Entry,
    InDoubt,
    Intended,
    Proposed,
    SegmentEnded,
    SegmentStarted,
)
from standpipe.journal.verify import verify

BLIND, KEYED = "send_blind", "send_keyed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reckoning:
    """The figures of one storm."""

    runs: int
    orders: int
    segments: int
    duplicates: tuple[str, ...]
    of_frozen: tuple[str, ...]  # of these, landed again from a process that had been frozen
    lost: tuple[str, ...]
    failed: tuple[str, ...]
    asked: tuple[str, ...]  # failures put to a person: chaos is no reason for one
    doubts: int
    unreal: tuple[str, ...]
    taken_over: tuple[float, ...]  # seconds
    restarted: tuple[float, ...]
    broken: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether what is promised held; a request that was frozen on its way is not in the promise."""
        twice = set(self.duplicates) - set(self.of_frozen)
        return not (twice or self.lost or self.failed or self.asked or self.unreal or self.broken)

    def lines(self) -> Iterator[str]:
        """Yield the figures as a table."""
        yield _row("runs, orders, segments", f"{self.runs}, {self.orders}, {self.segments}")
        yield _row("duplicates", _named(self.duplicates))
        yield _row("  of them by a frozen process", _named(self.of_frozen))
        yield _row("lost", _named(self.lost))
        yield _row("runs failed by chaos", _named(self.failed))
        yield _row("failures put to a person", _named(self.asked))
        yield _row("doubts, of them not real", f"{self.doubts}, {_named(self.unreal)}")
        yield _row("takeover by a worker that lived", _times(self.taken_over))
        yield _row("by one that had to start first", _times(self.restarted))
        yield _row("journal", "; ".join(self.broken) or "whole")


async def reckon(watch: Watch, ledger: Ledger, stories: Sequence[Story], storm: Storm) -> Reckoning:
    """Compare what was to happen with what did."""
    await watch.look()
    store = watch.opened()
    entries = {name: await store.read(row.id) for name, row in watch.runs.items()}
    again = [order for order, landed in ledger.landed.items() if len(landed) > 1]
    frozen = [o for o in again if any(e.pid in storm.frozen for e in ledger.effects(o)[1:])]
    asked = {order: ask for one in entries.values() for order, ask in _failures(one)}
    began = _first_segments(entries.values())
    takeovers = [each for one in entries.values() for each in _takeovers(one, storm, began)]
    doubted = [each for one in entries.values() for each in _doubts(one)]
    return Reckoning(
        runs=len(stories),
        orders=sum(len(story.orders) for story in stories),
        segments=sum(isinstance(e.body, SegmentStarted) for one in entries.values() for e in one),
        duplicates=tuple(again),
        of_frozen=tuple(frozen),
        lost=tuple(
            order for story in stories if watch.status(story) == "done"
            for order in story.orders if not ledger.effects(order) and order not in asked
        ),
        failed=tuple(
            f"{story.name} {watch.status(story)}: {watch.why(story)}"
            for story in stories if watch.status(story) != "done"
        ),
        asked=tuple(f"{order}: {ask}" for order, ask in asked.items()),
        doubts=len(doubted),
        unreal=tuple(f"{doubt.action} {doubt.tool}" for doubt in doubted if not doubt.real(storm)),
        taken_over=tuple(t.seconds for t in takeovers if t.lived),
        restarted=tuple(t.seconds for t in takeovers if not t.lived),
        broken=(await verify(store)).broken,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Doubt:
    action: str
    tool: str
    sender: int  # the process that intended it, and the one that asked whether it happened
    asker: int

    def real(self, storm: Storm) -> bool:
        if self.tool == BLIND:
            return self.sender in storm.touched
        return self.tool != KEYED and self.asker in storm.touched


def _failures(entries: Sequence[Entry]) -> Iterator[tuple[str, str]]:
    """Yield the orders whose failure somebody was asked about: the agent is told, and nothing is lost."""
    orders = {
        e.action: e.body.arguments.get("order") for e in entries if isinstance(e.body, Proposed)
    }
    for entry in entries:
        if isinstance(entry.body, BlockedRaised) and entry.body.kind == "failure":
            yield str(orders.get(entry.body.action)), entry.body.ask


def _doubts(entries: Sequence[Entry]) -> Iterator[_Doubt]:
    pids = _pids(entries)
    for entry in entries:
        if isinstance(entry.body, InDoubt):
            intent = next(
                e for e in reversed(entries[: entry.seq])
                if e.action == entry.action and isinstance(e.body, Intended)
            )  # fmt: skip
            assert isinstance(intent.body, Intended)
            tool = intent.body.tool
            yield _Doubt(entry.action, tool, sender=pids[intent.epoch], asker=pids[entry.epoch])


@dataclass(frozen=True, slots=True)
class _Takeover:
    """How long a run stood still, and whether whoever went on was there all the time."""

    seconds: float
    lived: bool


def _takeovers(
    entries: Sequence[Entry], storm: Storm, began: Mapping[int, float]
) -> Iterator[_Takeover]:
    pids = _pids(entries)
    over = {entry.epoch for entry in entries if isinstance(entry.body, SegmentEnded)}
    for entry in entries:
        if isinstance(entry.body, SegmentStarted) and entry.epoch - 1 in pids.keys() - over:
            killed_at = storm.killed.get(pids[entry.epoch - 1])
            if killed_at is not None:
                now, pid = moment(entry.at).timestamp(), entry.body.pid
                able = not any(
                    one.since < now and one.until > killed_at
                    for one in storm.troubles if one.pid in (0, pid)
                )  # fmt: skip
                yield _Takeover(now - killed_at, lived=began[pid] < killed_at and able)


def _first_segments(runs: Iterable[Sequence[Entry]]) -> Mapping[int, float]:
    """Return when each process began its first segment."""
    first: dict[int, float] = {}
    for entry in (entry for entries in runs for entry in entries):
        if isinstance(entry.body, SegmentStarted):
            at = moment(entry.at).timestamp()
            first[entry.body.pid] = min(at, first.get(entry.body.pid, at))
    return first


def _pids(entries: Sequence[Entry]) -> dict[int, int]:
    return {e.epoch: e.body.pid for e in entries if isinstance(e.body, SegmentStarted)}


def _named(found: Sequence[str]) -> str:
    return f"{len(found)}" + (f" ({', '.join(found[:5])})" if found else "")


def _times(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    return (
        f"median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s of {len(seconds)}"
    )


def _row(name: str, text: str) -> str:
    return f"  {name:<36}{text}"
