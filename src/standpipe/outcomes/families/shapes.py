"""Results that only look like success: refusals inside a 200, error text, another schema, half a JSON.

Rule 1: a text is judged by how it starts, never by a word in it: a log file that was read is data.
Rule 2: what lies on this machine is data, whoever's login page or error answer it is.
Rule 3: the order is: page, refusal, MCP error, text, JSON that ends inside a value, declared output.
"""

import json
import re
from collections.abc import Mapping
from typing import cast

import msgspec

from standpipe.actions import Tool
from standpipe.outcomes.families import bodies, drift, http, mcp, pages, words
from standpipe.outcomes.finding import Finding, visible
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import Link, fields, number, word

WORDS_CHARACTERS_MAX = 2_000
JSON_CHARACTERS_MAX = 2_000_000
ERROR_TEXT = re.compile(
    r"\s*(?:(?:error|fatal|failed|failure)\s?:|error \S|exception\b|traceback \(most recent call last\)"
    r"|http [45]\d\d\b|mcp error\b|[A-Z]\w{2,40}(?:Error|Exception): )",
    re.IGNORECASE,
)
_XML_ERROR = re.compile(r"\s*(?:<\?xml[^>]{0,200}>\s*)?<Error>\s*<Code>(\w{1,80})")
_PARSERS = frozenset(
    {"json.JSONDecodeError", "simplejson.JSONDecodeError", "msgspec.DecodeError", "orjson.JSONDecodeError"}
)  # fmt: skip
_PARSER = ".JSONDecodeError"  # of whatever package
_VALIDATORS = frozenset(
    {"pydantic_core.ValidationError", "pydantic.ValidationError", "msgspec.ValidationError"}
)
_ENDS_INSIDE = re.compile(
    r"Unterminated string|unexpected end|EOF while parsing|truncated", re.IGNORECASE
)
_SUCCESSES = range(200, 300)
_SHOWN_PAGE = re.compile(r"input_value=['\"]\s{0,5}<(?:!doctype|html)", re.IGNORECASE)
_TRUNCATED = "Input data was truncated"  # msgspec's words


class _Decoded(msgspec.Struct, frozen=True):
    meaning: object = None
    ends_inside: bool = False


def find(tool: Tool, value: object, *, cut: bool = False) -> Finding | None:
    """Judge what a tool returned; None means that it is what it looks like.

    cut: we kept only the beginning. It can show that it is a page, but neither where it would have
    ended nor which fields it had.
    """
    asked_for = tool.returns_media == "text/html"
    page = "" if tool.local else pages.page_in(value)
    found = pages.find(page, asked_for=asked_for) if page else None
    if found or asked_for or cut:
        return found
    said = _said(value)
    decoded = _decoded(said) if isinstance(said, str) else _Decoded(said)
    # A file of this machine may well hold somebody's error answer; that is data.
    told = isinstance(said, str) and tool.local
    if not told and (found := _as_refusal(fields(decoded.meaning))):
        return found
    if isinstance(said, str) and (found := _as_text(tool, said, decoded)):
        return found
    return _as_output(tool, value, decoded.meaning if said is value else value)


def of_fault(link: Link) -> Finding | None:
    """Read an exception that says that an answer did not parse or did not fit."""
    message = f"{link.fault.type}: {link.message}"
    if not _PARSERS.isdisjoint(link.names) or link.names[0].endswith(_PARSER):
        document = word(link.fault, "doc")
        if (page := pages.page_in(document)) and (found := pages.find(page)):
            return found
        kind = Kind.TRUNCATED if _ended(link, document) else Kind.SCHEMA
    elif link.names[0] in _VALIDATORS:
        kind = _refused_json(link.message) if "Invalid JSON" in link.message else Kind.SCHEMA
    else:
        return None
    return Finding(kind=kind, message=message, code=link.fault.type, phase=Phase.RECEIVED)


def _said(value: object) -> object:
    """Return the body of an HTTP answer that came as a value, of anything else itself."""
    answer = fields(value)
    status = answer.get("status", answer.get("status_code"))
    succeeded = isinstance(status, int) and status in _SUCCESSES
    return answer["body"] if succeeded and "body" in answer else value


def _decoded(text: str) -> _Decoded:
    """Read a text as JSON, once: what it means, or that it stops before it is complete."""
    head = text[:100].lstrip()[:1]
    if head not in ("{", "[") or len(text) > JSON_CHARACTERS_MAX:
        return _Decoded()
    try:
        return _Decoded(msgspec.json.decode(text))
    except msgspec.DecodeError as error:
        if str(error) == _TRUNCATED:
            return _Decoded(ends_inside=True)
        return _Decoded(_loosely(text) if "NaN" in text or "Infinity" in text else None)
    except (RecursionError, UnicodeError):
        return _Decoded()


def _loosely(text: str) -> object:
    """Read what Python itself writes although JSON has no word for it."""
    try:
        return cast("object", json.loads(text))
    except (ValueError, RecursionError):
        return None


def _as_refusal(value: Mapping[str, object]) -> Finding | None:
    """Read a refusal that came as data: problem+json, `ok: false`, GraphQL, JSON-RPC, `isError`."""
    if not value:
        return None
    if status := bodies.embedded_status(value):
        return http.read(http.answer_of(status, body=json.dumps(value, default=str)))
    if rpc := mcp.of_error(value):
        return rpc
    if failed := mcp.of_result(value):
        text, found = failed
        return found or _in_words(text, text)
    refusal = bodies.refusal(value)
    if refusal is None:
        return None
    codes, reason = refusal
    kinds = ((bodies.by_code(code), code) for code in codes)
    kind, code = next(((kind, code) for kind, code in kinds if kind), (None, (codes or [""])[0]))
    kind = kind or words.by_words(reason) or Kind.ERROR_TEXT
    return bodies.refused(value, kind=kind, code=code, reason=reason)


def _as_text(tool: Tool, text: str, decoded: _Decoded) -> Finding | None:
    if match := _XML_ERROR.match(text[:1_000]):
        return _as_xml(match[1], text)
    # What a built-in tool reads here, it returns as it is; what fails, it raises.
    reads = tool.local and tool.origin == "builtin"
    if len(text) < WORDS_CHARACTERS_MAX and not reads and ERROR_TEXT.match(text):
        return _as_error_text(text)
    wants = tool.output is not None and not drift.accepts(tool.output, "string")
    if decoded.ends_inside and (wants or (not tool.local and _is_json(text))):
        message = f"JSON ends inside a value: {visible(text[-80:], limit=100)}"
        return Finding(kind=Kind.TRUNCATED, message=message, phase=Phase.RECEIVED)
    return None


def _as_xml(code: str, text: str) -> Finding:
    reason = bodies.XML_REASON.search(text[:1_000])
    said = f": {visible(reason[1], limit=500)}" if reason else ""
    return Finding(
        kind=bodies.by_code(code) or Kind.ERROR_TEXT,
        message=f"the answer is a refusal {code}{said}",
        code=code,
        phase=Phase.RECEIVED,
    )


def _as_error_text(text: str) -> Finding:
    last = text.strip().rpartition("\n")[2] if "Traceback" in text[:40] else text
    return _in_words(last, text if len(text) <= len(last) else last)


def _in_words(text: str, shown: str) -> Finding:
    found = words.in_text(text, message=visible(shown))
    return found or Finding(kind=Kind.ERROR_TEXT, message=visible(shown))


def _is_json(text: str) -> bool:
    """Whether a text that was not declared as JSON is meant as such (a log line in brackets is not)."""
    return text.lstrip()[:3].startswith(('{"', "[{", "{\n", "{ "))


def _as_output(tool: Tool, value: object, meaning: object) -> Finding | None:
    if tool.output is None:
        return None
    subject = meaning if meaning is not None and not drift.accepts(tool.output, "string") else value
    found = drift.differences(tool.output, subject)
    if not found:
        return None
    message = f"the result does not fit what `{tool.name}` declares: {'; '.join(found)}"
    return Finding(kind=Kind.SCHEMA, message=message, phase=Phase.RECEIVED)


def _ended(link: Link, document: str) -> bool:
    if _ENDS_INSIDE.search(link.message):
        return True
    # `Expecting value` at the very end of something is an end, not a mistake.
    position = number(link.fault, "pos")
    return bool(document.strip()) and position is not None and position >= len(document.rstrip())


def _refused_json(message: str) -> Kind:
    """Say what a validator was given instead of JSON (pydantic shows the beginning of it)."""
    if _SHOWN_PAGE.search(message):
        return Kind.HTML
    return Kind.TRUNCATED if "Invalid JSON: EOF" in message else Kind.SCHEMA
