import functools
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from standpipe import settings
from standpipe.actions import Effect, Tool
from standpipe.errors import UsageError
from standpipe.execution import tools
from standpipe.execution.manifests import BadArgumentsError, Bound, ToolError, bind, tools_of
from standpipe.execution.tools import tool


class Line(BaseModel):
    sku: str
    count: int = 1


@dataclass
class Receipt:
    id: str


class Order(TypedDict):
    id: int


def bound(function: Callable[..., object]) -> Bound:
    return bind(function, source="abc", origin="home")


def manifest(function: Callable[..., object]) -> Tool:
    return bound(function).tool


def renew() -> dict[str, str]: ...


@tool(effect="once", control=["to"], timeout=5, idempotency_key="key", verify=len, refresh=renew)
async def send(to: list[str], subject: str = "hi", *, key: str) -> Receipt:
    """Send a mail.

    It arrives.
    """
    return Receipt(f"{to}{subject}{key}")


def test_a_manifest_holds_what_signature_docstring_and_declaration_say() -> None:
    made = manifest(send)
    assert (made.name, made.effect, made.origin) == ("send", Effect.ONCE, "home")
    assert (made.source, made.timeout_seconds) == ("abc", 5.0)
    assert made.description == "Send a mail.\n\nIt arrives."
    assert (made.control, made.verify) == (("to",), True)
    assert made.refresh == f"{__name__}.renew"


def test_the_schema_is_closed_and_without_the_key_the_runtime_fills() -> None:
    assert manifest(send).schema == {
        "type": "object",
        "properties": {
            "to": {"type": "array", "items": {"type": "string"}},
            "subject": {"type": "string", "default": "hi"},
        },
        "required": ["to"],
        "additionalProperties": False,
    }


def test_parameters_may_have_names_pydantic_uses_itself() -> None:
    @tool
    def odd(schema: str, json: int, model_config: bool, _id: str) -> None: ...

    made = bound(odd)
    given = made.arguments(b'{"schema": "s", "json": 1, "model_config": true, "_id": "x"}')
    assert given == {"schema": "s", "json": 1, "model_config": True, "_id": "x"}


def test_arguments_arrive_as_the_types_the_function_names() -> None:
    @tool
    def order(lines: list[Line], kind: Literal["a", "b"] = "a") -> None: ...

    assert bound(order).arguments(b'{"lines": [{"sku": "x", "count": "2"}]}') == {
        "lines": [Line(sku="x", count=2)]
    }


def test_arguments_that_do_not_fit_are_named_by_path_and_without_their_value() -> None:
    @tool
    def order(lines: list[Line], limit: Annotated[int, Field(le=10)] = 1) -> None: ...

    with pytest.raises(BadArgumentsError) as caught:
        bound(order).arguments(b'{"lines": [{"sku": 1}], "limit": 4711, "more": "s3cret"}')
    told = str(caught.value)
    assert "`lines.0.sku`: input should be a valid string" in told
    assert "`limit`: input should be less than or equal to 10" in told
    assert "`more`: extra inputs are not permitted" in told
    assert "4711" not in told
    assert "s3cret" not in told


def _plain() -> str: ...
def _model() -> Line: ...
def _dataclass() -> Receipt: ...
def _typed_dict() -> Order: ...
def _many() -> list[Order]: ...
def _maybe() -> Receipt | None: ...
def _numbers() -> dict[str, int]: ...


@pytest.mark.parametrize(
    ("function", "promises"),
    [
        (_plain, False), (_model, True), (_dataclass, True), (_typed_dict, True),
        (_many, True), (_maybe, True), (_numbers, False),
    ],
)  # fmt: skip
def test_a_return_annotation_with_fields_is_a_promise(
    function: Callable[..., object], promises: bool
) -> None:
    assert (manifest(tool(function)).output is not None) is promises


def _anything(*args: str) -> None: ...
def _options(**options: str) -> None: ...
def _positional(a: str, /) -> None: ...
def _why(why: str) -> None: ...
def _mail(to: str) -> None: ...
def _keyless(to: str) -> None: ...
def _renewed() -> None: ...
def _impossible(scope: str) -> None: ...
def _foreign(thing: ModuleType) -> None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (tool(_anything), "tool `_anything` takes `*args` or `**kwargs`"),
        (tool(_options), "tool `_options` takes `*args` or `**kwargs`"),
        (tool(_positional), "tool `_positional` has positional-only parameters"),
        (tool(_why), "tool `_why` has a parameter `why`"),
        (tool(_foreign), "tool `_foreign`:"),
        (tool(control=["too"])(_mail), "tool `_mail`: `control` names `too`, no parameter of it"),
        (tool(idempotency_key="id")(_keyless), "`idempotency_key` names `id`"),
        (tool(refresh=_impossible)(_renewed), "tool `_renewed`: `refresh` wants `scope`"),
    ],
)
def test_a_tool_no_model_could_call_is_refused_with_its_line(
    function: Callable[..., object], message: str
) -> None:
    with pytest.raises(ToolError) as caught:
        bound(function)
    assert message in str(caught.value)
    assert caught.value.line > 1
    assert caught.value.hint


def test_functions_nobody_declared_are_no_tools() -> None:
    module = ModuleType("tools")

    def helper() -> None: ...

    @tool(effect="read")
    def look() -> None: ...

    vars(module).update(helper=helper, look=look, same=look)
    found = tools_of(module, source=b"text", origin="home")
    assert [each.tool.name for each in found] == ["look"]
    assert len(found[0].tool.source) == 16


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"policy": "denied"}, "allow, ask, deny"),
        ({"returns": "trustd"}, "untrusted, trusted"),
        ({"effect": "twice"}, "read, idempotent, once"),
        ({"timout": 5}, "did you mean `timeout`?"),
        ({"colour": 5}, "known: effect"),
        ({"refresh": "renew"}, "the function itself"),
        ({"verify": "sent"}, "the function itself"),
        ({"alternates": "mirror"}, "a list"),
        ({"expected": "not_found"}, "a list"),
        ({"timeout": 0}, "above 0, at most 86400"),
        ({"timeout": float("inf")}, "at most 86400"),
        ({"poll": -1}, "above 0, at most 86400"),
        ({"poll": 86_401}, "at most 86400"),
        ({"verify_after_seconds": -1}, "from 0 to 86400"),
        ({"same_way": 0}, "from 1 to 10"),
        ({"same_way": 11}, "from 1 to 10"),
    ],
)
def test_what_nobody_could_mean_is_refused_where_it_is_declared(
    options: dict[str, Any], hint: str
) -> None:
    with pytest.raises(UsageError, match=next(iter(options))) as refused:
        tool(**options)(len)
    assert hint in refused.value.hint


def test_a_tool_is_declared_as_the_documentation_shows_it() -> None:
    @tool(
        effect="read", timeout=10, alternates=["fetch_mirror"], refresh=renew,
        expected=["not_found"], poll=120, same_way=3,
    )  # fmt: skip
    def fetch_orders(day: str) -> list[Order]: ...

    made = manifest(fetch_orders)
    assert (made.effect, made.timeout_seconds, made.poll_seconds) == (Effect.READ, 10.0, 120.0)
    assert (made.alternates, made.expected, made.same_way) == (("fetch_mirror",), ("not_found",), 3)


def test_two_tools_with_the_same_refresh_share_a_credential() -> None:
    other = manifest(tool(refresh=renew)(_plain))
    assert other.refresh == manifest(send).refresh
    for unnamed in (functools.partial(renew), lambda: None):
        assert manifest(tool(refresh=unnamed)(_model)).refresh == "_model.refresh"
    assert manifest(tool(_plain)).refresh == ""


def test_a_tool_of_the_home_knows_its_line() -> None:
    assert manifest(send).line == send.__code__.co_firstlineno
    assert bind(send, source="", origin="builtin").tool.line == 0


def test_code_and_settings_have_the_same_limits() -> None:
    assert (tools.DAY_SECONDS, tools.SAME_WAY_MAX) == (settings.DAY_SECONDS, settings.SAME_WAY_MAX)
