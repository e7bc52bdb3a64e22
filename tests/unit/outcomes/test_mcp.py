"""Results as the MCP server SDK (2.3.0) gives them, and errors of its client."""

from collections.abc import Callable

import pytest

from standpipe.actions import Fault, Raised, Returned, Tool
from standpipe.outcomes.classify import classify, judge
from standpipe.outcomes.outcome import Failed, Kind, Succeeded, Unknown

Make = Callable[..., Tool]
VALIDATION = (
    "Error executing tool add: 1 validation error for addArguments\na\n  Field required"
    " [type=missing, input_value={}, input_type=dict]"
)


def result(text: str) -> dict[str, object]:
    return {"content": [{"type": "text", "text": text}], "isError": True}


@pytest.mark.parametrize(
    ("text", "kind", "answered"),
    [
        (VALIDATION, Kind.BAD_INPUT, True),
        ("Input validation error: 'a' is a required property", Kind.BAD_INPUT, True),
        ("Unknown tool: nope", Kind.UNKNOWN_TOOL, True),
        ("Error executing tool pay: 1 validation error for Receipt", Kind.BAD_INPUT, False),
        ("Tool pay failed: customer not found", Kind.NOT_FOUND, False),
        ("Tool 'pay' not found", Kind.UNKNOWN_TOOL, True),
        ("MCP error -32602: Invalid arguments for tool add", Kind.BAD_INPUT, True),
        ("MCP error -32601: Method not found", Kind.UNKNOWN_TOOL, True),
        ("MCP error -32603: no", Kind.SERVER_ERROR, False),
        ("Error executing tool pay: HTTP 403 Forbidden", Kind.FORBIDDEN, True),
        ("Error executing tool pay: connection reset by peer", Kind.SERVER_ERROR, False),
        ("it did not work", Kind.ERROR_TEXT, False),
    ],
)
def test_a_result_that_says_is_error_is_read_by_its_words(
    text: str, kind: Kind, answered: bool, tool: Make
) -> None:
    failed = judge(tool(), Returned(result(text)))
    assert isinstance(failed, Failed)
    assert failed.kind is kind
    assert isinstance(judge(tool("once"), Returned(result(text))), Failed if answered else Unknown)


def test_a_result_that_does_not_say_is_error_is_data(tool: Make) -> None:
    value = {"content": [{"type": "text", "text": "error counts: 3"}], "isError": False}
    assert judge(tool(), Returned(value)) == Succeeded(value)


@pytest.mark.parametrize(
    ("code", "message", "kind", "answered"),
    [
        (-32700, "Parse error", Kind.BAD_INPUT, True),
        (-32600, "Invalid Request", Kind.BAD_INPUT, True),
        (-32601, "Method not found", Kind.UNKNOWN_TOOL, True),
        (-32602, "Invalid params", Kind.BAD_INPUT, True),
        (-32602, "Unknown tool: nope", Kind.UNKNOWN_TOOL, True),
        (-32602, "Unknown resource: file:///nope", Kind.NOT_FOUND, True),
        (-32603, "Internal error", Kind.SERVER_ERROR, False),
        (-32002, "Resource not found", Kind.NOT_FOUND, True),
    ],
)
def test_a_code_means_the_same_raised_and_returned(
    code: int, message: str, kind: Kind, answered: bool, tool: Make
) -> None:
    raised = Fault("McpError", message, "mcp.shared.exceptions", {"code": code})
    returned = {"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message}}
    assert classify(tool(), raised).kind is kind
    for came in (Raised(raised), Returned(returned)):
        assert isinstance(judge(tool("once"), came), Failed if answered else Unknown)
