"""What a template must keep and what it must drop, whatever the values are."""

import string
from collections.abc import Mapping
from datetime import datetime

import pytest
from hypothesis import given, strategies as st

from standpipe.governor import literals, masks
from standpipe.governor.fingerprint import (
    HOLE,
    INPUT_CHARACTERS_MAX,
    TEMPLATE_CHARACTERS_MAX,
    fingerprints,
    template,
)
from standpipe.outcomes.outcome import Failed, Kind
from standpipe.outcomes.reading import fields, items

WORDS = st.text(string.ascii_letters, min_size=1, max_size=12)
NAMES = st.builds("".join, st.tuples(WORDS, st.sampled_from(["", "-", "_", "."]), WORDS)).filter(
    lambda name: name.lower() not in masks.ORDINARY
)
IDS = st.one_of(
    st.uuids().map(str),
    st.integers(0, 10**18).map(str),
    st.binary(min_size=8, max_size=20).map(lambda raw: "0x" + raw.hex()),
    st.builds(
        "{}-{}".format,
        st.text(string.ascii_letters, min_size=7, max_size=12),
        st.integers(1, 10**6),
    ),
)
TIMES = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2099, 1, 1)).flatmap(  # noqa: DTZ001 -- only their spelling counts
    lambda moment: st.sampled_from(
        [
            moment.isoformat(),
            f"{moment.isoformat(timespec='milliseconds')}Z",
            moment.strftime("%Y-%m-%d %H:%M:%S"),
            moment.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        ]
    )
)
PATHS = st.lists(WORDS, min_size=1, max_size=5).flatmap(
    lambda parts: st.sampled_from(["/" + "/".join(parts), "./" + "/".join(parts), "~/" + "/".join(parts)])
)  # fmt: skip
STATUSES = st.sampled_from(
    [400, 401, 403, 404, 408, 409, 410, 413, 422, 429, 500, 502, 503, 504, 529]
)
PIECES = st.one_of(WORDS, IDS, PATHS, TIMES, st.sampled_from(["'a b'", "HTTP 404"]))
SMALL = st.integers(0, 99_999)

CLASSES = [
    "HTTP {} from the other side",
    "HTTP/1.1 {} at the door",
    "status code {}",
    "request failed with status {}",
    "Error code: {} - no",
    "[Errno {}] it went wrong",
    "returned non-zero exit status {}.",
    "curl: ({}) no way",
    "exit code {}",
    "MCP error -{}: no",
    '{{"error": {{"code": {}, "id": "x-1"}}}}',
    "{{'status': {}, 'request_id': 'a'}}",
]
SITUATIONS = [
    "no such column: {}",
    "UNIQUE constraint failed: {}",
    "relation {} does not exist",
    "table {} already exists",
    "{}() missing 1 required positional argument: 'a'",
    "name {} is not defined",
    "name '{}' is not defined",
    "module '{}' has no attribute 'b'",
    'relation "{}" does not exist',
    "bash: line 1: {}: command not found",
    "cannot create directory \u2018{}\u2019: File exists",
    "Error: No such option: --{}",
]


# Each was among the slowest of a fuzz run of some version.
HOSTILE = [
    "{[", "'", "a.", "/", "a", HOLE, "sqlstate[23000]", '{"a":', "[1,", '["', "1 ", "1a ", "error 1 ", "nov 3 ",
    "table x not found ", "no such x: y ", "error('a b c d') ", "for name x ", "  ^\n", "\n", "\ud8001.[1,",
    '{"code": 5},', "0x80000000 ", "did you mean ", "\x1b[", "“x”", "a, b, c, ",
]  # fmt: skip


@given(IDS, IDS)
def test_an_id_never_tells_two_failures_apart(one: str, two: str) -> None:
    assert template(f"no order {one} in the book", {}) == template(
        f"no order {two} in the book", {}
    )


@given(TIMES, TIMES)
def test_a_time_never_tells_two_failures_apart(one: str, two: str) -> None:
    assert template(f"the lease ended at {one}.", {}) == template(f"the lease ended at {two}.", {})


@given(PATHS, PATHS)
def test_a_path_never_tells_two_failures_apart(one: str, two: str) -> None:
    assert template(f"cannot open {one}: busy", {}) == template(f"cannot open {two}: busy", {})


@given(NAMES, NAMES)
def test_an_argument_never_tells_two_failures_apart(one: str, two: str) -> None:
    shapes = {template(f"the shelf {name} is locked", {"shelf": name}) for name in (one, two)}
    assert shapes == {"the shelf <*> is locked"}


@given(st.sampled_from(SITUATIONS), NAMES)
def test_a_name_where_only_names_stand_is_masked_without_quotes(situation: str, name: str) -> None:
    assert template(situation.format(name), {}) == template(situation.format("xq"), {})


@given(st.sampled_from(CLASSES), STATUSES, STATUSES)
def test_another_status_or_code_is_another_failure(said: str, one: int, two: int) -> None:
    same = template(said.format(one), {"id": one}) == template(said.format(two), {"id": two})
    assert same == (one == two)


@given(SMALL, SMALL)
def test_another_errno_is_another_failure(one: int, two: int) -> None:
    same = template(f"[Errno {one}] busy", {}) == template(f"[Errno {two}] busy", {})
    assert same == (one == two)


@given(NAMES, NAMES)
def test_a_masked_secret_is_the_same_under_any_name(one: str, two: str) -> None:
    def shape(marker: str) -> str:
        return template(f"the key [secret {marker}] was refused", {})

    assert shape(one) == shape(two) == shape("github 1a2b3c") == shape("github abcdef")


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_texts_end_in_a_short_template(piece: str) -> None:
    text = piece * (50_000_000 // len(piece) if piece == "a" else INPUT_CHARACTERS_MAX)
    assert len(template(text, {"a": text[:400], "b": piece})) <= TEMPLATE_CHARACTERS_MAX


@given(st.lists(st.sampled_from(HOSTILE), max_size=40))
def test_reading_a_literal_takes_a_bounded_number_of_steps(pieces: list[str]) -> None:
    text = "".join(pieces) * 20
    found = literals.first(text)
    assert found is None or text[found.start] in "{["
    assert found is None or _size(found.value) <= literals.TOKENS_MAX


@given(
    st.text(st.characters(), max_size=400),  # half pairs, NUL and private characters, too
    st.dictionaries(st.text(max_size=5), st.text(st.characters(), max_size=20), max_size=3),
)
def test_every_text_and_every_argument_has_a_fingerprint(text: str, arguments: Mapping[str, object]) -> None:  # fmt: skip
    marks = fingerprints("look", arguments, Failed(Kind.OTHER, text, text[:9]))
    assert marks == fingerprints("look", dict(arguments), Failed(Kind.OTHER, text, text[:9]))
    assert {len(marks.instance), len(marks.site), len(marks.cause)} == {12}


@given(st.lists(PIECES, max_size=9).map(" ".join))
def test_a_template_is_its_own_template(text: str) -> None:
    shape = template(text, {})
    assert template(shape, {}) == shape


def _size(value: object) -> int:
    inner = (*fields(value).values(), *items(value))
    return 1 + sum(map(_size, inner))
