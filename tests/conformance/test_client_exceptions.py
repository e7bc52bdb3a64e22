"""The exceptions of real model clients; slow to import, and therefore not among the unit tests."""

from typing import Any, NoReturn

import anthropic
import httpx2
import openai
import pytest
from pydantic_ai.exceptions import ModelHTTPError

from standpipe.actions import Effect, Fault, Raised, Tool
from standpipe.outcomes.classify import classify, judge
from standpipe.outcomes.outcome import Failed, Kind, Phase, Unknown

SCALARS = ("status_code", "code", "errno", "type", "body", "model_name")
REQUEST = httpx2.Request("POST", "https://api.model.example/v1/chat")
ASK = Tool(name="model", effect=Effect.READ)
PAY = Tool(name="pay", effect=Effect.ONCE)


def as_fault(error: Any) -> Fault:
    response = getattr(error, "response", None)
    request = getattr(response, "request", None)
    attributes: dict[str, Any] = {name: getattr(error, name, None) for name in SCALARS}
    attributes["status_code"] = attributes["status_code"] or getattr(response, "status_code", None)
    cause = error.__cause__ or error.__context__
    inner: tuple[Any, ...] = getattr(error, "exceptions", ())
    return Fault(
        type=type(error).__name__,
        module=type(error).__module__,
        message=str(error),
        attributes={k: v for k, v in attributes.items() if v is not None},
        headers={k.lower(): v for k, v in getattr(response, "headers", {}).items()},
        body=getattr(response, "text", ""),
        url=str(getattr(request, "url", "")),
        bases=tuple(f"{b.__module__}.{b.__qualname__}" for b in type(error).__mro__[1:-1]),
        cause=as_fault(cause) if cause else None,
        group=tuple(map(as_fault, inner)),
    )


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
        classify(ASK, as_fault(openai.RateLimitError("429", response=limited, body=None))),
        classify(ASK, as_fault(openai.RateLimitError("429", response=quota, body=None))),
        classify(ASK, as_fault(openai.BadRequestError("400", response=long, body=None))),
        classify(ASK, as_fault(anthropic.APIStatusError("529", response=busy, body=None))),
        classify(ASK, as_fault(ModelHTTPError(401, "gpt", {"code": "invalid_api_key"}))),
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
    fault = as_fault(raised(outer, inner))
    failed = classify(ASK, fault)
    assert (failed.kind, failed.phase) == (kind, phase)
    assert isinstance(judge(PAY, Raised(fault)), Failed if phase is Phase.NOT_SENT else Unknown)
