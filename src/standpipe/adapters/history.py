"""Pydantic AI's messages, as the journal keeps them.

Rule 1: each message is stored once: the new request with its number, the response with the same.
Rule 2: a history ends in the last response. Partial tool returns are left out: Pydantic AI 2.68 drops
the calls they do not answer, silently. The gate answers settled calls from the journal instead.
Rule 3: instructions (the boot pack) are recorded once per run, not once per message.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import cast

import msgspec
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
)

from standpipe.ids import digest
from standpipe.journal.entries import Entry, ModelRequested, ModelResponded
from standpipe.policy.arguments import TEXT

SILENCE = "(the model said nothing)"


def rebuild(entries: Sequence[Entry]) -> list[ModelMessage]:
    """Return the history of a run, up to and including its last response."""
    requests: dict[int, object] = {}
    messages: list[object] = []
    for entry in entries:
        match entry.body:
            case ModelRequested(number=number, message=message):
                requests[number] = message
            case ModelResponded(number=number, message=message):
                messages += cast("list[object]", requests[number])
                messages.append(message)
            case _:
                pass
    return ModelMessagesTypeAdapter.validate_python(messages)


def request_entry(messages: Sequence[ModelMessage], *, number: int, model: str) -> ModelRequested:
    """Write down what is new since the last response."""
    new: list[ModelMessage] = []
    for message in reversed(messages):
        if not isinstance(message, ModelRequest):
            break
        new.insert(0, replace(message, instructions=None))
    return ModelRequested(
        number=number,
        message=ModelMessagesTypeAdapter.dump_python(new, mode="json"),
        digest=digest(ModelMessagesTypeAdapter.dump_json(new)),
        model=model,
    )


def response_entry(
    response: ModelResponse, *, number: int, model: str, cost_usd: float | None
) -> ModelResponded:
    """Write down what the model said."""
    text = said(response)
    return ModelResponded(
        number=number,
        message=ModelMessagesTypeAdapter.dump_python([response], mode="json")[0],
        model=model,
        say="" if text == SILENCE else text,
        calls=len(calls(response)),
        input_tokens=response.usage.input_tokens,
        output_tokens=response.usage.output_tokens,
        cost_usd=cost_usd,
    )


def said(response: ModelResponse) -> str:
    """Return the words of a response."""
    return " ".join(part.content for part in response.parts if isinstance(part, TextPart))


def calls(response: ModelResponse) -> list[ToolCallPart]:
    """Return the tool calls of a response, in its order."""
    return [part for part in response.parts if isinstance(part, ToolCallPart)]


def mend(response: ModelResponse, *, run: str, number: int) -> ModelResponse:
    """Give every call an id of its own, and an empty response a word.

    Models send empty and repeated call ids, and responses without a word or a call; Pydantic AI 2.68
    aborts a run on the first and asks again for the second, without an end.
    """
    seen: set[str] = set()
    parts: list[object] = []
    for part in response.parts:
        if isinstance(part, ToolCallPart):
            free = (
                name for place in count(1) if (name := f"call_{run}_{number}_{place}") not in seen
            )
            known = part.tool_call_id in seen or not part.tool_call_id
            own = next(free) if known else part.tool_call_id
            seen.add(own)
            parts.append(replace(part, tool_call_id=own))
        else:
            parts.append(part)
    spoke = any(isinstance(part, TextPart) and part.content.strip() for part in parts)
    if not seen and not spoke:
        parts = [*(part for part in parts if not isinstance(part, TextPart)), TextPart(SILENCE)]
    return replace(response, parts=parts)


def arguments_of(call: ToolCallPart) -> dict[str, object]:
    """Return the arguments of a call; what is no JSON object stands as text under the empty name."""
    given = call.args or "{}"
    try:
        text = given.encode() if isinstance(given, str) else msgspec.json.encode(given)
        found = msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return {TEXT: str(given).encode("utf-8", "replace").decode()}
    if isinstance(found, dict):
        return cast("dict[str, object]", found)
    return {TEXT: text.decode()}


def last_response(messages: Sequence[ModelMessage]) -> ModelResponse | None:
    """Return the last response of a history."""
    found = [message for message in messages if isinstance(message, ModelResponse)]
    return found[-1] if found else None
