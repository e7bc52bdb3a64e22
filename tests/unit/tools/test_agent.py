"""The agent's own tools, called again as after a crash: what they did before is found, not doubled."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from standpipe.actions import Action, Effect
from standpipe.governor.recovery import Return
from standpipe.journal.entries import (
    Decided,
    Draft,
    Intended,
    Noted,
    Proposed,
    RunCreated,
    SegmentStarted,
    Settled,
)
from standpipe.journal.journal import Journal
from standpipe.memory.brain import Brain
from standpipe.memory.decisions import Decisions
from standpipe.memory.tasks import Tasks
from standpipe.outcomes.outcome import Failed, Kind
from standpipe.policy.decision import Allow
from standpipe.security.checklist import Checklist
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import FakeClock
from standpipe.tools.agent import LAST_TIME, TOOLS, AgentTools, UnfinishedError

CALLS: Mapping[str, Mapping[str, object]] = {
    "memory_note": {"title": "Prices", "text": "They rise."},
    "decide": {"what": "wait", "why": "prices fall"},
    "task_update": {"title": "Ask Ann", "next": "write to her"},
}
BY_NAME = {tool.name: tool for tool in TOOLS}


class Agent:
    """The tools of one run in a home, over a journal of its own; a new one is a copied brain."""

    def __init__(self, home: Path, clock: FakeClock) -> None:
        self.home, self.clock, self.store = home, clock, MemoryStore(clock)
        self.run = ""

    async def tools(self) -> AgentTools:
        """Return the tools as the next process has them."""
        if not self.run:
            self.run = await self.store.create(
                RunCreated(task="t", agent="a", model="m", config="")
            )
        started = Draft("", SegmentStarted("tests", 1, "", "0"))
        journal = Journal(self.store, self.run, await self.store.start_segment(self.run, started))
        await journal.refresh()
        return AgentTools(
            journal=journal,
            brain=Brain(self.home),
            tasks=Tasks(self.home),
            decisions=Decisions(self.home),
            checklist=Checklist(home=self.home, secrets_in=lambda _: ()),
            clock=self.clock,
            mask=lambda value: value,
        )

    async def call(self, name: str, number: int = 1) -> object:
        """Call a tool; the same number again is the same call, in another process."""
        tools = await self.tools()
        action = Action(id=f"{self.run}.{number}.1", tool=BY_NAME[name], arguments=CALLS[name])
        if not tools.journal.story(action.id):
            proposed = Proposed(name, CALLS[name], action.tool.effect, "m", origin="agent")
            await tools.journal.append(Draft(action.id, proposed))
        return await tools.inner()[name](action)

    def written(self) -> dict[str, str]:
        brain = self.home / "brain"
        return {path.name: path.read_text() for path in sorted(brain.rglob("*.md"))}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def agent(tmp_path: Path, clock: FakeClock) -> Agent:
    return Agent(tmp_path, clock)


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_made_again_after_a_crash_tells_the_same_and_writes_nothing_new(
    agent: Agent, name: str
) -> None:
    first = await agent.call(name)
    written = agent.written()
    agent.clock.advance(3600)
    assert await agent.call(name) == first
    assert agent.written() == written
    noted = [entry for entry in await agent.store.read(agent.run) if isinstance(entry.body, Noted)]
    assert len(noted) == (name == "decide")


@pytest.mark.parametrize("name", CALLS)
async def test_the_same_words_in_another_call_are_another_one(agent: Agent, name: str) -> None:
    await agent.call(name, 1)
    before = agent.written()
    await agent.call(name, 2)
    after = agent.written()
    assert len("".join(after.values())) > len("".join(before.values()))


async def test_a_decision_that_was_noted_and_not_yet_filed_is_noted_once(agent: Agent) -> None:
    tools = await agent.tools()
    body = Proposed("decide", CALLS["decide"], BY_NAME["decide"].effect, "m", origin="agent")
    await tools.journal.append(Draft("r1.1.1", body))
    await tools.journal.append(Draft("r1.1.1", Noted("agent", "wait", "prices fall")))
    assert await agent.call("decide") == "recorded as D-1"
    entries = await agent.store.read(agent.run)
    assert sum(isinstance(entry.body, Noted) for entry in entries) == 1


async def test_a_brain_without_its_journal_goes_on_with_the_next_free_numbers(
    agent: Agent, clock: FakeClock
) -> None:
    for name in CALLS:
        await agent.call(name)
    clock.advance(3600)
    copied = Agent(agent.home, clock)
    assert await copied.call("decide") == "recorded as D-2"
    assert await copied.call("task_update") == "T-2 is open"
    await copied.call("memory_note")
    assert agent.written()["prices.md"].count("They rise.") == 2


async def refused(agent: Agent, *failed: Failed) -> UnfinishedError:
    """Say that a run in which these calls failed is done, and return how that is refused."""
    tools = await agent.tools()
    for number, outcome in enumerate(failed, 1):
        action, name = f"r1.{number}.1", f"tool_{number}"
        await tools.journal.append(
            Draft(action, Proposed(name, {}, Effect.READ, "m", origin="home")),
            Draft(f"{action}#1", Decided(Allow("declared"), digest="d")),
            Draft(f"{action}#1", Intended(1, "k", 30.0)),
            Draft(f"{action}#1", Settled(name, 1, outcome, Return("told"), site=name)),
        )
    claim: Mapping[str, object] = {"summary": "All done.", "evidence": []}
    with pytest.raises(UnfinishedError) as caught:
        await tools.done(Action(id="r1.9.1", tool=BY_NAME["done"], arguments=claim))
    return caught.value


async def test_done_over_open_failures_is_refused_with_each_and_what_would_resolve_it(
    agent: Agent,
) -> None:
    busy = Failed(Kind.OVERLOADED, "HTTP 503 from api.x", code="503", host="api.x")
    error = await refused(agent, busy, Failed(Kind.BAD_INPUT, "no such day"))
    assert error.kind == "gave_up"
    said = str(error)
    assert "tool_1 overloaded, tool_2 bad_input still open" in said
    assert (
        "`tool_1`: HTTP 503 from api.x; resolved by a call of `tool_1` that works at api.x" in said
    )
    assert (
        "`tool_2`: no such day; resolved by a call of `tool_2` that works, with any arguments"
        in said
    )
    assert said.endswith(LAST_TIME)


async def test_an_open_failure_counts_as_giving_up_whatever_else_is_red(agent: Agent) -> None:
    (agent.home / "checks").mkdir()
    (agent.home / "checks/none").touch()  # cannot be run
    assert (await refused(agent, Failed(Kind.BAD_INPUT, "no"))).kind == "gave_up"


async def test_a_red_check_alone_is_no_giving_up(agent: Agent) -> None:
    (agent.home / "checks").mkdir()
    (agent.home / "checks/none").touch()
    error = await refused(agent)
    assert error.kind == "checklist"
    assert LAST_TIME not in str(error)
