"""MCP and JSON-RPC: error codes, and results that say `isError`.

Rule 1: -32600, -32601, -32602 and -32700 are said before a tool runs, so they are answers.
Rule 2: `isError` is the tool's own failure: only its words say which, and they prove nothing.
"""

import re
from collections.abc import Iterable, Mapping

from standpipe.outcomes.finding import Finding, visible
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import Link, fields, items, number

CODES = {
    -32700: Kind.BAD_INPUT,
    -32600: Kind.BAD_INPUT,
    -32601: Kind.UNKNOWN_TOOL,
    -32602: Kind.BAD_INPUT,
    -32603: Kind.SERVER_ERROR,
    -32000: Kind.SERVER_ERROR,  # the connection to the server was closed
    -32001: Kind.TIMED_OUT,  # no answer in the time the client gave it
    -32002: Kind.NOT_FOUND,  # no such resource
    -32042: Kind.CREDENTIAL,  # the server wants the person to sign in first
}
TYPES = {
    "mcp.UrlElicitationRequiredError": Kind.CREDENTIAL,
    "fastmcp.ValidationError": Kind.BAD_INPUT,
    "fastmcp.NotFoundError": Kind.NOT_FOUND,
    "fastmcp.DisabledError": Kind.UNKNOWN_TOOL,
    "mcp.OAuthFlowError": Kind.CREDENTIAL,
    "mcp.OAuthTokenError": Kind.CREDENTIAL,
    "mcp.OAuthRegistrationError": Kind.CREDENTIAL,
}
_ANSWERS = (-32700, -32600, -32601, -32602, -32002, -32042)
_PACKAGES = frozenset({"mcp", "fastmcp", "jsonrpc", "jsonrpcclient"})
_CODE = re.compile(r"(?<!\d)-32\d{3}\b")
# -32602 is also what servers answer to a name they do not know.
_UNKNOWN_TOOL = re.compile(
    r"unknown tool|no such tool|\btool (?:['\"`]?[\w./-]{1,80}['\"`]? )?(?:was |is )?(?:not found|does not exist|not available|not registered)",
    re.IGNORECASE,
)
_NOT_FOUND = re.compile(r"unknown (?:resource|prompt)|(?:resource|prompt) not found", re.IGNORECASE)
# `payArguments` is how the Python SDK calls the model of a tool's arguments; any other model is the tool's own.
_VALIDATION = re.compile(
    r"input validation error|invalid arguments? for tool|\d validation errors? for \w{1,80}Arguments\b|failed to validate input",
    re.IGNORECASE,
)
_TEXTS_MAX = 20


def find(link: Link) -> Finding | None:
    """Read a fault of an MCP client."""
    if _PACKAGES.isdisjoint(link.packages):
        return None
    message = f"{link.fault.type}: {link.message}"
    for name in link.names:
        if name in TYPES:
            return Finding(kind=TYPES[name], message=message, code=link.fault.type, answered=True)
    code = number(link.fault, "code", "error_code")
    if code in CODES:
        return _coded(code, link.message, message)
    return said(link.message, message)


def of_result(value: Mapping[str, object]) -> tuple[str, Finding | None] | None:
    """Return the words of a result that says `isError`, and what they are where MCP itself says it."""
    if value.get("isError") is not True and value.get("is_error") is not True:
        return None
    text = visible("\n".join(_texts(items(value.get("content"))[:_TEXTS_MAX]))) or "no reason given"
    return text, said(text, text) or in_text(text, text)


def of_error(value: Mapping[str, object]) -> Finding | None:
    """Read a JSON-RPC error object."""
    error = fields(value.get("error"))
    code = error.get("code")
    if not isinstance(code, int) or code not in CODES:
        return None
    message = str(error.get("message", ""))
    return _coded(code, message, f"the answer is a refusal {code}: {visible(message, limit=500)}")


def in_text(text: str, shown: str) -> Finding | None:
    """Read a code that stands in a sentence."""
    match = _CODE.search(text) if "-32" in text else None
    code = int(match[0]) if match else 0
    return _coded(code, text, shown) if code in CODES else None


def said(text: str, shown: str) -> Finding | None:
    """Read what servers say themselves, before a tool runs."""
    if _UNKNOWN_TOOL.search(text):
        return Finding(kind=Kind.UNKNOWN_TOOL, message=shown, phase=Phase.RECEIVED, answered=True)
    if _VALIDATION.search(text):
        return Finding(kind=Kind.BAD_INPUT, message=shown, phase=Phase.RECEIVED, answered=True)
    if _NOT_FOUND.match(text):
        return Finding(kind=Kind.NOT_FOUND, message=shown, phase=Phase.RECEIVED, answered=True)
    return None


def _coded(code: int, text: str, shown: str) -> Finding:
    kind = CODES[code]
    if kind is Kind.BAD_INPUT and _UNKNOWN_TOOL.search(text):
        kind = Kind.UNKNOWN_TOOL
    elif kind is Kind.BAD_INPUT and _NOT_FOUND.search(text):
        kind = Kind.NOT_FOUND
    return Finding(
        kind=kind, message=shown, code=str(code), phase=Phase.RECEIVED, answered=code in _ANSWERS
    )


def _texts(content: Iterable[object]) -> Iterable[str]:
    for part in content:
        text = fields(part).get("text")
        if isinstance(text, str):
            yield text
