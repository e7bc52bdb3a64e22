"""Whatever is thrown at it, the classifier says one of the kinds and shows what it read."""

from typing import Any

from hypothesis import example, given, settings, strategies as st

from standpipe.actions import Died, Effect, Expired, Fault, Raised, Result, Returned, Tool
from standpipe.outcomes.classify import classify, judge, read
from standpipe.outcomes.finding import MESSAGE_CHARACTERS_MAX
from standpipe.outcomes.outcome import Failed, Kind, Refused, Succeeded, Unknown
from standpipe.outcomes.shape import is_empty

TEXTS = st.text(st.characters(), max_size=60) | st.sampled_from(
    [
        "", "\x00", "\ud800", "HTTP 429", "[Errno 13]", "-32602", "curl: (7)", "(exit code 1)", "{'code': 'x'}", "(1062, ",
        "SQLSTATE 23505", "Retry after 9999999 hours", "<html><title>", "StatusCode.", "550 5.7.1 no", "Error: ", "{", "[",
    ]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(TEXTS | st.sampled_from(["error", "errors", "code", "status", "isError", "content", "data", "ok"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
MODULES = TEXTS | st.sampled_from(
    ["builtins", "httpx", "requests.exceptions", "smtplib", "imaplib", "sqlite3", "pymysql.err", "psycopg.errors", "mcp.shared",
     "openai", "pydantic_ai.exceptions", "botocore.exceptions", "subprocess", "standpipe.execution.hosts", "standpipe.errors"]
)  # fmt: skip
TYPES = TEXTS | st.sampled_from(
    ["ConnectionError", "KeyError", "JSONDecodeError", "ValidationError", "UnfinishedError", "HostPausedError", "CalledProcessError"]
)  # fmt: skip
NAMES = TEXTS | st.sampled_from(
    ["status_code", "code", "errno", "sqlstate", "returncode", "smtp_code", "headers", "body", "doc", "pos", "retry_after", "phase"]
)  # fmt: skip


def faults(
    causes: st.SearchStrategy[Any], groups: st.SearchStrategy[Any]
) -> st.SearchStrategy[Fault]:
    return st.builds(
        Fault,
        type=TYPES,
        message=TEXTS,
        module=MODULES,
        attributes=st.dictionaries(NAMES, VALUES, max_size=4),
        headers=st.dictionaries(TEXTS | st.just("retry-after"), TEXTS, max_size=3),
        body=TEXTS,
        url=TEXTS,
        own_code=st.booleans(),
        bases=st.lists(TEXTS, max_size=3).map(tuple),
        cause=causes,
        group=groups,
    )


FAULTS = st.recursive(
    faults(st.none(), st.just(())),
    lambda inner: faults(st.none() | inner, st.lists(inner, max_size=2).map(tuple)),
    max_leaves=3,
)
RESULTS = st.one_of(
    st.builds(Raised, FAULTS),
    st.builds(Returned, VALUES, st.booleans()),
    st.builds(Expired, st.floats(0, 10**6)),
    st.builds(Died, st.integers(), TEXTS),
)
TOOLS = st.builds(
    Tool,
    name=st.just("look"),
    effect=st.sampled_from(Effect),
    output=st.none() | st.dictionaries(TEXTS | st.sampled_from(["type", "items", "required", "properties", "$ref"]), VALUES, max_size=3),
    local=st.booleans(),
    returns_media=st.none() | st.just("text/html"),
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(TOOLS, RESULTS)
@example(Tool(name="look"), Returned("x" * 3_000_000))
@example(Tool(name="look"), Returned("[" * 100_000))
@example(Tool(name="look"), Returned('{"a":' * 100_000))
@example(Tool(name="look"), Raised(Fault("E", "\ud800\x00 401 " * 500_000)))
@example(Tool(name="look"), Raised(Fault("E", "e" * 3_000_000, body="{" * 3_000_000)))
def test_every_result_has_an_outcome_of_one_kind(tool: Tool, result: Result) -> None:
    outcome = judge(tool, result)
    failed = read(tool, result)
    match outcome:
        case Succeeded():
            assert failed is None or failed.kind in tool.expected
        case Failed(kind, message) | Unknown(message, kind):
            assert kind in Kind
            assert len(message) <= MESSAGE_CHARACTERS_MAX
            message.encode()
        case Refused():
            raise AssertionError(outcome)


@settings(max_examples=50, deadline=None)
@given(FAULTS)
def test_every_fault_has_a_kind_and_everything_told_about_it_can_be_written_down(
    fault: Fault,
) -> None:
    failed = classify(Tool(name="look", effect=Effect.READ), fault)
    (failed.message + failed.code + failed.host).encode()
    assert failed.retry_after_seconds is None or failed.retry_after_seconds >= 0


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_whether_a_value_is_empty_can_always_be_said(value: object) -> None:
    assert is_empty(value) in {True, False}
