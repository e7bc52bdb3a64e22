"""How entries are kept: canonical bytes, each chained to the one before it by its hash.

Rule 1: the hash covers the bytes that lie there, not what we read out of them.
Rule 2: a body of an older version is brought up as it is read; one of a newer version is refused by name.
Rule 3: with a key the hash is an HMAC. A journal has the same key, or none, from its first entry on.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast, get_args

import msgspec
from msgspec import Struct

from standpipe.errors import BrokenJournalError, SchemaError
from standpipe.journal.entries import Body, Draft, Entry, kind_of
from standpipe.journal.upcasters import Plain, upcast, version_of

GENESIS = "0" * 64
_KINDS = frozenset(str(body.__struct_config__.tag) for body in get_args(Body))
_VERSIONS_NOW = {kind: version_of(kind) for kind in _KINDS}
_ENCODER = msgspec.json.Encoder(order="sorted")
_BODY: msgspec.json.Decoder[Body] = msgspec.json.Decoder(Body)
_PLAIN: msgspec.json.Decoder[Plain] = msgspec.json.Decoder(dict[str, object])
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")


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
    return _written(body).data


def decode(data: bytes | str) -> Body:
    """Read a body of the versions of today."""
    return _BODY.decode(data)


def entry_of(stored: Stored) -> Entry:
    """Read an entry written by any version so far.

    Raises:
        SchemaError: a newer version wrote it.
        BrokenJournalError: nobody can have written it.
    """
    place = f"entry {stored.run}/{stored.seq}"
    if not is_known(stored):
        raise SchemaError(
            f"{place} is `{stored.kind}` of version {stored.v}, this standpipe reads "
            f"{_up_to(stored.kind)}",
            hint="a newer standpipe wrote it: update this one; nothing is lost",
        )
    try:
        body = _read(stored)
    except (msgspec.DecodeError, UnicodeError, LookupError, TypeError, ValueError) as error:
        raise BrokenJournalError(
            f"{place} ({stored.kind}) cannot be read: {error}",
            hint="`standpipe journal verify` lists what is damaged",
        ) from error
    s = stored
    return Entry(s.run, s.seq, s.epoch, s.key, s.v, s.at, body, s.prev, s.hash)


def is_known(stored: Stored) -> bool:
    """Return whether this version of standpipe reads the shape of an entry."""
    return stored.v <= _VERSIONS_NOW.get(stored.kind, 0)


def link(  # noqa: PLR0913 -- the columns of an entry, by name
    *, run: str, seq: int, epoch: int, key: str, kind: str, v: int, at: str, data: bytes, prev: str,
    secret: bytes = b"",
) -> str:  # fmt: skip
    """Return the hash of an entry: over the one before it and every other column."""
    row = (run, seq, epoch, key, kind, v, at, msgspec.Raw(data))
    return sign(prev.encode() + msgspec.json.encode(row), secret)


def link_of(stored: Stored, secret: bytes = b"") -> str:
    """Return the hash an entry must have, given what it says of the one before it."""
    s = stored
    row = (s.run, s.seq, s.epoch, s.key, s.kind, s.v, s.at, msgspec.Raw(s.data))
    try:
        return sign(s.prev.encode() + msgspec.json.encode(row), secret)
    except UnicodeEncodeError:  # a damaged column is no text any more
        return ""


def sign(content: bytes, secret: bytes = b"") -> str:
    """Return the SHA-256 of some content as hex; with a secret its HMAC-SHA-256."""
    if secret:
        return hmac.digest(secret, content, "sha256").hex()
    return hashlib.sha256(content).hexdigest()


def place(
    draft: Draft, *, run: str, seq: int, epoch: int, at: str, prev: str, secret: bytes = b""
) -> Entry:
    """Give a sentence its place after the entry whose hash is `prev`."""
    kind = kind_of(draft.body)
    v = version_of(kind)
    body, data = _written(draft.body)
    own = link(
        run=run, seq=seq, epoch=epoch, key=draft.key, kind=kind, v=v, at=at, data=data, prev=prev,
        secret=secret,
    )  # fmt: skip
    return Entry(run, seq, epoch, draft.key, v, at, body, prev, own)


class _Written(NamedTuple):
    body: Body  # as it will be read
    data: bytes


def _written(body: Body) -> _Written:
    try:
        return _Written(body, _ENCODER.encode(body))
    except UnicodeEncodeError:  # UTF-8 has no half surrogate pairs; tools and models return some
        whole: Body = msgspec.convert(_whole(msgspec.to_builtins(body)), Body)
        return _Written(whole, _ENCODER.encode(whole))


def _whole(value: object) -> object:
    if isinstance(value, str):
        return _HALF_A_PAIR.sub("\ufffd", value)
    if isinstance(value, Mapping):
        table = cast("Mapping[object, object]", value)
        return {_whole(key): _whole(each) for key, each in table.items()}
    if isinstance(value, list | tuple):
        return [_whole(each) for each in cast("Sequence[object]", value)]
    return value


def _read(stored: Stored) -> Body:
    if stored.v == version_of(stored.kind):
        return _BODY.decode(stored.data)
    return msgspec.convert(upcast(stored.kind, stored.v, _PLAIN.decode(stored.data)), Body)


def _up_to(kind: str) -> str:
    return f"versions up to {version_of(kind)}" if kind in _KINDS else "no such kind"
