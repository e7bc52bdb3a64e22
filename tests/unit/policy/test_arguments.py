from collections.abc import Mapping

import pytest

from standpipe.actions import Action, Effect, Tool
from standpipe.governor.fingerprint import template
from standpipe.policy.arguments import TEXT, Complaint, complaint

LINE = {"type": "object", "properties": {"price": {"type": "number"}}, "required": ["price"]}
SCHEMA: Mapping[str, object] = {
    "type": "object",
    "properties": {
        "to": {"type": "array", "items": {"type": "string"}},
        "count": {"type": "integer", "maximum": 3, "default": 1},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "size": {"enum": ["small", "large"]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
        "when": {"type": "string", "format": "date-time"},
    },
    "$defs": {"Line": LINE},
    "required": ["to"],
    "additionalProperties": False,
}


def about(
    arguments: Mapping[str, object],
    schema: Mapping[str, object] = SCHEMA,
    *,
    effect: Effect = Effect.READ,
    why: str = "",
    origin: str = "home",
) -> Complaint | None:
    tool = Tool(name="order", effect=effect, origin=origin, schema=schema)
    return complaint(Action(id="r1.1.1", tool=tool, arguments=arguments, why=why))


MISFITS: list[tuple[Mapping[str, object], str, str]] = [
    ({}, "`to` is missing", "to"),
    ({"to": "ann"}, "`to` must be array", "to"),
    ({"to": [], "count": 4}, "`count` must be smaller than or equal to 3", "count"),
    ({"to": [], "note": 4}, "`note` must be string or null", "note"),
    ({"to": [], "size": "huge"}, "`size` must be one of ['small', 'large']", "size"),
    ({"to": [], "lines": [{}]}, "`lines[0].price` is missing", "lines[].price"),
    (
        {"to": [], "lines": [{"price": 1}, {"price": "2"}]},
        "`lines[1].price` must be number",
        "lines[].price",
    ),
    ({"to": [], "cuont": 1}, "there is no `cuont`; did you mean `count`?", "cuont"),
]


@pytest.mark.parametrize(("arguments", "message", "field"), MISFITS)
def test_a_complaint_names_the_field_and_what_is_wanted(
    arguments: Mapping[str, object], message: str, field: str
) -> None:
    assert about(arguments) == Complaint(message, field)


@pytest.mark.parametrize(
    "arguments",
    [
        {"to": []},
        {"to": ["ann"], "count": 3, "note": None, "size": "small"},
        {"to": [], "lines": [{"price": 1}, {"price": 2.5}]},
        {"to": [], "when": "tomorrow"},  # what a format means is for the tool to say
    ],
)
def test_what_fits_passes_as_it_is(arguments: dict[str, object]) -> None:
    before = dict(arguments)
    assert about(arguments) is None
    assert arguments == before  # no default was filled in


def test_a_complaint_never_shows_the_value() -> None:
    said = about({"to": "sk-secret"})
    assert said
    assert "sk-secret" not in said.message


@pytest.mark.parametrize("text", ["{", "[1]", "null", '"x"', "", "[" * 5_000])
def test_text_that_is_no_object_is_one_failure_however_it_is_broken(text: str) -> None:
    said = about({TEXT: text})
    assert said
    assert template(said.message, {TEXT: text}).startswith("the arguments are not a json object")
    assert "<*>" in template(said.message, {TEXT: text})


@pytest.mark.parametrize(("why", "fits"), [("", False), (" \n", False), ("they asked", True)])
def test_an_effect_needs_its_why_and_a_read_does_not(why: str, fits: bool) -> None:
    said = about({"to": []}, effect=Effect.ONCE, why=why)
    assert (said is None) is fits
    assert fits or (said and said.field == "why")
    assert about({"to": []}, why=why) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/schema"},
        {"$ref": "file:///etc/passwd"},
        {"properties": {"to": {"$ref": "other.json"}}},
        {"$ref": "#/nowhere"},
        {"type": "objekt"},
        {"properties": {"to": {"pattern": "("}}},
    ],
    ids=["http", "file", "relative", "nowhere", "no type", "no pattern"],
)
def test_a_schema_that_cannot_be_used_lets_nothing_through(schema: Mapping[str, object]) -> None:
    said = about({"to": "x"}, schema)
    assert said
    assert said.message.startswith("the schema of `order` cannot be used")


def test_a_tool_without_a_schema_takes_any_object() -> None:
    assert about({"anything": [1]}, {}) is None


def test_a_name_nobody_has_is_left_to_the_rules_which_know_the_nearest() -> None:
    assert about({TEXT: "{"}, {}, effect=Effect.ONCE, origin="unknown") is None
