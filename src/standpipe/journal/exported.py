"""Verify an export alone: no journal is needed, and nothing is kept but one state per stream.

Rule 1: what `export` promises is checked: seals, chains, steps, and that all of it is there.
Rule 2: exports may follow each other in one file, as in the archive of a month; each is checked by itself.
"""

import gzip
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, cast

import msgspec

from standpipe.errors import BrokenJournalError, UsageError
from standpipe.journal.chain import GENESIS, Stored
from standpipe.journal.export import (
    FORMAT,
    Begun,
    Ended,
    ExportedEntry,
    ExportedSeal,
    ExportedTombstone,
    Mark,
)
from standpipe.journal.seals import Seal, covered
from standpipe.journal.snapshot import Tombstone
from standpipe.journal.streams import Finding, StreamCheck
from standpipe.journal.verify import Verdict

LINE_BYTES_MAX = 64 * 1024 * 1024
_MARK: msgspec.json.Decoder[Mark] = msgspec.json.Decoder(Mark)
_ENTRY = msgspec.json.Decoder(ExportedEntry)
_MARKED = b'{"kind":"export.'
_NO_SEAL = Seal(0, "", "{}", "", GENESIS)
_GZIP = b"\x1f\x8b"


def verify_export(lines: Iterable[bytes], *, secret: bytes = b"") -> Verdict:
    """Check the lines of one or more exports.

    Raises:
        UsageError: this is no export, or one of a newer format.
    """
    parts: list[_Part] = []
    for number, line in enumerate(lines, 1):
        if line.startswith(_MARKED + b'begun"'):
            parts.append(_Part(_begun(line, secret), secret))
        elif not parts:
            raise _no_export()
        else:
            parts[-1].take(number, line)
    if not parts:
        raise _no_export()
    for part in parts:
        part.close()
    return Verdict(
        sum(len(part.streams) for part in parts),
        sum(part.entries for part in parts),
        tuple(finding for part in parts for finding in part.all_findings()),
        sum(len(part.buried) for part in parts),
        tuple(each.newer for part in parts for each in part.streams.values() if each.newer),
    )


@contextmanager
def exported_lines(file: BinaryIO) -> Generator[Iterator[bytes]]:
    """Give the lines of an open export, compressed or not; no line is longer than the limit."""
    start = cast("bytes", getattr(file, "peek")(2))[:2]  # noqa: B009 -- buffered files have it
    plain = cast("BinaryIO", gzip.GzipFile(fileobj=file)) if start == _GZIP else file
    yield iter(lambda: plain.readline(LINE_BYTES_MAX), b"")


def exported_run(lines: Iterable[bytes], run: str, *, secret: bytes = b"") -> Sequence[Stored]:
    """Return what one or more exports hold of a run, in its order; its chain is not checked here.

    Raises:
        UsageError: one of them has a newer format, or a key that is not at hand.
        BrokenJournalError: an entry of the run cannot be read.
    """
    begin = b'{"run":' + msgspec.json.encode(run) + b","
    found: dict[int, Stored] = {}  # a run that was archived twice is there twice
    for number, line in enumerate(lines, 1):
        if line.startswith(_MARKED + b'begun"'):
            _begun(line, secret)
        elif line.startswith(begin):
            one = _stored(_read(number, line))
            found[one.seq] = one
    return [found[seq] for seq in sorted(found)]


@dataclass(slots=True)
class _Part:
    """One export, from its first line to its last."""

    begun: Begun
    secret: bytes
    findings: list[Finding] = field(default_factory=list[Finding])
    streams: dict[str, StreamCheck] = field(default_factory=dict[str, StreamCheck])
    sealed: dict[str, str] = field(default_factory=dict[str, str])
    buried: dict[str, Tombstone] = field(default_factory=dict[str, Tombstone])
    entries: int = 0
    ended: Ended | None = None
    _seal: Seal = _NO_SEAL

    def take(self, number: int, line: bytes) -> None:
        """Check the next line."""
        try:
            if line.startswith(_MARKED):
                self._mark(_MARK.decode(line))
            else:
                self._entry(_ENTRY.decode(line))
        except (msgspec.DecodeError, UnicodeError) as error:
            self._found(f"line {number} cannot be read: {error}")
        except BrokenJournalError as error:
            self._found(f"line {number}: {error.message}")

    def close(self) -> None:
        """Check that all of it was there."""
        for each in self.streams.values():
            each.end(None)
        if self.begun.whole:
            gone = [name for name in self.sealed if name not in {*self.streams, *self.buried}]
            for name in gone:
                self._found("the whole stream is missing, which a seal still knows", name)
        there = Ended(len(self.streams), self.entries)
        if self.ended is None:
            self._found("the end of the export is missing")
        elif self.ended.entries != there.entries:
            self._found(f"{self.ended.entries} entries were exported, {there.entries} are here")

    def all_findings(self) -> Iterator[Finding]:
        """Yield what is wrong with the export, then with its streams."""
        yield from self.findings
        for each in self.streams.values():
            yield from each.findings

    def _mark(self, mark: Mark) -> None:
        match mark:
            case ExportedSeal() as one:
                self._next_seal(Seal(one.n, one.at, bytes(one.heads).decode(), one.prev, one.hash))
            case ExportedTombstone() as one:
                self.buried[one.run] = Tombstone(one.run, one.seq, one.head, one.at, one.file)
            case Ended():
                self.ended = mark
            case Begun():
                raise AssertionError  # it begins the next part

    def _next_seal(self, seal: Seal) -> None:
        self.sealed.update(covered(seal, self.secret))
        if (self.begun.whole or seal.n == self._seal.n + 1) and (seal.n, seal.prev) != (
            self._seal.n + 1,
            self._seal.hash,
        ):
            self._found(f"seal {seal.n} does not follow the seal before it")
        self._seal = seal

    def _entry(self, one: ExportedEntry) -> None:
        if one.run not in self.streams:
            check = StreamCheck(one.run, self.secret, self.sealed.get(one.run, ""))
            if one.run in self.buried:
                check.begin_after(self.buried[one.run])
            self.streams[one.run] = check
        self.streams[one.run].feed((_stored(one),))
        self.entries += 1

    def _found(self, what: str, run: str = "") -> None:
        self.findings.append(Finding(run, 0, what))


def _read(number: int, line: bytes) -> ExportedEntry:
    try:
        return _ENTRY.decode(line)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BrokenJournalError(
            f"line {number} cannot be read: {error}", hint="restore it from a backup"
        ) from error


def _stored(one: ExportedEntry) -> Stored:
    return Stored(
        one.run, one.seq, one.epoch, one.key, one.kind, one.v, one.at, bytes(one.data), one.prev,
        one.hash,
    )  # fmt: skip


def _begun(line: bytes, secret: bytes) -> Begun:
    try:
        begun = msgspec.json.decode(line, type=Begun)
    except msgspec.DecodeError:
        raise _no_export() from None
    if begun.format > FORMAT:
        raise UsageError(
            f"this export has format {begun.format}, this standpipe reads {FORMAT}",
            hint="a newer standpipe wrote it: update this one",
        )
    if begun.hash != "sha256" and not secret:
        raise UsageError(
            "the journal of this export has a key",
            hint="it verifies only with its `journal_key`: --home names the home that has it",
        )
    return begun


def _no_export() -> UsageError:
    return UsageError(
        "this is no export of a journal", hint="`standpipe journal export` writes one"
    )
