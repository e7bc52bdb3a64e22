"""Compare a result with the JSON Schema a tool declares: missing keys and changed types.

Rule: more than was declared is fine; what is no type, no required key and no list item is not looked at.
"""

from collections.abc import Iterator, Mapping
from itertools import islice

from standpipe.outcomes.reading import fields, items

DIFFERENCES_MAX = 8
ITEMS_MAX = 20
_DEPTH_MAX = 12

_NAMES = {
    "bool": "boolean", "int": "integer", "float": "number", "str": "string", "list": "array",
    "tuple": "array", "dict": "object",
}  # fmt: skip

Schema = Mapping[str, object]


def differences(schema: Schema, value: object) -> list[str]:
    """List what is missing or of another type, with the path; and if something is, what is new.

    Example:
        >>> order = {"type": "object", "properties": {"id": {}}, "required": ["id"]}
        >>> differences(order, {"nr": 1})
        ['`id` is missing', '`nr` is new']
    """
    found = list(islice(_compare(schema, value, "", schema, 0), DIFFERENCES_MAX))
    # Keys that nobody declared are fine; beside a missing one they are where it went.
    return found + [f"`{path}` is new" for path in _new(schema, value)] if found else []


def accepts(schema: Schema, name: str) -> bool:
    """Whether a value of the JSON type `name` may fit at the top of a schema."""
    branches = [_resolved(branch, schema) for branch in _branches(_resolved(schema, schema))]
    return any(not _types(branch) or name in _types(branch) for branch in branches)


def _compare(schema: Schema, value: object, path: str, root: Schema, depth: int) -> Iterator[str]:
    if depth > _DEPTH_MAX:
        return
    schema = _resolved(schema, root)
    branches = _branches(schema)
    if branches != [schema]:
        found = [list(_compare(branch, value, path, root, depth + 1)) for branch in branches]
        # The branch that comes closest is the one that was meant.
        yield from min(found, key=len)
        return
    types = _types(schema)
    if types and not any(_is(value, name) for name in types):
        yield f"`{path or 'result'}` is {_name(value)}, not {' or '.join(types)}"
        return
    yield from _members(schema, value, path, root, depth)


def _members(schema: Schema, value: object, path: str, root: Schema, depth: int) -> Iterator[str]:
    there = fields(value)
    if _name(value) == "object":
        yield from _missing(schema, there, path)
    for key, inner in fields(schema.get("properties")).items():
        if key in there:
            yield from _compare(fields(inner), there[key], _join(path, key), root, depth + 1)
    item = fields(schema.get("items"))
    for index, row in enumerate(items(value)[:ITEMS_MAX]):
        yield from _compare(item, row, f"{path}[{index}]", root, depth + 1)


def _missing(schema: Schema, there: Mapping[str, object], path: str) -> Iterator[str]:
    for key in map(str, items(schema.get("required"))):
        if key not in there:
            yield f"`{_join(path, key)}` is missing"


def _new(schema: Schema, value: object) -> list[str]:
    """List the keys nobody declared: of the result, or of its first row."""
    top, path = _resolved(schema, schema), ""
    if rows := items(value):
        top, value, path = _resolved(fields(top.get("items")), schema), rows[0], "[0]"
    declared = fields(top.get("properties"))
    new = sorted(str(key) for key in fields(value) if key not in declared) if declared else []
    return [_join(path, key) for key in new[:DIFFERENCES_MAX]]


def _resolved(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return schema
    target: Schema = root
    for step in reference[2:].split("/"):
        target = fields(target.get(step))
    return target


def _branches(schema: Schema) -> list[Schema]:
    found = items(schema.get("anyOf")) or items(schema.get("oneOf"))
    return [fields(branch) for branch in found] or [schema]


def _types(schema: Schema) -> tuple[str, ...]:
    found = schema.get("type")
    if isinstance(found, str):
        return (found,)
    return tuple(map(str, items(found)))


def _is(value: object, name: str) -> bool:
    actual = _name(value)
    return actual == name or (name == "number" and actual == "integer") or _whole(value, name)


def _whole(value: object, name: str) -> bool:
    return name == "integer" and isinstance(value, float) and value.is_integer()


def _name(value: object) -> str:
    if value is None:
        return "null"
    return _NAMES.get(type(value).__name__, type(value).__name__)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
