"""Find the first JSON or Python literal in a text: error bodies are printed both ways.

Rule: one pass over the text, no evaluation; a literal that is cut off is none.
"""

import re
from itertools import islice
from typing import cast

from msgspec import Struct

STARTS_MAX = 8
DEPTH_MAX = 12
_TOKEN = re.compile(
    r"""\s*(?:([{}\[\],:])|b?("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(-?\d[\d.eE+-]*)|(\w+))""",
    re.DOTALL,
)
_NAMES: dict[str, object] = {
    "true": True, "false": False, "null": None, "True": True, "False": False, "None": None,
}  # fmt: skip
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Literal(Struct, frozen=True):
    """A literal and where it stands in the text."""

    value: dict[str, object] | list[object]
    start: int
    end: int


def first(text: str) -> Literal | None:
    """Return the first dict or list in `text` that is whole.

    Example:
        >>> first("401 - {'code': 'expired'}").value
        {'code': 'expired'}
    """
    for match in islice(re.finditer(r"[{\[]", text), STARTS_MAX):
        reader = _Reader(text, match.start())
        try:
            value = reader.value(0)
        except ValueError:
            continue
        if isinstance(value, dict | list):
            found = cast("dict[str, object] | list[object]", value)
            return Literal(found, match.start(), reader.position)
    return None


class _Reader:
    """Read one value from a position on; raises ValueError where there is none."""

    def __init__(self, text: str, position: int) -> None:
        self.text = text
        self.position = position

    def value(self, depth: int) -> object:
        mark, quoted, number, name = self._next()
        if quoted:
            return _ESCAPE.sub(r"\1", quoted[1:-1])
        if number:
            return float(number) if set(number) & set(".eE") else int(number)
        if name in _NAMES:
            return _NAMES[name]
        if depth > DEPTH_MAX or mark not in ("{", "["):
            raise ValueError(mark)
        return self._mapping(depth) if mark == "{" else self._sequence(depth)

    def _mapping(self, depth: int) -> dict[str, object]:
        found: dict[str, object] = {}
        while not self._closes("}"):
            key = self.value(depth + 1)
            if isinstance(key, dict | list) or self._next()[0] != ":":
                raise ValueError
            found[str(key)] = self.value(depth + 1)
            self._separates("}")
        return found

    def _sequence(self, depth: int) -> list[object]:
        found: list[object] = []
        while not self._closes("]"):
            found.append(self.value(depth + 1))
            self._separates("]")
        return found

    def _next(self) -> tuple[str, ...]:
        match = _TOKEN.match(self.text, self.position)
        if match is None:
            raise ValueError(self.position)
        self.position = match.end()
        return tuple(part or "" for part in match.groups())

    def _peek(self) -> str:
        match = _TOKEN.match(self.text, self.position)
        return (match[1] or "") if match else ""

    def _closes(self, mark: str) -> bool:
        if self._peek() != mark:
            return False
        self._next()
        return True

    def _separates(self, closing: str) -> None:
        if self._peek() == ",":
            self._next()
        elif self._peek() != closing:
            raise ValueError(self.position)
