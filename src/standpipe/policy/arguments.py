"""Do the arguments of a call fit the schema of its tool? Asked before any rule, for every door.

Rule 1: a complaint names the field and what is wanted of it, never the value, which may be a secret.
Rule 2: a schema that cannot be used lets nothing through, and is never looked up anywhere else.
"""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Never

import msgspec
from msgspec import Struct

from standpipe.actions import Action, Tool

if TYPE_CHECKING:
    from fastjsonschema import JsonSchemaValueException

TEXT = ""  # the name under which arguments stand that are not a JSON object

_REMOTE = ("", "http", "https", "file", "ftp", "data")  # what fastjsonschema would fetch by itself
_ROOT = "data"  # how it calls the arguments as a whole
_SCHEMAS_MAX = 1_024

_Validator = Callable[[Mapping[str, object]], object]


class Complaint(Struct, frozen=True):
    """What is wrong with the arguments; `field` is the path of the argument, without positions."""

    message: str
    field: str = ""


def complaint(action: Action) -> Complaint | None:
    """Return what is wrong with the arguments of `action`, or None.

    Example:
        >>> schema = {"properties": {"to": {"type": "array"}}, "required": ["to"]}
        >>> complaint(Action(id="r1.1.1", tool=Tool(name="send", schema=schema), why="asked"))
        Complaint(message='`to` is missing', field='to')
    """
    tool = action.tool
    if tool.origin == "unknown":  # there is no schema; the rules know the nearest name
        return None
    if TEXT in action.arguments:
        return Complaint(_unreadable(action.arguments[TEXT]))
    if tool.asks_why and not action.why.strip():
        return Complaint("`why` is missing: say in one sentence why this is done", "why")
    return _misfit(tool, action.arguments)


def _unreadable(given: object) -> str:
    wanted = "the arguments are not a JSON object"
    try:
        msgspec.json.decode(given if isinstance(given, str) else "", type=dict)
    except (msgspec.MsgspecError, RecursionError) as error:
        return f'{wanted}: "{error}"'  # in quotes, so that it is one failure however the text is broken
    return f"{wanted}: no argument has an empty name"


def _misfit(tool: Tool, arguments: Mapping[str, object]) -> Complaint | None:
    from fastjsonschema import JsonSchemaValueException  # noqa: PLC0415 -- only a gate needs it

    try:
        _validator(msgspec.json.encode(tool.schema))(arguments)
    except JsonSchemaValueException as error:
        return _told(error)
    except Exception as error:  # noqa: BLE001 -- a schema nobody can use closes the gate, it does not open it
        return Complaint(f"the schema of `{tool.name}` cannot be used: {error}", "schema")
    return None


@lru_cache(maxsize=_SCHEMAS_MAX)
def _validator(schema: bytes) -> _Validator:
    from fastjsonschema import compile as compiled  # noqa: PLC0415 -- as above

    # Formats are left to the tool: here they would be regular expressions over foreign text.
    return compiled(
        msgspec.json.decode(schema),
        handlers=dict.fromkeys(_REMOTE, _refuse),
        use_default=False,
        use_formats=False,
    )


def _refuse(uri: str) -> Never:
    raise ValueError(f"it points to `{uri}`, and nothing is fetched here")


def _told(error: "JsonSchemaValueException") -> Complaint:
    name = str(error.name or _ROOT)
    path = name.removeprefix(_ROOT).lstrip(".")
    found, definition = _fields(error.value), _fields(error.definition)
    match error.rule:
        case "required":
            wanted: list[str] = error.rule_definition
            missing = _under(path, next(key for key in wanted if key not in found))
            return Complaint(f"`{missing}` is missing", _without_positions(missing))
        case "additionalProperties" if isinstance(error.value, dict):
            known = list(_fields(definition.get("properties")))
            extra = next((key for key in found if key not in known), "")
            return Complaint(f"there is no `{_under(path, extra)}`{_meant(extra, known)}", extra)
        case "anyOf":
            kinds = [str(_fields(each).get("type")) for each in error.rule_definition]
            return Complaint(f"`{path}` must be {' or '.join(kinds)}", _without_positions(path))
        case _:
            said = error.message.removeprefix(name).strip()
            return Complaint(f"`{path or 'arguments'}` {said}", _without_positions(path))


def _fields(value: Any) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _under(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _meant(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    if near:
        return f"; did you mean `{near[0]}`?"
    return f"; there are {', '.join(known)}" if known else "; it takes none"


def _without_positions(path: str) -> str:
    return re.sub(r"\[\d+\]", "[]", path)
