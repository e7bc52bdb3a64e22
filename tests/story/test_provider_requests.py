"""Real SDK clients against a loopback provider: one request of ours is one request on the wire."""

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.exceptions import AgentRunError
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters

from standpipe.actions import Fault
from standpipe.adapters.http_client import PageError, found_in
from standpipe.adapters.model_requests import (
    AnswerCutError,
    AskedOnce,
    ModelSilentError,
    StreamCutError,
)
from standpipe.adapters.providers import build_model, close, fault_of
from standpipe.outcomes.outcome import Kind
from standpipe.testing import Fault as Answered, FaultServer
from standpipe.testing.faults.fault import Reply
from standpipe.testing.providers import (
    CHAT,
    MESSAGES,
    Answer,
    Broken,
    Hang,
    Page,
    ProviderServer,
    Step,
    ToolCall,
    Trouble,
)

PATHS = {
    "openai:gpt-test": CHAT,
    "ollama:qwen3": CHAT,
    "anthropic:claude-test": MESSAGES,
    "anthropic:claude-sonnet-4-6": MESSAGES,  # large answers: Pydantic AI asks for a stream
}
NAMES = tuple(PATHS)
Way = Callable[[str, ProviderServer], Awaitable[ModelResponse]]

KEYS = {"OPENAI_API_KEY": "sk-o", "ANTHROPIC_API_KEY": "sk-a"}


def build(name: str, credentials: Mapping[str, str], timeout_seconds: float = 7.5) -> Model[Any]:
    return build_model(
        name,
        home=Path(),
        credentials=credentials,
        timeout_seconds=timeout_seconds,
        next_turn=lambda: 0,
    )


async def ask(name: str, server: ProviderServer, timeout_seconds: float = 10.0) -> ModelResponse:
    async with build(name, server.credentials, timeout_seconds) as model:
        messages = [ModelRequest.user_text_prompt("hello")]
        return await model.request([*messages], None, ModelRequestParameters())


async def ask_once(
    name: str,
    server: ProviderServer | FaultServer,
    model_seconds: float = 10.0,
    silent_seconds: float = 10.0,
) -> ModelResponse:
    """Ask as a run does: streamed, and left when it is silent."""
    model = build(name, server.credentials)
    asked = AskedOnce(model, model_seconds=model_seconds, silent_seconds=silent_seconds)
    messages: list[ModelMessage] = [ModelRequest.user_text_prompt("hello")]
    try:
        return await asked.request(messages, None, ModelRequestParameters())
    finally:
        await close([model])


async def raised(name: str, server: ProviderServer, way: Way) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 -- which one it is depends on the SDK
        await way(name, server)
    return caught.value


async def fail(name: str, server: ProviderServer, timeout_seconds: float = 10.0) -> Fault:
    with pytest.raises(AgentRunError) as caught:
        await ask(name, server, timeout_seconds)
    return fault_of(caught.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("step", "statuses"),
    [
        (Trouble(Kind.CREDENTIAL), {401}),
        (Trouble(Kind.CONTEXT_OVERFLOW), {400}),
        (Trouble(Kind.RATE_LIMITED, retry_after_seconds=1), {429}),
        (Trouble(Kind.QUOTA), {429, 400}),
        (Trouble(Kind.SERVER_ERROR), {500}),
        (Trouble(Kind.OVERLOADED), {529}),
        (Page(status=502), {502}),
    ],
    ids=["401", "overflow", "429", "quota", "500", "529", "html-502"],
)
async def test_a_refusal_is_one_request_and_a_fault_with_status_and_body(
    name: str, step: Trouble | Page, statuses: set[int]
) -> None:
    with ProviderServer([step]) as server:
        fault = await fail(name, server)
    assert [request.path for request in server.requests] == [PATHS[name]]
    assert fault.attributes["status_code"] in statuses
    assert fault.body
    assert fault.cause
    assert fault.cause.url == server.url + PATHS[name]


@pytest.mark.parametrize("way", [ask, ask_once], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", NAMES)
async def test_a_page_instead_of_an_answer_is_one_request_and_kept(name: str, way: Way) -> None:
    with ProviderServer([Page()]) as server:
        error = await raised(name, server, way)
    found = found_in(error, PageError)
    assert found
    assert "Bad gateway" in found.page
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "step",
    [
        Trouble(Kind.CREDENTIAL),
        Trouble(Kind.RATE_LIMITED, retry_after_seconds=1),
        Trouble(Kind.QUOTA),
        Trouble(Kind.OVERLOADED),
        Page(status=502),
        Broken(Answer("hello"), by="error"),
        Broken(Answer("hello"), by="reset"),
        Broken(Answer("hello"), by="cut"),
    ],
    ids=["401", "429", "quota", "529", "502", "error-event", "reset", "cut"],
)
async def test_a_streamed_request_that_fails_is_one_request(name: str, step: Step) -> None:
    with ProviderServer([step]) as server:
        await raised(name, server, ask_once)
    assert [request.path for request in server.requests] == [PATHS[name]]
    assert server.requests[0].body["stream"] is True


@pytest.mark.parametrize("name", ["openai:gpt-test", "anthropic:claude-test"])
@pytest.mark.parametrize(
    "step", [Hang(), Broken(Answer("hello"), by="silence")], ids=["first", "next"]
)
async def test_silence_is_noticed_before_the_first_event_and_between_two(
    name: str, step: Step
) -> None:
    with ProviderServer([step]) as server:
        with pytest.raises(ModelSilentError, match=r"nothing came for 0\.3 s"):
            await ask_once(name, server, silent_seconds=0.3)
        assert len(server.requests) == 1


async def test_an_answer_that_never_ends_has_a_deadline_too() -> None:
    pings = Reply(body=": ping\n" * 10_000, media="text/event-stream")
    with FaultServer() as server:
        server.script(MESSAGES, replace(Answered.slow(pause_seconds=0.02), reply=pings))
        with pytest.raises(ModelSilentError, match="no whole answer within 2 s"):
            await ask_once("anthropic:claude-test", server, model_seconds=2.0)


CHUNK: Mapping[str, object] = {
    "id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m",
    "choices": [{"index": 0, "delta": {"content": "half of"}, "finish_reason": None}],
}  # fmt: skip
OPENING: Mapping[str, object] = {
    "type": "message_start",
    "message": {
        "id": "1", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "event"), [("openai:gpt-test", CHUNK), ("anthropic:claude-test", OPENING)]
)
async def test_a_stream_that_ends_before_the_answer_does_is_no_answer(
    name: str, event: Mapping[str, object]
) -> None:
    said = f"event: {event.get('type', 'message')}\ndata: {json.dumps(event)}\n\n"
    with FaultServer() as server:
        server.script(PATHS[name], Answered.ok(said, media="text/event-stream"))
        with pytest.raises(StreamCutError):
            await ask_once(name, server)


async def test_a_server_that_cannot_stream_is_asked_for_the_whole() -> None:
    whole = {
        "id": "1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
        ],
    }  # fmt: skip
    with FaultServer() as server:
        server.script(CHAT, Answered.ok(json.dumps(whole)))
        response = await ask_once("openai:gpt-test", server)
    assert response.text == "hi"
    asked = [json.loads(seen.body) for seen in server.requests]
    assert [body.get("stream", False) for body in asked] == [True, False]


@pytest.mark.parametrize("name", NAMES)
async def test_an_answer_cut_inside_a_call_or_before_a_word_is_none(name: str) -> None:
    call = ToolCall("write_file", '{"path": "a", "content": "the be')
    cut, empty = Answer(calls=(call,), stop="length"), Answer(stop="length")
    with ProviderServer([cut, empty, Answer("a long story", stop="length")]) as server:
        with pytest.raises(AnswerCutError, match="inside a call of `write_file`"):
            await ask_once(name, server)
        with pytest.raises(AnswerCutError, match="before anything was said"):
            await ask_once(name, server)
        assert (await ask_once(name, server)).text == "a long story"


@pytest.mark.parametrize("name", NAMES)
async def test_a_call_that_is_whole_although_the_answer_was_cut_is_a_call(name: str) -> None:
    whole = Answer(calls=(ToolCall("read_file", {"path": "a"}),), stop="length")
    with ProviderServer([whole]) as server:
        response = await ask_once(name, server)
    assert [call.args_as_dict() for call in response.tool_calls] == [{"path": "a"}]


@pytest.mark.parametrize("name", NAMES)
async def test_a_provider_that_hangs_is_left_after_the_timeout_and_not_asked_again(
    name: str,
) -> None:
    with ProviderServer([Hang()]) as server:
        fault = await fail(name, server, timeout_seconds=0.05)
    assert len(server.requests) == 1
    assert (fault.type, fault.attributes["phase"]) == ("ModelTimeoutError", "read")


@pytest.mark.parametrize("name", NAMES)
async def test_the_wait_a_provider_asks_for_is_in_the_fault(name: str) -> None:
    with ProviderServer([Trouble(Kind.RATE_LIMITED, retry_after_seconds=7)]) as server:
        fault = await fail(name, server)
    assert fault.headers["retry-after"] == "7"
    assert fault.attributes["retry_after"] == 7.0


async def test_a_provider_that_is_not_there_was_never_reached() -> None:
    with ProviderServer([Answer("hi")]) as server:
        pass
    fault = await fail("openai:gpt-test", server)
    assert fault.type == "ModelConnectionError"
    assert fault.attributes["phase"] == "connect"


@pytest.mark.parametrize("name", NAMES)
async def test_a_good_answer_arrives_with_its_text_calls_and_usage(name: str) -> None:
    calls = (ToolCall("mail_read", {"id": "m1"}, "x"), ToolCall("done", {"summary": "s"}, "x"))
    with ProviderServer([Answer("Looking.", calls)]) as server:
        response = await ask(name, server)
    text, *called = response.parts
    assert isinstance(text, TextPart)
    assert text.content == "Looking."
    assert [part.args_as_dict() for part in called if isinstance(part, ToolCallPart)] == [
        {"id": "m1"},
        {"summary": "s"},
    ]
    assert [part.tool_call_id for part in called if isinstance(part, ToolCallPart)] == ["x", "x"]
    assert (response.usage.input_tokens, response.usage.output_tokens) == (100, 20)


@pytest.mark.parametrize("name", ["openai:gpt-test", "anthropic:claude-sonnet-4-6"])
async def test_broken_arguments_arrive_as_they_were_sent(name: str) -> None:
    with ProviderServer([Answer(calls=(ToolCall("read_file", '{"path": '),))]) as server:
        response = await ask(name, server)
    (part,) = response.parts
    assert isinstance(part, ToolCallPart)
    assert part.args == '{"path": '


async def test_the_steps_come_in_order_and_the_last_one_repeats() -> None:
    with ProviderServer([Trouble(Kind.SERVER_ERROR), Answer("a"), Answer("b")]) as server:
        await fail("openai:gpt-test", server)
        said = [(await ask("openai:gpt-test", server)).text for _ in range(3)]
    assert said == ["a", "b", "b"]
    times = [request.at_seconds for request in server.requests]
    assert times == sorted(times)


@pytest.mark.parametrize("name", ["openai:gpt-test", "anthropic:claude-test"])
async def test_what_is_recorded_holds_the_body_and_no_key(name: str) -> None:
    with ProviderServer([Answer("a")]) as server:
        await ask(name, server)
    (request,) = server.requests
    assert request.body["model"] == name.partition(":")[2]
    assert "content-type" in request.headers
    assert "sk-" not in str(request)


def client_of(model: Model[Any]) -> Any:
    assert model.provider
    return model.provider.client


@pytest.mark.parametrize("name", ["openai:gpt-5", "anthropic:claude-sonnet-4-6", "ollama:qwen3"])
def test_no_client_repeats_a_request_by_itself(name: str) -> None:
    client = client_of(build(name, KEYS))
    assert (client.max_retries, client.timeout) == (0, 7.5)


def test_keys_and_addresses_come_from_the_arguments_and_never_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OPENAI", "ANTHROPIC", "OLLAMA"):
        monkeypatch.setitem(os.environ, f"{name}_API_KEY", "sk-stray")
        monkeypatch.setitem(os.environ, f"{name}_BASE_URL", "http://stray.example")
    clients = [client_of(build(f"{kind}:m", KEYS)) for kind in ("openai", "anthropic", "ollama")]
    assert [(client.api_key, str(client.base_url).rstrip("/")) for client in clients] == [
        ("sk-o", "https://api.openai.com/v1"),
        ("sk-a", "https://api.anthropic.com"),
        ("no-key", "http://127.0.0.1:11434/v1"),
    ]


def test_another_address_for_openai_is_asked_for_chat_completions_and_needs_no_key() -> None:
    model = build("openai:qwen3", {"OPENAI_BASE_URL": "http://127.0.0.1:8000/v1"})
    assert type(model).__name__ == "OpenAIChatModel"
    assert type(build("openai:gpt-5", KEYS)).__name__ == "OpenAIResponsesModel"
