"""The journal in one SQLite file.

Rule 1: an append that returned is on disk. What waits at the same time is written in one transaction
(`writer.py`), each append behind a savepoint of its own.
Rule 2: statements run where the loop runs; only the wait for the disk is handed to a thread, and only when
several wait for it.
Rule 3: nothing is retried behind the caller's back; a failed write is undone whole and says why. Only the
neighbours of a write for which there was no room are written once more, after SQLite undid all of them.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from standpipe.clock import Clock, stamp
from standpipe.errors import FencedError, StaleError
from standpipe.ids import run_id
from standpipe.journal import seals
from standpipe.journal.chain import GENESIS, Stored, entry_of
from standpipe.journal.entries import Draft, Entry, RunCreated
from standpipe.journal.seals import Seal
from standpipe.journal.store import Seen
from standpipe.stores.file import opening
from standpipe.stores.file.disks import FileSystem, file_system
from standpipe.stores.file.faults import is_busy, is_full, named
from standpipe.stores.file.opening import Connect, JournalFile
from standpipe.stores.file.transaction import (
    COLUMNS,
    DEFAULT_QUEUE,
    Stream,
    as_stored,
    look,
    next_number,
    stream,
    write,
)
from standpipe.stores.writer import Failure, GroupWriter, Occupied

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], object]

_AGAIN = "somebody else was faster; decide again"
PATIENCE_SECONDS = 30.0  # for another process that holds the lock; ours hold it for milliseconds
_ENTRIES = f"select {COLUMNS} from entry where run = ? and seq > ? order by seq"  # noqa: S608 -- a constant
_SEALS = "select n, at, heads, prev, hash from seal"
_DUE = """
select id from run
where queue = ? and (wake_at <> '' or status in ('running', 'yielded')) and (
  (status in ('queued', 'blocked', 'running') and wake_at <> '' and wake_at <= ?)
  or (status in ('running', 'yielded') and epoch > 0))
order by priority desc, wake_at, length(id), id limit ?
"""


class SqliteStore:
    """Keep entries in `path`; several processes may use it at once."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        create: bool = True,
        connect: Connect = opening.connect,
        file_system: FileSystem = file_system,
        patience_seconds: float = PATIENCE_SECONDS,
        secret: bytes = b"",
    ) -> None:
        self._clock = clock
        self._secret = secret  # of the chain: with one, a hash is an HMAC
        self._file = JournalFile.open(
            path, create=create, connect=connect, file_system=file_system, secret=secret
        )
        self._writer = GroupWriter[Work](self._commit, self._alone)
        self._thread: ThreadPoolExecutor | None = None
        self._patience_seconds = patience_seconds

    async def create(self, created: RunCreated) -> str:
        def work(db: sqlite3.Connection) -> str:
            caller = created.caller_id or None
            known = db.execute("select id from run where caller_id = ?", (caller,)).fetchone()
            if known:
                return str(known[0])
            run = run_id(next_number(db, "run"))
            db.execute(
                "insert into run (id, status, epoch, seq, head, parent, caller_id) values (?, 'running', 0, 0, ?, ?, ?)",
                (run, GENESIS, created.parent or None, caller),
            )
            self._write(db, run, [Draft(run, created)])
            return run

        return await self._do(work)

    async def start_segment(self, run: str, draft: Draft, *, owner: str = "") -> int:
        def work(db: sqlite3.Connection) -> int:
            epoch = stream(db, run).epoch + 1
            db.execute("update run set epoch = ?, owner = ? where id = ?", (epoch, owner, run))
            self._write(db, run, [Draft(str(epoch), draft.body)])
            return epoch

        return await self._do(work)

    async def due(self, queue: str, limit: int = 100) -> Sequence[str]:
        now = stamp(self._clock.now())
        return [str(row[0]) for row in self._rows(_DUE, queue or DEFAULT_QUEUE, now, limit)]

    async def append(
        self, run: str, epoch: int, drafts: Sequence[Draft], *, seen: Seen | None = None
    ) -> Sequence[Entry]:
        def work(db: sqlite3.Connection) -> Sequence[Entry]:
            now = stream(db, run)
            if now.epoch != epoch:
                raise FencedError(
                    f"run `{run}` is at epoch {now.epoch}, this process at {epoch}",
                    hint="another process went on with it; this one stops",
                )
            for (view, key), row in (seen or {}).items():
                if look(db, view, key) != row:
                    raise StaleError(f"the row {view}/{key} has changed", hint=_AGAIN)
            return self._write(db, run, drafts, now)

        return await self._do(work)

    async def post(self, run: str, drafts: Sequence[Draft]) -> Sequence[Entry]:
        def work(db: sqlite3.Connection) -> Sequence[Entry]:
            return self._write(db, run, drafts, stream(db, run))

        return await self._do(work)

    async def read(self, run: str, after: int = 0) -> Sequence[Entry]:
        return [entry_of(as_stored(row)) for row in self._rows(_ENTRIES, run, after)]

    async def stored(self, run: str) -> Sequence[Stored]:
        return [as_stored(row) for row in self._rows(_ENTRIES, run, 0)]

    async def streams(self) -> Sequence[str]:
        rows = self._rows("select id from run where seq > 0 union select distinct run from entry")
        return [str(row[0]) for row in rows]

    async def number(self, series: str) -> int:
        return await self._do(lambda db: next_number(db, series))

    async def row(self, view: str, key: str) -> bytes | None:
        with named(self._file.path):
            return look(self._file.reader(), view, key)

    async def rows(self, view: str) -> Mapping[str, bytes]:
        rows = self._rows("select key, data from view where name = ?", view)
        return {str(key): str(row).encode() for key, row in rows}

    async def seal(self) -> None:
        def work(db: sqlite3.Connection) -> None:
            changed = "select id, head from run where seq > sealed"
            heads = {str(run): str(head) for run, head in db.execute(changed)}
            if not heads:
                return
            last = db.execute(f"{_SEALS} order by n desc limit 1").fetchone()
            own = seals.seal(
                Seal(*last) if last else None,
                heads,
                at=stamp(self._clock.now()),
                secret=self._secret,
            )
            db.execute(
                "insert into seal values (?, ?, ?, ?, ?)",
                (own.n, own.at, own.heads, own.prev, own.hash),
            )
            db.execute("update run set seal = ?, sealed = seq where seq > sealed", (own.n,))

        await self._do(work)

    async def sealed(self, run: str = "") -> Mapping[str, str]:
        if not run:
            [[newest]] = self._rows("select coalesce(max(seal), 0) from run")
            return seals.fold(await self.seals(), at_least=newest, secret=self._secret)
        by = f"{_SEALS} where n = (select seal from run where id = ?)"  # noqa: S608 -- a constant
        heads = [seals.covered(Seal(*row), self._secret) for row in self._rows(by, run)]
        return {name: head for known in heads for name, head in known.items() if name == run}

    async def seals(self) -> Sequence[Seal]:
        return [Seal(*row) for row in self._rows(f"{_SEALS} order by n")]

    async def close(self) -> None:
        await self._writer.settle()
        if self._thread:
            self._thread.shutdown()
        self._file.close()

    def _rows(self, statement: str, *values: object) -> list[Any]:
        with named(self._file.path):
            return self._file.reader().execute(statement, values).fetchall()

    def _write(
        self, db: sqlite3.Connection, run: str, drafts: Sequence[Draft], known: Stream | None = None
    ) -> list[Entry]:
        self._file.room.must_do_for(drafts)
        at = stamp(self._clock.now())
        return write(db, run, drafts, at=at, secret=self._secret, known=known)

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return cast("T", await self._writer.write(work))

    def _alone(self, work: Work) -> object:
        """Write one at once; whoever would have to wait for another process waits in the queue."""
        with self._file.watched():
            db = self._file.writer()
            if not _begun(db):
                raise Occupied
            try:
                result = work(db)
                self._file.must_be_in_place()
                db.execute("commit")
            except BaseException:
                _roll_back(db)
                raise
            return result

    async def _commit(self, works: Sequence[Work]) -> Sequence[object]:
        with self._file.watched():
            try:
                return await self._together(works)
            except sqlite3.Error as error:
                if len(works) == 1 or not is_full(error):
                    raise
                self._file.met(error)
            # SQLite has undone all of it; what is small may still fit
            return [await self._apart(work) for work in works]

    async def _together(self, works: Sequence[Work]) -> Sequence[object]:
        db = self._file.writer()
        await self._begin(db)
        try:
            results = [self._within(db, work) for work in works]
            self._file.must_be_in_place()
            await self._to_disk(db, several=len(works) > 1)
        except BaseException:
            _roll_back(db)
            raise
        return results

    async def _apart(self, work: Work) -> object:
        try:
            [result] = await self._together([work])
        except sqlite3.Error as error:
            return Failure(self._file.told(error))
        return result

    async def _begin(self, db: sqlite3.Connection) -> None:
        """Wait until no other process writes; a transaction of ours takes milliseconds."""
        loop, pause = asyncio.get_running_loop(), 0.001
        until = loop.time() + self._patience_seconds
        while not _begun(db, last=loop.time() > until):
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.05)

    def _within(self, db: sqlite3.Connection, work: Work) -> object:
        """Do one of several; what it raises undoes it, and nothing else."""
        db.execute("savepoint one")
        try:
            result = work(db)
        except Exception as error:
            if isinstance(error, sqlite3.Error):
                raise  # nobody knows what is left of the transaction
            db.execute("rollback to one")
            result = Failure(error)
        db.execute("release one")
        return result

    async def _to_disk(self, db: sqlite3.Connection, *, several: bool) -> None:
        if not several:
            db.execute("commit")
            return
        self._thread = self._thread or ThreadPoolExecutor(1, "journal")
        flight = self._thread.submit(db.execute, "commit")
        try:
            await asyncio.wrap_future(flight)
        except asyncio.CancelledError:  # the loop ends; nothing else may touch a commit under way
            wait([flight])
            raise


def _begun(db: sqlite3.Connection, *, last: bool = False) -> bool:
    try:
        db.execute("begin immediate")
    except sqlite3.OperationalError as error:
        if last or not is_busy(error):
            raise
        return False
    return True


def _roll_back(db: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):  # what made it necessary is the error that is told
        if db.in_transaction:
            db.execute("rollback")
