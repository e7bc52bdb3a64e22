"""Read YAML as data, and remember on which line each value stands.

Rule 1: no anchors, aliases, tags or second documents; a key stands once.
Rule 2: a scalar is text, unless it is a bare `true`, `false` or whole number. So `NO`, `0123`,
    `12:30`, `1.10` and `on` stay what a person typed.
Rule 3: this reads events, never nodes: an alias is refused before anything is built from it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeGuard

from standpipe.errors import ConfigError

if TYPE_CHECKING:
    import yaml

Place = tuple[str | int, ...]
Lines = Mapping[Place, int]

_DEPTH_MAX = 32
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_MARKER = re.compile(r"(?m)^(?:<{7}|={7}|>{7})(?: |\r?$)")


class Located(NamedTuple):
    """A value, and the line on which each part of it stands: `lines["turns", 2]`."""

    value: object
    lines: Lines


def load_yaml(text: str, *, name: str, json_scalars: bool = False) -> object:
    """Return the one document in `text`; see `load_yaml_with_lines`."""
    return load_yaml_with_lines(text, name=name, json_scalars=json_scalars).value


def load_yaml_with_lines(
    text: str, *, name: str, first_line: int = 1, json_scalars: bool = False
) -> Located:
    """Return the one document in `text`, with the line of every value.

    With `json_scalars` a bare `null` and decimal numbers mean what they mean in JSON.

    Raises:
        ConfigError: this is not YAML, or YAML that does more than hold data.
    """
    if found := _MARKER.search(text):
        line = first_line + text.count("\n", 0, found.start())
        hint = "choose one side, then remove the three marker lines"
        raise ConfigError(f"{name}:{line}: an unresolved merge conflict", hint=hint)
    return _Reader(text, name, first_line, json_scalars=json_scalars).document()


def plain_value(text: str, *, json_scalars: bool = False) -> object:
    """Return what a bare scalar means.

    Example:
        >>> plain_value("12"), plain_value("012"), plain_value("true"), plain_value("NO")
        (12, '012', True, 'NO')
    """
    if text in {"true", "false"}:
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if json_scalars and text == "null":
        return None
    if json_scalars and _DECIMAL.fullmatch(text):
        return float(text)
    return text


def is_table(value: object) -> TypeGuard[dict[str, object]]:
    """Whether a value read from a file has keys (which are text)."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[object]]:
    """Whether a value read from a file is a list."""
    return isinstance(value, list)


class _Reader:
    """Builds one value from the events of one document."""

    def __init__(self, text: str, name: str, first_line: int, *, json_scalars: bool) -> None:
        self._text, self._name, self._first_line = text, name, first_line
        self._json_scalars = json_scalars
        self._lines: dict[Place, int] = {}
        self._events = _events(text)

    def document(self) -> Located:
        import yaml  # noqa: PLC0415 -- 15 ms that a start without YAML need not pay

        try:
            return self._document()
        except yaml.YAMLError as error:
            self._refuse_syntax(error)

    def _document(self) -> Located:
        import yaml  # noqa: PLC0415 -- as above

        next(self._events)  # the stream
        if isinstance(start := next(self._events), yaml.StreamEndEvent):
            return Located("", {})
        if getattr(start, "tags", None) or getattr(start, "version", None):
            self._refuse(start, "a YAML directive", "remove the line that starts with %")
        value = self._value(next(self._events), ())
        if (end := next(self._events)).explicit:
            self._refuse(end, "the end of a document", "keep one document in a file: remove `...`")
        if not isinstance(more := next(self._events), yaml.StreamEndEvent):
            self._refuse(more, "a second document", "keep one document in a file")
        return Located(value, self._lines)

    def _value(self, event: Any, path: Place) -> object:
        import yaml  # noqa: PLC0415 -- as above

        self._check(event, path)
        self._lines.setdefault(path, self._line(event))
        match event:
            case yaml.ScalarEvent():
                return self._scalar(event)
            case yaml.SequenceStartEvent():
                return self._sequence(path)
            case _:
                return self._mapping(path)

    def _check(self, event: Any, path: Place) -> None:
        if getattr(event, "anchor", None) is not None:  # an alias carries its anchor, too
            self._refuse(event, "an anchor or alias", "write the value out: no anchor, no alias")
        if getattr(event, "tag", None) is not None:
            self._refuse(event, "a tag", "remove the tag (`!...`): every value is text")
        if len(path) >= _DEPTH_MAX:
            self._refuse(event, "nested too deeply", f"use at most {_DEPTH_MAX} levels")

    def _scalar(self, event: "yaml.ScalarEvent") -> object:
        bare = not event.style
        return plain_value(event.value, json_scalars=self._json_scalars) if bare else event.value

    def _sequence(self, path: Place) -> list[object]:
        import yaml  # noqa: PLC0415 -- as above

        items: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Place) -> dict[str, object]:
        import yaml  # noqa: PLC0415 -- as above

        found: dict[str, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            self._check(event, path)
            if not isinstance(event, yaml.ScalarEvent):
                self._refuse(event, "a key that is no text", "use a plain word before the colon")
            key = event.value
            if key in found:
                first = self._lines[*path, key]
                self._refuse(event, f"`{key}` stands twice (first on line {first})", "keep one")
            self._lines[*path, key] = self._line(event)
            found[key] = self._value(next(self._events), (*path, key))
        return found

    def _line(self, event: Any) -> int:
        return self._first_line + event.start_mark.line

    def _refuse(self, event: Any, what: str, hint: str) -> NoReturn:
        raise ConfigError(f"{self._name}:{self._line(event)}: {what}", hint=hint)

    def _refuse_syntax(self, error: "yaml.YAMLError") -> NoReturn:
        mark = getattr(error, "problem_mark", None)
        position = getattr(error, "position", 0)  # of a character that YAML does not allow
        line = mark.line if mark else self._text.count("\n", 0, position)
        problem = getattr(error, "problem", None) or "a character that text cannot hold"
        lines = self._text.split("\n")
        hint = _syntax_hint(lines[line] if line < len(lines) else "")
        raise ConfigError(f"{self._name}:{self._first_line + line}: {problem}", hint=hint) from None


def _events(text: str) -> "Iterator[Any]":
    import yaml  # noqa: PLC0415 -- as above

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # not every wheel carries libyaml
    return yaml.parse(text, Loader=loader)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def _syntax_hint(line: str) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent:
        return "indent with blanks, not with a tab"
    if line.lstrip()[:1] in {"@", "`", "%", "*", "&", "!"}:
        return "put the value in double quotes"
    return "write `key: value`; put text with a colon, # or quotes in it in double quotes"
