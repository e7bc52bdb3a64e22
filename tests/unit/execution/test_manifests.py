from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from standpipe.actions import Effect, Tool
from standpipe.errors import UsageError
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


@tool(effect="once", control=["to"], timeout=5, idempotency_key="key", verify=len, refresh=dict)
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
    assert (made.control, made.verify, made.refresh) == (("to",), True, True)


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
    ],
)
def test_a_word_nobody_knows_is_refused_where_it_is_declared(
    options: dict[str, Any], hint: str
) -> None:
    with pytest.raises(UsageError, match=next(iter(options))) as refused:
        tool(**options)(len)
    assert hint in refused.value.hint
