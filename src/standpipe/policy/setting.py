"""The line of standpipe.toml that would make a question unnecessary, ready to be pasted.

Rule 1: the line is whole: what stands in the list already stands in it again, so that pasting loses nothing.
Rule 2: a value that means more than itself (a pattern, a quote, an invisible character) is never offered.
"""

from collections.abc import Mapping, Sequence

import msgspec

_MEANS_MORE = frozenset('*?[]"\\')


def under(table: str, line: str) -> str:
    """Name a line and the table it belongs to.

    Example:
        >>> under("tools.refund", 'policy = "allow"')
        'under [tools.refund]: policy = "allow"'
    """
    return f"under [{table}]: {line}"


def texts(known: Sequence[str], new: Sequence[str]) -> str:
    """Write a TOML list: the operator's own values as they are, and new ones after them.

    Example:
        >>> texts(["*@shop.example"], ["ann@else.example", "*"])
        '["*@shop.example", "ann@else.example", "..."]'
    """
    said = [msgspec.json.encode(value).decode() for value in known]
    return f"[{', '.join(dict.fromkeys([*said, *map(_new, new)]))}]"


def lists(known: Mapping[str, Sequence[str]], new: Sequence[tuple[str, str]]) -> str:
    """Write an inline TOML table of lists, with new values under their names.

    Example:
        >>> lists({"to": ["ann@shop.example"]}, [("cc", "bob@shop.example")])
        '{ to = ["ann@shop.example"], cc = ["bob@shop.example"] }'
    """
    names = dict.fromkeys([*known, *(name for name, _ in new)])
    parts = (
        f"{name} = {texts(known.get(name, ()), [value for where, value in new if where == name])}"
        for name in names
    )
    return f"{{ {', '.join(parts)} }}"


def _new(value: str) -> str:
    plain = value.isprintable() and not set(value) & _MEANS_MORE
    return f'"{value}"' if plain else '"..."'
