"""`journal ...`: whether the record is whole, taking it elsewhere, putting old runs away, a newer schema."""

import asyncio
import sys
from argparse import Namespace
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, cast

from standpipe.cli.terminal import as_json, say, show
from standpipe.clock import SystemClock, stamp
from standpipe.config import find_home, load_settings
from standpipe.desk.fleet import meant
from standpipe.desk.inert import inert
from standpipe.desk.sentences import Tone
from standpipe.errors import BrokenJournalError, UsageError
from standpipe.journal.export import changed_since, export as exported, read_time
from standpipe.journal.exported import exported_lines, verify_export
from standpipe.journal.projections import RUNS, RunRow, read_row
from standpipe.journal.snapshot import Snapshot
from standpipe.journal.streams import Finding
from standpipe.journal.verify import Verdict, check
from standpipe.opening import archive_runs, journal_secret, migrate_journal, open_snapshot

WHOLE, BROKEN, NEWER = 0, 1, 2


def verify(options: Namespace) -> int:
    """Check every link; 0 is whole, 1 is broken, 2 needs a newer standpipe."""
    if options.file and options.run:
        raise UsageError("an export is checked as a whole", hint="leave out RUN, or --file")
    found = _verified_file(options) if options.file else asyncio.run(_verified(options))
    if options.json:
        print(as_json({"whole": found.whole, "streams": found.streams, "entries": found.entries,
                       "archived": found.archived, "broken": found.findings, "newer": found.newer}))  # fmt: skip
    else:
        word, tone = ("whole", Tone.GOOD) if found.whole else ("BROKEN", Tone.BAD)
        show([(f"journal {word}: {found.entries} entries checked", tone)])
        show((f"  {inert(line)}", Tone.BAD) for line in found.broken)
    for line in found.newer:
        say(f"{line}: a newer standpipe wrote it; its chain holds, what it says was not checked")
    if found.newer and found.whole:
        return NEWER
    return WHOLE if found.whole else BROKEN


def export(options: Namespace) -> int:
    """Write the journal to stdout as JSON Lines that can be verified alone."""
    asyncio.run(_export(options))
    return 0


def archive(options: Namespace) -> int:
    """Put runs that ended long ago into compressed exports."""
    home = find_home(options.home)
    days = options.older_than
    if days is None:
        days = load_settings(home).journal.keep_days
    if days is None:
        hint = "standpipe journal archive --older-than 90, or keep_days = 90 under [journal]"
        raise UsageError("nobody said how old a run has to be", hint=hint)
    now = SystemClock().now()
    gone = asyncio.run(archive_runs(home, before=stamp(now - timedelta(days=days)), at=stamp(now)))
    if options.json:
        print(as_json(gone))
        return 0
    show((f"{stone.run} is in .standpipe/archive/{stone.file}", Tone.PLAIN) for stone in gone)
    runs = "1 run" if len(gone) == 1 else f"{len(gone)} runs"
    show([(f"{runs} archived", Tone.GOOD)])
    return 0


def migrate(options: Namespace) -> int:
    """Bring the tables of the journal to the schema of this version."""
    done = asyncio.run(migrate_journal(find_home(options.home), worker=options.worker))
    if options.json:
        print(as_json(done._asdict()))
        return 0
    if done.before == done.after:
        show([(f"the journal has schema {done.after}; there is nothing to do", Tone.GOOD)])
    else:
        show([(f"the journal went from schema {done.before} to {done.after}", Tone.GOOD)])
    return 0


def _verified_file(options: Namespace) -> Verdict:
    secret = _secret(options.home) if options.home else b""
    with _opened(options.file) as file, exported_lines(file) as lines:
        return verify_export(lines, secret=secret)


def _secret(home: str | None) -> bytes:
    return journal_secret(load_settings(find_home(home)))


@contextmanager
def _opened(name: str) -> Generator[BinaryIO]:
    if name == "-":
        yield cast("BinaryIO", sys.stdin.buffer)
        return
    with Path(name).open("rb") as file:
        yield file


async def _verified(options: Namespace) -> Verdict:
    try:
        async with _snapshot(options.home) as snapshot:
            run = await _meant(snapshot, options.run) if options.run else ""
            return await check(snapshot, run=run, secret=_secret(options.home))
    except BrokenJournalError as error:  # not even its first page can be read
        return Verdict(0, 0, (Finding("", 0, error.message),))


async def _export(options: Namespace) -> None:
    since = read_time(options.since) if options.since else ""
    keyed = bool(_secret(options.home))
    async with _snapshot(options.home) as snapshot:
        runs = {await _meant(snapshot, options.run)} if options.run else None
        if since:
            changed = set(await changed_since(snapshot, since))
            runs = changed if runs is None else runs & changed
        async for line in exported(snapshot, runs, keyed=keyed):
            sys.stdout.buffer.write(line)


@asynccontextmanager
async def _snapshot(home: str | None) -> AsyncGenerator[Snapshot]:
    snapshot = open_snapshot(find_home(home))
    try:
        yield snapshot
    finally:
        await snapshot.close()


async def _meant(snapshot: Snapshot, typed: str) -> str:
    """Return the stream a person meant; where rows are damaged, its exact name is enough."""
    if typed in await snapshot.heads():
        return typed
    rows = (await snapshot.rows(RUNS)).items()
    return meant({name: row for name, text in rows if (row := read_row(RunRow, text))}, typed).id
