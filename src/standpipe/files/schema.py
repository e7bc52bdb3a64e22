"""Turn what a file says into a typed record, or say on which line it cannot be meant.

Rule 1: strict: an unknown key is an error with the nearest right name, a wrong type one with its line.
Rule 2: the value itself is never in the message: it may be a secret in the wrong place.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import inspect

from standpipe.errors import ConfigError
from standpipe.files.yaml import Lines, Located, Place, is_list, is_table

T = TypeVar("T")

_UNKNOWN = re.compile(
    r"Object contains unknown field `(?P<key>.*?)`(?: - at `\$(?P<at>.*)`)?", re.DOTALL
)
_OTHER = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<at>.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|(\[\.\.\.\])")
_WORDS = {
    "bool": "true or false",
    "int": "an integer",
    "float": "a number",
    "str": "text",
    "array": "a list",
    "object": "a table",
}


def convert(
    found: Located,
    kind: type[T],
    *,
    name: str,
    hints: Mapping[str, str] | None = None,
    scalars_as_text: bool = False,
) -> T:
    """Return `found` as a `kind`.

    `hints` explains keys that people are known to try, and keys (`table.key`) whose limits they meet.

    With `scalars_as_text` a number or true becomes text where text is wanted (`title: 404`).

    Raises:
        ConfigError: a key is unknown or missing, or a value has the wrong type.
    """
    value = _as_text(found.value, inspect.type_info(kind)) if scalars_as_text else found.value
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        message = str(error)
    path = _concrete(value, message, kind)
    if unknown := _UNKNOWN.fullmatch(message):
        raise _unknown_key(unknown["key"], path, kind, found.lines, name, hints or {})
    raise _wrong_value(message, path, kind, found.lines, name, hints or {})


class Problem(NamedTuple):
    """What a file says at `path` and cannot mean."""

    path: Place
    what: str
    hint: str


def refuse(problems: Iterable[Problem], lines: Lines, *, name: str) -> None:
    """Refuse the first of the problems, with its line.

    Raises:
        ConfigError: there is one.
    """
    for path, what, hint in problems:
        raise ConfigError(f"{name}:{line_of(lines, path)}: {what}", hint=hint)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant.

    Example:
        >>> nearest("modle", ["model", "budgets"])
        'model'
    """
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)), None)


def line_of(lines: Lines, path: Place) -> int:
    """Return the line of `path`, or of the nearest part around it."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _as_text(value: object, kind: inspect.Type) -> object:
    match kind:
        case inspect.StrType() if isinstance(value, int):
            return str(value).lower()
        case inspect.StructType() if is_table(value):
            types = {field.encode_name: field.type for field in kind.fields}
            anything = inspect.AnyType()
            return {key: _as_text(item, types.get(key, anything)) for key, item in value.items()}
        case inspect.VarTupleType() if is_list(value):
            return [_as_text(item, kind.item_type) for item in value]
        case inspect.DictType() if is_table(value):
            return {key: _as_text(item, kind.value_type) for key, item in value.items()}
        case _:
            return value


def _concrete(value: object, message: str, kind: type) -> Place:
    """Return the path in `message`, with the name of the table that msgspec writes as `[...]`."""
    at = _OTHER.fullmatch(message)
    steps: list[tuple[str, str, str]] = _STEP.findall(at["at"] or "") if at else []
    path: Place = ()
    for key, index, any_key in steps:
        if any_key:
            tried = ((*path, name) for name in _names(value, path))
            path = next((each for each in tried if _fails(_only(value, each), kind, message)), path)
        else:
            path = (*path, int(index) if index else key)
    return path


def _names(value: object, path: Place) -> list[str]:
    for step in path:
        if is_table(value) and isinstance(step, str):
            value = value.get(step)
        elif is_list(value) and isinstance(step, int):
            value = value[step]
    return list(value) if is_table(value) else []


def _only(value: object, path: Place) -> object:
    """Return `value` with nothing beside the last step of `path` in the innermost table."""
    step, *rest = path
    if is_table(value) and isinstance(step, str):
        return {**value, step: _only(value[step], tuple(rest))} if rest else {step: value[step]}
    if is_list(value) and isinstance(step, int):
        return [*value[:step], _only(value[step], tuple(rest)), *value[step + 1 :]]
    return value


def _fails(value: object, kind: type, message: str) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return str(error) == message
    return False


def _unknown_key(
    key: str, path: Place, kind: type, lines: Lines, name: str, hints: Mapping[str, str]
) -> ConfigError:
    line = line_of(lines, (*path, key))
    known = _keys_at(kind, path)
    close = nearest(key, known)
    hint = hints.get(key) or (f"did you mean `{close}`?" if close else f"known: {', '.join(known)}")
    return ConfigError(f"{name}:{line}: unknown key `{key}`", hint=hint)


def _wrong_value(
    message: str, path: Place, kind: type, lines: Lines, name: str, hints: Mapping[str, str]
) -> ConfigError:
    line = line_of(lines, path)
    where = ".".join(map(str, path)) or "the file"
    found = _OTHER.fullmatch(message)
    what = found["what"] if found else message
    if missing := re.fullmatch(r"Object missing required field `(.*)`", what):
        return ConfigError(
            f"{name}:{line}: `{missing[1]}` is missing", hint=f"add `{missing[1]}` here"
        )
    if what.startswith("Invalid enum value"):
        hint = f"one of {', '.join(_choices(kind, path))}"
        return ConfigError(f"{name}:{line}: `{where}` has a value nobody knows", hint=hint)
    if types := re.fullmatch(r"Expected `(.*?)`(.*?)(?:, got `(.*)`)?", what):
        wanted = " or ".join(
            _WORDS.get(word, word) for word in types[1].split(" | ") if word != "null"
        )
        hint = hints.get(where) or f"write {wanted}{types[2]}"
        return ConfigError(f"{name}:{line}: `{where}` is not {wanted}{types[2]}", hint=hint)
    return ConfigError(f"{name}:{line}: `{where}`: {what}", hint="correct this value")


def _keys_at(kind: type, path: Place) -> list[str]:
    struct = _type_at(kind, path)
    return (
        [field.encode_name for field in struct.fields]
        if isinstance(struct, inspect.StructType)
        else []
    )


def _choices(kind: type, path: Place) -> list[str]:
    match _type_at(kind, path):
        case inspect.LiteralType() as literal:
            return [str(value) for value in literal.values]
        case _:
            return []


def _type_at(kind: type, path: Place) -> inspect.Type:
    found = _plain(inspect.type_info(kind))
    for step in path:
        match found:
            case inspect.StructType():
                fields = [field.type for field in found.fields if field.encode_name == step]
                found = fields[0] if fields else inspect.AnyType()
            case inspect.DictType():
                found = found.value_type
            case inspect.VarTupleType():
                found = found.item_type
            case _:
                return found
        found = _plain(found)
    return found


def _plain(kind: inspect.Type) -> inspect.Type:
    """Return the type itself, without `None` beside it."""
    if isinstance(kind, inspect.UnionType):
        others = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
        return others[0]
    return kind
