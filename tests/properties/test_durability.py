"""Whatever the order of calls, kills, takeovers, answers, timers and cancels: nothing is lost, nothing happens twice.

The model is the table of states: what one undisturbed process may make of an action, given where it stands and
what is true outside. It is written here once more, from the reference and not from the code.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from standpipe.actions import Action, Done, Effect, Fault, Raised, Result, Returned, Tool
from standpipe.desk.answers import give
from standpipe.errors import FencedError, UsageError
from standpipe.gate import Gate
from standpipe.governor.budget import Limits
from standpipe.journal.ending import must_end
from standpipe.journal.entries import (
    CancelRequested,
    Draft,
    Entry,
    InDoubt,
    Intended,
    Noted,
    Proposed,
)
from standpipe.journal.states import State, state_after
from standpipe.journal.verify import verify
from standpipe.journal.views import answers, open_blockers
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import Crash, DyingStore, FakeClock
from standpipe.testing.gates import ScriptedExecutor, open_gate

R = TypeVar("R")
NEVER = 99  # more writes than one call takes
ATTEMPTS_MAX = 3  # of a call that `verify` or a key speaks for, before a person is asked
NO_LIMITS = Limits(model_calls=None, actions=None, minutes=None, cost_usd=None)
OVER = (State.SUCCEEDED, State.FAILED, State.REFUSED, State.GAVE_UP)


def once(name: str, **more: Any) -> Tool:
    made = Tool(name=name, origin="home", policy="allow", control=("to",), same_way=NEVER)
    return Tool(**{**{f: getattr(made, f) for f in made.__struct_fields__}, **more})


READ = once("read", effect=Effect.READ)
SAVE = once("save", effect=Effect.IDEMPOTENT)
SEND = once("send")
ASKS = once("asks", policy="ask")
VERIFIED = once("verified", verify=True)
KEYED = once("keyed", idempotency_key="key")
TOOLS = {tool.name: tool for tool in (READ, SAVE, SEND, ASKS, VERIFIED, KEYED)}
HARMLESS = ("read", "save", "keyed")  # a second call changes nothing
LOST = Raised(Fault(type="ConnectionResetError", message="[Errno 104] Connection reset by peer"))


@dataclass(frozen=True)
class Fate:
    """What becomes of one attempt: whether it lands, and what is heard of it; None: the process dies."""

    landed: bool
    heard: Result | None


FINE = Fate(landed=True, heard=Returned("receipt"))
FATES = st.sampled_from(
    [FINE, *(Fate(landed, heard) for landed in (True, False) for heard in (None, LOST))]
)


@dataclass
class Outside(ScriptedExecutor):
    """What is true: a ledger by action, a promise to take a key once, and a `verify` that may be blind."""

    store: MemoryStore | None = None
    fates: list[Fate] = field(default_factory=list[Fate])
    ledger: Counter[str] = field(default_factory=Counter[str])
    keys: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    attempts: int = 0
    blind: bool = False

    async def attempt(
        self, action: Action, *, key: str, paused: Mapping[str, float] | None = None
    ) -> Done:
        assert self.store is not None
        story = [e.body for e in await self.store.read("r1") if e.action == action.id]
        assert isinstance(story[-1], Intended), "an effect without an intent on disk"
        fate = self.fates.pop(0) if self.fates else FINE
        self.attempts += 1
        known = self.keys.setdefault(action.id, set())
        if fate.landed and not (action.tool.name in HARMLESS and key in known):
            self.ledger[action.id] += 1
        known.add(key)
        if fate.heard is None:
            raise Crash
        return Done(fate.heard)

    async def verify(
        self, action: Action, *, key: str, paused: Mapping[str, float] | None = None
    ) -> Result:
        if not action.tool.verify or self.blind:
            return Returned(None)
        return Returned("receipt" if self.ledger[action.id] else False)


class Durability(RuleBasedStateMachine):
    """One run, the processes that own it one after the other, and those that believe they still do."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        self.outside = Outside(store=self.store)
        self.calls: list[Action] = []
        self.owner: Gate | None = None
        self.zombies: list[Gate] = []
        self.wronged: set[str] = set()  # a person said no, and it had happened
        self.owner = self.do(self.opened(None))

    def teardown(self) -> None:
        self.do(self.nothing_is_lost())
        self.loop.close()

    def do(self, work: Coroutine[Any, Any, R]) -> R:
        return self.loop.run_until_complete(
            work
        )  # `Runner.run` of 3.11 makes a text of the result, each time

    @rule(
        name=st.sampled_from(sorted(TOOLS)), fate=FATES, writes=st.sampled_from([NEVER, 0, 1, 2, 3]),
        after_commit=st.booleans(),
    )  # fmt: skip
    @precondition(lambda self: self.may_act)
    def a_call_is_proposed(self, name: str, fate: Fate, writes: int, after_commit: bool) -> None:
        number = len(self.calls) + 1
        arguments = {"to": f"person {number}"}
        self.calls.append(
            Action(id=f"r1.{number}.1", tool=TOOLS[name], arguments=arguments, why="x")
        )
        self.do(self.taken_up(self.calls[-1], fate, writes, after_commit=after_commit))

    @rule(
        data=st.data(), fate=FATES, writes=st.sampled_from([NEVER, NEVER, 0, 1]), after_commit=st.booleans()
    )  # fmt: skip
    @precondition(lambda self: self.may_act and self.calls)
    def a_call_is_delivered_again(
        self, data: st.DataObject, fate: Fate, writes: int, after_commit: bool
    ) -> None:
        action = data.draw(st.sampled_from(self.calls))
        self.do(self.taken_up(action, fate, writes, after_commit=after_commit))

    @rule()
    def the_process_is_killed(self) -> None:
        self.owner = None

    @rule()
    def another_process_takes_over(self) -> None:
        if self.owner:
            self.zombies.append(self.owner)
        self.owner = self.do(self.opened("r1"))

    @rule(data=st.data())
    @precondition(lambda self: self.zombies)
    def a_process_that_was_taken_over_writes(self, data: st.DataObject) -> None:
        zombie = data.draw(st.sampled_from(self.zombies))
        before = self.do(self.entries())
        with pytest.raises(FencedError):
            self.do(zombie.record.journal.append(Draft("late", Noted("agent", "x", "y"))))
        assert self.do(self.entries()) == before

    @rule(data=st.data(), fate=FATES)
    @precondition(lambda self: self.zombies and self.calls)
    def a_process_that_was_taken_over_acts(self, data: st.DataObject, fate: Fate) -> None:
        zombie = data.draw(st.sampled_from(self.zombies))
        action = data.draw(st.sampled_from(self.calls))
        before, attempts = self.do(self.entries()), self.outside.attempts
        self.outside.fates = [fate]
        with suppress(FencedError, Crash):
            self.do(zombie.perform(action))
        assert self.do(self.entries()) == before
        assert self.outside.attempts == attempts or action.tool.name in HARMLESS

    @rule(data=st.data(), said=st.sampled_from(["yes", "no", "give-up"]))
    def a_person_answers(self, data: st.DataObject, said: str) -> None:
        waiting = open_blockers(self.do(self.entries()))
        if not waiting:
            return
        name = data.draw(st.sampled_from(sorted(waiting)))
        if waiting[name].kind == "approval" and said == "give-up":
            return
        if (
            waiting[name].kind == "in_doubt"
            and said == "no"
            and self.outside.ledger[waiting[name].action]
        ):
            self.wronged.add(waiting[name].action)
        self.do(give(self.store, name, said, "ann"))
        with pytest.raises(UsageError, match="was answered before"):
            self.do(give(self.store, name, "no" if said == "yes" else "yes", "bob"))

    @rule(seconds=st.sampled_from([1, 60, 86_400]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(blind=st.booleans())
    def verify_can_tell_or_cannot(self, blind: bool) -> None:
        self.outside.blind = blind

    @rule()
    @precondition(lambda self: len(self.calls) > 4)
    def somebody_cancels(self) -> None:
        for who in ("ann", "bob"):
            self.do(self.store.post("r1", [Draft("cancel", CancelRequested(who))]))

    @invariant()
    def the_journal_is_whole(self) -> None:
        assert self.do(verify(self.store)).whole

    @invariant()
    def nothing_has_happened_twice(self) -> None:
        for action in self.calls:
            if action.id not in self.wronged:
                assert self.outside.ledger[action.id] <= 1, action

    @invariant()
    def each_doubt_is_put_to_people_once(self) -> None:
        doubts = [e.body.blocker for e in self.do(self.entries()) if isinstance(e.body, InDoubt)]
        assert len(doubts) == len(set(doubts))

    @invariant()
    def a_cancel_holds(self) -> None:
        entries = self.do(self.entries())
        cancels = [entry.body for entry in entries if isinstance(entry.body, CancelRequested)]
        assert len(cancels) <= 1
        if cancels:
            end = must_end(entries)
            assert (end and end.status, end and end.why) == ("cancelled", "ann cancelled it")

    @property
    def may_act(self) -> bool:
        """Whether there is a process, and nobody has cancelled: the loop asks before each response."""
        return self.owner is not None and not self.do(self.cancelled())

    async def cancelled(self) -> bool:
        return any(isinstance(entry.body, CancelRequested) for entry in await self.entries())

    async def entries(self) -> Sequence[Entry]:
        return await self.store.read("r1")

    async def opened(self, run: str | None) -> Gate:
        gate, _ = await open_gate(
            TOOLS, {}, store=self.store, clock=self.clock, run=run, limits=NO_LIMITS
        )
        return replace(gate, executor=self.outside)

    async def state(self, action: Action) -> State:
        bodies = [entry.body for entry in await self.entries() if entry.action == action.id]
        return state_after(bodies, action=action.id)

    async def taken_up(
        self, action: Action, fate: Fate, writes: int, *, after_commit: bool = False
    ) -> None:
        """Let the owner perform a call; it may die over it. Undisturbed, it does what the table says."""
        assert self.owner is not None
        journal = self.owner.record.journal
        await journal.refresh()
        journal.store = DyingStore(self.store, writes, after_commit)
        before, attempts = await self.state(action), self.outside.attempts
        landed = self.outside.ledger[action.id] > 0
        self.outside.fates = [fate]
        try:
            await self.owner.perform(action)
        except Crash:
            self.owner = None
            return
        journal.store = self.store
        made = self.outside.attempts - attempts
        await self.follows_the_table(action, before, made=made, landed=landed)

    async def follows_the_table(
        self, action: Action, before: State, *, made: int, landed: bool
    ) -> None:
        after, name = await self.state(action), action.tool.name
        answered = await self.is_answered(action)
        match before:
            case State.SUCCEEDED | State.GAVE_UP | State.REFUSED:
                assert (after, made) == (before, 0)
            case State.HELD | State.IN_DOUBT if not answered:
                assert (after, made) == (before, 0)
            case State.INTENDED | State.UNKNOWN if name in ("send", "asks"):
                assert (after, made) == (State.IN_DOUBT, 0)
            case State.INTENDED | State.UNKNOWN if name == "verified" and self.outside.blind:
                assert (after, made) == (State.IN_DOUBT, 0)
            case State.INTENDED | State.UNKNOWN if name == "verified" and landed:
                assert (after, made) == (State.SUCCEEDED, 0)
            case State.INTENDED if name in HARMLESS:
                assert made >= 1
            case _:
                assert after in (*OVER, State.HELD, State.IN_DOUBT)

    async def is_answered(self, action: Action) -> bool:
        """Return whether the last question about a call has its answer."""
        entries = await self.entries()
        asked = [
            e.key
            for e in entries
            if e.kind == "blocked.raised" and getattr(e.body, "action", "") == action.id
        ]
        return bool(asked) and asked[-1] in answers(entries)

    async def nothing_is_lost(self) -> None:
        """Let a last process finish every call, with a person who tells the truth."""
        self.outside.blind = False
        for _ in range(2 + ATTEMPTS_MAX):
            self.owner = await self.opened("r1")
            for action in self.calls:
                await self.taken_up(action, FINE, NEVER)
            for name, question in open_blockers(await self.entries()).items():
                happened = self.outside.ledger[question.action] > 0
                said = "yes" if happened or question.kind == "approval" else "no"
                await give(self.store, name, said, "ann")
        for action in self.calls:
            state = await self.state(action)
            assert state in OVER, (action, state)
        await self.everything_proposed_is_accounted_for()

    async def everything_proposed_is_accounted_for(self) -> None:
        proposed = [e.action for e in await self.entries() if isinstance(e.body, Proposed)]
        assert sorted(proposed) == sorted(action.id for action in self.calls)
        assert (await verify(self.store)).whole


TestDurability = Durability.TestCase
TestDurability.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip
