"""Runs that wait for a person, written as a run that stops at an approval writes them."""

from collections.abc import Iterator
from pathlib import Path

from standpipe.actions import Effect
from standpipe.clock import SystemClock, stamp
from standpipe.ids import blocker_id
from standpipe.journal.entries import (
    BlockedRaised,
    Decided,
    Draft,
    Proposed,
    RunCreated,
    SegmentEnded,
    SegmentStarted,
)
from standpipe.opening import open_store
from standpipe.policy.decision import Ask

SEALED_EVERY = 100


async def block(home: Path, count: int) -> None:
    """Add so many blocked runs to a home."""
    store = open_store(home)
    try:
        for number in range(count):
            run = await store.create(
                RunCreated(task=f"Pay invoice {number}", agent="a", model="m", config="")
            )
            started = SegmentStarted("bench", 1, stamp(SystemClock().now()), "0")
            epoch = await store.start_segment(run, Draft("", started))
            blocker = blocker_id(await store.number("blocker"))
            await store.append(run, epoch, list(_held(f"{run}.1.1", blocker, epoch)))
            if number % SEALED_EVERY == 0:
                await store.seal()
        await store.seal()
    finally:
        await store.close()


def _held(action: str, blocker: str, epoch: int) -> Iterator[Draft]:
    said = {"to": "dana@example.com", "amount": "12.00"}
    ask, why = "pay(to=dana@example.com, amount=12.00)?", "`pay` happens once"
    yield Draft(action, Proposed("pay", said, Effect.ONCE, "manifest", why="the task asks"))
    yield Draft(f"{action}#1", Decided(Ask(rule="declared", reason=why), "digest", blocker=blocker))
    yield Draft(blocker, BlockedRaised("approval", ask, why, action=action, tool="pay", shows=said))
    yield Draft(str(epoch), SegmentEnded("blocked", waits_for=(blocker,)))
