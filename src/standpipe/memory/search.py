"""Find files of the brain by words: a plain scan, which is the truth any later index must match.

Rule 1: foreign text is found, too, and comes back quoted, under the label `untrusted`.
Rule 2: a query is words; no character in it has a meaning of its own.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

FILE_BYTES = 256 * 1024
_EXCERPT_LENGTH = 240
_TITLE_WEIGHT = 3
_FOLDERS = ("notes", "tasks", "lessons", "decisions", "inbox", "untrusted")
_WORD = re.compile(r"\w+")
_ENDING = re.compile(r"(?<=\w{3})(?:ings?|edly|ed|es|e|s)$")


class Hit(Struct, frozen=True):
    """A file that speaks of what was asked."""

    path: str
    title: str
    line: int
    excerpt: str
    score: float
    untrusted: bool = False


class _Page(Struct, frozen=True):
    path: str
    title: str
    text: str
    words: Mapping[str, int]
    changed: float


def search(brain: Path, query: str, *, limit: int = 10) -> list[Hit]:
    """Return the best files first; an empty query: the newest first."""
    pages = list(_pages(brain))
    terms = sorted({_stem(word) for word in _WORD.findall(query)})
    if not terms:
        newest = sorted(pages, key=lambda page: (-page.changed, page.path))
        return [_hit(page, terms, 0.0) for page in newest[:limit]]
    weights = _weights(pages, terms)
    scored = [(_score(page, weights), page) for page in pages]
    found = sorted(
        ((score, page) for score, page in scored if score),
        key=lambda pair: (-pair[0], pair[1].path),
    )
    return [_hit(page, terms, score) for score, page in found[:limit]]


def _pages(brain: Path) -> Iterator[_Page]:
    paths = [path for name in ("IDENTITY.md", "PINNED.md") if (path := brain / name).is_file()]
    for folder in _FOLDERS:
        paths.extend(path for path in sorted((brain / folder).glob("**/*")) if path.is_file())
    for path in paths:
        if path.suffix in {".md", ".txt"} and not path.is_symlink():
            with path.open("rb") as file:
                text = file.read(FILE_BYTES).decode("utf-8", "replace")
            place = path.relative_to(brain).as_posix()
            title = _title(text, place)
            words = Counter(_stem(word) for word in _WORD.findall(f"{path.stem} {text}"))
            for word in _WORD.findall(title):
                words[_stem(word)] += _TITLE_WEIGHT
            yield _Page(place, title, text, words, path.stat().st_mtime)


def _title(text: str, place: str) -> str:
    found = re.search(r"(?m)^(?:title|what): *(.+)$|^# +(.+)$", text)
    return (found[1] or found[2]).strip().strip('"') if found else place


def _stem(word: str) -> str:
    return _ENDING.sub("", word.casefold())


def _weights(pages: Sequence[_Page], terms: Sequence[str]) -> Mapping[str, float]:
    """Return how much each term says: rare words say more."""
    return {
        term: math.log(1 + len(pages) / (1 + sum(1 for page in pages if term in page.words)))
        for term in terms
    }


def _score(page: _Page, weights: Mapping[str, float]) -> float:
    length = 1 + math.log(1 + sum(page.words.values()))
    total = sum(weight * math.log1p(page.words.get(term, 0)) for term, weight in weights.items())
    return round(total / length, 6)


def _hit(page: _Page, terms: Sequence[str], score: float) -> Hit:
    lines = page.text.split("\n")
    counts = [sum(_stem(word) in terms for word in _WORD.findall(line)) for line in lines]
    best = counts.index(max(counts))
    excerpt = "\n".join(lines[best : best + 3]).strip()[:_EXCERPT_LENGTH]
    if page.path.startswith("untrusted/"):
        quoted = msgspec.json.encode({"source": page.path, "text": excerpt}).decode()
        return Hit(page.path, page.path, best + 1, quoted, score, untrusted=True)
    return Hit(page.path, page.title, best + 1, excerpt, score)
