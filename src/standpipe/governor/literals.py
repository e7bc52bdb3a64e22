r"""Find JSON and Python literals in a text and say what in them tells one failure from another.

Rule 1: one pass over the text, no evaluation, at most `TOKENS_MAX` steps.
Rule 2: keys may be bare words, as JavaScript and MongoDB print them; values may not.
Rule 3: a literal that the end of the text cuts off counts with what was said until then.
Rule 4: numbers stay as they are written.
"""

import re
from collections.abc import Iterator
from typing import cast

from msgspec import Struct

STARTS_MAX = 8
TOKENS_MAX = 128
DEPTH_MAX = 12
MEMBERS_DEPTH_MAX = 4
_ITEMS_MAX = 2
_SENTENCE_SPACES_MIN = 2

_START = re.compile(r"\{|\[(?=\s{0,20}[\"'{\[])")  # `[Errno 2]` is none
_TOKEN = re.compile(
    r"""\s{0,99}+(?:([{}\[\],:])"""
    r"""|(?:\bb)?("[^"\\]*+(?:\\.[^"\\]*+)*+"|'[^'\\]*+(?:\\.[^'\\]*+)*+')"""
    r"""|(-?\d[\d.eE+-]{0,40})|([A-Za-z_$][\w$-]{0,80})|(["']))""",
    re.DOTALL,
)
_OPEN_QUOTE = 5
_NAMES: dict[str, object] = {
    "true": True, "false": False, "null": None, "True": True, "False": False, "None": None,
}  # fmt: skip
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)

# Written without case, `_` and `-`: `status_code`, `statusCode` and `StatusCode` are one key.
_CODE_KEYS = frozenset({"type", "code", "errorcode", "errcode", "errortype", "status", "statuscode", "errno", "kind"})  # fmt: skip
_CLASS_KEYS = _CODE_KEYS | {
    "error", "reason", "message", "title", "detail", "name", "msg", "errormessage",
    "errordescription", "exception", "faultstring", "grpcstatus",
}  # fmt: skip
_ERROR_NAMES = ("Error", "Exception", "Fault", "Failure")  # any other name is whose, not what
_SEPARATORS = str.maketrans("", "", "_-")


class Literal(Struct, frozen=True):
    """A literal and where it stands in the text."""

    value: dict[str, object] | list[object]
    start: int
    end: int


class Member(Struct, frozen=True, order=True):
    """One thing a literal says about a failure; a code is known by its key."""

    key: str
    text: str
    code: bool


def first(text: str, position: int = 0) -> Literal | None:
    """Return the first dict or list in `text` that says something.

    Example:
        >>> first("401 - {'code': 'expired'}").value
        {'code': 'expired'}
    """
    reader = _Reader(text)
    for _ in range(STARTS_MAX):
        match = _START.search(text, position)
        if match is None:
            return None
        reader.position = position = match.start()
        value = reader.literal()
        if value:
            return Literal(value, position, reader.position)
        position += 1
    return None


def members(value: object) -> list[Member]:
    """List what says which failure it is, sorted by key.

    Example:
        >>> members({"error": {"code": "expired", "id": 7}})
        [Member(key='code', text='expired', code=True)]
    """
    return sorted(_members(value, 0))


def _members(value: object, depth: int) -> Iterator[Member]:
    if isinstance(value, dict) and depth < MEMBERS_DEPTH_MAX:
        for key, inner in cast("dict[str, object]", value).items():
            if isinstance(inner, dict | list):
                yield from _members(cast("object", inner), depth + 1)
            elif member := _member(key, str(inner)):
                yield member
    elif isinstance(value, list) and depth < MEMBERS_DEPTH_MAX:
        for item in cast("list[object]", value)[:_ITEMS_MAX]:
            if isinstance(item, str) and item.count(" ") >= _SENTENCE_SPACES_MIN:
                yield Member("", item, code=False)  # {"email": ["is not a valid address"]}
            else:
                yield from _members(item, depth + 1)


def _member(key: str, text: str) -> Member | None:
    plain = key.lower().translate(_SEPARATORS)
    if plain not in _CLASS_KEYS or (plain == "name" and not text.endswith(_ERROR_NAMES)):
        return None
    return Member(key, text, code=plain in _CODE_KEYS)


class _Cut(Exception):  # noqa: N818 -- not an error: the text is over
    """The text, or the number of steps, ends inside the literal."""


class _Reader:
    """Read values from a position on; raises ValueError where there is none."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.steps = 0

    def literal(self) -> dict[str, object] | list[object] | None:
        """Read one whole literal, or what there is of one the text cuts off."""
        found: dict[str, object] | list[object] = {} if self.text[self.position] == "{" else []
        self.position += 1
        try:
            self._fill(found, 0)
        except ValueError:
            return None
        except _Cut:
            self.position = len(self.text)
        return found

    def _fill(self, found: dict[str, object] | list[object], depth: int) -> None:
        if depth > DEPTH_MAX:
            raise ValueError(depth)
        if isinstance(found, dict):
            self._fill_mapping(found, depth)
        else:
            self._fill_sequence(found, depth)

    def _fill_mapping(self, found: dict[str, object], depth: int) -> None:
        while True:
            key = self._next()
            if key == "}":
                return
            if key in "{[],:" or self._next() != ":":
                raise ValueError(key)
            key = key[1:-1] if key[0] in "\"'" else key
            inner = self._value(self._next())
            found[key] = inner
            if isinstance(inner, dict | list):
                self._fill(cast("dict[str, object] | list[object]", inner), depth + 1)
            if self._ends("}"):
                return

    def _fill_sequence(self, found: list[object], depth: int) -> None:
        while True:
            token = self._next()
            if token[0] == "]":
                return
            inner = self._value(token)
            found.append(inner)
            if isinstance(inner, dict | list):
                self._fill(cast("dict[str, object] | list[object]", inner), depth + 1)
            if self._ends("]"):
                return

    def _ends(self, closing: str) -> bool:
        mark = self._next()
        if mark not in (closing, ","):
            raise ValueError(mark)
        return mark == closing

    def _value(self, token: str) -> object:
        first = token[0]
        if first in "\"'":
            inner = token[1:-1]
            return _ESCAPE.sub(r"\1", inner) if "\\" in inner else inner
        if first in "{[":
            return {} if first == "{" else []
        if token in _NAMES:
            return _NAMES[token]
        if first in "-0123456789":
            return token
        raise ValueError(token)

    def _next(self) -> str:
        self.steps += 1
        match = _TOKEN.match(self.text, self.position)
        if self.steps > TOKENS_MAX:
            raise _Cut
        if match is None:
            if self.text[self.position :].strip(" \n\t\r…"):
                raise ValueError(self.position)
            raise _Cut
        self.position = match.end()
        kind = match.lastindex or 0
        if kind == _OPEN_QUOTE:  # the text ends in this string
            quote, self.position = match[kind], len(self.text)
            return f"{quote}{self.text[match.end() :]}{quote}"
        return match[kind]
