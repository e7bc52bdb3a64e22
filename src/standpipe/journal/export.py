"""A journal as JSON Lines that can be verified alone, in any language.

Rule 1: first a line that begins, tombstones and seals, then the entries, stream by stream, then a line that ends:
whoever reads from the top knows what has to come, and what is cut off shows.
Rule 2: `data` stands there byte for byte as it was hashed, between `,"data":` and `,"prev":"`.
Rule 3: whole runs only, never some entries of one; a part of a journal says that it is one (`whole`).
"""

from collections.abc import AsyncIterator, Collection, Mapping
from datetime import UTC, datetime

import msgspec
from msgspec import Raw, Struct

from standpipe.clock import stamp
from standpipe.errors import BrokenJournalError, UsageError
from standpipe.ids import HOME, natural
from standpipe.journal.chain import GENESIS, Stored
from standpipe.journal.projections import RUNS
from standpipe.journal.seals import Seal
from standpipe.journal.snapshot import Snapshot, Tombstone

FORMAT = 1


class Begun(Struct, frozen=True, tag_field="kind", tag="export.begun", kw_only=True):
    """The first line. `hash`: sha256, or hmac-sha256 where the journal has a key."""

    format: int = FORMAT
    genesis: str = GENESIS
    hash: str
    whole: bool


class ExportedTombstone(Struct, frozen=True, tag_field="kind", tag="export.archived"):
    """A run begins after what an archive holds of it."""

    run: str
    seq: int
    head: str
    at: str
    file: str


class ExportedSeal(Struct, frozen=True, tag_field="kind", tag="export.seal"):
    """A seal; `heads` byte for byte as it was hashed."""

    n: int
    at: str
    heads: Raw
    prev: str
    hash: str


class Ended(Struct, frozen=True, tag_field="kind", tag="export.ended"):
    """The last line."""

    streams: int
    entries: int


class ExportedEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry, its fields in the order of the columns."""

    run: str
    seq: int
    epoch: int
    key: str
    kind: str
    v: int
    at: str
    data: Raw
    prev: str
    hash: str


Mark = Begun | ExportedTombstone | ExportedSeal | Ended
_JSON = msgspec.json.Decoder(Raw)


async def export(
    snapshot: Snapshot, runs: Collection[str] | None = None, *, keyed: bool = False
) -> AsyncIterator[bytes]:
    """Yield the lines of a whole journal, or of some of its runs.

    Raises:
        BrokenJournalError: an entry is no JSON, so no line can hold it.
    """
    names = sorted(await snapshot.heads() if runs is None else runs, key=natural)
    yield _line(Begun(hash="hmac-sha256" if keyed else "sha256", whole=runs is None))
    for buried in (await snapshot.tombstones()).values():
        if buried.run in names or runs is None:
            yield _line(_tombstone(buried))
    for seal in _wanted(await snapshot.seals(), runs):
        yield _line(ExportedSeal(seal.n, seal.at, Raw(seal.heads.encode()), seal.prev, seal.hash))
    count = 0
    for name in names:
        async for stored in snapshot.entries(name):
            for one in stored:
                yield _entry(one)
            count += len(stored)
    yield _line(Ended(len(names), count))


async def changed_since(snapshot: Snapshot, since: str) -> Collection[str]:
    """Return the runs that had an entry at or after a time, and the stream of the home."""
    rows = await snapshot.rows(RUNS)
    old = {name for name, row in rows.items() if _last_at(row) < since}
    return {name for name in await snapshot.heads() if name not in old or name == HOME}


def read_time(text: str) -> str:
    """Read a time as a person types it: `2026-11-01`, `2026-11-01T07:00`, with a zone or in UTC.

    Raises:
        UsageError: it is no time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"`{text}` is no time", hint="for example 2026-11-01 or 2026-11-01T07:00:00Z"
        ) from None
    return stamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _wanted(seals: Collection[Seal], runs: Collection[str] | None) -> Collection[Seal]:
    """Return all seals; of some runs only, the newest one that covers each of them."""
    if runs is None:
        return seals
    newest: dict[str, Seal] = {}
    for seal in seals:
        newest.update(dict.fromkeys(set(_covered(seal)) & set(runs), seal))
    return sorted(set(newest.values()), key=lambda seal: seal.n)


def _covered(seal: Seal) -> Mapping[str, str]:
    """Return the heads of a seal that nobody checked."""
    return msgspec.json.decode(seal.heads, type=dict[str, str])


def _tombstone(buried: Tombstone) -> ExportedTombstone:
    return ExportedTombstone(buried.run, buried.seq, buried.head, buried.at, buried.file)


def _entry(one: Stored) -> bytes:
    try:
        _JSON.decode(one.data)
        line = _line(
            ExportedEntry(
                one.run, one.seq, one.epoch, one.key, one.kind, one.v, one.at, Raw(one.data),
                one.prev, one.hash,
            )
        )  # fmt: skip
    except (msgspec.DecodeError, UnicodeError) as error:
        raise _not_exportable(one, str(error)) from error
    if b"\n" in line[:-1]:
        raise _not_exportable(one, "a line break stands in its JSON")
    return line


def _not_exportable(one: Stored, why: str) -> BrokenJournalError:
    return BrokenJournalError(
        f"entry {one.run}/{one.seq} cannot be exported: {why}",
        hint="`standpipe journal verify` lists what is damaged",
    )


def _line(value: Struct) -> bytes:
    return msgspec.json.encode(value) + b"\n"


class _LastAt(Struct):
    last_at: str = ""


def _last_at(row: bytes) -> str:
    try:
        return msgspec.json.decode(row, type=_LastAt).last_at or "9"
    except msgspec.DecodeError:
        return "9"  # a row nobody can read says nothing about when
