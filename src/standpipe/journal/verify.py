"""Check that a journal says what was written: dense numbers, unbroken chains, legal steps, whole seals.

Rule 1: what is hashed is what lies there, never what we make of it: a shape that gains a default field
leaves old chains whole, and a column that somebody edited does not pass by being read kindly.
Rule 2: nothing is changed, and a living writer is no finding: seals are read first, and rows twice.
Rule 3: damage is a finding, never a crash; what lies beside it is still checked. A journal that cannot be
reached is not damaged: then there is no verdict, and that is raised.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from standpipe.errors import BrokenJournalError
from standpipe.ids import natural
from standpipe.journal.projections import BLOCKERS, RUNS
from standpipe.journal.seals import Seal, fold
from standpipe.journal.snapshot import Head, PortSnapshot, Snapshot, Tombstone
from standpipe.journal.store import Store
from standpipe.journal.streams import Finding, StreamCheck

_Rows = Mapping[tuple[str, str], bytes]


class Verdict(Struct, frozen=True):
    """What was found; `newer`: entries whose content only a newer standpipe knows."""

    streams: int
    entries: int
    findings: tuple[Finding, ...]
    archived: int = 0
    newer: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        return not self.findings

    @property
    def broken(self) -> tuple[str, ...]:
        """Return one line per finding."""
        return tuple(finding.line for finding in self.findings)


async def verify(store: Store, *, secret: bytes = b"") -> Verdict:
    """Check all that the port of a store can show."""
    return await check(PortSnapshot(store), secret=secret)


async def check(snapshot: Snapshot, *, run: str = "", secret: bytes = b"") -> Verdict:
    """Read every stream, or the one of `run`, from the beginning and check each link."""
    found = _Found(snapshot, secret)
    for line in () if run else await snapshot.damage():
        found.add("", line)
    seals = await found.seals()
    before, heads, buried = await found.rows(), await found.heads(), await found.buried()
    sealed = found.sealed(seals, heads.values())
    checks = [
        await found.stream(name, heads.get(name), sealed.get(name, ""), buried.get(name))
        for name in sorted({run} if run else {*heads, *sealed}, key=natural)
    ]
    after = await found.rows()
    settled = {key: row for key, row in before.items() if after.get(key) == row}
    for each in checks:
        if all(before.get(key) == after.get(key) for key in each.rows):
            each.differing(settled)
    findings = (*found.findings, *(one for each in checks for one in each.findings))
    newer = tuple(each.newer for each in checks if each.newer)
    entries = sum(each.count for each in checks)
    return Verdict(len(checks), entries, findings, len(buried), newer)


async def must_be_whole(store: Store, run: str, *, secret: bytes = b"") -> None:
    """Check a run before anything is done because of what its record says.

    Raises:
        BrokenJournalError: it is not what was written.
    """
    sealed = await store.sealed(run)
    each = StreamCheck(run, secret, sealed.get(run, ""))
    each.feed(await store.stored(run))
    each.end(None)
    if each.findings:
        raise BrokenJournalError(
            f"the record of `{run}` cannot be trusted: {each.findings[0].line}",
            hint="`standpipe journal verify` lists what is damaged; restore .standpipe/ from a backup",
        )


@dataclass(slots=True)
class _Found:
    """Read on where something cannot be read, and remember it."""

    snapshot: Snapshot
    secret: bytes
    findings: list[Finding] = field(default_factory=list[Finding])

    def add(self, run: str, what: str) -> None:
        self.findings.append(Finding(run, 0, what))

    async def seals(self) -> Sequence[Seal]:
        try:
            return await self.snapshot.seals()
        except BrokenJournalError as error:
            self.add("", f"the seals: {error.message}")
            return ()

    def sealed(self, seals: Sequence[Seal], heads: Iterable[Head | None]) -> Mapping[str, str]:
        known = max((head.seal for head in heads if head), default=0)
        try:
            return fold(seals, at_least=known, secret=self.secret)
        except BrokenJournalError as error:
            self.add("", error.message)
            return {}

    async def rows(self) -> _Rows:
        found: dict[tuple[str, str], bytes] = {}
        for view in (RUNS, BLOCKERS):
            try:
                rows = await self.snapshot.rows(view)
            except BrokenJournalError as error:
                self.add("", f"the rows of `{view}`: {error.message}")
            else:
                found.update({(view, key): row for key, row in rows.items()})
        return found

    async def heads(self) -> Mapping[str, Head | None]:
        try:
            return await self.snapshot.heads()
        except BrokenJournalError as error:
            self.add("", f"the table of runs: {error.message}")
            return {}

    async def buried(self) -> Mapping[str, Tombstone]:
        try:
            return await self.snapshot.tombstones()
        except BrokenJournalError as error:
            self.add("", f"the tombstones: {error.message}")
            return {}

    async def stream(
        self, run: str, head: Head | None, sealed: str, buried: Tombstone | None
    ) -> StreamCheck:
        check = StreamCheck(run, self.secret, sealed)
        if buried:
            check.begin_after(buried)
        try:
            async for entries in self.snapshot.entries(run):
                check.feed(entries)
        except BrokenJournalError as error:
            check.found(check.seq + 1, error.message)
        else:
            check.end(head)
        return check
