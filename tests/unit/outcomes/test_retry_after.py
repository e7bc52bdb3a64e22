from collections.abc import Mapping

import pytest

from standpipe.actions import Effect, Returned, Tool
from standpipe.outcomes.classify import judge
from standpipe.outcomes.outcome import Failed, Kind
from standpipe.outcomes.retry_after import retry_after_seconds

DATE = "Sun, 22 Nov 2026 07:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Sun, 22 Nov 2026 07:00:09 GMT", "date": DATE}, 10),
        ({"retry-after": "Sunday, 22-Nov-26 07:00:09 GMT", "date": DATE}, 10),
        ({"retry-after": "Sun Nov 22 07:00:09 2026", "date": DATE}, 10),
        ({"retry-after": "Sun, 22 Nov 2026 06:00:00 GMT", "date": DATE}, None),
        ({"retry-after": "Sun, 22 Nov 2026 07:00:09 GMT"}, None),
        ({"retry-after": "Sun, 99 Nov 2026 07:00:09 GMT", "date": DATE}, None),
        ({"x-ratelimit-reset": "12"}, 12),
        ({"x-ratelimit-reset": "1795330830", "date": DATE}, 31),
        ({"x-ratelimit-reset": "1795330830000", "date": DATE}, 31),
        ({"x-ratelimit-reset": "99999999999999999999", "date": DATE}, None),
        ({"x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "0"}, 360),
        ({"x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "900"}, None),
        ({"x-ratelimit-reset-requests": "120ms", "x-ratelimit-remaining-requests": "0"}, 0.12),
        ({"x-rate-limit-reset": "1795330830", "date": DATE}, 31),
        ({"x-ratelimit-reset-after": "1.5", "x-ratelimit-remaining": "0"}, 1.5),
        ({"x-ratelimit-reset-after": "1.5", "x-ratelimit-remaining": "4"}, None),
        ({"x-ms-retry-after-ms": "1500"}, 1.5),
        ({"ratelimit": "limit=100, remaining=0, reset=30"}, 30),
        ({"ratelimit": '"default";r=0;t=30'}, 30),
        ({"ratelimit": '"default";r=5;t=30'}, None),
        ({"retry-after": "-1", "x-ratelimit-reset": "12"}, 12),
        ({"anthropic-ratelimit-tokens-reset": "2026-11-22T07:00:30Z", "date": DATE}, 31),
    ],
)
def test_what_the_server_asked_for_is_read_against_its_own_clock(
    headers: Mapping[str, str], seconds: float | None
) -> None:
    assert retry_after_seconds(headers, limited=True) == seconds


def test_reset_headers_of_an_answer_that_limits_nothing_are_not_a_wait() -> None:
    assert retry_after_seconds({"x-ratelimit-reset": "12"}) is None


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ('{"retryDelay": "13s"}', 13),
        ("Please try again in 13.014s.", 13.014),
        ("Please try again in 20ms.", 0.02),
        ("try again in 2 minutes", 120),
        ("Please try again in 1m12.5s.", 72.5),
        ("Retry after 30 seconds", 30),
        ("Please wait 5 seconds", 5),
        ("please retry in 1 hour", 3600),
        ('{"message": "slow", "retry_after": 1.3}', 1.3),
        ("{'retry_after_ms': 250}", 0.25),
        ("retry the 3 steps", None),
        ("try again tomorrow", None),
    ],
)
def test_a_body_may_say_when(body: str, seconds: float | None) -> None:
    assert retry_after_seconds({}, body=body, limited=True) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Error: HTTP Error 429: Too Many Requests Retry-After: 3 {}", 3.0),
        ("Error: 429, {'retry-after': '2.5'}", 2.5),
        ("Error: rate limited, please retry after 20 seconds", 20.0),
        ("Error: HTTP 429 Retry-After: Sun, 22 Nov 2026 19:00:00 GMT", None),
    ],
)
def test_an_error_in_words_may_say_how_long_to_wait(text: str, seconds: float | None) -> None:
    found = judge(Tool(name="look", effect=Effect.READ), Returned(text))
    assert isinstance(found, Failed)
    assert (found.kind, found.retry_after_seconds) == (Kind.RATE_LIMITED, seconds)
