"""Results that only look like success: pages, refusals inside a 200, error text, another schema.

Rule 1: a text is judged by how it starts, never by a word in it: a log file that was read is data.
Rule 2: a page is data where a page was asked for, and on this machine; a login form is data nowhere else.
Rule 3: a structured no with a class we know is an answer; a text that says no proves nothing.
"""

import json
import re
from collections.abc import Mapping

from standpipe.actions import Fault, Tool
from standpipe.outcomes.families import drift, http, model, words
from standpipe.outcomes.finding import Finding, visible
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import called, fields, items, json_of, title_of

WORDS_CHARACTERS_MAX = 2_000
PAGE_CHARACTERS_MAX = 200_000
ERROR_TEXT = re.compile(
    r"\s*(?:(?:error|fatal|failed|failure)\s?:|error \S|exception\b|traceback \(most recent call last\)"
    r"|http [45]\d\d\b|mcp error\b|[A-Z]\w{2,40}(?:Error|Exception): )",
    re.IGNORECASE,
)
_PAGE = re.compile(
    r"\s*(?:<!--.{0,500}?-->\s*)?<(?:!doctype html|html)\b", re.IGNORECASE | re.DOTALL
)
_PASSWORD = re.compile(r"<input[^>]{0,300}type\s{0,3}=\s{0,3}[\"']?password", re.IGNORECASE)
_SIGN_IN = re.compile(r"\b(?:sign|log)[ -]?(?:in|on)\b|\blogin\b", re.IGNORECASE)
_SSO = re.compile(
    r"SAMLRequest|http-equiv=[\"']?refresh[^>]{0,200}(?:login|sso|signin)"
    r"|location(?:\.href)?\s{0,3}=\s{0,3}[\"'][^\"']{0,300}(?:/login|/sso|/signin|oauth)",
    re.IGNORECASE,
)
_CHALLENGE_TITLE = re.compile(
    r"just a moment|attention required|are you (?:human|a robot)", re.IGNORECASE
)
_FORM = re.compile(r"<form\b[^>]{0,1000}>(.{0,3000})", re.IGNORECASE | re.DOTALL)
_SERVER_TITLE = re.compile(
    r"\b(5\d\d)\b|bad gateway|service (?:temporarily )?unavailable|internal server error|gateway time",
    re.IGNORECASE,
)
_UNSURE = (Kind.SERVER_ERROR, Kind.OVERLOADED, Kind.TIMED_OUT, Kind.ERROR_TEXT, Kind.OTHER)
_ERROR_COMPANIONS = {
    "error",
    "ok",
    "success",
    "status",
    "message",
    "code",
    "errors",
    "request_id",
    "type",
    "warning",
}
_CLIENT_ERRORS, _STATUS_LAST = 400, 599
_PARSERS = ("json.JSONDecodeError", "simplejson.JSONDecodeError", "msgspec.DecodeError")
_ENDS_INSIDE = re.compile(
    r"Unterminated string|unexpected end|EOF while parsing|truncated", re.IGNORECASE
)


def find(tool: Tool, value: object, *, cut: bool = False) -> Finding | None:
    """Judge what a tool returned; None means that it is what it looks like.

    cut: we kept only the beginning. It can show that it is a page, but neither where it would have
    ended nor which fields it had.
    """
    asked_for = tool.returns_media == "text/html"
    page = "" if tool.local else _page_in(value)
    found = _as_page(page, asked_for=asked_for) if page else None
    if found or asked_for or cut:
        return found
    meaning = json_of(value) if isinstance(value, str) else value
    # A file of this machine may well hold somebody's error answer; that is data.
    told = isinstance(value, str) and tool.local
    if not told and (found := _as_refusal(fields(meaning))):
        return found
    if isinstance(value, str) and (found := _as_text(tool, value)):
        return found
    return _as_output(tool, value, meaning)


def of_fault(fault: Fault) -> Finding | None:
    """Read an exception that says that an answer did not parse or did not fit."""
    names = list(called(fault))
    if any(name in _PARSERS for name in names):
        kind = Kind.TRUNCATED if _ENDS_INSIDE.search(fault.message) else Kind.SCHEMA
    elif names[0] in (
        "pydantic_core.ValidationError",
        "pydantic.ValidationError",
        "msgspec.ValidationError",
    ):
        kind = Kind.SCHEMA
    else:
        return None
    message = f"{fault.type}: {fault.message}"
    return Finding(kind=kind, message=message, code=fault.type, phase=Phase.RECEIVED)


def _page_in(value: object) -> str:
    answer = fields(value)
    if "status" in answer or "status_code" in answer:
        value = next((answer[key] for key in ("body", "text", "content") if key in answer), "")
    if isinstance(value, str) and _PAGE.match(value[:1_000]):
        return value[:PAGE_CHARACTERS_MAX]
    return ""


def _as_page(page: str, *, asked_for: bool) -> Finding | None:
    title = visible(title_of(page), limit=200)
    shown = f"`{title}`" if title else "without a title"
    if _is_bot_check(page, title, asked_for=asked_for):
        return _page(Kind.BOT_CHECK, f"a page that checks for robots came back, {shown}")
    if _is_login(page, title, asked_for=asked_for):
        return _page(Kind.LOGIN_PAGE, f"a login page came back, {shown}")
    if asked_for:
        return None
    server = _SERVER_TITLE.search(title)
    code = (server[1] or "5xx") if server else ""
    return _page(Kind.HTML, f"an HTML page came back where data was expected, {shown}", code=code)


def _is_bot_check(page: str, title: str, *, asked_for: bool) -> bool:
    if _CHALLENGE_TITLE.search(title) or "cf-chl" in page or "cf_chl" in page:
        return True
    # An article may speak of captchas; a challenge is short.
    short = len(page) <= 20_000  # noqa: PLR2004 -- no challenge page seen was longer
    return not asked_for and short and http.BOT_CHECK.search(page) is not None


def _is_login(page: str, title: str, *, asked_for: bool) -> bool:
    says_so = _SIGN_IN.search(title) is not None
    password = _PASSWORD.search(page) is not None
    if asked_for:  # many a page has a login box in its corner
        return says_so and (password or _SSO.search(page) is not None)
    form = _FORM.search(page)
    signs_in = form is not None and _SIGN_IN.search(form[1]) is not None
    return password or signs_in or _SSO.search(page) is not None


def _page(kind: Kind, message: str, *, code: str = "") -> Finding:
    return Finding(kind=kind, message=message, code=code, phase=Phase.RECEIVED)


def _as_refusal(value: Mapping[str, object]) -> Finding | None:
    """Read a refusal that came as data: problem+json, `ok: false`, GraphQL and JSON-RPC errors."""
    status = _embedded_status(value)
    if status:
        answer = http.Answer(status, headers={}, body=json.dumps(value, default=str), host="")
        return http.read(answer)
    if not _says_no(value):
        return None
    codes = list(http.codes_in(value))
    kinds = ((http.by_code(code), code) for code in codes)
    kind, code = next(
        ((kind, code) for kind, code in kinds if kind), (None, codes[0] if codes else "")
    )
    reason = http.reason_in(value) or http.reason_in(value.get("errors")) or "no reason given"
    kind = kind or model.by_words(reason) or words.by_words(reason) or Kind.ERROR_TEXT
    head = f"the answer is a refusal {code}".rstrip()
    return Finding(
        kind=kind,
        message=f"{head}: {visible(reason, limit=500)}" if reason != code else head,
        code=code,
        phase=Phase.RECEIVED,
        # GraphQL: where some of the data came back, some of the mutation may have happened.
        answered=kind not in _UNSURE and not fields(value.get("data")),
    )


def _embedded_status(value: Mapping[str, object]) -> int:
    """Return the status of an answer that carries its failure as data, else 0."""
    problem = value.get("status") if "title" in value or "detail" in value else None
    for status in (value.get("statusCode"), problem):
        if isinstance(status, int) and _CLIENT_ERRORS <= status <= _STATUS_LAST:
            return status
    return 0


def _says_no(value: Mapping[str, object]) -> bool:
    if value.get("ok") is False or value.get("success") is False:
        return True
    if items(value.get("errors")) and ("data" in value or set(value) <= {"errors", "extensions"}):
        return True
    error = value.get("error")
    if fields(error):
        return value.get("result") is None and value.get("data") is None
    return isinstance(error, str) and bool(error) and set(value) <= _ERROR_COMPANIONS


def _as_text(tool: Tool, text: str) -> Finding | None:
    if text.lstrip().startswith("<") and (
        match := re.search(r"<Error>\s*<Code>(\w{1,80})", text[:1_000])
    ):
        return Finding(
            kind=http.by_code(match[1]) or Kind.ERROR_TEXT,
            message=visible(text, limit=500),
            code=match[1],
            phase=Phase.RECEIVED,
        )
    if len(text) < WORDS_CHARACTERS_MAX and ERROR_TEXT.match(text):
        return _as_error_text(text)
    wants_data = tool.output is not None and not drift.accepts(tool.output, "string")
    if (wants_data or not tool.local) and _ends_inside(text, sure=wants_data):
        return Finding(
            kind=Kind.TRUNCATED,
            message=f"JSON ends inside a value: {visible(text[-80:], limit=100)}",
            phase=Phase.RECEIVED,
        )
    return None


def _as_error_text(text: str) -> Finding:
    last = text.strip().rpartition("\n")[2] if "Traceback" in text[:40] else text
    found = words.in_text(last)
    return Finding(
        kind=found.kind if found else Kind.ERROR_TEXT,
        message=visible(text if len(text) <= len(last) else last),
        code=found.code if found else "",
        phase=found.phase if found else Phase.UNKNOWN,
        answered=found.answered if found else False,
    )


def _ends_inside(text: str, *, sure: bool) -> bool:
    """Whether a JSON text stops before it is complete (a log line in brackets is no JSON)."""
    head = text.lstrip()[:3]
    if not head.startswith(("{", "[") if sure else ('{"', "[{", "{\n", "{ ")):
        return False
    try:
        json.JSONDecoder().raw_decode(text.lstrip())
    except json.JSONDecodeError as error:
        rest = text.lstrip()[error.pos :].strip()
        word = any(whole.startswith(rest) for whole in ("true", "false", "null", "-"))
        return error.msg.startswith("Unterminated") or word
    except RecursionError:
        return False
    return False


def _as_output(tool: Tool, value: object, meaning: object) -> Finding | None:
    if tool.output is None:
        return None
    subject = meaning if meaning is not None and not drift.accepts(tool.output, "string") else value
    found = drift.differences(tool.output, subject)
    if not found:
        return None
    message = f"the result does not fit what `{tool.name}` declares: {'; '.join(found)}"
    return Finding(kind=Kind.SCHEMA, message=message, phase=Phase.RECEIVED)
