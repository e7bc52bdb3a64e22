"""One segment of a run, as the agent loop sees it: what to send, what to do with what comes back.

Rule 1: whatever is journaled is told from the journal; a recorded answer is never asked for again.
Rule 2: nothing raised here reaches a tool's siblings: our own failure is kept, and ends the segment
before the next request to the model.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
)

from standpipe.actions import Action, Tool
from standpipe.adapters.asking import Asking
from standpipe.adapters.history import arguments_of, calls, mend, request_entry, response_entry
from standpipe.adapters.model_requests import SILENT_SECONDS
from standpipe.errors import StateError
from standpipe.gate import Gate
from standpipe.governor.recovery import Stop
from standpipe.journal.ending import End, must_end
from standpipe.journal.entries import BlockedRaised, Draft, Entry, ModelResponded
from standpipe.journal.views import answers, session_label
from standpipe.outcomes.outcome import Failed, Kind, Outcome, Refused, Succeeded, Unknown


@dataclass(slots=True, kw_only=True)
class Session:
    """What one segment knows besides its gate.

    fallbacks: the models that stand in for `model`, in order.
    """

    gate: Gate
    tools: Mapping[str, Tool]
    model: str
    fallbacks: Sequence[str] = ()
    mask: Callable[[object], object]
    price: Callable[[ModelResponse], float | None]
    over_budget: Callable[[], str | None]
    model_seconds: float = 120.0
    silent_seconds: float = SILENT_SECONDS
    fatal: Exception | None = None
    asking: Asking = field(init=False)
    _calls: Sequence[ToolCallPart] = field(default=())
    _unknown: dict[str, str] = field(default_factory=dict[str, str])
    _turns: dict[str, asyncio.Lock] = field(default_factory=dict[str, asyncio.Lock])

    def __post_init__(self) -> None:
        self.asking = Asking(
            record=self.gate.record,
            models=tuple(dict.fromkeys((self.model, *self.fallbacks))),
            mask=self.mask,
            model_seconds=self.model_seconds,
        )

    @property
    def number(self) -> int:
        """The number of the last response, from the journal, never from counting messages."""
        return self.asking.number - 1

    async def take_up(self, response: ModelResponse | None) -> None:
        """Begin, or go on, with the calls of the last response."""
        self._calls = calls(response) if response else ()
        for call in self._calls:
            if call.tool_name not in self.tools:  # such a call fires no hook of a tool
                self._unknown[call.tool_call_id] = said_of(await self.perform(call))

    async def end(self) -> End | None:
        """Return why nothing more may be asked of the model.

        Raises:
            StandpipeError: the runtime itself failed since the last request.
        """
        if self.fatal:
            raise self.fatal
        await self.gate.record.journal.refresh()
        return must_end(self._entries, over_budget=self.over_budget())

    async def requested(self, messages: Sequence[ModelMessage]) -> None:
        """Write down what the model is about to be asked."""
        number = self.number + 1
        for part in messages[-1].parts:
            if type(part) is ToolReturnPart and part.tool_call_id in self._unknown:
                part.content = self._unknown.pop(part.tool_call_id)  # with the nearest name
        self.asking.messages = messages
        entry = request_entry(messages, number=number, model=self.asking.plan().model)
        await self.gate.record.journal.append(Draft(str(number), entry))

    async def responded(self, response: ModelResponse) -> ModelResponse:
        """Mend, mask and write down what the model said, before any of its calls starts."""
        number = self.number + 1
        mended = self._masked(mend(response, run=self._run, number=number))
        entry = response_entry(
            mended, number=number, model=self.asking.plan().model, cost_usd=self.price(response)
        )
        await self.gate.record.journal.append(Draft(str(number), entry))
        await self.take_up(mended)
        return mended

    async def spoke(self) -> None:
        """Text ends nothing: it is answered with a nudge once, and the second time the run has failed."""
        said = [entry.body for entry in self._entries if isinstance(entry.body, ModelResponded)]
        if len(said) > 1 and said[-1].calls == said[-2].calls == 0:
            message = "the model answered in text twice and called neither `done` nor `blocked`"
            failed = Failed(Kind.GAVE_UP, message)
            await self.asking.write_down(failed, Stop(f"gave_up: {message}"))

    async def perform(self, call: ToolCallPart) -> Outcome:
        """Pass one call through the gate; made twice, it waits for itself and is told the outcome."""
        try:
            action = self.action(call)
            async with self._turns.setdefault(action.id, asyncio.Lock()):
                return self._with_answer(action, await self.gate.perform(action))
        except Exception as error:  # noqa: BLE001 -- siblings are in the middle of their effects; `end` raises it
            self.fatal = error
            return Refused(f"the runtime has stopped: {error}")

    def action(self, call: ToolCallPart) -> Action:
        """Return the action a call proposes; its id is its place, not the provider's id.

        Raises:
            StateError: the model made no such call.
        """
        places = [known.tool_call_id for known in self._calls]
        if call.tool_call_id not in places:
            raise StateError(f"`{call.tool_name}` was called, but not by the model")
        tool = self.tools.get(call.tool_name) or Tool(name=call.tool_name, origin="unknown")
        arguments = arguments_of(call)
        why = arguments.pop("why", "") if tool.asks_why else ""
        return Action(
            id=f"{self._run}.{self.number}.{places.index(call.tool_call_id) + 1}",
            tool=tool,
            arguments=arguments,
            why=why if isinstance(why, str) else "",
            label=session_label(self._entries),
            call_id=call.tool_call_id,
            siblings=len(places) - 1,
        )

    @property
    def _run(self) -> str:
        return self.gate.record.journal.run

    @property
    def _entries(self) -> Sequence[Entry]:
        return self.gate.record.journal.entries

    def _with_answer(self, action: Action, outcome: Outcome) -> Outcome:
        """Add what a person said about this failure: the agent goes on with it."""
        if not isinstance(outcome, Failed):
            return outcome
        given = answers(self._entries)
        for entry in self._entries:
            match entry.body:
                case BlockedRaised(action=action.id, kind="failure") if said := given.get(
                    entry.key
                ):
                    return replace(
                        outcome, message=f"{outcome.message}; {said.by} says: {said.answer}"
                    )
                case _:
                    pass
        return outcome

    def _masked(self, response: ModelResponse) -> ModelResponse:
        as_json = ModelMessagesTypeAdapter.dump_python([response], mode="json")
        masked = self.mask(as_json)
        if masked is as_json:
            return response
        return ModelMessagesTypeAdapter.validate_python(masked)[0]  # pyright: ignore[reportReturnType]


def said_of(outcome: Outcome) -> str:
    """Write an outcome as the model reads it."""
    match outcome:
        case Succeeded():
            return "done"
        case Failed(kind, message):
            return f"{kind}: {message}"
        case Unknown(message):
            return f"it may have happened, nobody knows: {message}. Do not repeat it"
        case Refused(reason):
            return f"refused: {reason}"
