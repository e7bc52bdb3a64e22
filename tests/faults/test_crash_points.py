"""A run is killed at every single write, before and after the commit, and goes on to the same end."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from standpipe.actions import Action, Done, Effect, Result, Returned, Tool
from standpipe.adapters.script import Call
from standpipe.journal.ending import End
from standpipe.journal.entries import BlockedRaised, ModelResponded, Proposed
from standpipe.journal.states import State, state_after
from standpipe.journal.verify import verify
from standpipe.journal.views import open_blockers
from standpipe.testing.fakes import Crash, DyingStore
from standpipe.testing.gates import ScriptedExecutor
from standpipe.testing.loops import DONE, OWN, Loop, pay, read, schema, send, turn_of

SEGMENTS_MAX = 8
MAIL = Tool(
    name="send_mail", origin="home", policy="allow", control=(), verify=True, schema=schema("to")
)
SAVE = Tool(name="save", effect=Effect.IDEMPOTENT, origin="home", schema=schema("to"))
STORY = (
    [read("1"), Call("send_mail", {"to": "ann", "why": "asked"}), pay("bob"), send("carl")],
    [Call("save", {"to": "disk", "why": "asked"}), Call("no_such_tool"), Call("read_page", "{")],
    "I think that is all.",
    [DONE],
)
ONCE = ("pay", "send_mail", "send_note")


@dataclass
class Outside(ScriptedExecutor):
    """What is outside stays: a ledger of the effects, by key."""

    ledger: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    async def attempt(
        self, action: Action, *, key: str, paused: Mapping[str, float] | None = None
    ) -> Done:
        del paused
        self.ledger.setdefault(action.tool.name, []).append(key)
        return Done(Returned(f"receipt {key}"))

    async def verify(
        self, action: Action, *, key: str, paused: Mapping[str, float] | None = None
    ) -> Result:
        del paused
        if not action.tool.verify:
            return Returned(None)
        return Returned(f"receipt {key}" if key in self.ledger.get(action.tool.name, ()) else False)


@dataclass(kw_only=True)
class Mortal(Loop):
    """A run whose processes die, and whose operator tells the truth."""

    tools: Mapping[str, Tool] = field(
        default_factory=lambda: OWN | {"send_mail": MAIL, "save": SAVE}
    )
    ledger: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    asked: list[str] = field(default_factory=list[str])

    def world(self) -> ScriptedExecutor:
        return Outside(ledger=self.ledger)

    async def to_the_end(self) -> End:
        for _ in range(SEGMENTS_MAX):
            end = await self.segment()
            if end.status != "blocked":
                return end
            for blocker, body in open_blockers(await self.entries()).items():
                self.asked.append(body.kind)
                await self.answer(blocker, self.truth(body))
        raise AssertionError("it never ends")

    def truth(self, body: BlockedRaised) -> str:
        if body.kind != "in_doubt":
            return "yes"
        return "yes" if self.ledger.get(body.tool) else "no"


def mortal() -> Mortal:
    return Mortal(turns=tuple(map(turn_of, STORY)))


async def killed_at(write: int, *, after_commit: bool) -> tuple[Mortal, bool]:
    """Let a run die at its write number `write`; return it, and whether it lived that long."""
    story = mortal()
    store = DyingStore(story.store, write, after_commit)
    try:
        end = await story.segment(store=store)
    except Crash:
        return story, True
    if end.status == "blocked":
        await story.answer("b1")
        try:
            await story.segment(store=store)
        except Crash:
            return story, True
    return story, False


@pytest.mark.parametrize("after_commit", [False, True], ids=["before the commit", "after it"])
async def test_killed_at_any_write_a_run_goes_on_to_the_same_end_and_does_nothing_twice(
    after_commit: bool,
) -> None:
    whole = mortal()
    expected = await whole.to_the_end()
    assert (expected.status, whole.asked) == ("done", ["approval"])
    write, died = 0, True
    while died:
        story, died = await killed_at(write, after_commit=after_commit)
        if died:
            await check(story, expected, whole)
        write += 1
    assert write > 20  # the story is as long as it was meant to be


async def check(story: Mortal, expected: End, whole: Mortal) -> None:
    answered = len([e for e in await story.entries() if isinstance(e.body, ModelResponded)])
    end = await story.to_the_end()
    assert end == expected
    for tool in ONCE:
        assert len(story.ledger[tool]) == 1, tool
    assert len(set(story.ledger["save"])) == 1  # again only under the same key
    assert await states(story) == await states(whole)
    assert (await verify(story.store)).broken == ()
    assert set(story.asked) <= {"approval", "in_doubt"}
    assert story.asked.count("approval") <= 1
    assert story.asked.count("in_doubt") <= 2  # what has no `verify`: a note, and a payment
    assert story.requests <= len(STORY) + 1  # one more only if its answer was lost
    assert answered <= len(STORY)


async def states(story: Mortal) -> Mapping[str, State]:
    entries = await story.entries()
    actions = [entry.action for entry in entries if isinstance(entry.body, Proposed)]
    return {
        action: state_after([entry.body for entry in entries if entry.action == action])
        for action in sorted(actions)
    }
