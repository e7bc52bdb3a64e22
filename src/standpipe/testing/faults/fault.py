"""What a server can do to its caller, as data.

Rule 1: a fault is an answer and what happens to it on the way; either may be missing.
Rule 2: bodies and headers are templates, so that no two answers are the same text.
Rule 3: what lands is written down before anything else goes wrong.
"""

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import Literal, Self

from standpipe.clock import stamp
from standpipe.testing.faults.dialects import Answer, Trouble

HTML, JSON, TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"
LOGIN_PAGE = """<!doctype html><html><head><title>Sign in to your account</title></head><body>
<h1>Sign in</h1><form action="/session" method="post"><input name="user"><input type="password"
name="password"><button>Log in</button></form></body></html>"""
BOT_PAGE = """<!doctype html><html><head><title>Just a moment...</title></head><body>
<div id="cf-chl-widget">Checking your browser before you go on.</div></body></html>"""
OK = '{"ok": true, "id": "{uuid}"}'
ERROR = '{"error": {"code": "{status}", "message": "status {status}", "request_id": "{uuid}"}}'
_GRAPHQL = {
    "data": None,
    "errors": [{"message": "boom {uuid}", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}],
}
Form = Literal[
    "seconds", "decimal", "date", "rfc850", "asctime", "ms", "reset-epoch", "reset-delta",
    "retry-info",
]  # fmt: skip
Break = Literal["error", "silence", "cut", "reset"]
_WAYS: Mapping[Form, tuple[str, str]] = {
    "seconds": ("retry-after", "{left+S}"),
    "decimal": ("retry-after", "{decimal+S}"),
    "date": ("retry-after", "{date+S}"),
    "rfc850": ("retry-after", "{rfc850+S}"),
    "asctime": ("retry-after", "{asctime+S}"),
    "ms": ("retry-after-ms", "{ms+S}"),
    "reset-epoch": ("x-ratelimit-reset", "{epoch+S}"),
    "reset-delta": ("x-ratelimit-reset", "{left+S}"),
}
_RETRY_INFO = {
    "error": {
        "code": 429,
        "status": "RESOURCE_EXHAUSTED",
        "message": "too many requests {uuid}",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "{decimal+S}s"}
        ],
    }
}
FORMS: tuple[Form, ...] = (*_WAYS, "retry-info")


class End(StrEnum):
    """What becomes of the connection after the answer, or instead of it."""

    KEEP = "keep"
    CLOSE = "close"
    HALF_CLOSE = "half_close"  # our side is shut, theirs is read on
    RESET = "reset"
    SILENCE = "silence"  # nothing more, until one of both goes


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it would be if nothing went wrong."""

    status: int = 200
    body: str = OK
    media: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    template: bool = True


@dataclass(frozen=True, slots=True)
class Turn:
    """A provider's answer, in the dialect of the path; `breaks` says how its stream ends early."""

    step: Answer | Trouble
    breaks: Break | None = None


@dataclass(frozen=True, slots=True)
class ByModel:
    """A provider whose trouble is named by the model that is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to be answered; the class methods below are the ways there are."""

    name: str
    reply: Reply | Turn | ByModel | None = None
    end: End = End.KEEP
    early: bool = False  # acts before the body of the request is read
    lands: bool = False  # a request that changes something has its effect
    kept_share: float = 1.0  # of the body, before the connection ends
    length_error: int = 0  # added to Content-Length
    pause_seconds: float = 0.0  # before each byte
    holds_seconds: float = 0.0  # stays the step of its path for so long

    @classmethod
    def ok(cls, body: str = OK, *, media: str = JSON) -> Self:
        """Answer 200."""
        return cls(name="ok", reply=Reply(200, body, media))

    @classmethod
    def status(
        cls,
        status: int,
        *,
        body: str = ERROR,
        media: str = JSON,
        headers: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        early: bool = False,
    ) -> Self:
        """Answer with a status; `early` before the body was read (in a mail: at its recipient)."""
        wait = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
        said = body.replace("{status}", str(status))
        reply = Reply(status, said, media, {**wait, **(headers or {})})
        return cls(name=str(status), reply=reply, early=early)

    @classmethod
    def retry_after(cls, form: Form, seconds: float, *, status: int = 429) -> Self:
        """Ask for time in one of its forms, and answer so until that time is over."""
        if form == "retry-info":
            body, headers = json.dumps(_RETRY_INFO), dict[str, str]()
        else:
            name, value = _WAYS[form]
            body, headers = ERROR, {name: value}
            if name.startswith("x-"):
                headers["x-ratelimit-remaining"] = "0"
        timed = {header: _timed(text, seconds) for header, text in headers.items()}
        fault = cls.status(status, body=_timed(body, seconds), headers=timed)
        return replace(fault, name=f"retry_after {form}", holds_seconds=seconds)

    @classmethod
    def html(cls, title: str = "Bad gateway", *, status: int = 200) -> Self:
        """Answer with a page where data was expected."""
        page = (
            f"<!doctype html><html><head><title>{title}</title></head><body>{title}</body></html>"
        )
        return cls(name="html", reply=Reply(status, page, HTML))

    @classmethod
    def login(cls) -> Self:
        """Answer 200 with a form that asks for a password."""
        return cls(name="login", reply=Reply(200, LOGIN_PAGE, HTML))

    @classmethod
    def bot(cls, *, status: int = 200) -> Self:
        """Answer with a page that wants a person."""
        return cls(name="bot", reply=Reply(status, BOT_PAGE, HTML))

    @classmethod
    def wrong_type(cls, body: str = "<p>no data here</p>", *, media: str = JSON) -> Self:
        """Answer 200 with a body that is not what its content type says."""
        return cls(name="wrong_type", reply=Reply(200, body, media))

    @classmethod
    def wrong_length(cls, body: str = OK, *, by: int = 10) -> Self:
        """Say another length than was sent, and close; less than it was cuts the text unseen."""
        return cls(name="wrong_length", reply=Reply(200, body), length_error=by, end=End.CLOSE)

    @classmethod
    def cut(cls, body: str = OK) -> Self:
        """Send half of the body, and close."""
        return cls(name="cut", reply=Reply(200, body), kept_share=0.5, end=End.CLOSE)

    @classmethod
    def reset(cls) -> Self:
        """Read the whole request, then reset the connection."""
        return cls(name="reset", end=End.RESET)

    @classmethod
    def reset_early(cls) -> Self:
        """Reset the connection with the body of the request unread."""
        return cls(name="reset_early", end=End.RESET, early=True)

    @classmethod
    def half_close(cls) -> Self:
        """Shut our side with no answer, and go on reading."""
        return cls(name="half_close", end=End.HALF_CLOSE)

    @classmethod
    def silence(cls) -> Self:
        """Take the request and never answer."""
        return cls(name="silence", end=End.SILENCE)

    @classmethod
    def slow(cls, body: str = OK, *, pause_seconds: float = 0.1) -> Self:
        """Answer 200, the body byte by byte."""
        return cls(name="slow", reply=Reply(200, body), pause_seconds=pause_seconds)

    @classmethod
    def effect(cls, *, end: End = End.SILENCE) -> Self:
        """Let it happen and lose the answer; the same idempotency key again is answered."""
        return cls(name="effect", lands=True, end=end)

    @classmethod
    def effect_ok(cls, body: str = OK) -> Self:
        """Let it happen, and say so."""
        return cls(name="effect_ok", lands=True, reply=Reply(201, body))

    @classmethod
    def graphql_error(cls) -> Self:
        """Answer 200 with `errors` and no data."""
        return cls(name="graphql_error", reply=Reply(200, json.dumps(_GRAPHQL)))

    @classmethod
    def ok_false(cls, error: str = "channel_not_found") -> Self:
        """Answer 200 with `ok: false`."""
        said = {"ok": False, "error": error, "request": "{uuid}"}
        return cls(name="ok_false", reply=Reply(200, json.dumps(said)))

    @classmethod
    def problem(cls, status: int = 422, *, title: str = "the quantity is negative") -> Self:
        """Answer as RFC 9457 says."""
        said = {"type": "about:blank", "status": status, "title": title, "instance": "/{uuid}"}
        return cls(
            name="problem", reply=Reply(status, json.dumps(said), "application/problem+json")
        )

    @classmethod
    def model(cls, step: Answer | Trouble, *, breaks: Break | None = None) -> Self:
        """Answer as a provider: OpenAI's or Anthropic's as the path says, a stream if asked for."""
        named = step.kind.value if isinstance(step, Trouble) else breaks or step.stop
        return cls(name=f"model {named}", reply=Turn(step, breaks))


def _timed(template: str, seconds: float) -> str:
    return template.replace("+S", f"+{seconds:g}")


@dataclass(frozen=True, slots=True)
class Moment:
    """What templates are filled with: `started` is when the step began to be answered."""

    number: int
    now: datetime
    started: datetime


def fill(template: str, moment: Moment) -> str:
    """Fill in `{uuid} {n} {now} {epoch}`, and the forms of a time, `{date+3}`; other braces stay."""
    return _FIELD.sub(lambda found: _field(found[1], float(found[2] or 0), moment), template)


def http_date(moment: datetime) -> str:
    """Write a time as HTTP does."""
    day, month = _DAYS[moment.weekday()][:3], _MONTHS[moment.month - 1]
    return f"{day}, {moment:%d} {month} {moment:%Y %H:%M:%S} GMT"


# English whatever the locale says, so not `%a` and `%b`.
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _rfc850(moment: datetime) -> str:
    month = _MONTHS[moment.month - 1]
    return f"{_DAYS[moment.weekday()]}, {moment:%d}-{month}-{moment:%y %H:%M:%S} GMT"


def _asctime(moment: datetime) -> str:
    day, month = _DAYS[moment.weekday()][:3], _MONTHS[moment.month - 1]
    return f"{day} {month} {moment.day:2d} {moment:%H:%M:%S %Y}"


def _uuid() -> str:
    text = secrets.token_hex(16)
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


_DATES: Mapping[str, Callable[[datetime], str]] = {
    "date": http_date,
    "rfc850": _rfc850,
    "asctime": _asctime,
    "now": stamp,
    "epoch": lambda moment: str(ceil(moment.timestamp())),
}
_SPANS: Mapping[str, Callable[[float], str]] = {
    "left": lambda seconds: str(ceil(seconds)),
    "decimal": lambda seconds: f"{ceil(seconds * 1000) / 1000:.3f}",
    "ms": lambda seconds: str(ceil(seconds * 1000)),
}
_FIELD = re.compile(rf"\{{(uuid|n|{'|'.join((*_DATES, *_SPANS))})(?:\+([\d.]+))?\}}")


def _field(name: str, seconds: float, moment: Moment) -> str:
    if name == "uuid":
        return _uuid()
    if name == "n":
        return str(moment.number)
    until = moment.started.astimezone(UTC) + timedelta(seconds=seconds)
    if name in _DATES:
        return _DATES[name](until if seconds else moment.now.astimezone(UTC))
    return _SPANS[name](max((until - moment.now).total_seconds(), 0.0))
