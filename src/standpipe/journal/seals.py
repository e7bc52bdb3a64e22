"""Seals: which entry each stream ended with, written down now and then, so that a cut tail is noticed.

Rule 1: a seal covers the heads that changed since the one before it, and is chained to it by its hash.
Rule 2: seals of schema 1 cover every head again; folding them gives the same.
"""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from standpipe.errors import BrokenJournalError
from standpipe.journal.chain import GENESIS, sign

_RESTORE = "restore it from a backup"
_HEADS = msgspec.json.Decoder(dict[str, str])


class Seal(Struct, frozen=True):
    """A seal exactly as it was written; `heads` is JSON, from stream to the hash of its last entry."""

    n: int
    at: str
    heads: str
    prev: str
    hash: str


def seal(last: Seal | None, heads: Mapping[str, str], *, at: str, secret: bytes = b"") -> Seal:
    """Return the seal over `heads` that follows `last`."""
    n, prev = (last.n + 1, last.hash) if last else (1, GENESIS)
    text = msgspec.json.encode(heads, order="sorted").decode()
    return Seal(n, at, text, prev, _hash(prev, n, at, text, secret))


def fold(seals: Iterable[Seal], *, at_least: int = 0, secret: bytes = b"") -> dict[str, str]:
    """Return the newest sealed head of each stream; `at_least`: how many seals there must be.

    Raises:
        BrokenJournalError: the chain of seals is not what was written.
    """
    heads, prev, number = dict[str, str](), GENESIS, 0
    for number, one in enumerate(seals, 1):
        if (one.n, one.prev) != (number, prev):
            raise BrokenJournalError(f"seal {number} is not what was written", hint=_RESTORE)
        heads.update(covered(one, secret))
        prev = one.hash
    if number < at_least:
        raise BrokenJournalError(f"seal {at_least} is missing", hint=_RESTORE)
    return heads


def covered(one: Seal, secret: bytes = b"") -> Mapping[str, str]:
    """Return the heads of one seal.

    Raises:
        BrokenJournalError: it is not what was written.
    """
    if one.hash != _hash(one.prev, one.n, one.at, one.heads, secret):
        raise BrokenJournalError(f"seal {one.n} is not what was written", hint=_RESTORE)
    return _HEADS.decode(one.heads)


def _hash(prev: str, n: int, at: str, heads: str, secret: bytes) -> str:
    return sign(f"{prev}{n}{at}{heads}".encode(), secret)
