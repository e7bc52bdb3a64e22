"""The exceptions of real model clients; slow to import, and therefore not among the unit tests."""

from typing import NoReturn

import anthropic
import httpx2
import openai
import pytest
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError, UnexpectedModelBehavior

from standpipe.actions import Effect, Raised, Tool
from standpipe.adapters.providers import fault_of
from standpipe.outcomes.classify import classify, judge
from standpipe.outcomes.outcome import Failed, Kind, Phase, Unknown

REQUEST = httpx2.Request("POST", "https://api.model.example/v1/chat")
ASK = Tool(name="model", effect=Effect.READ)
PAY = Tool(name="pay", effect=Effect.ONCE)


def answer(status: int, error: dict[str, str]) -> httpx2.Response:
    return httpx2.Response(
        status, json={"error": error}, headers={"Retry-After": "7"}, request=REQUEST
    )


def raised(outer: BaseException, inner: BaseException) -> BaseException:
    def fail() -> NoReturn:
        raise outer from inner

    with pytest.raises(type(outer)) as caught:
        fail()
    return caught.value


def test_status_errors_of_providers_are_read_by_their_code() -> None:
    limited = answer(429, {"message": "slow down", "code": "rate_limit_exceeded"})
    quota = answer(429, {"message": "pay", "code": "insufficient_quota"})
    long = answer(400, {"message": "too long", "code": "context_length_exceeded"})
    busy = answer(529, {"type": "overloaded_error"})
    found = [
        classify(ASK, fault_of(openai.RateLimitError("429", response=limited, body=None))),
        classify(ASK, fault_of(openai.RateLimitError("429", response=quota, body=None))),
        classify(ASK, fault_of(openai.BadRequestError("400", response=long, body=None))),
        classify(ASK, fault_of(anthropic.APIStatusError("529", response=busy, body=None))),
        classify(ASK, fault_of(ModelHTTPError(401, "gpt", {"code": "invalid_api_key"}))),
    ]
    assert [failed.kind for failed in found] == [
        Kind.RATE_LIMITED,
        Kind.QUOTA,
        Kind.CONTEXT_OVERFLOW,
        Kind.OVERLOADED,
        Kind.CREDENTIAL,
    ]
    assert found[0].retry_after_seconds == 7
    assert found[0].host == "api.model.example"


@pytest.mark.parametrize(
    ("outer", "inner", "kind", "phase"),
    [
        (openai.APIConnectionError(request=REQUEST), httpx2.ConnectError("x"), Kind.NOT_SENT, Phase.NOT_SENT),
        (openai.APITimeoutError(REQUEST), httpx2.ConnectTimeout("x"), Kind.NOT_SENT, Phase.NOT_SENT),
        (openai.APITimeoutError(REQUEST), httpx2.ReadTimeout("x"), Kind.TIMED_OUT, Phase.SENT),
        (anthropic.APITimeoutError(REQUEST), httpx2.ReadTimeout("x"), Kind.TIMED_OUT, Phase.SENT),
        (anthropic.APIConnectionError(request=REQUEST), httpx2.ReadError("x"), Kind.SERVER_ERROR, Phase.SENT),
    ],
)  # fmt: skip
def test_connection_errors_of_providers_keep_the_phase_of_what_they_wrap(
    outer: BaseException, inner: BaseException, kind: Kind, phase: Phase
) -> None:
    fault = fault_of(raised(outer, inner))
    failed = classify(ASK, fault)
    assert (failed.kind, failed.phase) == (kind, phase)
    assert isinstance(judge(PAY, Raised(fault)), Failed if phase is Phase.NOT_SENT else Unknown)


# What Pydantic AI 2.68 makes of a page with status 200, through a client that does not look for pages.
NO_JSON = "Invalid response from openai chat completions endpoint, expected JSON data"
SHOWN = (
    "Expected a JSON response, got: '<!DOCTYPE html><html><head><title>Proxy</title></head></html>'"
)
NO_EVENT = "Streamed response ended without content or tool calls"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UnexpectedModelBehavior(NO_JSON), Kind.HTML),
        (ModelAPIError("gpt", SHOWN), Kind.HTML),
        (UnexpectedModelBehavior(NO_EVENT), Kind.TRUNCATED),
    ],
)
def test_a_page_or_nothing_instead_of_a_model_is_no_answer_of_it(
    error: BaseException, kind: Kind
) -> None:
    failed = classify(ASK, fault_of(error))
    assert (failed.kind, failed.phase) == (kind, Phase.RECEIVED)
