"""Which number is a status: the kind and the fingerprint ask the same question."""

import re

import pytest

from standpipe.outcomes.families.statuses import is_status

NUMBER = re.compile(r"[1-5]\d\d")


def found(text: str) -> bool:
    match = NUMBER.search(text)
    assert match
    return is_status(text, match.start(), match.end())


@pytest.mark.parametrize(
    "text",
    [
        "http 404", "status code: 503", "the status was 429", "too many 503 error responses", "401, message='no'",
        "get /orders failed with 404", "the server returned 500", "it got 401",
        "bad answer from the shop (500)", "(404)", "404: no", "502 bad gateway", "http/1.1 302",
    ],
)  # fmt: skip
def test_a_number_beside_what_says_so_is_a_status(text: str) -> None:
    assert found(text)


@pytest.mark.parametrize(
    "text",
    [
        "411 rows", "returned 404 rows", "size (512)", "length of values (411) does not match", "filled with 404.",
        "expected many rows, got 515", "line 412: bad minute", "port 443", "took 500 ms", "returned 200",
    ],
)  # fmt: skip
def test_a_number_that_counts_is_none(text: str) -> None:
    assert not found(text)
