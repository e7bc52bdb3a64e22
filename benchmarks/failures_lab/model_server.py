"""The model of every peer: a server that speaks OpenAI chat completions and Anthropic messages.

Rule 1: what it says depends on the last answer it was given and on nothing else that a peer does. It
    repeats the call until that answer holds the marker of success, and then it ends.
Rule 2: a peer that ends by calling a tool (`done`, `final_answer`) is ended by that tool, any other by text.
Rule 3: a prompt costs its characters / 4: the whole body of the request, the same for everybody. What
    Anthropic's SDK leaves in a thread at the provider is read again by the model, so it is counted again.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from standpipe.outcomes.outcome import Kind
from standpipe.testing.providers import CHAT, MESSAGES, TROUBLES

CHARACTERS_PER_TOKEN = 4
SUCCESS = "four open orders"
SORRY = "I am sorry, I could not get the orders."
ENDING = {
    "done": {"summary": "The orders are read.", "evidence": ["the answer of the tool"]},
    "final_answer": {"answer": "The orders are read."},
}
SORRY_ENDING = {"final_answer": {"answer": SORRY}}  # `done` would be a claim, text is the give-up
Wire = dict[str, Any]  # JSON as the two providers have it


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How the model acts, and how its provider does."""

    tool: str
    vary: bool = False  # new ids and arguments in every call
    sorry_after: int | None = None  # failures it sees before it gives up
    trouble: Kind | None = None
    retry_after_seconds: int | None = None  # the trouble is over after that; without it it never is
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came in."""

    at: float  # time.monotonic()
    tokens: int
    answered: bool  # not with trouble or silence


@dataclass(frozen=True, slots=True)
class Held:
    """What a thread at the provider holds: how much was said, and the tools of its first request."""

    characters: int = 0
    tools: Sequence[Wire] = ()


@dataclass(frozen=True, slots=True)
class Said:
    text: str = ""
    tool: str = ""
    arguments: Mapping[str, object] = field(default_factory=dict[str, object])


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing about a peer that was ended in the middle of a request."""


class ModelServer:
    """Act as `behaviour` says on a free port of loopback for as long as the `with` block lasts."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.asked: list[Asked] = []
        self.window_ends: float | None = None
        self.succeeded = False  # the tool's success has reached the model
        self._behaviour = behaviour
        self._held: dict[str, Held] = {}  # by the last message of a thread
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Quiet(("127.0.0.1", 0), _door(self.answer))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, door: BaseHTTPRequestHandler, content: bytes) -> None:
        """Record a request and answer it."""
        path = MESSAGES if door.path.partition("?")[0].endswith("/messages") else CHAT
        body, troubled = json.loads(content), self._troubled()
        held = self._held.get(_thread(body), Held())
        characters = len(content.decode()) + held.characters
        with self._lock:
            number = len(self.asked) + 1
            answered = not (troubled or self._behaviour.silent)
            tokens = characters // CHARACTERS_PER_TOKEN
            self.asked.append(Asked(time.monotonic(), tokens, answered))
        if self._behaviour.silent:
            self._closing.wait()
        elif troubled:
            self._refuse(door, path)
        else:
            tools = body.get("tools") or held.tools
            heard = json.dumps(_since_it_spoke(body["messages"]))
            self.succeeded = self.succeeded or SUCCESS in heard
            said = _decide(self._behaviour, tools, heard, number)
            media, text = _spoken(path, said, number, stream=body.get("stream") is True)
            self._held[f"msg_{number}"] = Held(characters + len(text), tools)
            _send(door, 200, media, text)

    def _troubled(self) -> bool:
        """Return whether the provider refuses now; the first request opens the window."""
        if self._behaviour.trouble is None:
            return False
        if (wait := self._behaviour.retry_after_seconds) is None:
            return True
        with self._lock:
            self.window_ends = self.window_ends or time.monotonic() + wait
            return time.monotonic() < self.window_ends

    def _refuse(self, door: BaseHTTPRequestHandler, path: str) -> None:
        assert self._behaviour.trouble
        said = TROUBLES[path][self._behaviour.trouble]
        error: Wire = {"message": said.message, "type": said.type}
        body: Wire = {"error": {**error, "code": said.code}}
        if path == MESSAGES:
            body = {"type": "error", "error": error}
        wait = self._behaviour.retry_after_seconds
        headers = {} if wait is None else {"retry-after": str(wait)}
        _send(door, said.status, "application/json", json.dumps(body), headers)


def _decide(behaviour: Behaviour, tools: Sequence[Wire], heard: str, number: int) -> Said:
    """Repeat the call, end, or give up."""
    offered = {_name(tool): _properties(tool) for tool in tools}
    if SUCCESS in heard:
        return _ending(offered, ENDING, "The orders are read.")
    if behaviour.sorry_after is not None and number > behaviour.sorry_after:
        return _ending(offered, SORRY_ENDING, SORRY)
    suffix = f"{number}-{time.monotonic_ns():x}" if behaviour.vary else "1"
    given = {"customer": f"c-{suffix}", "request": f"q-{suffix}", "why": "the task asks for it"}
    asked = offered.get(behaviour.tool, ())
    return Said(
        tool=behaviour.tool, arguments={name: given[name] for name in given if name in asked}
    )


def _ending(
    offered: Mapping[str, object], endings: Mapping[str, Mapping[str, object]], text: str
) -> Said:
    tool = next((name for name in endings if name in offered), "")
    return Said(tool=tool, arguments=endings[tool]) if tool else Said(text=text)


def _since_it_spoke(messages: Sequence[Wire]) -> Sequence[Wire]:
    spoke = [place for place, said in enumerate(messages) if said["role"] == "assistant"]
    return messages[spoke[-1] + 1 :] if spoke else messages  # in a thread only the new ones come


def _thread(body: Wire) -> str:
    return body.get("thread", {}).get("previous_message_id", "")


def _name(tool: Wire) -> str:
    return tool.get("function", tool).get("name", "")


def _properties(tool: Wire) -> Mapping[str, object]:
    schema = tool.get("input_schema") or tool.get("function", {}).get("parameters", {})
    return schema.get("properties", {})


def _spoken(path: str, said: Said, number: int, *, stream: bool) -> tuple[str, str]:
    """Return media type and body of an answer, in the dialect of `path`."""
    if path == CHAT:
        whole = _completion(said, number)
        events = _chunks(whole)
    else:
        whole = _message(said, number)
        events = _events(whole)
    return (
        ("text/event-stream", "".join(events))
        if stream
        else ("application/json", json.dumps(whole))
    )


def _completion(said: Said, number: int) -> Wire:
    message: Wire = {"role": "assistant", "content": said.text or None}
    if said.tool:
        function = {"name": said.tool, "arguments": json.dumps(said.arguments)}
        message["tool_calls"] = [{"id": f"call_{number}", "type": "function", "function": function}]
    finish = "tool_calls" if said.tool else "stop"
    return {
        "id": f"chatcmpl-{number}", "object": "chat.completion", "created": 1_790_000_000,
        "model": "gpt-test", "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }  # fmt: skip


def _chunks(whole: Wire) -> Iterator[str]:
    choice = whole["choices"][0]
    calls = [{"index": 0, **call} for call in choice["message"].get("tool_calls", ())]
    delta = {**choice["message"], **({"tool_calls": calls} if calls else {})}
    head = {**whole, "object": "chat.completion.chunk", "usage": None}
    for said, finish in ((delta, None), ({}, choice["finish_reason"])):
        chunk = {**head, "choices": [{"index": 0, "delta": said, "finish_reason": finish}]}
        yield f"data: {json.dumps(chunk)}\n\n"
    yield f"data: {json.dumps({**head, 'choices': [], 'usage': whole['usage']})}\n\n"
    yield "data: [DONE]\n\n"


def _message(said: Said, number: int) -> Wire:
    text = [{"type": "text", "text": said.text}] if said.text else []
    called = {
        "type": "tool_use",
        "id": f"toolu_{number}",
        "name": said.tool,
        "input": said.arguments,
    }
    return {
        "id": f"msg_{number}", "type": "message", "role": "assistant", "model": "claude-test",
        "content": [*text, *([called] if said.tool else [])],
        "stop_reason": "tool_use" if said.tool else "end_turn", "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 20},
    }  # fmt: skip


def _events(whole: Wire) -> Iterator[str]:
    yield _event("message_start", message={**whole, "content": [], "stop_reason": None})
    for index, block in enumerate(whole["content"]):
        if block["type"] == "text":
            empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            spelled = json.dumps(block["input"])
            empty = {**block, "input": dict[str, object]()}
            delta = {"type": "input_json_delta", "partial_json": spelled}
        yield _event("content_block_start", index=index, content_block=empty)
        yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield _event("message_delta", delta=end, usage=whole["usage"])
    yield _event("message_stop")


def _event(kind: str, **fields: object) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"


def _door(answer: Any) -> type[BaseHTTPRequestHandler]:
    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            answer(self, self.rfile.read(int(self.headers.get("content-length", "0"))))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it
            """Stay silent: the table tells."""

    return Door


def _send(
    door: BaseHTTPRequestHandler, status: int, media: str, body: str,
    headers: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    content = body.encode()
    try:
        door.send_response(status)
        for name, value in {"content-type": media, **(headers or {})}.items():
            door.send_header(name, value)
        door.send_header("content-length", str(len(content)))
        door.end_headers()
        door.wfile.write(content)
    except ConnectionError:
        door.close_connection = True  # the peer was ended while it was being answered
