"""A small world for the agent loop: real Pydantic AI agent, gate and journal; model and tools play a script."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from standpipe.actions import Action, Done, Effect, Tool
from standpipe.adapters.pydantic_ai import run_segment
from standpipe.adapters.script import Call, Script, ScriptModel, Turn
from standpipe.adapters.session import Session
from standpipe.desk.answers import give
from standpipe.errors import StateError
from standpipe.journal.ending import End
from standpipe.journal.entries import Entry
from standpipe.journal.store import Store
from standpipe.journal.views import open_blockers
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import FakeClock
from standpipe.testing.gates import Line, ScriptedExecutor, open_gate
from standpipe.tools.agent import TOOLS

if TYPE_CHECKING:
    from pydantic_ai.capabilities import AbstractCapability
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import Model, ModelRequestParameters
    from pydantic_ai.settings import ModelSettings

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
        messages: "list[ModelMessage]",
        model_settings: "ModelSettings | None",
        model_request_parameters: "ModelRequestParameters",
    ) -> "ModelResponse":
        self.requests.append(messages)
        self.offered = model_request_parameters
        return await super().request(messages, model_settings, model_request_parameters)

    def told(self) -> str:
        """Return all the model was shown with its last request, as text."""
        return "\n".join(str(part) for message in self.requests[-1] for part in message.parts)


def loop(*turns: str | Sequence[Call] | Turn, **more: Sequence[Line]) -> "Loop":
    """Make a run of these turns, each a text or its calls; `more` are the lines of tools."""
    return Loop(turns=tuple(map(turn_of, turns)), lines=more)


@dataclass
class World(ScriptedExecutor):
    """Tools that play their lines, and remember with which arguments."""

    acted: list[tuple[str, Mapping[str, object]]] = field(
        default_factory=list[tuple[str, Mapping[str, object]]]
    )
    broken: tuple[str, ...] = ()

    async def attempt(
        self, action: Action, *, key: str, paused: Mapping[str, float] | None = None
    ) -> Done:
        if action.tool.name in self.broken:
            raise StateError(f"the runtime fails at `{action.tool.name}`")
        self.acted.append((action.tool.name, action.arguments))
        return await super().attempt(action, key=key, paused=paused)


@dataclass(kw_only=True)
class Loop:
    """A run, segment by segment, over one store."""

    turns: Sequence[Turn] = ()
    lines: Mapping[str, Sequence[Line]] = field(default_factory=dict[str, Sequence[Line]])
    tools: Mapping[str, Tool] = field(default_factory=lambda: OWN)
    clock: FakeClock = field(default_factory=FakeClock)
    model_seconds: float = 5.0
    mask: Callable[[object], object] = lambda value: value
    during: Callable[[], Awaitable[None]] | None = None
    broken: tuple[str, ...] = ()  # tools at which the runtime itself fails
    run: str | None = None
    requests: int = 0
    calls: list[str] = field(default_factory=list[str])
    acted: list[tuple[str, Mapping[str, object]]] = field(
        default_factory=list[tuple[str, Mapping[str, object]]]
    )
    store: Store = field(init=False)
    model: Asked = field(init=False)
    session: Session = field(init=False)
    _left: dict[str, list[Line]] = field(init=False)

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)
        self._left = {name: list(played) for name, played in {**LINES, **self.lines}.items()}

    async def segment(
        self,
        *capabilities: "AbstractCapability[None]",
        model: "Model | None" = None,
        store: Store | None = None,
    ) -> End:
        """Take the run from where its journal is to an end."""
        gate, _ = await open_gate(
            self.tools, {}, store=store or self.store, clock=self.clock, run=self.run
        )  # fmt: skip
        self.run = gate.record.journal.run
        world = self.world()
        self.session = Session(
            gate=replace(gate, executor=world), tools=self.tools, model="script:story",
            mask=self.mask, price=lambda _: None, over_budget=lambda: None,
            model_seconds=self.model_seconds,
        )  # fmt: skip
        self.model = Asked(self.turns, lambda: self.session.number)
        try:
            return await run_segment(
                self.session, model or self.model, instructions="", capabilities=capabilities
            )
        finally:
            self.requests += len(self.model.requests)

    def world(self) -> ScriptedExecutor:
        """Return what acts; a story with a world of its own replaces it."""
        return World(
            self._left, calls=self.calls, during=self.during, acted=self.acted, broken=self.broken
        )

    async def answer(self, blocker: str, answer: str = "yes") -> None:
        """Answer a question of the run."""
        await give(self.store, blocker, answer, "operator")

    async def entries(self) -> Sequence[Entry]:
        """Return the whole journal of the run."""
        return await self.store.read(self.run or "")

    async def kinds(self, action: str) -> list[str]:
        """Return what happened to one action."""
        return [entry.kind for entry in await self.entries() if entry.action == action]

    async def open(self) -> list[str]:
        """Return the questions nobody has answered."""
        return list(open_blockers(await self.entries()))


def turn_of(said: str | Sequence[Call] | Turn) -> Turn:
    """Return a turn as the script model plays it."""
    match said:
        case str():
            return Turn(said)
        case Turn():
            return said
        case _:
            return Turn(calls=tuple(said))
