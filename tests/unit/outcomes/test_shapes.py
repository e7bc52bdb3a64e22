import json
from collections.abc import Callable

import pytest

from standpipe.actions import Returned, Tool
from standpipe.outcomes.classify import judge
from standpipe.outcomes.families import drift
from standpipe.outcomes.outcome import Failed, Kind, Outcome, Succeeded, Unknown

Make = Callable[..., Tool]
LOGIN = (
    "<!DOCTYPE html><html><head><title>Acme - Sign in</title></head>"
    '<body><form action="/session"><input type="password" name="p"></form></body></html>'
)
BLOG = (
    "<html><head><title>Ten captchas</title></head><body>"
    '<input type="password"> about captcha</body></html>'
)
CHALLENGE = "<html><head><title>Just a moment...</title></head><body id=cf-chl></body></html>"
ORDER = {
    "type": "object",
    "required": ["id", "lines"],
    "properties": {
        "id": {"type": "integer"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
    },
    "$defs": {"Line": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}}},
}  # fmt: skip


def kind(outcome: Outcome) -> Kind | None:
    return outcome.kind if isinstance(outcome, Failed | Unknown) else None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (LOGIN, Kind.LOGIN_PAGE),
        ({"status": 200, "body": LOGIN}, Kind.LOGIN_PAGE),
        ("<html><body><script>location.href='https://sso.x/login'</script>", Kind.LOGIN_PAGE),
        (CHALLENGE, Kind.BOT_CHECK),
        ("  <html><title>Orders</title>", Kind.HTML),
        ({"errors": [{"message": "no", "extensions": {"code": "FORBIDDEN"}}], "data": None}, Kind.FORBIDDEN),
        ({"errors": [{"message": "no", "extensions": {"code": "UNAUTHENTICATED"}}]}, Kind.CREDENTIAL),
        ({"ok": False, "error": "invalid_auth"}, Kind.CREDENTIAL),
        ({"ok": False, "error": "ratelimited"}, Kind.RATE_LIMITED),
        ({"success": False, "message": "order not found"}, Kind.NOT_FOUND),
        ({"error": "boom"}, Kind.ERROR_TEXT),
        ({"error": {"code": -32601, "message": "unknown method"}}, Kind.UNKNOWN_TOOL),
        ({"type": "about:blank", "title": "Forbidden", "status": 403}, Kind.FORBIDDEN),
        ({"statusCode": 503, "body": ""}, Kind.OVERLOADED),
        ('{"ok": false, "error": "token_expired"}', Kind.CREDENTIAL),
        ("<Error><Code>NoSuchKey</Code></Error>", Kind.NOT_FOUND),
        ("Error: user 17 not found", Kind.NOT_FOUND),
        ("Error: HTTP 401", Kind.CREDENTIAL),
        ("Error: hm", Kind.ERROR_TEXT),
        ("fatal: not a git repository", Kind.ERROR_TEXT),
        ("HTTP 503 for https://x.example/a", Kind.OVERLOADED),
        ("MCP error -32602: wrong", Kind.BAD_INPUT),
        ('Traceback (most recent call last):\n  File "a"\nValueError: bad', Kind.ERROR_TEXT),
        ('{"orders": [{"id": 1}, {"id', Kind.TRUNCATED),
        ("fatal: could not read Username for 'https://git.example'", Kind.CREDENTIAL),
        ("Error: [Errno 13] Permission denied: '/srv/a'", Kind.ENVIRONMENT),
        ("Error: connect ECONNREFUSED 127.0.0.1:80", Kind.NOT_SENT),
        ("Error: getaddrinfo EAI_AGAIN api.example", Kind.NOT_SENT),
        ("Error: request returned 404", Kind.NOT_FOUND),
        ("Error: returned 404 rows", Kind.ERROR_TEXT),
        ("Error: 500 items were left", Kind.ERROR_TEXT),
        ("Error: 429 Too Many Requests", Kind.RATE_LIMITED),
        ("Error: rpc error: code = NotFound desc = no", Kind.NOT_FOUND),
        ("ERROR: permission denied for table orders (SQLSTATE 42501)", Kind.FORBIDDEN),
        ("ERROR 1045 (28000): Access denied for user 'a'@'b'", Kind.CREDENTIAL),
        ("Error: 550 5.7.1 relaying denied", Kind.FORBIDDEN),
        ("Error: ThrottlingException: Rate exceeded", Kind.RATE_LIMITED),
        ("Error: {'error': {'code': 'insufficient_quota'}}", Kind.QUOTA),
        ("Exception: read timeout", Kind.TIMED_OUT),
        ("failed: token has expired", Kind.CREDENTIAL),
        ({"error": {"code": -32603, "message": "x"}}, Kind.SERVER_ERROR),
        ({"isError": True, "content": [{"type": "text", "text": "HTTP 403"}]}, Kind.FORBIDDEN),
        ({"isError": True, "content": []}, Kind.ERROR_TEXT),
        ({"ok": False, "error": "missing_scope", "needed": "chat:write"}, Kind.FORBIDDEN),
        ({"status": 422, "title": "Unprocessable", "detail": "x"}, Kind.BAD_INPUT),
        ({"error": {"code": 404, "message": "no", "status": "NOT_FOUND"}}, Kind.NOT_FOUND),
    ],
)  # fmt: skip
def test_what_only_looks_like_success_is_a_failure(
    value: object, expected: Kind, tool: Make
) -> None:
    assert kind(judge(tool(), Returned(value))) is expected


@pytest.mark.parametrize(
    "value",
    [
        "", [], {}, None, 0, "no results", "Errors are rare here", {"errors": [], "data": 1},
        "2026-11-22 INFO start\nError: something\nfatal: something",
        "Error: x\n" + "a line of a log\n" * 200,
        {"error": None, "data": 1}, {"error": "E1", "rows": [1]}, {"ok": True}, {"status": 404},
        [{"error": "a row of data"}], "[INFO] not json", '{"a": 1}\n{"b": 2}\n', "{template} text",
        {"isError": False, "content": []}, '{"a": NaN}', '{"ratio": Infinity, "rows": [1]}',
        {"title": "Ticket", "status": "open"}, "<p>a fragment</p>",
    ],
)  # fmt: skip
def test_data_is_left_alone(value: object, tool: Make) -> None:
    assert judge(tool(), Returned(value)) == Succeeded(value)


def test_the_title_of_a_login_page_is_in_the_message(tool: Make) -> None:
    outcome = judge(tool(), Returned(LOGIN))
    assert isinstance(outcome, Failed)
    assert "Acme - Sign in" in outcome.message


def test_a_tool_that_fetches_pages_is_judged_for_login_and_bot_check_only(tool: Make) -> None:
    fetch = tool(returns_media="text/html")
    assert kind(judge(fetch, Returned(LOGIN))) is Kind.LOGIN_PAGE
    assert kind(judge(fetch, Returned(CHALLENGE))) is Kind.BOT_CHECK
    for value in (BLOG, "<html><title>502 Bad Gateway</title>", "Error: x", {"ok": False}):
        assert judge(fetch, Returned(value)) == Succeeded(value)


def test_a_page_that_lies_on_this_machine_is_data(tool: Make) -> None:
    for value in (LOGIN, '{"ok": false, "error": "x"}'):
        assert judge(tool(local=True), Returned(value)) == Succeeded(value)


def test_a_page_whose_title_reads_like_a_5xx_may_be_asked_for_again(tool: Make) -> None:
    outcome = judge(tool(), Returned("<html><title>502 Bad Gateway</title>"))
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.code) == (Kind.HTML, "502")


def test_a_refusal_as_data_is_an_answer_and_a_page_is_none(tool: Make) -> None:
    assert isinstance(judge(tool("once"), Returned({"ok": False, "error": "invalid_auth"})), Failed)
    partial = {"data": {"paid": True}, "errors": [{"extensions": {"code": "FORBIDDEN"}}]}
    for value in (LOGIN, partial, "Error: hm", {"error": {"code": -32603, "message": "internal"}}):
        assert isinstance(judge(tool("once"), Returned(value)), Unknown), value


def test_a_result_that_drifted_names_what_is_missing_and_what_changed(tool: Make) -> None:
    drifted = json.loads('{"id": "7", "nr": 1, "lines": [{}]}')
    outcome = judge(tool(output=ORDER), Returned(drifted))
    assert isinstance(outcome, Failed)
    assert outcome.kind is Kind.SCHEMA
    assert outcome.message.endswith(
        "`id` is string, not integer; `lines[0].sku` is missing; `nr` is new"
    )


def test_new_keys_alone_are_no_drift_and_are_named_beside_a_missing_one(tool: Make) -> None:
    rows = {"type": "array", "items": ORDER}
    assert judge(tool(output=rows), Returned([])) == Succeeded([])
    renamed: list[object] = [{"id": 1, "positions": [1]}]
    outcome = judge(tool(output=rows), Returned(renamed))
    assert isinstance(outcome, Failed)
    assert outcome.message.endswith("`[0].lines` is missing; `[0].positions` is new")


@pytest.mark.parametrize(
    "value",
    [
        {"id": 1, "lines": [], "more": "is fine"},
        {"id": 1.0, "lines": [{"sku": "a"}], "note": None},
        '{"id": 1, "lines": []}',
    ],
)
def test_a_result_that_fits_is_a_success(value: object, tool: Make) -> None:
    assert judge(tool(output=ORDER), Returned(value)) == Succeeded(value)


def test_json_that_was_declared_and_ends_inside_a_value_is_truncated(tool: Make) -> None:
    outcome = judge(tool(output=ORDER), Returned('{"id": 1, "lines": [{"sku": "ab'))
    assert kind(outcome) is Kind.TRUNCATED


def test_a_schema_that_points_at_itself_ends() -> None:
    loop = {"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}]}}}
    assert drift.differences(loop, 1) == []


def test_an_effect_whose_long_result_was_cut_has_still_happened(tool: Make) -> None:
    output = {"type": "object", "properties": {"rows": {"type": "array"}}, "required": ["rows"]}
    once = tool("once", output=output)
    text = '{"rows": ["aaaa\n[cut here: 300000 characters in all]'
    assert judge(once, Returned(text, cut=True)) == Succeeded(text)
    assert not isinstance(judge(once, Returned(text)), Succeeded)


def test_a_cut_page_is_still_a_page(tool: Make) -> None:
    page = "<html><title>Sign in</title><input type=password>" + "x" * 1000
    outcome = judge(tool(), Returned(page, cut=True))
    assert isinstance(outcome, Failed)
    assert outcome.kind is Kind.LOGIN_PAGE


def test_a_file_that_a_built_in_tool_reads_here_is_data_however_it_starts(tool: Make) -> None:
    log = "Error: something\nfatal: something else"
    reads = tool(local=True, origin="builtin")
    assert judge(reads, Returned(log)) == Succeeded(log)
    assert kind(judge(tool(local=True, origin="home"), Returned(log))) is Kind.ERROR_TEXT


def test_the_scope_that_is_missing_is_in_the_message(tool: Make) -> None:
    refusal = {"ok": False, "error": "missing_scope", "needed": "chat:write"}
    outcome = judge(tool(), Returned(refusal))
    assert isinstance(outcome, Failed)
    assert outcome.message == "the answer is a refusal missing_scope (needs `chat:write`)"


def test_an_expected_kind_is_an_answer_in_a_result_too(tool: Make) -> None:
    outcome = judge(tool(expected=("not_found",)), Returned({"ok": False, "error": "not_found"}))
    assert isinstance(outcome, Succeeded)


def test_a_reply_in_a_text_of_a_mail_server_is_an_answer(tool: Make) -> None:
    outcome = judge(tool("once"), Returned("Error: 550 5.7.1 relaying denied"))
    assert isinstance(outcome, Failed)
    assert outcome.kind is Kind.FORBIDDEN
