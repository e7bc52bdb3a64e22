"""The agent loop on Pydantic AI (2.68): one capability at the model, one toolset at the tools.

Rule 1: the capability stands outermost, at the model: the only place where nothing is in flight.
Rule 2: the toolset is innermost and is itself the executor of every call: no other capability can change
arguments after the decision, or repeat what was done.
Rule 3: a tool never raises anything but ToolFailed and CallDeferred: all else cancels its siblings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic_ai import Agent, DeferredToolRequests, ModelRequestContext, RunContext
from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering, WrapModelRequestHandler
from pydantic_ai.exceptions import CallDeferred, ModelRetry, RetryModelRequest, ToolFailed
from pydantic_ai.messages import ModelResponse, ToolCallPart
from pydantic_ai.models import Model
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool
from pydantic_ai.usage import UsageLimits
from pydantic_core import SchemaValidator, ValidationError, core_schema

from standpipe.actions import Tool
from standpipe.adapters.history import calls, last_response, rebuild
from standpipe.adapters.model_requests import AskedOnce
from standpipe.adapters.plan import TooLongError
from standpipe.adapters.session import Session, said_of
from standpipe.governor.recovery import Escalate
from standpipe.journal.ending import End
from standpipe.journal.views import created
from standpipe.outcomes.outcome import Outcome, Refused, Succeeded, Unknown
from standpipe.outcomes.reading import host_of

WHY = {"type": "string", "description": "why this is done, in one sentence; people read it"}
NUDGE = (
    "You wrote text, and text does not end the task. If it is complete call `done(summary, evidence)`; "
    "if only a person can help call `blocked(on, needs)`; otherwise go on with the tools."
)
NOBODY: Mapping[str, Model[Any]] = MappingProxyType({})
_AN_OBJECT = SchemaValidator(core_schema.dict_schema())  # the rest the gate judges, for every door


class SegmentEnd(BaseException):
    """Leave the loop between two requests. Not an Exception: no capability may recover from it."""

    def __init__(self, end: End) -> None:
        super().__init__(end.why)
        self.end = end


@dataclass
class AtTheModel(AbstractCapability[None]):
    """End, write down, mend: around every request to the model."""

    session: Session
    models: Mapping[str, Model[Any]]

    def get_ordering(self) -> CapabilityOrdering:
        return CapabilityOrdering(position="outermost")

    async def wrap_model_request(
        self, ctx: RunContext[None], *, request_context: ModelRequestContext,
        handler: WrapModelRequestHandler,
    ) -> ModelResponse:  # fmt: skip
        del ctx
        if end := await self.session.end():
            raise SegmentEnd(end)
        await self.session.requested(request_context.messages)
        return await self.session.responded(await handler(request_context))

    async def prepare_model_request(
        self, ctx: RunContext[None], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        del ctx
        if not await self.session.asking.may_ask():
            end = await self.session.end()
            raise SegmentEnd(end or End("blocked", "the model is known to fail for now"))
        plan = self.session.asking.plan()
        request_context.model = self.models[plan.model]
        if plan.repeats:
            error = TooLongError(f"`{plan.model}` has called exactly this request too long")
            await self._failed(error, request_context.model)
        request_context.messages = plan.applied(
            request_context.messages, run=self.session.gate.record.journal.run
        )
        return request_context

    def get_wrapper_model(self, model: Model[Any]) -> Model[Any]:
        return AskedOnce(
            model,
            model_seconds=self.session.model_seconds,
            silent_seconds=self.session.silent_seconds,
        )

    async def on_model_request_error(
        self, ctx: RunContext[None], *, request_context: ModelRequestContext, error: Exception
    ) -> ModelResponse:
        del ctx
        await self._failed(error, request_context.model)
        raise RetryModelRequest  # asks again without passing `wrap_model_request`

    async def on_tool_validate_error(
        self, ctx: RunContext[None], *, call: ToolCallPart, tool_def: ToolDefinition, args: Any,
        error: ValidationError | ModelRetry,
    ) -> dict[str, Any]:  # fmt: skip
        del ctx, tool_def, args, error
        raise ToolFailed(said_of(await self.session.perform(call)))

    async def _failed(self, error: Exception, model: Model[Any]) -> None:
        recovery = await self.session.asking.failed(error, url=model.base_url)
        if end := await self.session.end():
            raise SegmentEnd(end)
        if isinstance(recovery, Escalate):  # the question about it is another run's
            raise SegmentEnd(End("blocked", recovery.why))


@dataclass
class GovernedTools(AbstractToolset[None]):
    """Every tool of the home, each call of it through the gate."""

    session: Session

    @property
    def id(self) -> str | None:
        return "standpipe"

    async def get_tools(self, ctx: RunContext[None]) -> dict[str, ToolsetTool[None]]:
        del ctx
        return {
            tool.name: ToolsetTool(
                toolset=self, tool_def=_definition(tool), max_retries=0, args_validator=_AN_OBJECT
            )
            for tool in self.session.tools.values()
        }

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[None], tool: ToolsetTool[None]
    ) -> Any:
        del tool
        call = ToolCallPart(name, tool_args, tool_call_id=ctx.tool_call_id or "")
        return _answer(await self.session.perform(call))


def _answer(outcome: Outcome) -> object:
    match outcome:
        case Succeeded(value):
            return value
        case Refused(blocker=blocker) | Unknown(blocker=blocker) if blocker:
            raise CallDeferred({"blocker": blocker})
        case _:
            raise ToolFailed(said_of(outcome))


def _definition(tool: Tool) -> ToolDefinition:
    schema: dict[str, Any] = {"type": "object", "properties": {}, **tool.schema}
    if tool.asks_why:
        schema["properties"] = {**schema["properties"], "why": WHY}
        schema["required"] = [*schema.get("required", ()), "why"]
    return ToolDefinition(
        name=tool.name, description=tool.description, parameters_json_schema=schema
    )


async def run_segment(
    session: Session, model: Model, *, instructions: str,
    capabilities: Sequence[AbstractCapability[None]] = (),
    fallbacks: Mapping[str, Model[Any]] = NOBODY,
) -> End:  # fmt: skip
    """Take a run from where its journal is to an end; `fallbacks` are the models of `session.fallbacks`.

    Raises:
        StandpipeError: the runtime itself failed; the run can be resumed.
    """
    models = {**fallbacks, session.model: model}
    session.asking.hosts = {name: host_of(each.base_url or "") for name, each in models.items()}
    agent = Agent(
        model,
        deps_type=type(None),
        output_type=[str, DeferredToolRequests],
        instructions=instructions,
        toolsets=[GovernedTools(session)],
        capabilities=[*capabilities, AtTheModel(session, models)],
        retries={
            "tools": 1000,
            "output": 1000,
        },  # ours end a run, with a reason; these would abort it
    )
    try:
        while True:
            await session.spoke()
            await _until_text(agent, session)
            if end := await session.end():
                return end
    except SegmentEnd as ended:
        return ended.end


async def _until_text(agent: Agent[None, str | DeferredToolRequests], session: Session) -> None:
    entries = session.gate.record.journal.entries
    history = rebuild(entries)
    last = last_response(history)
    await session.take_up(last)
    prompt = created(entries).task
    if last:
        prompt = None if calls(last) else NUDGE
    await agent.run(prompt, message_history=history, usage_limits=UsageLimits(request_limit=None))
