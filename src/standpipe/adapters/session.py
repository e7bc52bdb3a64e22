"""One segment of a run, as the agent loop sees it: what to send, what to do with what comes back.

Rule 1: whatever is journaled is told from the journal; a recorded answer is never asked for again.
Rule 2: nothing raised here reaches a tool's siblings: our own failure is kept, and ends the segment
before the next request to the model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from standpipe.actions import Action, Tool
from standpipe.adapters.history import arguments_of, calls, mend, request_entry, response_entry
from standpipe.errors import StandpipeError
from standpipe.gate import Gate
from standpipe.governor.recovery import Recovery
from standpipe.journal.ending import End, must_end
from standpipe.journal.entries import Draft, ModelFailed, ModelResponded
from standpipe.journal.views import session_label
from standpipe.outcomes.outcome import Failed, Outcome, Refused, Succeeded, Unknown

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart


@dataclass(slots=True, kw_only=True)
class Session:
    """What one segment knows besides its gate."""

    gate: Gate
    tools: Mapping[str, Tool]
    model: str
    mask: Callable[[object], object]
    price: "Callable[[ModelResponse], float | None]"
    over_budget: Callable[[], str | None]
    fatal: BaseException | None = None
    _calls: "Sequence[ToolCallPart]" = field(default=())

    @property
    def number(self) -> int:
        """The number of the last response, from the journal, never from counting messages."""
        entries = self.gate.record.journal.entries
        return sum(isinstance(entry.body, ModelResponded) for entry in entries)

    def take_up(self, response: "ModelResponse | None") -> None:
        """Go on with the calls of the last response of a resumed run."""
        self._calls = calls(response) if response else ()

    async def end(self) -> End | None:
        """Return why nothing more may be asked of the model.

        Raises:
            StandpipeError: the runtime itself failed since the last request.
        """
        if self.fatal:
            raise self.fatal
        await self.gate.record.journal.refresh()
        return must_end(self.gate.record.journal.entries, over_budget=self.over_budget())

    async def requested(self, messages: "Sequence[ModelMessage]") -> None:
        """Write down what the model is about to be asked."""
        number = self.number + 1
        entry = request_entry(messages, number=number, model=self.model)
        await self.gate.record.journal.append(Draft(str(number), entry))

    async def responded(self, response: "ModelResponse") -> "ModelResponse":
        """Mend, mask and write down what the model said, before any of its calls starts."""
        number = self.number + 1
        mended = self._masked(mend(response, run=self._run, number=number))
        entry = response_entry(mended, number=number, model=self.model, cost_usd=self.price(response))
        await self.gate.record.journal.append(Draft(str(number), entry))
        self._calls = calls(mended)
        for call in self._calls:
            if call.tool_name not in self.tools:  # such a call fires no hook of a tool
                await self.perform(call)
        return mended

    async def model_failed(self, failed: Failed, recovery: Recovery, *, site: str, template: str) -> None:
        """Write down a request the model did not answer, and the question it raises."""
        record, number = self.gate.record, self.number + 1
        before = [e for e in record.journal.entries if isinstance(e.body, ModelFailed)]
        attempt = 1 + sum(e.body.number == number for e in before if isinstance(e.body, ModelFailed))
        body = ModelFailed(number, attempt, failed, recovery, self.model, site, template)
        key = f"{number}#{attempt}"
        await record.model_failed(Draft(key, body), self.model, failed, recovery)

    async def perform(self, call: "ToolCallPart", arguments: Mapping[str, object] | None = None) -> Outcome:
        """Pass one call through the gate; our own failure is kept for `end`."""
        try:
            return await self.gate.perform(self.action(call, arguments))
        except StandpipeError as error:
            self.fatal = error
            return Refused(f"the runtime has stopped: {error.message}")

    def action(self, call: "ToolCallPart", arguments: Mapping[str, object] | None = None) -> Action:
        """Return the action a call proposes; its id is its place, not the provider's id."""
        position = [known.tool_call_id for known in self._calls].index(call.tool_call_id) + 1
        tool = self.tools.get(call.tool_name) or Tool(name=call.tool_name, origin="unknown")
        given = arguments if arguments is not None else arguments_of(call)
        broken = isinstance(given, str)
        named = {"": given} if broken else dict(given)
        why = named.pop("why", "") if tool.asks_why else ""
        return Action(
            id=f"{self._run}.{self.number}.{position}",
            tool=tool,
            arguments=named,
            why=str(why),
            label=session_label(self.gate.record.journal.entries),
            call_id=call.tool_call_id,
            siblings=len(self._calls) - 1,
        )

    @property
    def _run(self) -> str:
        return self.gate.record.journal.run

    def _masked(self, response: "ModelResponse") -> "ModelResponse":
        from pydantic_ai.messages import ModelMessagesTypeAdapter

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


