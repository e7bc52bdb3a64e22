"""How entries are kept: canonical bytes, each chained to the one before it by its hash."""

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from standpipe.journal.entries import Body, Draft, Entry, kind_of

GENESIS = "0" * 64
VERSIONS: Mapping[str, int] = {}  # kinds whose shape has moved on; every other kind is at 1


class Stored(Struct, frozen=True):
    """An entry exactly as it was written: what a chain is checked against."""

    run: str
    seq: int
    epoch: int
    key: str
    kind: str
    v: int
    at: str
    data: bytes
    prev: str
    hash: str


def encode(body: Body) -> bytes:
    """Write a body as canonical JSON: sorted keys, no spaces, UTF-8."""
    return msgspec.json.encode(body, order="sorted")


_BODY: msgspec.json.Decoder[Body] = msgspec.json.Decoder(Body)


def decode(data: bytes | str) -> Body:
    """Read a body written by any version so far."""
    return _BODY.decode(data)


def link(  # noqa: PLR0913 -- the columns of an entry, by name
    *, run: str, seq: int, epoch: int, key: str, kind: str, v: int, at: str, data: bytes, prev: str
) -> str:
    """Return the hash of an entry: SHA-256 over the one before it and every other column."""
    row = (run, seq, epoch, key, kind, v, at, msgspec.Raw(data))
    return hashlib.sha256(prev.encode() + msgspec.json.encode(row)).hexdigest()


def place(draft: Draft, *, run: str, seq: int, epoch: int, at: str, prev: str) -> Entry:
    """Give a sentence its place after the entry whose hash is `prev`."""
    kind = kind_of(draft.body)
    v = VERSIONS.get(kind, 1)
    own = link(
        run=run, seq=seq, epoch=epoch, key=draft.key, kind=kind, v=v, at=at,
        data=encode(draft.body), prev=prev,
    )  # fmt: skip
    return Entry(run, seq, epoch, draft.key, v, at, draft.body, prev, own)
