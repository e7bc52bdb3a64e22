"""Did a result bring anything? Empty is no failure, but many of them are no progress either.

Rule: a count of 0 or a `false` is an answer; nothing found is empty, in whatever way it is said.
"""

import re
from collections.abc import Mapping

from standpipe.outcomes.reading import fields, items, json_of

SENTENCE_CHARACTERS_MAX = 200
# Where answers keep what was found.
LISTINGS = frozenset(
    (
        "rows", "results", "result", "items", "data", "hits", "matches", "records", "entries", "messages", "files",
        "documents", "values", "content", "edges", "nodes", "list", "output", "answers", "events", "issues", "orders",
        "body", "text",
    )
)  # fmt: skip
_NOTHING = re.compile(
    r"\W{0,5}(?:(?:there (?:are|is|were|was) )?(?:no|0|zero) (?:\w+ ){0,3}(?:results?|rows?|match(?:es)?|items?|records?|entries|files?|hits?|data|messages?|documents?|output|occurrences?)"
    r"(?: (?:\w+ ){0,3}(?:found|returned|available|matched|selected|affected|exist))?"
    r"|(?:nothing|none|no one)(?: (?:was |were )?(?:found|matched|returned|to show|here))?"
    r"|no(?:t| \w+) found|no matches(?: for .{1,100})?|no results(?: for .{1,100})?|empty|null|n/a|\[\]|\{\})\W{0,5}",
    re.IGNORECASE,
)
_DEPTH_MAX = 6


def is_empty(value: object, *, depth: int = _DEPTH_MAX) -> bool:
    """Whether a result holds nothing.

    Example:
        >>> [is_empty(value) for value in ("", [], {"rows": [], "count": 0}, "No results.", 0)]
        [True, True, True, True, False]
    """
    if value is None:
        return True
    if isinstance(value, str):
        return _says_nothing(value, depth)
    if not _holds(value):
        return False
    told = fields(value)
    if told or not items(value):
        return _holds_nothing(told, depth)
    return all(_is_blank_part(part, depth) for part in items(value))


def _holds(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _says_nothing(text: str, depth: int) -> bool:
    if len(text) <= SENTENCE_CHARACTERS_MAX and (not text.strip() or _NOTHING.fullmatch(text)):
        return True
    if len(text) > 10 * SENTENCE_CHARACTERS_MAX or depth == 0:
        return not text.strip()
    meaning = json_of(text)
    return meaning is not None and is_empty(meaning, depth=depth - 1)


def _is_blank_part(part: object, depth: int) -> bool:
    """Whether a part of MCP's `content` is a text that says nothing; a row is never blank."""
    told = fields(part)
    return depth > 0 and told.get("type") == "text" and is_empty(told.get("text"), depth=depth - 1)


def _holds_nothing(told: Mapping[str, object], depth: int) -> bool:
    if not told:
        return True
    if depth == 0:
        return False
    listings = [value for key, value in told.items() if str(key).lower() in LISTINGS]
    if listings:
        return all(is_empty(value, depth=depth - 1) for value in listings)
    # Somebody's own name for a list: everything that could hold something is empty.
    holders = [value for value in told.values() if _holds(value)]
    return bool(holders) and all(is_empty(value, depth=depth - 1) for value in holders)
