"""Real SDK clients against a loopback provider: one request of ours is one request on the wire."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.exceptions import AgentRunError
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters

from standpipe.actions import Fault
from standpipe.adapters.providers import build_model, fault_of
from standpipe.outcomes.outcome import Kind
from standpipe.testing.providers import (
    CHAT,
    MESSAGES,
    Answer,
    Hang,
    Page,
    ProviderServer,
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


@pytest.mark.parametrize("name", NAMES)
async def test_a_page_instead_of_an_answer_is_one_request_and_a_fault(name: str) -> None:
    with ProviderServer([Page()]) as server:
        fault = await fail(name, server)
    assert len(server.requests) == 1
    assert fault.type in {"UnexpectedModelBehavior", "ModelAPIError"}


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
