"""HTTP answers: the code in the body, then the sentence in the body, then the status.

Rule 1: body before status. A 429 may be a quota, a 403 a rate limit, a 400 an overflow, a 200 anything.
Rule 2: a 4xx (but not 408) is an answer: what was asked did not happen. A 5xx is none.
"""

import re
from collections.abc import Mapping
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from standpipe.outcomes.families import bodies, phrases
from standpipe.outcomes.finding import Finding, visible
from standpipe.outcomes.lexicon import folded
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import (
    Link,
    body,
    capped,
    headers,
    host_of,
    json_of,
    number,
    title_of,
    word,
)
from standpipe.outcomes.retry_after import retry_after_seconds

STATUS = {
    400: Kind.BAD_INPUT,
    401: Kind.CREDENTIAL,
    402: Kind.QUOTA,
    403: Kind.FORBIDDEN,
    404: Kind.NOT_FOUND,
    407: Kind.CREDENTIAL,
    408: Kind.SERVER_ERROR,
    409: Kind.CONFLICT,
    410: Kind.NOT_FOUND,
    412: Kind.CONFLICT,
    423: Kind.CONFLICT,
    428: Kind.CONFLICT,
    429: Kind.RATE_LIMITED,
    451: Kind.FORBIDDEN,
    501: Kind.BAD_INPUT,  # "not implemented": the server says that it did nothing
    505: Kind.BAD_INPUT,
    503: Kind.OVERLOADED,
    529: Kind.OVERLOADED,
}
BOT_CHECK = re.compile(
    r"cf-chl|cf_chl|<title>\s{0,20}(?:just a moment|attention required)|verify(?:ing)? (?:that )?you are (?:a )?human"
    r"|are you a robot|g-recaptcha|h-captcha|\bcaptcha\b",
    re.IGNORECASE,
)
_CHALLENGE = re.compile(r"\b(error|error_description|scope)=\"([^\"]{1,300})\"")
_CREDENTIALS = (Kind.CREDENTIAL, Kind.FORBIDDEN)
# GitHub says in headers which scopes a call wants.
_SCOPE_HEADERS = ("x-accepted-oauth-scopes",)
_LOGIN = re.compile(r"log-?in\b|sign-?in\b|/sso\b|/auth(?:\b|orize)|saml|oauth", re.IGNORECASE)
_LIMITS = (Kind.RATE_LIMITED, Kind.OVERLOADED)
_RATE_LIMIT = re.compile(r"secondary rate limit|rate limit (?:has been )?exceeded", re.IGNORECASE)
_PER_PERIOD = re.compile(r"per ?day|per ?month|daily|monthly", re.IGNORECASE)
_IDEMPOTENCY = re.compile(r"idempoten", re.IGNORECASE)
# What names itself by its body alone; elsewhere the status knows better.
_WORDY = (400, 402, 403, 413, 422, 429)
_NOTHING_DONE = (501, 505)
_SERVER_ERRORS, _CLIENT_ERRORS, _REDIRECTS, _LAST = 500, 400, 300, 600
_CODES_MAX = 20
_NAMES = ("status_code", "status", "http_status", "statusCode", "http_code", "status_int")
_CODE_NAMES = ("code", "error_code", "codeName", "error")  # where clients keep the code of the body
_UNREADABLE = "Bad status line"
# Their status is called `code`; elsewhere a `code` may be anything.
_VOICED = frozenset(
    (
        "urllib.HTTPError",
        "google.GoogleAPICallError",
        "tornado.HTTPError",
        "tornado.HTTPClientError",
    )
)


class Answer(Struct, frozen=True):
    """One HTTP answer as far as it tells why."""

    status: int
    headers: Mapping[str, str]
    body: str
    host: str
    meaning: object
    codes: tuple[str, ...]


def answer_of(
    status: int, *, headers: Mapping[str, str] | None = None, body: str = "", host: str = ""
) -> Answer:
    """Read what an answer holds."""
    meaning = json_of(body)
    codes = islice(bodies.codes_in(meaning, body), _CODES_MAX)
    return Answer(
        status,
        headers=headers or {},
        body=body,
        host=host,
        meaning=meaning,
        codes=tuple(codes) or (bodies.codes_shown(capped(body)) if meaning is None else ()),
    )


def find(link: Link) -> Finding | None:
    """Read a fault that carries an HTTP status."""
    status = status_of(link)
    if status is None:
        return None
    return _read(link, status)


def status_of(link: Link) -> int | None:
    """Return the status of the answer a fault carries, if it is one that says no."""
    if "aiohttp" in link.packages and _UNREADABLE in link.message:
        return None  # aiohttp says 400 where it could not read what came
    status = number(link.fault, *_NAMES)
    if status is None and not _VOICED.isdisjoint(link.names):
        status = number(link.fault, "code")
    return status if status is not None and _REDIRECTS <= status < _LAST else None


def loose(link: Link) -> Finding | None:
    """Read an exception whose `code` looks like a status, when nobody knows the exception better."""
    code = number(link.fault, "code")
    if code is None or not _CLIENT_ERRORS <= code < _LAST:
        return None
    return _read(link, code)


def read(answer: Answer) -> Finding:
    """Say what an HTTP answer of 3xx, 4xx or 5xx means."""
    found = verdict(answer)
    code = found.code if found.code != str(answer.status) else ""
    return replace(found, message=_message(answer, found.kind, code))


def verdict(answer: Answer) -> Finding:
    """Say what an answer means, without a sentence for it."""
    kind, code = _kind(answer)
    limited = kind in _LIMITS
    return Finding(
        kind=kind,
        code=code or str(answer.status),
        phase=Phase.RECEIVED,
        host=answer.host,
        retry_after_seconds=retry_after_seconds(
            answer.headers, body=answer.body if limited else "", limited=limited
        ),
        answered=_is_answer(answer, kind),
    )


def _read(link: Link, status: int) -> Finding:
    said = body(link.fault) or link.message
    answer = answer_of(status, headers=headers(link.fault), body=said, host=host_of(link.fault.url))
    code = word(link.fault, *_CODE_NAMES)
    if bodies.is_code(code):
        answer = replace(answer, codes=(code, *answer.codes))
    return read(answer)


def by_status(status: int) -> Kind:
    """Return what a bare status means."""
    if status in STATUS:
        return STATUS[status]
    if status >= _SERVER_ERRORS:
        return Kind.SERVER_ERROR
    return Kind.BAD_INPUT if status >= _CLIENT_ERRORS else Kind.OTHER


def _kind(answer: Answer) -> tuple[Kind, str]:
    if answer.headers.get("cf-mitigated") == "challenge" or _is_bot_check(answer):
        return Kind.BOT_CHECK, ""
    for code in answer.codes:
        if code.upper() == "RESOURCE_EXHAUSTED":
            lasting = _PER_PERIOD.search(answer.body)
            return (Kind.QUOTA if lasting else Kind.RATE_LIMITED), code
        if kind := _fitting(bodies.by_code(code), answer.status):
            return kind, code
    return _without_code(answer)


def _without_code(answer: Answer) -> tuple[Kind, str]:
    challenge = _challenge(answer)
    if challenge.get("error") == "insufficient_scope":
        return Kind.FORBIDDEN, "insufficient_scope"
    shown = answer.codes[0] if answer.codes else challenge.get("error", "")
    if answer.status < _CLIENT_ERRORS:
        login = _LOGIN.search(answer.headers.get("location", ""))
        return (Kind.LOGIN_PAGE if login else Kind.OTHER), shown
    if answer.status == 403 and _is_rate_limit(answer):  # noqa: PLR2004 -- GitHub's rate limit
        return Kind.RATE_LIMITED, shown
    said = phrases.of_model(folded(answer.body)) if answer.status in _WORDY else None
    return said or by_status(answer.status), shown


def _fitting(kind: Kind | None, status: int) -> Kind | None:
    """Drop a code that says less than the status, or contradicts it."""
    if kind is Kind.BAD_INPUT and status != 402:  # noqa: PLR2004 -- a declined card is not our quota
        return None  # `invalid_request_error` stands in bodies of 400, 401, 404 and 429 alike
    if kind is Kind.SERVER_ERROR and by_status(status) is not Kind.SERVER_ERROR:
        return None
    # A server that gave up waiting has answered; `timed_out` is for what never came.
    return None if kind is Kind.TIMED_OUT else kind


def _is_bot_check(answer: Answer) -> bool:
    if not answer.body[:100].lstrip().startswith("<"):
        return False
    return BOT_CHECK.search(answer.body[:5_000]) is not None


def _is_rate_limit(answer: Answer) -> bool:
    return (
        _RATE_LIMIT.search(answer.body) is not None
        or "retry-after" in answer.headers
        or answer.headers.get("x-ratelimit-remaining", "").strip() == "0"
    )


def _is_answer(answer: Answer, kind: Kind) -> bool:
    refused = _CLIENT_ERRORS <= answer.status < _SERVER_ERRORS and answer.status != 408  # noqa: PLR2004 -- request timeout
    if not refused and answer.status not in _NOTHING_DONE:
        return False
    # A 409 about the idempotency key says that the first call is still under way, or came through.
    return not (kind is Kind.CONFLICT and _IDEMPOTENCY.search(answer.body))


def _message(answer: Answer, kind: Kind, code: str) -> str:
    head = f"HTTP {answer.status}"
    if code and code != str(answer.status):
        head += f" {code}"
    if answer.host:
        head += f" from {answer.host}"
    reason = visible(_reason(answer), limit=500)
    says_more = reason and reason not in (code, f"HTTP {answer.status}")
    told = f"{head}: {reason}" if says_more else head
    needs = _needs(answer) if kind in _CREDENTIALS else ""
    return f"{told} ({needs})" if needs and needs not in told else told


def _reason(answer: Answer) -> str:
    if match := bodies.XML_REASON.search(answer.body):
        return match[1]
    if answer.body[:100].lstrip().startswith("<"):
        return title_of(answer.body)
    if said := bodies.reason_in(answer.meaning):
        return said
    described = _challenge(answer).get("error_description", "")
    return described or ("" if answer.meaning else answer.body)


def _needs(answer: Answer) -> str:
    """Return what the server says a credential must be, so that a person knows which one to renew."""
    scope = bodies.scope_in(answer.meaning) or next(
        (answer.headers[name] for name in _SCOPE_HEADERS if answer.headers.get(name)), ""
    )
    asked = answer.headers.get("www-authenticate", "")
    if asked:
        return f"WWW-Authenticate: {visible(asked, limit=200)}"
    return f"needs `{visible(scope, limit=100)}`" if scope else ""


def _challenge(answer: Answer) -> Mapping[str, str]:
    asked = answer.headers.get("www-authenticate", "")
    return dict(_CHALLENGE.findall(asked)) if asked else {}
