"""One request to a model: streamed, so that its silence is heard, and no answer taken for more than it is.

Rule 1: silence is measured on the wire, where an SSE ping counts: a model that thinks is not silent.
Rule 2: the whole answer has a deadline too; a client's timeout only limits the time between two bytes.
Rule 3: an answer that ended early, for whatever reason, is a failure. Half a call is never made.
"""

import asyncio
import json
from typing import Any, cast

from pydantic_ai.exceptions import ContentFilterError, ModelTimeoutError
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from standpipe.adapters.history import said
from standpipe.adapters.http_client import STREAMED, NotStreamedError, found_in

SILENT_SECONDS = 20.0


class ModelSilentError(Exception):
    """Nothing came for too long, or no whole answer in all the time there was."""


class AnswerCutError(Exception):
    """The model reached its output limit inside a call, or before it had said anything."""


class StreamCutError(Exception):
    """The stream ended before the answer did."""


class AskedOnce(WrapperModel):
    """Ask the wrapped model for one answer, and leave it once it is silent."""

    def __init__(
        self, wrapped: Model[Any], *, model_seconds: float, silent_seconds: float = SILENT_SECONDS
    ) -> None:
        super().__init__(wrapped)
        self._model_seconds = model_seconds
        self._silent_seconds = min(silent_seconds, model_seconds)

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        asked = self._answer(messages, model_settings, model_request_parameters)
        deadline = asyncio.timeout(self._model_seconds)
        try:
            async with deadline:
                response = await asked
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise ModelSilentError(f"no whole answer within {self._model_seconds:g} s") from error
        except ModelTimeoutError as error:
            if error.phase != "read":  # it was never reached, which is no silence
                raise
            raise ModelSilentError(f"nothing came for {self._silent_seconds:g} s") from error
        _refuse_incomplete(response)
        return response

    async def _answer(
        self,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> ModelResponse:
        if self.wrapped.provider is None:  # it answers from this machine: a script
            return await self.wrapped.request(messages, settings, parameters)
        try:
            return await self._streamed(messages, settings, parameters)
        except Exception as error:
            # A server that cannot stream has answered as a whole; nobody read it, so it is asked for that.
            if not found_in(error, NotStreamedError):
                raise
        whole = cast("ModelSettings", {**(settings or {}), "timeout": self._model_seconds})
        return await self.wrapped.request(messages, whole, parameters)

    async def _streamed(
        self,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> ModelResponse:
        own = {"timeout": self._silent_seconds, "extra_headers": {"accept": STREAMED}}
        heard = cast("ModelSettings", {**(settings or {}), **own})
        async with self.wrapped.request_stream(messages, heard, parameters) as stream:
            async for _ in stream:
                pass
        response = stream.get()  # only now its state is known
        if response.state == "incomplete" or not _said_why(stream, response):
            raise StreamCutError("the stream ended before the answer did")
        return response


def _said_why(stream: StreamedResponse, response: ModelResponse) -> bool:
    """Whether the provider said why the answer ends; without that it was cut off.

    For OpenAI's chat stream Pydantic AI 2.68 says `stop` where nothing was said; the raw word is missing.
    """
    guesses = any(kind.__name__ == "OpenAIStreamedResponse" for kind in type(stream).__mro__)
    if guesses and response.finish_reason == "stop":
        return "finish_reason" in (response.provider_details or {})
    return response.finish_reason is not None


def _refuse_incomplete(response: ModelResponse) -> None:
    if response.finish_reason == "content_filter":
        raise ContentFilterError("the provider refused to answer")
    if response.finish_reason != "length":
        return
    last = response.parts[-1] if response.parts else None
    after = f"after {response.usage.output_tokens} tokens"
    if isinstance(last, ToolCallPart) and not _is_whole(last):
        raise AnswerCutError(f"the answer was cut {after}, inside a call of `{last.tool_name}`")
    if not said(response) and not response.tool_calls:
        raise AnswerCutError(f"the answer was cut {after}, before anything was said")


def _is_whole(call: ToolCallPart) -> bool:
    """Whether the arguments are complete; parsed ones may be the first half of something."""
    if not isinstance(call.args, str):
        return False
    try:
        return isinstance(json.loads(call.args), dict)
    except ValueError:
        return False
