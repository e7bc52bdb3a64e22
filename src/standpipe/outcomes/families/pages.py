"""Pages: an HTML page where data was expected is a login form, a check for robots, or somebody's error.

Rule 1: a page is data where a page was asked for; a login form or a challenge is data nowhere.
Rule 2: an article may speak of captchas and have a login box in its corner; the title decides there.
"""

import re

from standpipe.outcomes.families import http
from standpipe.outcomes.finding import Finding, visible
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import fields, title_of

PAGE_CHARACTERS_MAX = 200_000
CHALLENGE_CHARACTERS_MAX = 20_000  # no challenge page seen was longer
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


def page_in(value: object) -> str:
    """Return the HTML page in a result, be it the whole or the body of an answer."""
    answer = fields(value)
    if "status" in answer or "status_code" in answer:
        value = next((answer[key] for key in ("body", "text", "content") if key in answer), "")
    if isinstance(value, str) and _PAGE.match(value[:1_000]):
        return value[:PAGE_CHARACTERS_MAX]
    return ""


def find(page: str, *, asked_for: bool = False) -> Finding | None:
    """Say what a page is that came back; None: it is what was asked for."""
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
    short = len(page) <= CHALLENGE_CHARACTERS_MAX
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
