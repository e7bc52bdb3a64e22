"""Find phrases in a text: a table of them becomes an index by word, and the text is cut into words once.

Rule 1: addresses and paths are taken out first. `/quota/expired-token` says nothing about a quota.
Rule 2: a row is looked at only where the longest word of its literal is in the text.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from msgspec import Struct

from standpipe.outcomes.outcome import Kind
from standpipe.outcomes.reading import capped

TEXT_CHARACTERS_MAX = 2_000
# For each kind: what must be there, and the expression that then decides.
Table = tuple[tuple[Kind, dict[str, str]], ...]
_URL = re.compile(r"://[^\s'\"<>]+")
_PATH = re.compile(r"/(?<![\w/]/)[^\s'\",:;()]+")
_WORD = re.compile(r"[a-z]+")


class Row(Struct, frozen=True):
    """One phrase; a smaller rank decides."""

    rank: int
    kind: Kind
    literal: str
    pattern: re.Pattern[str] | None


Index = Mapping[str, Sequence[Row]]


@lru_cache(maxsize=8)  # one failure is read by several families
def folded(text: str) -> str:
    """Return the text that phrases are looked for in: capped, in lower case, without addresses and paths."""
    text = capped(text, TEXT_CHARACTERS_MAX).lower().replace("\u2019", "'")
    if "/" not in text:
        return text
    return _PATH.sub(" ", _URL.sub(" ", text))


def indexed(table: Table) -> Index:
    """Put every row under the longest word of its literal."""
    index: dict[str, list[Row]] = {}
    for rank, (kind, row) in enumerate(table):
        for literals, pattern in row.items():
            for literal in literals.split("|"):
                longest = max(_WORD.findall(literal), key=len)
                found = Row(rank, kind, literal, re.compile(pattern) if pattern else None)
                index.setdefault(longest, []).append(found)
    return index


def search(index: Index, text: str) -> Kind | None:
    """Return the first kind of the table of which a phrase stands in a `folded` text."""
    best: Row | None = None
    for word in set(_WORD.findall(text)):
        for row in index.get(word, ()):
            if (best is None or row.rank < best.rank) and row.literal in text and _fits(row, text):
                best = row
    return best.kind if best else None


def _fits(row: Row, text: str) -> bool:
    return row.pattern is None or row.pattern.search(text) is not None
