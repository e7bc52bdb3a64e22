"""When the other side said to come back, in seconds.

Rule 1: a date is read against the `Date` header of the same answer; our own clock is not asked.
Rule 2: what is invalid or in the past is as good as nothing.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from standpipe.outcomes.reading import Link, body as body_of, headers as headers_of

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# RFC 9110 5.6.7: IMF-fixdate and RFC 850 put the day before the month, asctime after it.
_DAY_FIRST = re.compile(
    r"[a-z]{3,9}, (\d{2})[ -]([a-z]{3})[ -](\d{2}|\d{4}) (\d{2}):(\d{2}):(\d{2}) gmt", re.IGNORECASE
)
_ASCTIME = re.compile(
    r"[a-z]{3} ([a-z]{3}) ([ \d]\d) (\d{2}):(\d{2}):(\d{2}) (\d{4})", re.IGNORECASE
)
_DURATION = re.compile(
    r"(?:(\d{1,5})h)?(?:(\d{1,5})m(?!s))?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,9}(?:\.\d{1,9})?)ms)?"
)
# `retryDelay` is google.rpc.RetryInfo; `retry_after` is what chat services put into the body.
_IN_BODY = re.compile(
    r"['\"]retry_?(?:delay|after)(?:_?(ms|millis))?['\"]\s{0,4}:\s{0,4}['\"]?(\d{1,9}(?:\.\d{1,9})?)s?['\"]?\s{0,4}[,}\]\n]"
)
_WORDS = re.compile(
    r"(?:try again|retry|retrying|wait)(?: (?:again|in|after|for|at least)){0,3} (?:another )?((?:\d{1,6}(?:\.\d{1,6})? ?(?:hours?|h|minutes?|mins?|m|ms|milliseconds?|seconds?|secs?|s)\b ?|\d{1,6}(?:\.\d{1,6})?(?:h|m|s)(?=\d)){1,3})"
)
_PART = re.compile(r"(\d{1,6}(?:\.\d{1,6})?) ?([a-z]{1,2})")
_UNIT_SECONDS = {"ms": 0.001, "mi": 60.0, "m": 60.0, "h": 3600.0, "ho": 3600.0, "s": 1.0, "se": 1.0}
_HINTS = ("retry", "try again", "wait")
# draft-ietf-httpapi-ratelimit-headers: `limit=100, remaining=0, reset=30` or `"default";r=0;t=30`.
_LEFT = re.compile(r"\b(?:remaining|r)=(\d{1,12})")
_RESET_IN = re.compile(r"\b(?:reset|t)=(\d{1,9})")
# A header that somebody wrote into a text; a date there has no `Date` beside it to be read against.
_HEADER = re.compile(
    r"\bretry-after['\"]?\s{0,2}[:=]\s{0,2}['\"]?(\d{1,9}(?:\.\d{1,3})?)\b", re.IGNORECASE
)
_BODY_CHARACTERS_MAX = 8_000
_EPOCH_FROM = 1_000_000_000  # a smaller number is a delta: nobody waits 31 years
_MILLIS_FROM = 100_000_000_000
_EPOCH_TO = 32_503_680_000  # the year 3000
_YEAR_OF_CENTURY = 100
_PIVOT = 70


def retry_after_seconds(
    headers: Mapping[str, str], *, body: str = "", limited: bool = False
) -> float | None:
    """Return how long the other side asked to be left alone.

    headers: with lower case names. limited: the answer is a rate limit, so that its reset headers
    are meant; they also stand in answers that limit nothing.
    """
    told = _explicit(headers) if headers else None
    if told is None and limited and headers:
        told = _reset(headers)
    return _in_body(body) if told is None and body else told


def told_in(text: str) -> float | None:
    """Return what an error in words says about waiting."""
    return _in_body(text)


def told_by(links: Iterable[Link]) -> float | None:
    """Return what an exception says about waiting that is no HTTP answer."""
    for link in links:
        said = _number(str(link.fault.attributes.get("retry_after", "")))
        if said is None:
            body = body_of(link.fault) or link.message
            said = retry_after_seconds(headers_of(link.fault), body=body, limited=True)
        if said is not None:
            return said
    return None


def _explicit(headers: Mapping[str, str]) -> float | None:
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        milliseconds = _number(headers.get(name, ""))
        if milliseconds is not None:
            return milliseconds / 1000
    text = headers.get("retry-after", "").strip()
    seconds = _number(text)
    return seconds if seconds is not None else _until(_http_date(text), headers)


def _reset(headers: Mapping[str, str]) -> float | None:
    found = [seconds for seconds in _resets(headers) if seconds is not None]
    return max(found, default=None)


def _resets(headers: Mapping[str, str]) -> Iterator[float | None]:
    for name, value in headers.items():
        if name == "ratelimit":
            yield _structured(value)
        if "limit" not in name or "reset" not in name:
            continue
        left = headers.get(name.replace("reset-after", "reset").replace("reset", "remaining"), "0")
        if left.strip().partition(".")[0] in ("0", ""):
            yield _moment_or_delta(value.strip(), headers)


def _structured(value: str) -> float | None:
    left, reset = _LEFT.search(value), _RESET_IN.search(value)
    return float(reset[1]) if reset and (left is None or int(left[1]) == 0) else None


def _moment_or_delta(value: str, headers: Mapping[str, str]) -> float | None:
    seconds = _number(value)
    if seconds is None:
        return _duration(value) or _until(_rfc3339(value), headers)
    if seconds < _EPOCH_FROM:
        return seconds
    epoch = seconds / 1000 if seconds >= _MILLIS_FROM else seconds
    moment = datetime.fromtimestamp(epoch, UTC) if epoch < _EPOCH_TO else None
    return _until(moment, headers)


def _in_body(body: str) -> float | None:
    text = body[:_BODY_CHARACTERS_MAX].lower()
    if not any(word in text for word in _HINTS):
        return None
    if match := _IN_BODY.search(text):
        return float(match[2]) * (0.001 if match[1] else 1.0)
    if match := _HEADER.search(text):
        return float(match[1])
    if match := _WORDS.search(text):
        parts = _PART.findall(match[1])
        return sum(float(number) * _UNIT_SECONDS.get(unit, 0.0) for number, unit in parts) or None
    return None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _duration(text: str) -> float | None:
    """Read `6m0s`, `1.5s`, `200ms`."""
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def _until(moment: datetime | None, headers: Mapping[str, str]) -> float | None:
    now = _http_date(headers.get("date", "").strip())
    if moment is None or now is None:
        return None
    # HTTP dates have a resolution of one second: the moment may be almost a second later.
    seconds = (moment - now + timedelta(seconds=1)).total_seconds()
    return seconds if seconds > 0 else None


def _rfc3339(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _http_date(text: str) -> datetime | None:
    if match := _DAY_FIRST.fullmatch(text):
        day, month, year, *clock = match.groups()
    elif match := _ASCTIME.fullmatch(text):
        month, day, *clock, year = match.groups()
    else:
        return None
    hour, minute, second = (int(part) for part in clock)
    try:
        return datetime(
            _year(int(year)), _MONTHS.index(month.lower()) + 1, int(day), hour, minute,
            min(second, 59), tzinfo=UTC,
        )  # fmt: skip
    except ValueError:
        return None


def _year(year: int) -> int:
    if year >= _YEAR_OF_CENTURY:
        return year
    return year + (1900 if year >= _PIVOT else 2000)
