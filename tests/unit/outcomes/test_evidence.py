from collections.abc import Callable

import pytest

from standpipe.actions import Raised, Returned, Tool
from standpipe.outcomes.classify import judge, read
from standpipe.outcomes.evidence import answer, error
from standpipe.outcomes.outcome import Failed, Kind, Phase, Succeeded, Unknown

Make = Callable[..., Tool]


def test_a_bare_answer_is_judged_as_if_a_tool_had_met_it(tool: Make) -> None:
    result = answer(401, {"WWW-Authenticate": 'Bearer scope="a"'}, {"error": "token_expired"})
    failed = read(tool(), result)
    assert failed is not None
    assert (failed.kind, failed.code) == (Kind.CREDENTIAL, "token_expired")
    assert 'scope="a"' in failed.message


def test_a_bare_answer_of_200_may_still_be_a_failure(tool: Make) -> None:
    page = "<html><title>Sign in</title><input type=password>"
    assert read(tool(), answer(200, {}, page)) is not None
    assert read(tool(), answer(200, {}, {"ok": False, "error": "invalid_auth"})) is not None
    assert read(tool(), answer(200, {}, {"orders": []})) is None


@pytest.mark.parametrize(
    ("type_", "module", "message", "kind"),
    [
        ("KeyError", "", "'total'", Kind.TOOL_BUG),
        ("ReadTimeout", "httpx", "", Kind.TIMED_OUT),
        ("OrderNotFound", "shop.errors", "17", Kind.NOT_FOUND),
        ("RateLimitError", "somebody", "please wait", Kind.RATE_LIMITED),
        ("Error", "somebody", "boom", Kind.OTHER),
    ],
)
def test_a_bare_error_is_read_by_its_name(
    type_: str, module: str, message: str, kind: Kind, tool: Make
) -> None:
    failed = read(tool(), error(type_, message, module))
    assert failed is not None
    assert failed.kind is kind


def test_reading_does_not_ask_what_a_second_call_would_do(tool: Make) -> None:
    result = error("ReadTimeout", "", "httpx")
    assert isinstance(judge(tool("once"), result), Unknown)
    failed = read(tool("once"), result)
    assert isinstance(failed, Failed)
    assert failed.phase is Phase.SENT


def test_evidence_is_what_a_tool_would_have_come_back_with(tool: Make) -> None:
    assert isinstance(answer(500), Raised)
    assert isinstance(answer(204), Returned)
    assert isinstance(judge(tool(), answer(200, {}, "12 orders")), Succeeded)
