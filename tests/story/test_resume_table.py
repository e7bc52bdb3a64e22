"""What a process does with an action it finds in the journal: the table of states, row by row.

Every test begins where another process was killed. `World` is what stays: when it was asked for something, when
that arrives, and what it says to `verify`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import msgspec
import pytest

from standpipe.actions import (
    Action,
    Done,
    Effect,
    Expired,
    Fault,
    Raised,
    Result,
    Returned,
    Tool,
)
from standpipe.desk.answers import give
from standpipe.errors import StateError, UsageError
from standpipe.gate import Gate
from standpipe.governor.recovery import Return
from standpipe.journal import drafts
from standpipe.journal.entries import (
    BlockedRaised,
    Decided,
    Draft,
    Entry,
    InDoubt,
    Intended,
    Settled,
)
from standpipe.journal.journal import Journal
from standpipe.journal.views import open_blockers
from standpipe.outcomes.outcome import Failed, Kind, Refused, Succeeded, Unknown
from standpipe.policy.decision import Allow
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import Crash, FakeClock
from standpipe.testing.gates import ScriptedExecutor, open_gate
from standpipe.testing.loops import loop, read, send

READ = Tool(name="read", effect=Effect.READ, origin="home")
SAVE = Tool(name="save", effect=Effect.IDEMPOTENT, origin="home", control=())
SEND = Tool(name="send", origin="home", policy="allow", control=())
ASKS = Tool(name="asks", origin="home", control=())
DENIED = Tool(name="denied", origin="home", policy="deny", control=())
VERIFIED = Tool(name="verified", origin="home", policy="allow", control=(), verify=True)
LATE = Tool(
    name="late", origin="home", policy="allow", control=(), verify=True, verify_after_seconds=20
)
MUCH_LATER = msgspec.structs.replace(LATE, name="much_later", verify_after_seconds=3_600)
KEYED = Tool(name="keyed", origin="home", policy="allow", control=(), idempotency_key="key")
TOOLS = {t.name: t for t in (READ, SAVE, SEND, ASKS, DENIED, VERIFIED, LATE, MUCH_LATER, KEYED)}
RECEIPT = Returned("receipt")
RAISED = Raised(Fault(type="ConnectionResetError", message="[Errno 104] Connection reset by peer"))
NOT_FOUND = Raised(Fault(type="HttpFailure", message="HTTP 404", attributes={"status_code": 404}))


@dataclass(frozen=True)
class Lands:
    """One attempt as it is seen from outside: it arrives after `seconds`, if ever; `heard` comes back."""

    seconds: float | None = 0.0
    heard: Result | None = RECEIPT  # None: the process dies in the middle


KILLED_AND_LANDED, KILLED_BEFORE = Lands(heard=None), Lands(None, None)
LOST, LOST_BEFORE = Lands(heard=RAISED), Lands(None, RAISED)


@dataclass
class World(ScriptedExecutor):
    """Plays its attempts, keeps what arrived, and tells the truth of the moment to `verify`."""

    clock: FakeClock = field(default_factory=FakeClock)
    attempts: list[Lands] = field(default_factory=list[Lands])
    keys: list[str] = field(default_factory=list[str])
    arrivals: list[datetime] = field(default_factory=list[datetime])
    says: Result | None = None  # what `verify` says instead of the truth
    asked: int = 0
    killed_in_verify: int = 0

    async def attempt(
        self, action: Action, *, key: str, paused: Mapping[str, float] | None = None
    ) -> Done:
        one = self.attempts.pop(0) if self.attempts else Lands()
        self.calls.append(action.tool.name)
        self.keys.append(key)
        if one.seconds is not None:
            self.arrivals.append(self.clock.now() + timedelta(seconds=one.seconds))
        if one.heard is None:
            raise Crash
        return Done(one.heard)

    async def verify(
        self, action: Action, *, key: str, paused: Mapping[str, float] | None = None
    ) -> Result:
        if not action.tool.verify:
            return Returned(None)
        self.asked += 1
        if self.asked <= self.killed_in_verify:
            raise Crash
        here = any(at <= self.clock.now() for at in self.arrivals)
        return self.says or Returned("receipt" if here else False)


class Home:
    """One run, and the processes that take it up one after the other."""

    def __init__(self, *attempts: Lands) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        self.world = World(clock=self.clock, attempts=list(attempts))
        self.run: str | None = None

    async def process(self) -> Gate:
        """Start a process: it takes up the run in a new segment."""
        gate, _ = await open_gate(TOOLS, {}, store=self.store, clock=self.clock, run=self.run)
        self.run = gate.record.journal.run
        return replace(gate, executor=self.world)

    async def perform(self, tool: Tool) -> object:
        """Let a new process take up the call; None where it dies over it."""
        gate = await self.process()
        try:
            return await gate.perform(call(tool))
        except Crash:
            return None

    async def answer(self, said: str) -> None:
        [blocker] = open_blockers(await self.entries())
        await give(self.store, blocker, said, "operator")

    async def entries(self) -> Sequence[Entry]:
        return await self.store.read("r1")

    async def numbers(self) -> list[int]:
        """Return the numbers of the attempts on record."""
        return [e.body.attempt for e in await self.entries() if isinstance(e.body, Intended)]

    async def asks(self) -> list[str]:
        """Return what people were ever asked."""
        return [e.body.kind for e in await self.entries() if isinstance(e.body, BlockedRaised)]


def call(tool: Tool) -> Action:
    return Action(id="r1.1.1", tool=tool, arguments={"to": "ann"}, why="the task asks for it")


async def test_proposed_is_decided_again() -> None:
    home = Home()
    gate = await home.process()
    await gate.record.journal.append(drafts.proposed(call(SEND)))
    assert await home.perform(SEND) == Succeeded("receipt")
    assert home.world.calls == ["send"]


async def test_decided_deny_is_told_and_not_decided_again() -> None:
    home = Home()
    refused = await home.perform(DENIED)
    assert isinstance(refused, Refused)
    assert await home.perform(DENIED) == refused
    assert sum(isinstance(entry.body, Decided) for entry in await home.entries()) == 1
    assert home.world.calls == []


async def test_decided_ask_without_an_answer_stays_blocked() -> None:
    home = Home()
    held = await home.perform(ASKS)
    assert isinstance(held, Refused)
    assert await home.perform(ASKS) == held
    assert (await home.asks(), home.world.calls) == (["approval"], [])


async def test_decided_ask_answered_yes_is_intended_and_performed() -> None:
    home = Home()
    await home.perform(ASKS)
    await home.answer("yes")
    assert await home.perform(ASKS) == Succeeded("receipt")
    assert await home.numbers() == [1]


async def test_decided_allow_is_intended_and_performed() -> None:
    home = Home()
    gate = await home.process()
    allowed = drafts.decided(call(SEND), Allow("policy"), number=1)
    await gate.record.journal.append(drafts.proposed(call(SEND)), allowed)
    assert await home.perform(SEND) == Succeeded("receipt")
    assert await home.numbers() == [1]


@pytest.mark.parametrize("tool", [READ, SAVE, KEYED], ids=lambda tool: tool.name)
@pytest.mark.parametrize("kills", [1, 5])
async def test_intended_and_harmless_is_performed_again_under_the_same_number_and_key(
    kills: int, tool: Tool
) -> None:
    home = Home(*[KILLED_AND_LANDED] * kills)
    for _ in range(kills):
        assert await home.perform(tool) is None
    assert await home.perform(tool) == Succeeded("receipt")
    assert await home.numbers() == [1]
    assert (len(home.world.calls), len(set(home.world.keys))) == (kills + 1, 1)


@pytest.mark.parametrize("first", [KILLED_AND_LANDED, LOST], ids=["intended", "outcome unknown"])
async def test_verify_says_that_it_happened_and_it_has_succeeded(first: Lands) -> None:
    home = Home(first)
    await home.perform(VERIFIED)
    assert await home.perform(VERIFIED) == Succeeded("receipt", by="verify")
    assert (home.world.calls, await home.numbers()) == (["verified"], [1])


@pytest.mark.parametrize("first", [KILLED_BEFORE, LOST_BEFORE], ids=["intended", "outcome unknown"])
async def test_verify_says_that_it_did_not_and_there_is_another_attempt(first: Lands) -> None:
    home = Home(first)
    await home.perform(VERIFIED)
    assert await home.perform(VERIFIED) == Succeeded("receipt")
    assert (len(home.world.arrivals), await home.numbers()) == (1, [1, 2])


@pytest.mark.parametrize("first", [KILLED_AND_LANDED, LOST], ids=["intended", "outcome unknown"])
@pytest.mark.parametrize(
    "says", [Returned(None), RAISED, Expired(30.0)], ids=["cannot tell", "raises", "its deadline"]
)
async def test_verify_cannot_tell_and_it_is_in_doubt(says: Result, first: Lands) -> None:
    home = Home(first)
    home.world.says = says
    await home.perform(VERIFIED)
    assert isinstance(await home.perform(VERIFIED), Unknown)
    assert (await home.asks(), home.world.calls) == (["in_doubt"], ["verified"])


async def test_a_process_killed_inside_verify_leaves_it_to_the_next_one() -> None:
    home = Home(KILLED_AND_LANDED)
    home.world.killed_in_verify = 2
    for _ in range(3):
        assert await home.perform(VERIFIED) is None
    assert await home.perform(VERIFIED) == Succeeded("receipt", by="verify")
    assert (home.world.asked, home.world.calls) == (3, ["verified"])


@pytest.mark.parametrize("first", [KILLED_AND_LANDED, LOST], ids=["intended", "outcome unknown"])
async def test_with_nothing_to_ask_it_is_in_doubt(first: Lands) -> None:
    home = Home(first)
    await home.perform(SEND)
    assert isinstance(await home.perform(SEND), Unknown)
    assert (await home.asks(), home.world.calls) == (["in_doubt"], ["send"])


async def test_outcome_unknown_with_a_key_is_tried_again_under_the_same_key() -> None:
    home = Home(LOST)
    assert await home.perform(KEYED) == Succeeded("receipt")
    assert (await home.numbers(), len(set(home.world.keys))) == ([1, 2], 1)


async def test_a_key_that_the_other_side_does_not_answer_to_ends_in_doubt() -> None:
    home = Home(*[LOST] * 9)
    assert isinstance(await home.perform(KEYED), Unknown)
    assert isinstance(await home.perform(KEYED), Unknown)
    assert (await home.numbers(), len(set(home.world.keys))) == ([1, 2, 3], 1)


async def test_a_wait_is_a_timer_that_outlives_its_process() -> None:
    busy = Fault(
        type="HttpFailure", message="HTTP 429", attributes={"status_code": 429},
        headers={"retry-after": "3600"},
    )  # fmt: skip
    home = Home(Lands(None, Raised(busy)))
    await home.perform(READ)
    home.clock.advance(3_500)
    await home.perform(READ)
    assert home.world.calls == ["read"]
    home.clock.advance(100)
    assert await home.perform(READ) == Succeeded("receipt")
    assert (await home.numbers(), home.clock.slept) == ([1, 2], [])


@pytest.mark.parametrize("tool", [SEND, VERIFIED], ids=["nothing to ask", "verify cannot tell"])
async def test_in_doubt_and_unanswered_stays_so(tool: Tool) -> None:
    home = await in_doubt(tool)
    before = await home.entries()
    assert isinstance(await home.perform(tool), Unknown)
    after = await home.entries()
    assert [entry.kind for entry in after[len(before) :]] == ["segment.started"]


async def test_in_doubt_answered_yes_has_succeeded() -> None:
    home = await in_doubt(SEND)
    await home.answer("yes")
    assert await home.perform(SEND) == Succeeded(None, by="operator")
    assert home.world.calls == ["send"]


async def test_in_doubt_answered_no_is_tried_again() -> None:
    home = await in_doubt(SEND, first=KILLED_BEFORE)
    await home.answer("no")
    assert await home.perform(SEND) == Succeeded("receipt")
    assert (await home.numbers(), len(home.world.arrivals)) == ([1, 2], 1)


async def test_in_doubt_answered_give_up_has_failed_and_is_not_tried() -> None:
    home = await in_doubt(SEND)
    await home.answer("give-up")
    failed = await home.perform(SEND)
    assert isinstance(failed, Failed)
    assert (failed.kind, home.world.calls) == (Kind.IN_DOUBT, ["send"])


async def test_a_no_is_checked_once_more_and_a_receipt_is_stronger() -> None:
    home = await in_doubt(VERIFIED)
    await home.answer("no")
    home.world.says = None  # by now it can tell
    outcome = await home.perform(VERIFIED)
    assert isinstance(outcome, Succeeded)
    assert home.world.calls == ["verified"]


async def test_a_no_stands_where_verify_still_cannot_tell() -> None:
    home = await in_doubt(VERIFIED, first=KILLED_BEFORE)
    await home.answer("no")
    assert await home.perform(VERIFIED) == Succeeded("receipt")
    assert (await home.numbers(), len(home.world.arrivals)) == ([1, 2], 1)


async def in_doubt(tool: Tool, first: Lands = KILLED_AND_LANDED) -> Home:
    """Return a home in which nobody can tell whether a call happened."""
    home = Home(first)
    home.world.says = Returned(None)
    await home.perform(tool)
    assert isinstance(await home.perform(tool), Unknown)
    return home


@pytest.mark.parametrize("heard", [Returned("receipt"), NOT_FOUND], ids=["succeeded", "failed"])
async def test_what_is_over_is_told_and_not_done(heard: Result) -> None:
    home = Home(Lands(heard=heard))
    outcome = await home.perform(READ)
    assert isinstance(outcome, Succeeded | Failed)
    assert await home.perform(READ) == outcome
    assert home.world.calls == ["read"]


async def test_a_step_that_the_table_lacks_is_refused_before_it_is_written() -> None:
    home = Home()
    gate = await home.process()
    before = await home.entries()
    settled = Settled("send", 1, Succeeded("receipt"), Return("it worked"))
    with pytest.raises(StateError, match="`succeeded` cannot follow `new`"):
        await gate.record.journal.append(Draft("r1.1.1#1", settled))
    assert await home.entries() == before


async def test_a_journal_with_a_step_that_the_table_lacks_is_not_gone_on_with() -> None:
    home = Home()
    await home.process()
    settled = Settled("send", 1, Succeeded("receipt"), Return("it worked"))
    await home.store.append("r1", 1, [Draft("r1.1.1#1", settled)])
    with pytest.raises(StateError, match=r"hint: .*`standpipe journal verify`"):
        await Journal(home.store, "r1", 1).refresh()


async def test_a_verify_that_would_lie_early_is_asked_when_its_time_has_come() -> None:
    home = Home(Lands(seconds=18, heard=None))
    await home.perform(LATE)
    home.clock.advance(5)
    assert await home.perform(LATE) == Succeeded("receipt", by="verify")
    assert (home.clock.slept, home.world.asked, home.world.calls) == ([15.0], 1, ["late"])


async def test_a_verify_that_may_be_asked_in_an_hour_holds_no_process() -> None:
    home = Home(KILLED_AND_LANDED)
    await home.perform(MUCH_LATER)
    await home.perform(MUCH_LATER)
    assert home.clock.slept == []
    home.clock.advance(3_600)
    assert await home.perform(MUCH_LATER) == Succeeded("receipt", by="verify")
    assert home.world.calls == ["much_later"]


async def test_a_clock_that_is_set_forward_after_a_kill_makes_nobody_ask_too_early() -> None:
    home = Home(Lands(seconds=20, heard=None))
    await home.perform(MUCH_LATER)
    home.clock.jump(7_200)
    await home.perform(MUCH_LATER)
    assert home.world.asked == 0
    home.clock.advance(3_600)
    assert await home.perform(MUCH_LATER) == Succeeded("receipt", by="verify")
    assert home.world.calls == ["much_later"]


async def test_of_two_answers_the_first_counts_and_the_second_is_told_so() -> None:
    home = await in_doubt(SEND)
    await home.answer("yes")
    with pytest.raises(UsageError, match="b1 was answered before: `yes`, by operator"):
        await give(home.store, "b1", "no", "ann")
    assert (await give(home.store, "b1", "yes", "ann")).fresh is False
    assert await home.perform(SEND) == Succeeded(None, by="operator")
    assert home.world.calls == ["send"]


async def test_each_doubt_of_a_response_has_its_own_question_and_nothing_else_is_redone() -> None:
    calls = [read("1"), send("ann"), send("bob"), read("2")]
    story = loop(calls, send_note=[RAISED])
    assert (await story.segment()).status == "blocked"
    assert (await story.segment()).status == "blocked"
    doubts = [e.body for e in await story.entries() if isinstance(e.body, InDoubt)]
    assert [doubt.blocker for doubt in doubts] == await story.open()
    assert sorted(story.calls) == ["read_page", "read_page", "send_note", "send_note"]
    first, second = await story.open()
    await story.answer(second, "yes")
    assert (await story.segment()).status == "blocked"
    assert (await story.open(), len(story.calls)) == ([first], 4)
