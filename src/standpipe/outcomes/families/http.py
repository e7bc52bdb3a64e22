"""HTTP answers: the code in the body, then the sentence in the body, then the status.

Rule 1: body before status. A 429 may be a quota, a 403 a rate limit, a 400 an overflow, a 200 anything.
Rule 2: a 4xx (but not 408) is an answer: what was asked did not happen. A 5xx is none.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice

from standpipe.actions import Fault
from standpipe.outcomes.families import model
from standpipe.outcomes.finding import Finding, visible
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import (
    body,
    called,
    fields,
    headers,
    host_of,
    items,
    json_of,
    number,
    title_of,
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
# Compared without case and punctuation; the first pattern that is found in a code decides.
CODES = (
    (re.compile(r"carderror|carddeclined|insufficientfunds"), Kind.BAD_INPUT),
    (re.compile(r"insufficientquota|spendlimit|dailylimitexceeded|quotaexhausted"), Kind.QUOTA),
    (re.compile(r"throttl|ratelimit|toomanyrequests|requestlimitexceeded"), Kind.RATE_LIMITED),
    (re.compile(r"slowdown|serviceunavailable|^unavailable$|overloaded"), Kind.OVERLOADED),
    (
        re.compile(
            r"expired.*token|token.*(?:expired|revoked)|(?:invalid|revoked).*token|invalidauth|notauthed"
            r"|^unauthenticated$|^unauthorized$|invalidclienttokenid|signaturedoesnotmatch"
            r"|invalid(?:api)?key|authenticationfailed|invalidgrant|badcredentials|invalidaccesskeyid"
        ),
        Kind.CREDENTIAL,
    ),
    (
        re.compile(
            r"accessdenied|permissiondenied|^forbidden$|insufficientscope|missingscope|notauthorized"
        ),
        Kind.FORBIDDEN,
    ),
    (
        re.compile(r"nosuch(?:key|bucket|entity)|resourcenotfound|^notfound$|resourcemissing"),
        Kind.NOT_FOUND,
    ),
    (
        re.compile(
            r"conflict|staleversion|alreadyexists|preconditionfailed|conditionalcheckfailed"
        ),
        Kind.CONFLICT,
    ),
    (
        re.compile(
            r"invalidargument|validation|badrequest|baduserinput|invalidparam|invalidrequest"
        ),
        Kind.BAD_INPUT,
    ),
    (re.compile(r"^internal(?:server)?error$|^internal$|deadlineexceeded"), Kind.SERVER_ERROR),
)
CODE_KEYS = ("code", "type", "error", "error_code", "errorCode", "__type", "reason", "status")
REASON_KEYS = (
    "message",
    "error_description",
    "detail",
    "title",
    "error",
    "errorMessage",
    "Message",
)
BOT_CHECK = re.compile(
    r"cf-chl|cf_chl|<title>\s{0,20}(?:just a moment|attention required)|verify(?:ing)? (?:that )?you are (?:a )?human"
    r"|are you a robot|g-recaptcha|h-captcha|\bcaptcha\b",
    re.IGNORECASE,
)
_CODE_WORD = re.compile(r"[\w.:#/-]{2,80}")
_SAYS_NOTHING = ("error", "about:blank", "fail", "failed", "failure")
_XML_CODE = re.compile(r"<Code>\s{0,20}([\w.]{1,80})\s{0,20}</Code>")
_XML_MESSAGE = re.compile(r"<Message>([^<]{1,500})")
_CHALLENGE = re.compile(r"\b(error|error_description|scope)=\"([^\"]{1,300})\"")
_LOGIN = re.compile(r"log-?in|sign-?in|/sso|/auth|saml|oauth", re.IGNORECASE)
_PER_PERIOD = re.compile(r"per ?day|per ?month|daily|monthly", re.IGNORECASE)
_NOTHING_DONE = {501, 505}
_SERVER_ERRORS, _CLIENT_ERRORS, _REDIRECTS, _LAST = 500, 400, 300, 600
_CODES_MAX = 20
_VOICED = ("urllib.HTTPError",)  # their status is called `code`


class Answer:
    """One HTTP answer as far as it tells why."""

    __slots__ = ("body", "codes", "headers", "host", "meaning", "status")

    def __init__(self, status: int, *, headers: Mapping[str, str], body: str, host: str) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.host = host
        self.meaning = json_of(body)
        self.codes = list(islice(codes_in(self.meaning, body), _CODES_MAX))


def find(fault: Fault) -> Finding | None:
    """Read a fault that carries an HTTP status."""
    status = number(fault, "status_code", "status")
    if status is None and any(name in _VOICED for name in called(fault)):
        status = number(fault, "code")
    if status is None or not _REDIRECTS <= status < _LAST:
        return None
    host = host_of(fault.url)
    return read(
        Answer(status, headers=headers(fault), body=body(fault) or fault.message, host=host)
    )


def read(answer: Answer) -> Finding:
    """Say what an HTTP answer of 3xx, 4xx or 5xx means."""
    kind, code = _kind(answer)
    limited = kind in (Kind.RATE_LIMITED, Kind.OVERLOADED)
    return Finding(
        kind=kind,
        message=_message(answer, code),
        code=code or str(answer.status),
        phase=Phase.RECEIVED,
        host=answer.host,
        retry_after_seconds=retry_after_seconds(
            answer.headers, body=answer.body if limited else "", limited=limited
        ),
        answered=_is_answer(answer, kind),
    )


def by_code(code: str) -> Kind | None:
    """Return what a code word of an API means."""
    bare = re.sub(r"[^a-z0-9]", "", code.lower())
    found = next((kind for pattern, kind in CODES if pattern.search(bare)), None)
    return model.by_code(code) or found


def by_status(status: int) -> Kind:
    """Return what a bare status means."""
    if status in STATUS:
        return STATUS[status]
    if status >= _SERVER_ERRORS:
        return Kind.SERVER_ERROR
    return Kind.BAD_INPUT if status >= _CLIENT_ERRORS else Kind.OTHER


def codes_in(value: object, text: str = "", *, depth: int = 5) -> Iterator[str]:
    """Yield the code words of a decoded body, the most specific level first."""
    if match := _XML_CODE.search(text):
        yield match[1]
    if depth == 0:
        return
    if rows := items(value):
        yield from codes_in(rows[0], depth=depth - 1)
    told = fields(value)
    for key in ("error", "errors", "extensions", "details"):
        yield from codes_in(told.get(key), depth=depth - 1)
    for key in CODE_KEYS:
        word = told.get(key)
        if isinstance(word, str) and _CODE_WORD.fullmatch(word) and word not in _SAYS_NOTHING:
            yield word.rpartition("#")[2].rpartition("/")[2]


def reason_in(value: object, *, depth: int = 3) -> str:
    """Return the sentence of a decoded body that says why."""
    if isinstance(value, str):
        return value
    if depth == 0:
        return ""
    if rows := items(value):
        return reason_in(rows[0], depth=depth - 1)
    told = fields(value)
    nested = reason_in(told.get("error"), depth=depth - 1)
    if nested and isinstance(told.get("error"), Mapping):
        return nested
    found = (told.get(key) for key in REASON_KEYS)
    return next((text for text in found if isinstance(text, str) and text), nested)


def _kind(answer: Answer) -> tuple[Kind, str]:
    if answer.headers.get("cf-mitigated") == "challenge" or _is_bot_check(answer):
        return Kind.BOT_CHECK, ""
    for code in answer.codes:
        if code.upper() == "RESOURCE_EXHAUSTED":
            lasting = _PER_PERIOD.search(answer.body)
            return (Kind.QUOTA if lasting else Kind.RATE_LIMITED), code
        if kind := _fitting(by_code(code), answer.status):
            return kind, code
    return _without_code(answer)


def _without_code(answer: Answer) -> tuple[Kind, str]:
    challenge = dict(_CHALLENGE.findall(answer.headers.get("www-authenticate", "")))
    if challenge.get("error") == "insufficient_scope":
        return Kind.FORBIDDEN, "insufficient_scope"
    shown = answer.codes[0] if answer.codes else challenge.get("error", "")
    if answer.status < _CLIENT_ERRORS:
        login = _LOGIN.search(answer.headers.get("location", ""))
        return (Kind.LOGIN_PAGE if login else Kind.OTHER), shown
    if answer.status == 403 and _is_rate_limit(answer):  # noqa: PLR2004 -- GitHub's rate limit
        return Kind.RATE_LIMITED, shown
    by_words = model.by_words(answer.body) if answer.status in (400, 402, 403, 413, 429) else None
    return by_words or by_status(answer.status), shown


def _fitting(kind: Kind | None, status: int) -> Kind | None:
    """Drop a code that says less than the status, or contradicts it."""
    if kind is Kind.BAD_INPUT and status != 402:  # noqa: PLR2004 -- a declined card is not our quota
        return None  # `invalid_request_error` stands in bodies of 400, 401, 404 and 429 alike
    if kind is Kind.SERVER_ERROR and status < _SERVER_ERRORS:
        return None
    return kind


def _is_bot_check(answer: Answer) -> bool:
    page = answer.body[:5_000].lstrip()
    return page.startswith("<") and BOT_CHECK.search(page) is not None


def _is_rate_limit(answer: Answer) -> bool:
    return (
        "secondary rate limit" in answer.body.lower()
        or "retry-after" in answer.headers
        or answer.headers.get("x-ratelimit-remaining", "").strip() == "0"
    )


def _is_answer(answer: Answer, kind: Kind) -> bool:
    refused = _CLIENT_ERRORS <= answer.status < _SERVER_ERRORS and answer.status != 408  # noqa: PLR2004 -- request timeout
    if not refused and answer.status not in _NOTHING_DONE:
        return False
    # A 409 about the idempotency key says that the first call is still under way, or came through.
    return not (kind is Kind.CONFLICT and re.search(r"idempoten", answer.body, re.IGNORECASE))


def _message(answer: Answer, code: str) -> str:
    head = f"HTTP {answer.status}"
    if code and code != str(answer.status):
        head += f" {code}"
    if answer.host:
        head += f" from {answer.host}"
    reason = visible(_reason(answer), limit=500)
    return f"{head}: {reason}" if reason and reason != code else head


def _reason(answer: Answer) -> str:
    challenge = dict(_CHALLENGE.findall(answer.headers.get("www-authenticate", "")))
    if match := _XML_MESSAGE.search(answer.body):
        return match[1]
    if answer.body.lstrip().startswith("<"):
        return title_of(answer.body)
    if said := reason_in(answer.meaning):
        return said
    return challenge.get("error_description", "") or ("" if answer.meaning else answer.body)
