"""How two providers speak: OpenAI's chat completions and Anthropic's messages, whole and as a stream.

Rule 1: the path decides the dialect, the request decides whether the answer is a stream.
Rule 2: errors look as the real ones do: status, body and headers, and as an event inside a stream.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from standpipe.outcomes.outcome import Kind

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
Ending = Literal["end", "length", "refusal"]
STREAM = "text/event-stream"
_CREATED = 1_790_000_000
_DONE = "data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call in an answer. Text as arguments is sent as it is, broken or not; so is an id, if given."""

    name: str
    arguments: Mapping[str, object] | str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The model speaks: text, tool calls, or both; `stop` says why it stops."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    stop: Ending = "end"


@dataclass(frozen=True, slots=True)
class Trouble:
    """The provider refuses, in its own words. `kind` is one that stands in `TROUBLES`."""

    kind: Kind
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """How one provider says no: its status, its words for the machine and its words for people."""

    status: int
    type: str
    message: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a provider answers: a status, its headers, and the events or the one text of the body."""

    status: int
    pieces: tuple[str, ...]
    media: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


TROUBLES: Mapping[str, Mapping[Kind, Refusal]] = {
    CHAT: {
        Kind.CREDENTIAL: Refusal(
            401,
            "invalid_request_error",
            "Incorrect API key provided: sk-test. You can find your API key at"
            " https://platform.openai.com/account/api-keys.",
            "invalid_api_key",
        ),
        Kind.CONTEXT_OVERFLOW: Refusal(
            400,
            "invalid_request_error",
            "This model's maximum context length is 8192 tokens. However, your messages resulted in"
            " 9317 tokens. Please reduce the length of the messages.",
            "context_length_exceeded",
        ),
        Kind.RATE_LIMITED: Refusal(
            429,
            "tokens",
            "Rate limit reached for gpt-test in organization org-test on tokens per min (TPM):"
            " Limit 30000, Used 29911, Requested 1200. Please try again in 2.2s.",
            "rate_limit_exceeded",
        ),
        Kind.QUOTA: Refusal(
            429,
            "insufficient_quota",
            "You exceeded your current quota, please check your plan and billing details.",
            "insufficient_quota",
        ),
        Kind.SERVER_ERROR: Refusal(
            500, "server_error", "The server had an error while processing your request. Sorry!"
        ),
        Kind.OVERLOADED: Refusal(
            529, "server_error", "The engine is currently overloaded, please try again later"
        ),
    },
    MESSAGES: {
        Kind.CREDENTIAL: Refusal(401, "authentication_error", "invalid x-api-key"),
        Kind.CONTEXT_OVERFLOW: Refusal(
            400, "invalid_request_error", "prompt is too long: 215000 tokens > 200000 maximum"
        ),
        Kind.RATE_LIMITED: Refusal(
            429,
            "rate_limit_error",
            "This request would exceed your organization's rate limit of 50,000 input tokens per"
            " minute.",
        ),
        Kind.QUOTA: Refusal(
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API. Please go to Plans &"
            " Billing to upgrade or purchase credits.",
        ),
        Kind.SERVER_ERROR: Refusal(500, "api_error", "Internal server error"),
        Kind.OVERLOADED: Refusal(529, "overloaded_error", "Overloaded"),
    },
}
_CHAT_STOPS: Mapping[Ending, str] = {"end": "stop", "length": "length", "refusal": "content_filter"}
_MESSAGE_STOPS: Mapping[Ending, str] = {
    "end": "end_turn",
    "length": "max_tokens",
    "refusal": "refusal",
}


def spoken(path: str, step: Answer | Trouble, asked: Mapping[str, object], number: int) -> Spoken:
    """Return what goes over the wire, in the dialect of `path`."""
    if isinstance(step, Trouble):
        return _refusal(path, step, number)
    model, stream = str(asked.get("model", "")), asked.get("stream") is True
    if stream:
        events = _chunks if path == CHAT else _events
        said = _completion if path == CHAT else _message
        pieces = tuple(events(said(step, model, number)))
        return Spoken(200, pieces, media=STREAM)
    whole = _completion(step, model, number) if path == CHAT else _message(step, model, number)
    return Spoken(200, (json.dumps(whole),))


def error_event(path: str, number: int) -> str:
    """Return how a provider says in the middle of a stream that it is overloaded."""
    error = _error(path, Trouble(Kind.OVERLOADED), number)
    said = f"data: {json.dumps(error)}\n\n"
    return said if path == CHAT else f"event: error\n{said}"


def _refusal(path: str, step: Trouble, number: int) -> Spoken:
    wait = step.retry_after_seconds
    headers = {} if wait is None else {"retry-after": str(wait)}
    body = json.dumps(_error(path, step, number))
    return Spoken(TROUBLES[path][step.kind].status, (body,), headers=headers)


def _error(path: str, step: Trouble, number: int) -> Mapping[str, object]:
    said = TROUBLES[path][step.kind]
    if path == CHAT:
        error = {"message": said.message, "type": said.type, "param": None, "code": said.code}
        return {"error": error}
    error = {"type": said.type, "message": said.message}
    return {"type": "error", "error": error, "request_id": f"req_{number}"}


def _completion(answer: Answer, model: str, number: int) -> dict[str, object]:
    calls = [
        {
            "id": _id(call, number, place),
            "type": "function",
            "function": {"name": call.name, "arguments": _json(call.arguments)},
        }
        for place, call in enumerate(answer.calls, 1)
    ]
    said: Mapping[str, object] = {"role": "assistant", "content": answer.text or None}
    stop = "tool_calls" if calls and answer.stop == "end" else _CHAT_STOPS[answer.stop]
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": _CREATED,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {**said, "tool_calls": calls} if calls else said,
                "finish_reason": stop,
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }


def _message(answer: Answer, model: str, number: int) -> dict[str, object]:
    said = [{"type": "text", "text": answer.text}] if answer.text else []
    calls: list[Mapping[str, object]] = [
        {
            "type": "tool_use",
            "id": _id(call, number, place),
            "name": call.name,
            "input": call.arguments,
        }
        for place, call in enumerate(answer.calls, 1)
    ]
    stop = "tool_use" if calls and answer.stop == "end" else _MESSAGE_STOPS[answer.stop]
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [*said, *calls],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 20},
    }


def _chunks(completion: dict[str, object]) -> Iterator[str]:
    """Cut a whole completion into the chunks of a stream."""
    ((choice),) = cast("list[dict[str, object]]", completion["choices"])
    message = cast("dict[str, object]", choice["message"])
    shell = {**completion, "object": "chat.completion.chunk", "usage": None}

    def chunk(delta: Mapping[str, object], finish: object = None) -> str:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        return f"data: {json.dumps({**shell, 'choices': choices})}\n\n"

    yield chunk({"role": "assistant", "content": ""})
    if message["content"]:
        yield chunk({"content": message["content"]})
    calls = cast("list[dict[str, object]]", message.get("tool_calls", []))
    for index, call in enumerate(calls):
        yield chunk({"tool_calls": [{"index": index, **call}]})
    yield chunk({}, choice["finish_reason"])
    last = {**shell, "choices": (), "usage": completion["usage"]}
    yield f"data: {json.dumps(last)}\n\n"
    yield _DONE


def _events(message: dict[str, object]) -> Iterator[str]:
    """Cut a whole message into the events of a stream, one delta for each block."""
    blocks = cast("list[dict[str, object]]", message["content"])
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    opening: dict[str, object] = {**message, "content": (), "stop_reason": None}
    yield _event("message_start", message=opening)
    for index, block in enumerate(blocks):
        if block["type"] == "text":
            empty: dict[str, object] = {**block, "text": ""}
            delta: object = {"type": "text_delta", "text": block["text"]}
        else:
            empty = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": _json(block["input"])}
        yield _event("content_block_start", index=index, content_block=empty)
        yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    yield _event("message_delta", delta=end, usage=message["usage"])
    yield _event("message_stop")


def _event(kind: str, **fields: object) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"


def _id(call: ToolCall, number: int, place: int) -> str:
    return f"call_{number}_{place}" if call.id is None else call.id


def _json(arguments: object) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)
