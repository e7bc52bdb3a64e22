"""One request to the model: its deadline, and what its failure means.

Rule 1: an SDK's timeout limits silence only, so a whole answer has a deadline of its own.
Rule 2: nobody in the run can find a way around the model: what the table would tell the agent is put
to a person. A script that is at its end is the exception, since no answer can make it longer.
"""

import asyncio
from typing import Any

from msgspec.structs import replace
from pydantic_ai.exceptions import ContentFilterError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from standpipe.actions import Effect, Tool
from standpipe.adapters.providers import fault_of
from standpipe.adapters.script import ScriptEnded
from standpipe.governor.recovery import Escalate, Recovery, Retry, Return, Stop, recover
from standpipe.outcomes.classify import classify
from standpipe.outcomes.outcome import Failed, Kind, Phase
from standpipe.outcomes.reading import host_of

UNREACHABLE_ATTEMPTS_MAX = 5  # over about 20 s; nothing is sent by any of them


class ModelSilentError(Exception):
    """No whole answer within the deadline."""


class UnderDeadline(WrapperModel):
    """Ask the wrapped model, and leave it once the deadline is over."""

    def __init__(self, wrapped: Model[Any], seconds: float) -> None:
        super().__init__(wrapped)
        self._seconds = seconds

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        asked = super().request(messages, model_settings, model_request_parameters)
        deadline = asyncio.timeout(self._seconds)
        try:
            async with deadline:
                response = await asked
        except TimeoutError as error:
            if not deadline.expired():  # the client's own timeout
                raise
            raise ModelSilentError(f"no whole answer within {self._seconds:g} s") from error
        if response.finish_reason == "content_filter" and not response.tool_calls:
            raise ContentFilterError("the provider refused to answer")
        return response


def judged(error: Exception, *, model: str, url: str | None) -> Failed:
    """Say what the failure of a request means, with the host and the key it is about."""
    if isinstance(error, ModelSilentError):
        failed = Failed(Kind.MODEL_SILENT, str(error), code="deadline", phase=Phase.SENT)
    else:
        failed = classify(Tool(name=model, effect=Effect.READ), fault_of(error))
    host = failed.host or host_of(url or "")
    return replace(failed, host=host, message=_placed(failed, host, model)) if host else failed


def chosen(
    error: Exception, failed: Failed, *, model: str, attempt: int, jitter: float, wait_seconds_max: float
) -> Recovery:  # fmt: skip
    """Choose what happens after the failure of a request."""
    tool = Tool(name=model, effect=Effect.READ)
    recovery = recover(
        failed,
        tool=tool,
        attempt=attempt,
        seen=1,
        refreshed=True,
        jitter=jitter,
        wait_seconds_max=wait_seconds_max,
    )
    if isinstance(error, ScriptEnded):
        return Stop(error.message)
    if failed.kind is Kind.NOT_SENT and attempt < UNREACHABLE_ATTEMPTS_MAX:
        # A model's server that restarts must not park a night's work; nothing was sent.
        why = f"{failed.message}; it may only be restarting"
        return Retry(why, delay_seconds=min(2.0**attempt, 8.0) * (0.5 + jitter / 2))
    if isinstance(recovery, Return):
        return Escalate(
            f"the same request would fail the same way; {failed.kind}: {failed.message}"
        )
    return recovery


def _placed(failed: Failed, host: str, model: str) -> str:
    key = f"{model.partition(':')[0].partition('-')[0].upper()}_API_KEY"
    match failed.kind:
        case Kind.CREDENTIAL | Kind.FORBIDDEN:
            return f"{host} does not accept the key in `{key}`: {failed.message}"
        case Kind.QUOTA:
            return f"the account of the key in `{key}` has nothing left at {host}: {failed.message}"
        case _ if host in failed.message:
            return failed.message
        case _:
            return f"{host}: {failed.message}"
