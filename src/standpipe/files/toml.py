"""Read TOML, and remember on which line each key stands, which `tomllib` does not tell.

The text is read by `tomllib` first; the scan for lines runs over text that is known to be right,
so it may be simple: it only has to know keys, tables, and where a value that spans lines ends.
"""

import re
import tomllib
from collections.abc import Iterator

from standpipe.errors import ConfigError
from standpipe.files.yaml import Located, Place

_KEY = r"(?:[A-Za-z0-9_-]+|\"(?:[^\"\\]|\\.)*\"|'[^']*')"
_DOTTED = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_TABLE = re.compile(rf"[ \t]*(\[\[?)[ \t]*({_DOTTED})[ \t]*\]")
_PAIR = re.compile(rf"[ \t]*({_DOTTED})[ \t]*=")
_INNER = re.compile(rf"[{{,]\s*({_DOTTED})[ \t]*=")
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|\'{3}.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{}\n]|[^\[\]{}\n"\'#]+',
    re.DOTALL,
)


def load_toml_with_lines(text: str, *, name: str) -> Located:
    """Return the tables in `text`, with the line of every key.

    Raises:
        ConfigError: this is not TOML.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(str(error), text, name) from None
    except RecursionError:
        raise ConfigError(f"{name}:1: nested too deeply", hint="use fewer brackets") from None
    return Located(value, dict(_lines(text)))


def _syntax_error(message: str, text: str, name: str) -> ConfigError:
    at = re.search(r" \(at line (\d+), column \d+\)| \(at end of document\)", message)
    line = int(at[1]) if at and at[1] else text.count("\n") + 1
    what = message[: at.start()] if at else message
    hint = "write `key = value`, text in double quotes, tables as [name]"
    return ConfigError(f"{name}:{line}: {what[:1].lower()}{what[1:]}", hint=hint)


def _lines(text: str) -> Iterator[tuple[Place, int]]:
    table: Place = ()
    counts: dict[Place, int] = {}
    for line, statement in _statements(text):
        if found := _TABLE.match(statement):
            table = _resolve(_split(found[2]), counts)
            if found[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            yield from _around(table, line)
        elif found := _PAIR.match(statement):
            path = (*table, *_split(found[1]))
            yield path, line
            yield from _inner(path, statement[found.end() :], line)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each table head and each pair as a whole, with the line on which it starts."""
    line, start_line, depth, start = 1, 1, 0, 0
    for token in _TOKEN.finditer(text):
        word = token[0]
        if word in {"[", "{"}:
            depth += 1
        elif word in {"]", "}"}:
            depth -= 1
        line += word.count("\n")
        if word == "\n" and depth <= 0:
            yield start_line, text[start : token.start()]
            start_line, start = line, token.end()
    yield start_line, text[start:]


def _resolve(names: Place, counts: dict[Place, int]) -> Place:
    """Put the current index behind each list of tables that `names` goes through."""
    path: Place = ()
    for name in names[:-1]:
        path = (*path, name)
        if path in counts:
            path = (*path, counts[path])
    return (*path, names[-1])


def _around(table: Place, line: int) -> Iterator[tuple[Place, int]]:
    yield table, line
    if isinstance(table[-1], int) and table[-1] == 0:
        yield table[:-1], line


def _inner(path: Place, value: str, line: int) -> Iterator[tuple[Place, int]]:
    """Yield the keys of an inline table, one level deep: deeper ones are found by what is around."""
    if value.lstrip().startswith("{"):
        for found in _INNER.finditer(value):
            yield (*path, *_split(found[1])), line + value.count("\n", 0, found.start(1))


def _split(dotted: str) -> Place:
    parts = re.findall(_KEY, dotted)
    return tuple(part[1:-1] if part[0] in "\"'" else part for part in parts)
