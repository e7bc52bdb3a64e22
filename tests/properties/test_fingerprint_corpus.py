"""The sample holds two messages of each of 30 causes; the whole corpus stays outside the repository."""

import json
from pathlib import Path
from typing import Any

from hypothesis import given, strategies as st

from standpipe.actions import Effect, Fault, Tool
from standpipe.governor.fingerprint import HOLE, TEMPLATE_CHARACTERS_MAX, fingerprints, template
from standpipe.outcomes.classify import classify
from standpipe.outcomes.outcome import Failed

SAMPLE = Path(__file__).parents[1] / "golden" / "errors-sample.jsonl"
ROWS: list[dict[str, Any]] = [json.loads(line) for line in SAMPLE.read_text().splitlines()]
TOOL = Tool(name="look", effect=Effect.READ)


def failed(row: dict[str, Any]) -> Failed:
    own = row["module"] == "builtins"
    fault = Fault(type=row["type"], message=row["message"], module=row["module"], own_code=own)
    return classify(TOOL, fault)


def site(row: dict[str, Any]) -> str:
    return fingerprints("look", {"args": row["args"]}, failed(row)).site


def test_two_failures_are_the_same_exactly_when_their_cause_is() -> None:
    sites = [(row["label"], site(row)) for row in ROWS]
    split = {a for a, one in sites for b, two in sites if a == b and one != two}
    merged = {(a, b) for a, one in sites for b, two in sites if a < b and one == two}
    assert (split, merged) == (set(), set())


def test_every_cause_of_the_sample_has_an_acceptable_kind() -> None:
    found = [(row["label"], row["kinds"], failed(row).kind.value) for row in ROWS]
    assert [each for each in found if each[1] is not None and each[2] not in each[1]] == []


@given(
    st.text(max_size=300), st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3)
)
def test_every_text_has_a_template(message: str, arguments: dict[str, str]) -> None:
    shape = template(message, arguments)
    assert len(shape) <= TEMPLATE_CHARACTERS_MAX
    assert "\n" not in shape


@given(st.integers(10_000, 10**12), st.integers(10_000, 10**12))
def test_numbers_that_are_no_class_never_tell_two_failures_apart(one: int, two: int) -> None:
    assert template(f"order {one} is gone", {}) == template(f"order {two} is gone", {})


@given(st.sampled_from([400, 401, 403, 404, 409, 422, 429, 500, 502, 503]))
def test_a_status_always_tells_two_failures_apart(status: int) -> None:
    shape = template(f"HTTP {status} from https://x.example/{status}/a", {"id": status})
    assert str(status) in shape
    assert HOLE in shape
