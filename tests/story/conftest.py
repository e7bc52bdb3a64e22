"""A small world for the agent loop: real Pydantic AI agent, gate and journal; model and tools play a script."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from standpipe.actions import Effect, Tool
from standpipe.adapters.pydantic_ai import run_segment
from standpipe.adapters.script import Call, Script, ScriptModel, Turn
from standpipe.adapters.session import Session
from standpipe.journal.ending import End
from standpipe.journal.entries import AnswerGiven, Draft, Entry
from standpipe.journal.store import Store
from standpipe.journal.views import open_blockers
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import FakeClock
from standpipe.testing.gates import Line, ScriptedExecutor, open_gate
from standpipe.tools.agent import TOOLS

TEXT = {"type": "string"}


def schema(*names: str) -> Mapping[str, object]:
    return {
        "type": "object",
        "properties": dict.fromkeys(names, TEXT),
        "required": list(names),
        "additionalProperties": False,
    }


READ = Tool(name="read_page", effect=Effect.READ, origin="home", schema=schema("page"))
SEND = Tool(name="send_note", origin="home", policy="allow", control=(), schema=schema("to"))
PAY = Tool(name="pay", origin="home", control=(), schema=schema("to"))  # once: it asks
OWN = {tool.name: tool for tool in (READ, SEND, PAY)} | {tool.name: tool for tool in TOOLS}
LINES: Mapping[str, Sequence[Line]] = {
    "read_page": ["a page"],
    "send_note": ["receipt"],
    "pay": ["paid"],
    "done": ["the checklist passed"],
    "ask_human": ["the answer"],
    "blocked": ["the answer"],
}

DONE = Call("done", {"summary": "All sent.", "evidence": ["receipt"]})


def read(page: str = "1", **more: str) -> Call:
    return Call("read_page", {"page": page}, **more)


def send(to: str = "ann", **more: str) -> Call:
    return Call("send_note", {"to": to, "why": "the task asks"}, **more)


def pay(to: str = "ann", **more: str) -> Call:
    return Call("pay", {"to": to, "why": "the invoice is due"}, **more)


class Asked(ScriptModel):
    """Count the requests, and keep what was sent with each."""

    def __init__(self, turns: Sequence[Turn], next_turn: Callable[[], int]) -> None:
        super().__init__(Script("story", tuple(turns)), next_turn)
        self.requests: list[list[ModelMessage]] = []
        self.offered: ModelRequestParameters | None = None

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        self.requests.append(messages)
        self.offered = model_request_parameters
        return await super().request(messages, model_settings, model_request_parameters)

    def told(self) -> str:
        """Return all the model was shown with its last request, as text."""
        return "\n".join(str(part) for message in self.requests[-1] for part in message.parts)


@dataclass
class Loop:
    """A run, segment by segment, over one store."""

    turns: Sequence[Turn] = ()
    lines: Mapping[str, Sequence[Line]] = field(default_factory=dict[str, Sequence[Line]])
    tools: Mapping[str, Tool] = field(default_factory=lambda: OWN)
    clock: FakeClock = field(default_factory=FakeClock)
    store: Store = field(init=False)
    executor: ScriptedExecutor = field(init=False)
    model: Asked = field(init=False)
    session: Session = field(init=False)
    during: Callable[[], Awaitable[None]] | None = None
    calls: list[str] = field(default_factory=list[str])
    requests: int = 0
    run: str | None = None

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)

    async def segment(
        self,
        *capabilities: AbstractCapability[None],
        model: Model | None = None,
        store: Store | None = None,
    ) -> End:
        """Take the run from where its journal is to an end."""
        gate, executor = await open_gate(
            self.tools, {**LINES, **self.lines}, store=store or self.store, clock=self.clock, run=self.run
        )  # fmt: skip
        self.run = gate.record.journal.run
        executor.during, executor.calls = self.during, self.calls
        gate = replace(gate, executor=self.world(executor))
        self.session = Session(
            gate=gate, tools=self.tools, model="script:story", mask=lambda value: value,
            price=lambda _: None, over_budget=lambda: None, model_seconds=5.0,
        )  # fmt: skip
        self.model = Asked(self.turns, lambda: self.session.number)
        try:
            return await run_segment(
                self.session, model or self.model, instructions="", capabilities=capabilities
            )
        finally:
            self.requests += len(self.model.requests)

    def world(self, executor: ScriptedExecutor) -> ScriptedExecutor:
        """Return what acts; a story with a world of its own replaces it."""
        self.executor = executor
        return executor

    async def answer(self, blocker: str, answer: str = "yes") -> None:
        await self.store.post(self.run or "", [Draft(blocker, AnswerGiven(answer, "operator"))])

    async def entries(self) -> Sequence[Entry]:
        return await self.store.read(self.run or "")

    async def kinds(self, action: str) -> list[str]:
        return [entry.kind for entry in await self.entries() if entry.action == action]

    async def open(self) -> list[str]:
        return list(open_blockers(await self.entries()))


@pytest.fixture
def loop() -> Callable[..., Loop]:
    """Make a run of these turns: each a list of calls, or a text."""

    def made(*turns: str | Sequence[Call] | Turn, **more: object) -> Loop:
        return Loop(tuple(map(turn_of, turns)), **more)  # pyright: ignore[reportArgumentType]

    return made


def turn_of(said: str | Sequence[Call] | Turn) -> Turn:
    match said:
        case str():
            return Turn(said)
        case Turn():
            return said
        case _:
            return Turn(calls=tuple(said))
