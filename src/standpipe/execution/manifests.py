"""Make a manifest, and what is needed to call it, of a declared function.

Rule 1: only the worker imports this module, so pydantic is loaded at its top and never in the runtime.
Rule 2: what a declaration says about a parameter that does not exist is an error, not a shrug.
"""

import dataclasses
import difflib
import hashlib
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType

import msgspec
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from standpipe.actions import Effect, Tool
from standpipe.execution.tools import MARK, Declaration


@dataclass(frozen=True, slots=True)
class Bound:
    """A tool as its worker knows it."""

    tool: Tool
    function: Callable[..., object]
    verify: Callable[..., object] | None
    refresh: Callable[..., object] | None
    model: type[BaseModel]
    file: str

    def arguments(self, text: bytes) -> dict[str, object]:
        """Return the arguments in JSON as the function wants them.

        Raises:
            BadArgumentsError: they do not fit, with the path of every one that does not.
        """
        try:
            made = self.model.model_validate_json(text)
        except ValidationError as error:
            raise BadArgumentsError(_complaints(error)) from None
        fields = type(made).model_fields
        return {str(fields[name].alias): getattr(made, name) for name in made.model_fields_set}


class BadArgumentsError(Exception):
    """The arguments do not fit the parameters."""


class ToolError(Exception):
    """A declaration cannot be meant."""

    def __init__(self, message: str, *, line: int = 0, hint: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.hint = hint


def tools_of(module: ModuleType, *, source: bytes, origin: str) -> tuple[Bound, ...]:
    """Return every declared tool of a module, in the order they are written.

    Raises:
        ToolError: one of them cannot be offered.
    """
    found = {
        id(value): value
        for value in vars(module).values()
        if isinstance(getattr(value, MARK, None), Declaration)
    }
    digest = hashlib.sha256(source).hexdigest()[:16]
    return tuple(bind(function, source=digest, origin=origin) for function in found.values())


def bind(function: Callable[..., object], *, source: str, origin: str) -> Bound:
    """Make the manifest of one declared function.

    Raises:
        ToolError: its signature or its declaration cannot be offered to a model.
    """
    declared: Declaration = getattr(function, MARK)
    code = getattr(inspect.unwrap(function), "__code__", None)
    try:
        hints = typing.get_type_hints(function, include_extras=True)
        parameters = _parameters(function, declared)
        model = _model(function.__name__, parameters, hints)
        tool = _manifest(function, declared, model=model, returns=hints.get("return"))
        line = code.co_firstlineno if code and origin == "home" else 0
        tool = msgspec.structs.replace(tool, source=source, origin=origin, line=line)
    except ToolError as error:
        error.line = code.co_firstlineno if code else 0
        raise
    except (NameError, TypeError, PydanticUserError) as error:
        raise ToolError(
            f"tool `{function.__name__}`: {str(error).splitlines()[0]}",
            line=code.co_firstlineno if code else 0,
            hint="annotate parameters with plain types, pydantic models, dataclasses or typed dicts",
        ) from error
    return Bound(
        tool=tool,
        function=function,
        verify=declared.verify,
        refresh=declared.refresh,
        model=model,
        file=code.co_filename if code else "",
    )


def _parameters(
    function: Callable[..., object], declared: Declaration
) -> dict[str, inspect.Parameter]:
    name, parameters = function.__name__, dict(inspect.signature(function).parameters)
    unnamed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    if any(parameter.kind in unnamed for parameter in parameters.values()):
        raise ToolError(f"tool `{name}` takes `*args` or `**kwargs`", hint="name every parameter")
    if any(each.kind is inspect.Parameter.POSITIONAL_ONLY for each in parameters.values()):
        raise ToolError(f"tool `{name}` has positional-only parameters", hint="remove the `/`")
    for option, names in _mentioned(declared).items():
        for wanted in names:
            if wanted not in parameters:
                raise _no_such_parameter(name, option, wanted, list(parameters))
    if "why" in parameters and declared.effect is not Effect.READ:
        raise ToolError(
            f"tool `{name}` has a parameter `why`",
            hint="the runtime adds `why` itself and takes it out before the call; rename yours",
        )
    if declared.refresh is not None and (wanted := _required(declared.refresh)):
        raise ToolError(
            f"tool `{name}`: `refresh` wants `{wanted}`, but is called without arguments",
            hint="give its parameters defaults, or read what it needs with sp.secret(NAME)",
        )
    parameters.pop(declared.idempotency_key or "", None)
    return parameters


def _required(function: Callable[..., object]) -> str:
    """Return a parameter without which the function cannot be called."""
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some built-in functions have none
        return ""
    needed = (each for each in parameters if each.kind not in several)
    return next((each.name for each in needed if each.default is inspect.Parameter.empty), "")


def _mentioned(declared: Declaration) -> dict[str, tuple[str, ...]]:
    key = declared.idempotency_key
    return {
        "control": declared.control or (),
        "known": tuple(declared.known),
        "idempotency_key": () if key is None else (key,),
    }


def _no_such_parameter(tool: str, option: str, wanted: str, parameters: list[str]) -> ToolError:
    near = difflib.get_close_matches(wanted, parameters, n=1)
    hint = f"did you mean `{near[0]}`" if near else f"it has {', '.join(parameters) or 'none'}"
    return ToolError(f"tool `{tool}`: `{option}` names `{wanted}`, no parameter of it", hint=hint)


def _model(
    name: str, parameters: Mapping[str, inspect.Parameter], hints: Mapping[str, object]
) -> type[BaseModel]:
    """Make the model of the arguments.

    Its fields are numbered and the real names are aliases, so that a parameter may be called
    `schema`, `json` or `_id` without meeting pydantic's own names.
    """
    fields: dict[str, typing.Any] = {}
    for number, (parameter, about) in enumerate(parameters.items()):
        default = ... if about.default is inspect.Parameter.empty else about.default
        annotation = hints.get(parameter, object)
        fields[f"argument_{number}"] = (annotation, Field(default, alias=parameter))
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


class _Untitled(GenerateJsonSchema):
    """JSON Schema without the titles that would repeat our field numbers to the model."""

    def field_title_should_be_set(self, schema: object) -> bool:
        del schema
        return False


def _manifest(
    function: Callable[..., object],
    declared: Declaration,
    *,
    model: type[BaseModel],
    returns: object,
) -> Tool:
    schema = model.model_json_schema(schema_generator=_Untitled)
    schema.pop("title", None)
    output = None
    if _is_record(returns):
        adapter: TypeAdapter[object] = TypeAdapter(typing.cast("typing.Any", returns))
        output = adapter.json_schema(schema_generator=_Untitled)
    return Tool(
        name=function.__name__,
        effect=declared.effect,
        description=inspect.getdoc(function) or "",
        schema=schema,
        control=declared.control,
        known=declared.known,
        policy=declared.policy,
        destructive=declared.destructive,
        reversible=declared.reversible,
        local=declared.local,
        returns=declared.returns,
        returns_media=declared.returns_media,
        output=output,
        tells=declared.tells,
        timeout_seconds=declared.timeout,
        verify=declared.verify is not None,
        verify_after_seconds=declared.verify_after_seconds,
        idempotency_key=declared.idempotency_key,
        alternates=declared.alternates,
        refresh=_qualified(declared.refresh, function.__name__),
        expected=declared.expected,
        poll_seconds=declared.poll,
        same_way=declared.same_way,
    )


def _qualified(function: Callable[..., object] | None, tool: str) -> str:
    """Name a function, so that two tools with the same one are known to share it.

    Two lambdas, or two functions made by one, have the same name and are not the same.
    """
    if function is None:
        return ""
    name = getattr(function, "__qualname__", "<unnamed>")
    return f"{tool}.refresh" if "<" in name else f"{function.__module__}.{name}"


def _is_record(annotation: object) -> bool:
    """Whether a return annotation promises fields: a model, dataclass, typed dict, or a container of them."""
    if typing.get_args(annotation):
        return any(_is_record(part) for part in typing.get_args(annotation))
    if not isinstance(annotation, type):
        return False
    kind = typing.cast("type[object]", annotation)
    return (
        issubclass(kind, BaseModel)
        or dataclasses.is_dataclass(kind)
        or hasattr(kind, "__required_keys__")  # a typed dict of typing or typing_extensions
    )


def _complaints(error: ValidationError) -> str:
    """Name every field that does not fit, without its value: the value may be a secret."""
    told = [
        f"`{'.'.join(map(str, each['loc'])) or 'arguments'}`: {each['msg'][:1].lower()}{each['msg'][1:]}"
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return "; ".join(told[:20])
