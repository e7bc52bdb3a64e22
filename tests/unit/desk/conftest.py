"""A journal that a test tells line by line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from standpipe.actions import Change, Effect, Label
from standpipe.governor.recovery import Recovery, Return
from standpipe.journal.entries import (
    BlockedRaised,
    Body,
    Decided,
    Draft,
    Entry,
    Intended,
    Proposed,
    RunCreated,
    SegmentStarted,
    Settled,
)
from standpipe.outcomes.outcome import Outcome, Succeeded
from standpipe.policy.decision import Allow, Decision
from standpipe.stores.memory import MemoryStore

ALLOWED, FINE, TOLD = Allow("declared"), Succeeded("ok"), Return("told")


class Ticking:
    """A clock that moves one second whenever somebody looks."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)

    def now(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Told:
    """One run in a store."""

    store: MemoryStore
    run: str

    async def say(self, key: str, body: Body) -> None:
        await self.store.post(self.run, [Draft(key, body)])

    async def propose(  # noqa: PLR0913 -- one fact each
        self,
        action: str,
        tool: str,
        arguments: Mapping[str, object],
        *,
        effect: Effect = Effect.ONCE,
        why: str = "the task asks for it",
        origin: str = "builtin",
        reversible: bool = False,
        decision: Decision = ALLOWED,
        blocker: str = "",
    ) -> None:
        body = Proposed(
            tool, arguments, effect, "m", why, Label(), origin=origin, reversible=reversible
        )
        await self.say(action, body)
        await self.say(f"{action}#1", Decided(decision, digest="d", blocker=blocker))

    async def settle(  # noqa: PLR0913 -- one fact each
        self,
        action: str,
        tool: str,
        outcome: Outcome = FINE,
        *,
        recovery: Recovery = TOLD,
        attempt: int = 1,
        changes: Sequence[Change] = (),
        site: str = "",
        host: str = "",
    ) -> None:
        await self.say(f"{action}#{attempt}", Intended(attempt, "key", 30.0))
        body = Settled(
            tool, attempt, outcome, recovery, site=site, host=host, changes=tuple(changes)
        )
        await self.say(f"{action}#{attempt}", body)

    async def ask(
        self, name: str, kind: str = "approval", *, action: str = "", site: str = ""
    ) -> None:
        body = BlockedRaised(kind, f"may I? ({name})", "because", action=action, tool="send_email" if action else "",
                             site=site, shows={"to": ["dana@example.com"]} if action else {},
                             expires_at="2026-11-23T07:00:00.000Z")  # fmt: skip
        await self.say(name, body)

    async def entries(self) -> Sequence[Entry]:
        return await self.store.read(self.run)


@pytest.fixture
async def told() -> Told:
    store = MemoryStore(Ticking())
    created = RunCreated("Answer the mail", "mailer", "script:s.yaml", "c", task_id="T-1")
    run = await store.create(created)
    await store.start_segment(run, Draft("", SegmentStarted("inline", 41, "boot-1", "0.1.0")))
    return Told(store, run)
