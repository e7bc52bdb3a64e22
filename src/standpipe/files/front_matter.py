"""The head of a Markdown file: keys for the machine, between two lines of `---`.

Rule 1: the head is closed, at most 16 KB, and a mapping; else the file is refused, never skipped.
Rule 2: a byte order mark and CRLF are accepted; the body is kept to the byte.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import TypeGuard

from msgspec import Struct

from standpipe.errors import ConfigError
from standpipe.files.yaml import (
    Lines,
    Located,
    is_table,
    load_yaml_with_lines,
    plain_value,
)

FRONT_MATTER_BYTES = 16 * 1024

_FENCE = re.compile(r"(?m)^---[ \t]*\r?$\n?")
_BARE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_ ./@+-]|:(?=[A-Za-z0-9]))*(?<! )")
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]")


class FrontMatter(Struct, frozen=True):
    """What the head of a file says; `lines` counts from 1 in the whole file."""

    values: Mapping[str, object]
    body: str
    raw: str
    lines: Lines

    @property
    def located(self) -> Located:
        return Located(self.values, self.lines)


def load_front_matter(text: str, *, name: str) -> FrontMatter:
    """Read the head of a Markdown file.

    Raises:
        ConfigError: there is none, it is not closed, or it says what data cannot say.
    """
    text = text.removeprefix("\ufeff")
    opening = _FENCE.match(text)
    if opening is None:
        hint = "start the file with front matter: a line `---`, the keys, a line `---`"
        raise ConfigError(f"{name}:1: there is no front matter", hint=hint)
    closing = _FENCE.search(text, opening.end())
    if closing is None:
        hint = "the front matter is not closed: end the keys with a line `---`"
        raise ConfigError(f"{name}:1: front matter without an end", hint=hint)
    raw = text[opening.end() : closing.start()]
    if len(raw.encode("utf-8", "replace")) > FRONT_MATTER_BYTES:
        hint = "move text below the second `---`"
        raise ConfigError(f"{name}:1: front matter of more than 16 KB", hint=hint)
    value, lines = load_yaml_with_lines(raw, name=name, first_line=2)
    if value == "":
        value = dict[str, object]()
    if not is_table(value):
        hint = "front matter is a mapping: one `key: value` on each line"
        raise ConfigError(f"{name}:{lines.get((), 2)}: these are no keys", hint=hint)
    return FrontMatter(value, text[closing.end() :], raw, lines)


def dump_front_matter(values: Mapping[str, object], body: str) -> str:
    """Write a file that `load_front_matter` reads back as the same values and body."""
    end = "\r\n" if "\r\n" in body else "\n"
    return end.join(["---", *_mapping_lines(values), "---", body])


def _mapping_lines(values: Mapping[str, object]) -> list[str]:
    return [line for key, value in values.items() for line in _entry_lines(_text(key), value)]


def _entry_lines(key: str, value: object) -> list[str]:
    if is_table(value) and value:
        return [f"{key}:", *(f"  {line}" for line in _mapping_lines(value))]
    if _is_sequence(value) and value:
        return [f"{key}:", *(f"  - {_inline(item)}" for item in value)]
    return [f"{key}: {_inline(value)}"]


def _inline(value: object) -> str:
    return _text(value) if isinstance(value, str) else _flow(value)


def _flow(value: object) -> str:
    """Write a value on one line; inside brackets all text is quoted, as commas end bare text."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, int):
        return str(value).lower()
    if is_table(value):
        pairs = [f"{_quoted(key)}: {_flow(item)}" for key, item in value.items()]
        return "{" + ", ".join(pairs) + "}"
    if _is_sequence(value):
        return "[" + ", ".join(map(_flow, value)) + "]"
    raise TypeError(f"front matter holds text, whole numbers and true or false: {value!r}")


def _is_sequence(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, (list, tuple))


def _text(value: str) -> str:
    bare = _BARE.fullmatch(value) and plain_value(value) == value
    return value if bare else _quoted(value)


def _quoted(value: str) -> str:
    """Quote as JSON does, which YAML reads too, once what YAML cannot hold is escaped."""
    return _UNSAFE.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False)
    )
