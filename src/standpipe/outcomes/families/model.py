"""What model providers say: codes, phrases, and the exceptions of their clients.

Rule: a stream that began with 200 may still end in an error; then only its code says which.
"""

import re

from standpipe.outcomes.families import bodies
from standpipe.outcomes.finding import Finding
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import Link, body, fields, json_of, word

TYPES = {
    "pydantic_ai.ContentFilterError": Kind.REFUSAL,
    "pydantic_ai.IncompleteToolCall": Kind.CUT,
    "pydantic_ai.UnexpectedModelBehavior": Kind.SCHEMA,
    "pydantic_ai.UsageLimitExceeded": Kind.BUDGET,
    "openai.LengthFinishReasonError": Kind.CUT,
    "openai.ContentFilterFinishReasonError": Kind.REFUSAL,
    "openai.APIResponseValidationError": Kind.SCHEMA,
    "anthropic.APIResponseValidationError": Kind.SCHEMA,
}
_PACKAGES = frozenset({"openai", "anthropic", "pydantic_ai"})
# What Pydantic AI 2.68 says of an answer that is a page: the SDK hands it a text where it wants JSON.
_PAGE = re.compile(r"<!doctype html|<html\b|expected json data", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{0,300})", re.IGNORECASE)
_CUT = "ended without content or tool calls"
_NO_KEY = re.compile(r"api_key|auth_token|credentials|authentication method", re.IGNORECASE)


def find(link: Link) -> Finding | None:
    """Read the exceptions of model clients that carry no HTTP status."""
    if _PACKAGES.isdisjoint(link.packages):
        return None
    if found := _page(link) or _cut(link):
        return found
    if kind := next((TYPES[name] for name in link.names if name in TYPES), None):
        return _finding(kind, link, code=link.fault.type)
    # An error event inside a 200 stream arrives as a plain APIError: only its code says what it is.
    for code in (*_event_codes(link), word(link.fault, "code"), word(link.fault, "type")):
        if kind := bodies.by_code(code):
            return _finding(kind, link, code=code)
    if link.fault.type in ("OpenAIError", "AnthropicError") and _NO_KEY.search(link.message):
        return Finding(
            kind=Kind.CREDENTIAL, message=link.message, code="no_key", phase=Phase.NOT_SENT
        )
    return None


def _page(link: Link) -> Finding | None:
    # A look for one character costs a hundredth of a search that finds nothing.
    quoted = "<" in link.message or "expected JSON" in link.message
    text = link.message if quoted and _PAGE.search(link.message) else body(link.fault)[:5_000]
    if not text or not _PAGE.search(text):
        return None
    title = _TITLE.search(text)
    shown = f"`{' '.join(title[1].split())}`" if title else "no title"
    return Finding(
        kind=Kind.HTML,
        message=f"a page came back where the model's answer was expected, {shown}: {link.message[:300]}",
        code="html",
        phase=Phase.RECEIVED,
    )


def _cut(link: Link) -> Finding | None:
    """Read that a stream ended before it said anything."""
    cut = _CUT in link.message
    return _finding(Kind.TRUNCATED, link, code=link.fault.type) if cut else None


def _event_codes(link: Link) -> list[str]:
    event = fields(json_of(body(link.fault)))
    inner = fields(event.get("error")) or event
    values = (inner.get("code"), inner.get("type"))
    return [value for value in values if isinstance(value, str)]


def _finding(kind: Kind, link: Link, *, code: str) -> Finding:
    return Finding(kind=kind, message=link.message, code=code, phase=Phase.RECEIVED)
