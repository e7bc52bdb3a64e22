from pathlib import Path
from typing import Any

import msgspec
import pytest

from standpipe.actions import Effect, Tool
from standpipe.config import load_settings
from standpipe.errors import ConfigError
from standpipe.settings import Settings
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


def look(name: str = "look", **said: Any) -> Tool:
    tool = Tool(name=name, effect=Effect.READ, origin="home", line=7)
    return msgspec.structs.replace(tool, **said)


def takes(*required: str, **optional: object) -> dict[str, object]:
    names = {**dict.fromkeys(required), **optional}
    properties = {name: {"type": "string"} for name in names}
    return {"properties": properties, "required": [*required], "additionalProperties": False}


@pytest.mark.parametrize(
    ("offered", "why"),
    [
        ([look(poll_seconds=5, effect=Effect.ONCE)], r"^tools.py:7: tool `look`: `poll` on a tool"),
        ([look(alternates=("look",))], r"^tools.py:7: .*circle: look -> look\n.*`look` out of"),
        (
            [
                look(alternates=("b",)),
                look("b", alternates=("c",)),
                look("c", alternates=("look",)),
            ],
            r"circle: look -> b -> c -> look\n.*take `b` out of the alternates of `look`",
        ),
        (
            [look(alternates=("b",), schema=takes("day")), look("b", schema=takes("day", "shop"))],
            r"^tools.py:7: tool `look`: `alternates` names `b`, which wants `shop`\n.*: day$",
        ),
        (
            [look(alternates=("b",), schema=takes("day", unit=1)), look("b", schema=takes("day"))],
            r"`alternates` names `b`, which does not take `unit`\n.*: day, unit$",
        ),
        ([look(expected=("notfound",))], r"^tools.py:7: tool `look`: `expected` names `notfound`"),
        ([look(alternates=("lok",))], r"^tools.py:7: .* names `lok`, .*\n.*`look`"),
    ],
)
def test_what_cannot_work_is_refused_with_the_line_of_the_tool(
    offered: list[Tool], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        laid_over({}, *offered)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ('poll = 5\neffect = "once"', r"^standpipe.toml:2: \[tools.look\]: `poll` on a tool"),
        ('policy = "ask"\nalternates = ["b"]', r"^standpipe.toml:3: .*circle: look -> b -> look"),
        ('expected = ["notfound"]', r"^standpipe.toml:2: \[tools.look\]: `expected` names"),
        ('control = ["x"]', r"^standpipe.toml:2: \[tools.look\]: `control` names `x`"),
    ],
)
def test_what_the_settings_say_is_refused_with_its_own_line(
    said: str, why: str, tmp_path: Path
) -> None:
    (tmp_path / "standpipe.toml").write_text(f"[tools.look]\n{said}\n")
    with pytest.raises(ConfigError, match=why):
        all_tools((look(), look("b", alternates=("look",))), load_settings(tmp_path))


def test_alternates_that_meet_again_are_no_circle() -> None:
    told = laid_over(
        {"look": {"effect": "idempotent"}},
        look(alternates=("b", "c"), poll_seconds=5, effect=Effect.ONCE, schema=takes("day")),
        look("b", alternates=("d",), schema=takes("day", unit=1)),
        look("c", alternates=("d",), schema=takes(day=1)),
        look("d"),
    )
    assert told["look"].alternates == ("b", "c")


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
