import json
from collections.abc import Callable, Mapping

import httpx
import pytest

from standpipe.actions import Effect, Fault, Raised, Tool
from standpipe.outcomes.classify import classify, judge
from standpipe.outcomes.outcome import Failed, Kind, Phase, Unknown

Make = Callable[..., Tool]
Convert = Callable[[BaseException], Fault]
CASES: list[tuple[int, object, Mapping[str, str], Kind]] = [
    (400, {"error": {"code": "insufficient_quota"}}, {}, Kind.QUOTA),
    (400, {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}}, {}, Kind.QUOTA),
    (400, {"error": {"code": "context_length_exceeded"}}, {}, Kind.CONTEXT_OVERFLOW),
    (400, {"error": {"type": "invalid_request_error", "message": "prompt is too long: 3 > 2"}}, {}, Kind.CONTEXT_OVERFLOW),
    (400, {"__type": "com.amazon#ThrottlingException"}, {}, Kind.RATE_LIMITED),
    (400, {"__type": "ExpiredTokenException"}, {}, Kind.CREDENTIAL),
    (400, {"error": {"type": "invalid_request_error", "message": "field `to` is wrong"}}, {}, Kind.BAD_INPUT),
    (401, {"error": "token_expired"}, {}, Kind.CREDENTIAL),
    (401, "no", {}, Kind.CREDENTIAL),
    (402, {"error": {"code": "card_declined", "type": "card_error"}}, {}, Kind.BAD_INPUT),
    (402, {}, {}, Kind.QUOTA),
    (403, {"message": "nope"}, {}, Kind.FORBIDDEN),
    (403, {"message": "You have exceeded a secondary rate limit"}, {}, Kind.RATE_LIMITED),
    (403, {}, {"x-ratelimit-remaining": "0"}, Kind.RATE_LIMITED),
    (403, {}, {"www-authenticate": 'Bearer error="insufficient_scope", scope="mail"'}, Kind.FORBIDDEN),
    (403, "<html><title>Just a moment...</title>", {}, Kind.BOT_CHECK),
    (403, "<Error><Code>AccessDenied</Code><Message>No</Message></Error>", {}, Kind.FORBIDDEN),
    (404, "<Error><Code>NoSuchKey</Code></Error>", {}, Kind.NOT_FOUND),
    (408, "", {}, Kind.SERVER_ERROR),
    (409, {}, {}, Kind.CONFLICT),
    (418, {}, {}, Kind.BAD_INPUT),
    (422, {"detail": [{"loc": ["body", "to"], "type": "missing"}]}, {}, Kind.BAD_INPUT),
    (429, {"error": {"code": "insufficient_quota", "type": "insufficient_quota"}}, {}, Kind.QUOTA),
    (429, {"error": {"status": "RESOURCE_EXHAUSTED", "message": "per minute"}}, {}, Kind.RATE_LIMITED),
    (429, {"error": {"status": "RESOURCE_EXHAUSTED", "message": "requests per day"}}, {}, Kind.QUOTA),
    (429, "quota page /quota/billing", {}, Kind.RATE_LIMITED),
    (500, {"error": {"type": "api_error"}}, {}, Kind.SERVER_ERROR),
    (500, {"error": {"type": "overloaded_error"}}, {}, Kind.OVERLOADED),
    (503, "<Error><Code>SlowDown</Code></Error>", {}, Kind.OVERLOADED),
    (502, "<html><title>502 Bad Gateway</title>", {}, Kind.SERVER_ERROR),
    (529, {}, {}, Kind.OVERLOADED),
    (302, "", {"location": "https://sso.example/login"}, Kind.LOGIN_PAGE),
    (302, "", {"location": "https://shop.example/authors/1"}, Kind.OTHER),
    (307, "", {"location": "https://idp.example/oauth2/authorize"}, Kind.LOGIN_PAGE),
    (403, {}, {"retry-after": "3"}, Kind.RATE_LIMITED),
    (405, {}, {}, Kind.BAD_INPUT),
    (410, {}, {}, Kind.NOT_FOUND),
    (412, {}, {}, Kind.CONFLICT),
    (413, {"error": {"type": "request_too_large"}}, {}, Kind.CONTEXT_OVERFLOW),
    (413, {}, {}, Kind.BAD_INPUT),
    (415, {}, {}, Kind.BAD_INPUT),
    (429, {"error": {"code": "org_spend_limit_reached"}}, {}, Kind.QUOTA),
    (429, {"error": {"message": "billing hard limit has been reached"}}, {}, Kind.QUOTA),
    (503, {"error": {"code": "server_error"}}, {}, Kind.OVERLOADED),
    (504, {"error": {"status": "DEADLINE_EXCEEDED"}}, {}, Kind.SERVER_ERROR),
]  # fmt: skip


def answer(status: int, body: object = "", headers: Mapping[str, str] | None = None) -> Fault:
    text = body if isinstance(body, str) else json.dumps(body)
    return Fault(
        type="HttpFailure",
        module="standpipe.tools.http",
        message=f"HTTP {status}",
        attributes={"status_code": status, "headers": headers or {}, "body": text},
        url="https://api.shop.example/orders",
    )


@pytest.mark.parametrize(("status", "body", "headers", "kind"), CASES)
def test_the_body_decides_before_the_status(
    status: int, body: object, headers: Mapping[str, str], kind: Kind, tool: Make
) -> None:
    assert classify(tool(), answer(status, body, headers)).kind is kind


def test_the_message_names_status_code_and_host(tool: Make) -> None:
    failed = classify(tool(), answer(401, {"error": "token_expired", "message": "log in again"}))
    assert failed.message == "HTTP 401 token_expired from api.shop.example: log in again"
    assert (failed.code, failed.host) == ("token_expired", "api.shop.example")


def test_a_refusal_of_a_once_effect_is_an_answer(tool: Make) -> None:
    for status in (400, 401, 403, 404, 409, 422, 429):
        outcome = judge(tool("once"), Raised(answer(status)))
        assert isinstance(outcome, Failed), status
        assert outcome.phase is Phase.PARSED


def test_a_server_error_leaves_a_once_effect_in_doubt(tool: Make) -> None:
    for status in (408, 500, 502, 503, 504, 529):
        assert isinstance(judge(tool("once"), Raised(answer(status))), Unknown), status
        assert isinstance(judge(tool("idempotent"), Raised(answer(status))), Failed), status


def test_a_conflict_about_the_idempotency_key_is_in_doubt(tool: Make) -> None:
    fault = answer(409, {"error": {"code": "idempotency_key_in_use"}})
    assert judge(tool("once"), Raised(fault)) == Unknown(
        "HTTP 409 idempotency_key_in_use from api.shop.example", kind=Kind.CONFLICT
    )


def test_an_exception_of_a_client_is_read_without_the_client(tool: Make, as_fault: Convert) -> None:
    request = httpx.Request("POST", "https://api.shop.example/orders")
    response = httpx.Response(429, headers={"retry-after": "7"}, request=request)
    failed = classify(
        tool(), as_fault(httpx.HTTPStatusError("", request=request, response=response))
    )
    assert (failed.kind, failed.host) == (Kind.RATE_LIMITED, "api.shop.example")
    assert failed.retry_after_seconds == 7


def test_an_overload_event_inside_a_200_stream_is_an_overload(tool: Make) -> None:
    event = Fault(
        type="APIStatusError",
        module="anthropic",
        message="Overloaded",
        attributes={"status_code": 200},
        body='{"type": "error", "error": {"type": "overloaded_error"}}',
    )
    assert classify(tool(), event).kind is Kind.OVERLOADED


def test_a_handled_earlier_answer_does_not_hide_the_later_timeout(tool: Make) -> None:
    earlier = answer(429)
    later = Fault(type="ReadTimeout", module="httpx", message="", cause=earlier)
    outcome = judge(tool("once"), Raised(later))
    assert outcome == Unknown("ReadTimeout: no answer in time", kind=Kind.TIMED_OUT)


@pytest.mark.parametrize("status", [501, 505])
def test_a_server_that_says_it_cannot_do_this_has_done_nothing(status: int) -> None:
    fault = Fault(
        type="HttpFailure",
        message=f"HTTP {status}",
        attributes={"status_code": status},
        url="https://api.example.com/orders",
    )
    outcome = judge(Tool(name="pay", effect=Effect.ONCE), Raised(fault))
    assert isinstance(outcome, Failed)


def test_the_challenge_and_the_scope_are_in_the_message() -> None:
    tool = Tool(name="look", effect=Effect.READ)
    asked = {"www-authenticate": 'Bearer realm="shop", scope="orders.read"'}
    told = classify(tool, answer(401, {"message": "expired"}, asked)).message
    assert told.endswith('expired (WWW-Authenticate: Bearer realm="shop", scope="orders.read")')
    scopes = classify(tool, answer(403, {}, {"x-accepted-oauth-scopes": "repo"})).message
    assert scopes.endswith("(needs `repo`)")
    assert "WWW-Auth" not in classify(tool, answer(404, {}, asked)).message
