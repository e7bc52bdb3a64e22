"""A model provider on loopback that answers as told: OpenAI chat completions and Anthropic messages.

Anthropic's also as a stream, which Pydantic AI asks for by itself where answers may be long; OpenAI's
only whole.

Rule 1: the path decides the dialect, a step decides the answer; after the last step it repeats, so a
    client that asks again is seen asking again.
Rule 2: errors look as the real ones do: status, body and headers.
Rule 3: every request is recorded before it is answered, without its keys.
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self, assert_never, cast

from standpipe.clock import Clock, SystemClock
from standpipe.outcomes.outcome import Kind

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
SECRET_HEADERS = frozenset({"authorization", "cookie", "x-api-key"})
PAGE = "<!DOCTYPE html><html><head><title>Bad gateway</title></head><body>nginx</body></html>"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call in an answer. Text as arguments is sent as it is, broken or not; so is an id, if given."""

    name: str
    arguments: Mapping[str, object] | str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The model speaks: text, tool calls, or both."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Trouble:
    """The provider refuses, in its own words. `kind` is one that stands in `TROUBLES`."""

    kind: Kind
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Something between us and the provider answers with HTML."""

    html: str = PAGE
    status: int = 200


@dataclass(frozen=True, slots=True)
class Hang:
    """The request is taken and never answered, until the server closes."""


Step = Answer | Trouble | Page | Hang


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came in."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, object]
    at_seconds: float  # of the clock's monotonic time


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: str
    media: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Refusal:
    """How one provider says no: its status, its words for the machine and its words for people."""

    status: int
    type: str
    message: str
    code: str | None = None


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


class ProviderServer:
    """Serve `steps` on a free port of loopback for as long as the `with` block lasts."""

    def __init__(self, steps: Sequence[Step], *, clock: Clock | None = None) -> None:
        self.requests: list[Received] = []
        self._steps = tuple(steps)
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._doorman())
        self._server.daemon_threads = False  # closing waits for the last answer
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def credentials(self) -> Mapping[str, str]:
        """Keys and addresses that lead every provider here, as `build_model` takes them."""
        return {
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "ANTHROPIC_API_KEY": "sk-ant-test",
            "ANTHROPIC_BASE_URL": self.url,
            "OLLAMA_BASE_URL": f"{self.url}/v1",
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _doorman(self) -> type[BaseHTTPRequestHandler]:
        answer = self._answer

        class Doorman(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                reply = answer(self.path, dict(self.headers), body)
                if reply:
                    _send(self, reply)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it
                """Stay silent: a test reads `requests`."""

        return Doorman

    def _answer(self, path: str, headers: Mapping[str, str], content: bytes) -> Reply | None:
        path = path.partition("?")[0]
        body = _object(content)
        with self._lock:
            step = self._steps[min(len(self.requests), len(self._steps) - 1)]
            self.requests.append(Received(path, _shown(headers), body, self._clock.monotonic()))
        if path not in TROUBLES:
            return Reply(404, json.dumps({"error": {"message": f"no such path: {path}"}}))
        if isinstance(step, Hang):
            self._closing.wait()
            return None
        return _reply(path, step, body, len(self.requests))


def _reply(
    path: str, step: Answer | Trouble | Page, asked: Mapping[str, object], number: int
) -> Reply:
    """Return what goes over the wire for a step, in the dialect of `path`."""
    model, stream = str(asked.get("model", "")), asked.get("stream") is True
    match step:
        case Page():
            return Reply(step.status, step.html, media="text/html")
        case Trouble():
            return _refusal(path, step, number)
        case Answer() if path == CHAT and stream:
            return Reply(
                400, json.dumps({"error": {"message": "chat completions are not streamed"}})
            )
        case Answer() if path == CHAT:
            return Reply(200, json.dumps(_completion(step, model, number)))
        case Answer() if stream:
            events = "".join(_events(_message(step, model, number)))
            return Reply(200, events, media="text/event-stream")
        case Answer():
            return Reply(200, json.dumps(_message(step, model, number)))
        case _:
            assert_never(step)


def _refusal(path: str, step: Trouble, number: int) -> Reply:
    said = TROUBLES[path][step.kind]
    if path == CHAT:
        error = {"message": said.message, "type": said.type, "param": None, "code": said.code}
        body: Mapping[str, object] = {"error": error}
    else:
        error = {"type": said.type, "message": said.message}
        body = {"type": "error", "error": error, "request_id": f"req_{number}"}
    wait = step.retry_after_seconds
    headers = {} if wait is None else {"retry-after": str(wait)}
    return Reply(said.status, json.dumps(body), headers=headers)


def _completion(answer: Answer, model: str, number: int) -> Mapping[str, object]:
    calls = [
        {
            "id": _id(call, number, place),
            "type": "function",
            "function": {"name": call.name, "arguments": _json(call.arguments)},
        }
        for place, call in enumerate(answer.calls, 1)
    ]
    said: Mapping[str, object] = {"role": "assistant", "content": answer.text or None}
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {**said, "tool_calls": calls} if calls else said,
                "finish_reason": "tool_calls" if calls else "stop",
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
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [*said, *calls],
        "stop_reason": "tool_use" if calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 20},
    }


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


def _object(content: bytes) -> Mapping[str, object]:
    try:
        body = json.loads(content)
    except ValueError:
        return {}
    return cast("Mapping[str, object]", body) if isinstance(body, dict) else {}


def _shown(headers: Mapping[str, str]) -> Mapping[str, str]:
    lowered = {name.lower(): value for name, value in headers.items()}
    return {name: value for name, value in lowered.items() if name not in SECRET_HEADERS}


def _send(door: BaseHTTPRequestHandler, reply: Reply) -> None:
    content = reply.body.encode()
    try:
        door.send_response(reply.status)
        for name, value in {"content-type": reply.media, **reply.headers}.items():
            door.send_header(name, value)
        door.send_header("content-length", str(len(content)))
        door.end_headers()
        door.wfile.write(content)
    except ConnectionError:
        door.close_connection = True  # the client gave up first, which some tests are about
