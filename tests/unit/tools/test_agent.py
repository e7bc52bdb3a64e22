"""The agent's own tools, called again as after a crash: what they did before is found, not doubled."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from standpipe.actions import Action
from standpipe.journal.entries import Draft, Noted, Proposed, RunCreated, SegmentStarted
from standpipe.journal.journal import Journal
from standpipe.memory.brain import Brain
from standpipe.memory.decisions import Decisions
from standpipe.memory.tasks import Tasks
from standpipe.security.checklist import Checklist
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import FakeClock
from standpipe.tools.agent import TOOLS, AgentTools

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
