import json

import pytest
from hypothesis import given, strategies as st

from standpipe.actions import Effect, Tool
from standpipe.desk.judging import EXAMPLE, Judgement, judged
from standpipe.errors import UsageError
from standpipe.governor.fingerprint import fingerprints
from standpipe.outcomes.classify import judge
from standpipe.outcomes.evidence import answer
from standpipe.outcomes.outcome import Failed, Kind

REJECTED = {"status": 401, "headers": {}, "body": {"error": {"code": "token_expired"}}}
LOST = {"type": "ReadTimeout", "module": "httpx", "message": "timed out"}


def said(**line: object) -> Judgement:
    return judged(json.dumps({"tool": "fetch", **line}).encode())


def wrong(line: bytes) -> str:
    with pytest.raises(UsageError) as raised:
        judged(line)
    assert raised.value.hint == EXAMPLE
    assert "\n" not in raised.value.message
    return raised.value.message


def test_an_answer_of_a_server_is_judged_as_a_tool_would_be() -> None:
    found = said(effect="read", http=REJECTED)
    assert (found.kind, found.code, found.recovery) == ("credential", "token_expired", "escalate")
    assert "token_expired" in found.why


def test_the_fingerprints_are_those_of_the_journal() -> None:
    url = "https://api.shop.example:8443/orders/17"
    found = said(effect="read", args={"url": url}, http=REJECTED)
    outcome = judge(Tool(name="fetch", effect=Effect.READ), answer(401, {}, REJECTED["body"]))
    assert isinstance(outcome, Failed)
    placed = Failed(outcome.kind, outcome.message, outcome.code, host="api.shop.example:8443")
    marks = fingerprints("fetch", {"url": url}, placed)
    assert found.template == marks.template
    assert found.fingerprint
    assert found.fingerprint.site == marks.site
    assert (found.fingerprint.instance, found.fingerprint.cause) == (marks.instance, marks.cause)


def test_an_effect_that_may_have_happened_is_put_to_a_person_and_a_read_is_repeated() -> None:
    once, read = said(effect="once", error=LOST), said(effect="read", error=LOST)
    assert (once.recovery, read.recovery) == ("escalate", "retry")
    assert once.phase == read.phase == "sent"
    assert once.why.startswith("it may have happened")


def test_an_effect_nobody_declared_is_taken_for_the_worst() -> None:
    for effect in (None, ""):
        assert (
            said(effect=effect, error=LOST) == said(error=LOST) == said(effect="once", error=LOST)
        )


@pytest.mark.parametrize("effect", ["sometimes", 7, [], "READ"])
def test_an_effect_that_is_none_is_a_mistake_in_the_line(effect: object) -> None:
    with pytest.raises(UsageError, match="`effect` is one of read, idempotent, once"):
        said(effect=effect, error=LOST)


@pytest.mark.parametrize("result", [3, "3 orders", {"rows": [1]}, False])
def test_a_success_has_no_kind_and_no_recovery(result: object) -> None:
    assert said(result=result) == Judgement(why="it worked")


@pytest.mark.parametrize("result", ["", [], {}, None])
def test_a_success_with_nothing_in_it_says_so(result: object) -> None:
    found = said(result=result)
    assert found.kind is None
    assert "nothing in it" in found.why


def test_a_result_that_only_looks_like_success_is_a_failure() -> None:
    assert said(effect="read", result={"ok": False, "error": "channel_not_found"}).kind
    page = "<html><title>Sign in</title><form><input type='password'></form></html>"
    assert said(effect="read", result=page).kind == Kind.LOGIN_PAGE


def test_null_beside_other_evidence_is_no_result() -> None:
    assert said(result=None, http=REJECTED, error=None).kind == "credential"


def test_what_else_stands_in_a_line_is_the_writers_own() -> None:
    assert said(http=REJECTED, label="mine", id=7) == said(http=REJECTED)


def test_a_message_that_is_no_text_is_shown_as_it_was_written() -> None:
    found = said(effect="read", error={"type": "E", "message": {"code": 7}})
    assert '{"code": 7}' in found.why


def test_half_a_surrogate_pair_and_nul_are_shown_and_stop_nothing() -> None:
    line = (
        b'{"tool":"t","args":{"x":"\\udc00"},"error":{"type":"E","message":"a \\ud800 \\u0000 b"}}'
    )
    why = judged(line).why
    assert why.isprintable()
    assert "\\ud800" in why
    assert "\\x00" in why
    body = b'{"tool":"t","effect":"read","http":{"status":500,"body":{"error":"\\ud800"}}}'
    assert judged(body).kind == "server_error"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "it is not JSON: "),
        (b"nonsense", "it is not JSON: expecting value at character 1"),
        (b'{"tool":"t","result":NaN}', "`NaN` is no number in JSON"),
        (b'{"tool":"t","result":' + b"9" * 5000 + b"}", "it is not JSON: "),
        (b"[1]", "it is JSON, and no object"),
        (b'{"tool":"\xff"}', "byte 10 is not UTF-8"),
        (b'{"tool":"t"}', "has none"),
        (b'{"tool":"t","result":1,"http":{"status":200}}', "has more than one"),
        (b'{"result":1}', "`tool`"),
        (b'{"tool":"","result":1}', "`$.tool`"),
        (b'{"tool":"t","args":[1],"result":1}', "`$.args`"),
        (b'{"tool":"t","error":{"message":"m"}}', "`type`"),
        (b'{"tool":"t","error":"boom"}', "`$.error`"),
        (b'{"tool":"t","http":{"status":99}}', "`$.http.status`"),
        (b'{"tool":"t","http":{"status":"401"}}', "`$.http.status`"),
        (b'{"tool":"t","http":{}}', "`status`"),
        (b'{"tool":"t","result":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too deeply"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_read_says_what_is_wrong(line: bytes, message: str) -> None:
    assert message in wrong(line)


def test_a_byte_order_mark_is_no_mistake() -> None:
    assert judged(b"\xef\xbb\xbf" + EXAMPLE.encode()).kind == "credential"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None, exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(result=_JSON, args=st.dictionaries(st.text(max_size=5), _JSON, max_size=2), message=_JSON)
def test_whatever_stands_in_a_line_gets_one_answer_and_the_same_again(
    result: object, args: object, message: object
) -> None:
    for evidence in ({"result": result}, {"error": {"type": "E", "message": message}},
                     {"http": {"status": 500, "body": result}}, {"http": {"status": 200, "body": result}}):  # fmt: skip
        line = json.dumps({"tool": "t", "args": args, **evidence}).encode()
        assert judged(line) == judged(line)
