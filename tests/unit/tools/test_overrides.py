from typing import Any

import msgspec
import pytest

from standpipe.actions import Effect, Tool
from standpipe.config import Settings
from standpipe.errors import ConfigError
from standpipe.tools.overrides import all_tools, sections

SCHEMA = {"type": "object", "properties": {"to": {"type": "array"}, "subject": {"type": "string"}}}
SEND = Tool(
    name="send_email", effect=Effect.ONCE, schema=SCHEMA, origin="builtin", idempotency_key="key"
)
PAY = Tool(name="pay", origin="home")


def laid_over(tools: dict[str, Any], *offered: Tool) -> dict[str, Tool]:
    settings = msgspec.convert({"tools": tools}, Settings)
    return all_tools(offered or (SEND, PAY), settings)


@pytest.mark.parametrize(
    ("slip", "meant"), [("send_emial", "send_email"), ("sendemail", "send_email"), ("pya", "pay")]
)
def test_a_table_whose_name_is_a_slip_is_refused(slip: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=rf"\[tools.{slip}\]") as refused:
        laid_over({slip: {"policy": "deny"}})
    assert f"[tools.{meant}]" in refused.value.hint


def test_a_table_for_a_tool_that_comes_later_is_left_alone() -> None:
    told = laid_over({"github_create_issue": {"policy": "deny"}, "pay": {"policy": "ask"}})
    assert told["pay"].policy == "ask"
    # `pay` has its own table, so this one is not a slip of it.
    assert laid_over({"pay": {}, "pays": {"policy": "deny"}}).keys() == {"send_email", "pay"}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"control": ["too"]}, r"`control` names `too`.*\n.*`to`"),
        ({"known": {"tos": ["a"]}}, r"`known` names `tos`.*\n.*`to`"),
        ({"idempotency_key": "kye"}, r"`idempotency_key` names `kye`.*\n.*`key`"),
        ({"expected": ["not_fuond"]}, r"`expected` names `not_fuond`.*\n.*`not_found`"),
        ({"alternates": ["payy"]}, r"`alternates` names `payy`.*\n.*`pay`"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_with_the_nearest(
    said: dict[str, Any], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        laid_over({"send_email": said})


def test_names_that_exist_are_taken() -> None:
    said = {
        "control": ["to", "key"],
        "known": {"to": ["*@example.com"]},
        "idempotency_key": "key",
        "expected": ["not_found"],
        "alternates": ["pay"],
    }
    told = laid_over({"send_email": said})["send_email"]
    assert (told.control, told.expected) == (("to", "key"), ("not_found",))


def test_a_kind_nobody_knows_is_refused_in_the_code_of_a_tool_too() -> None:
    with pytest.raises(ConfigError, match="`expected` names `notfound`"):
        laid_over({}, Tool(name="look", expected=("notfound",)))


@pytest.mark.parametrize("returns", [{"n": "record"}, {"n": "trusted"}])
def test_fields_that_are_told_apart_are_not_believed_yet(returns: dict[str, str]) -> None:
    trusting = Tool(name="look", returns="trusted")
    assert laid_over({"look": {"returns": returns}}, trusting)["look"].returns == "untrusted"
    assert laid_over({"look": {"returns": "trusted"}}, trusting)["look"].returns == "trusted"


def test_the_file_tools_hear_that_they_are_to_be_portable() -> None:
    assert sections(Settings(), {}, portable=True)["portable"] is True
    assert sections(Settings(), {})["portable"] is False
