"""The disk is full, read-only, busy or broken: nothing that was written is lost, and one line says why.

The parts that need a process or a file system of their own run this file as a script.
"""

import asyncio
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from standpipe.actions import Effect
from standpipe.clock import SystemClock
from standpipe.errors import BrokenJournalError, JournalError, JournalFullError
from standpipe.journal.entries import (
    Draft,
    Noted,
    Proposed,
    RunCreated,
    SegmentEnded,
    SegmentStarted,
)
from standpipe.journal.store import Store
from standpipe.journal.verify import verify
from standpipe.stores.file.opening import Connect, connect
from standpipe.stores.sqlite import SqliteStore

PATHS = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
ENDED = Draft("1", SegmentEnded("yielded", "no room"))


def note(key: str, size: int = 3000) -> Draft:
    return Draft(key, Noted("agent", "x" * size, "because"))


def begins(key: str) -> Draft:
    return Draft(key, Proposed("save", {}, Effect.READ, "m"))


@asynccontextmanager
async def opened(path: Path, **options: object) -> AsyncGenerator[SqliteStore]:
    store = SqliteStore(path, SystemClock(), **options)  # pyright: ignore[reportArgumentType]
    try:
        yield store
    finally:
        await store.close()


async def begin(store: Store) -> tuple[str, int]:
    run = await store.create(RunCreated("a task", "agent", "script:x", ""))
    return run, await store.start_segment(run, Draft("", SegmentStarted("suite", 1, "", "0")))


async def until_it_fails(store: Store, run: str, epoch: int) -> tuple[list[str], JournalError]:
    """Append until it fails; return what was promised to be on disk, and the failure."""
    written: list[str] = []
    for n in range(5000):
        try:
            await store.append(run, epoch, [note(str(n))])
        except JournalError as error:
            return written, error
        written.append(str(n))
    raise AssertionError("it never failed")


async def notes(store: Store, run: str) -> list[str]:
    return [entry.key for entry in await store.read(run) if entry.kind == "decision.noted"]


# -- full


def limited(pages: int) -> Connect:
    def connected(address: str) -> sqlite3.Connection:
        db = connect(address)
        db.execute(f"pragma max_page_count={pages}")
        return db

    return connected


async def test_a_full_journal_names_path_room_and_remedy_and_keeps_what_it_has(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db"
    async with opened(path, connect=limited(100)) as store:
        run, epoch = await begin(store)
        written, error = await until_it_fails(store, run, epoch)
        assert isinstance(error, JournalFullError)
        assert str(path) in error.message
        assert "MiB free" in error.message
        assert "free some space" in error.hint
        assert await notes(store, run) == written
        assert (await verify(store)).whole
    async with opened(path) as store:  # with room again it goes on
        await store.append(run, epoch, [note("later")])
        assert (await verify(store)).whole


async def test_one_that_finds_no_room_leaves_its_neighbours_theirs(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal.db", connect=limited(100)) as store:
        run, epoch = await begin(store)
        results = await asyncio.gather(
            *(store.append(run, epoch, [note(str(n), 100)]) for n in range(5)),
            store.append(run, epoch, [note("large", 900_000)]),
            *(store.append(run, epoch, [note(str(n), 100)]) for n in range(5, 10)),
            return_exceptions=True,
        )
        assert [n for n, result in enumerate(results) if isinstance(result, BaseException)] == [5]
        assert isinstance(results[5], JournalFullError)
        assert await notes(store, run) == [str(n) for n in range(10)]
        assert (await verify(store)).whole


async def fill(path: Path) -> None:
    """Fill the small disk under `path`, and say what can be written then."""
    told: dict[str, object] = {}
    async with opened(path) as store:
        run, epoch = await begin(store)
        told["reserve"] = path.with_name("reserve").exists()
        taken = path.with_name("taken")
        fill_up(taken)
        written, error = await until_it_fails(store, run, epoch)
        told["error"] = str(error)
        told["reserve given back"] = not path.with_name("reserve").exists()
        with suppress(JournalFullError):
            await store.append(run, epoch, [begins(f"{run}.1.1")])
            told["begun"] = True
        await store.append(run, epoch, [ENDED])
        told["lost"] = sorted(set(written) - set(await notes(store, run)))
    fill_up(taken)
    async with opened(path, create=False) as store:  # `status` on a disk without a byte
        told["read"] = len(await store.read(run)) == len(written) + 3
    taken.unlink()
    async with opened(path) as store:
        await store.append(run, epoch, [begins(f"{run}.1.1")])
        told["reserve again"] = path.with_name("reserve").exists()
        told["whole"] = (await verify(store)).whole
    sys.stdout.write(json.dumps(told))


def fill_up(file: Path) -> None:
    with suppress(OSError), file.open("ab", buffering=0) as out:
        while True:
            out.write(b"x" * 4096)


def on_a_small_disk(folder: Path, *words: str) -> str:
    """Run this file as a script, with `folder` as a disk of a few megabytes."""
    script = f'mount -t tmpfs -o size=6m none "{folder}" && exec "$@"'
    return in_namespace(script, *words)


def in_namespace(script: str, *words: str) -> str:
    if not shutil.which("unshare") or subprocess.run([*NAMESPACE, "true"], check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system of his own")
    command = [*NAMESPACE, "sh", "-c", script, "sh", sys.executable, *words]
    done = subprocess.run(command, env=PATHS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_on_a_full_disk_the_stop_is_written_and_nothing_begins_until_there_is_room(
    tmp_path: Path,
) -> None:
    told = json.loads(on_a_small_disk(tmp_path, __file__, "fill", str(tmp_path / "journal.db")))
    assert "cannot grow: database or disk is full (0 MiB free there)" in told.pop("error")
    assert told == {
        "reserve": True, "reserve given back": True, "lost": [], "read": True,
        "reserve again": True, "whole": True,
    }  # fmt: skip


async def limit(path: Path) -> None:
    """Meet a limit on file sizes, have it lifted, and go on with the same store."""
    async with opened(path) as store:
        run, epoch = await begin(store)
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, most))
        written, error = await until_it_fails(store, run, epoch)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        await store.append(run, epoch, [note("after")])
        kept = await notes(store, run)
        whole = (await verify(store)).whole
    told = {
        "error": str(error),
        "hint": error.hint,
        "lost": sorted(set(written) - set(kept)),
        "whole": whole,
    }
    sys.stdout.write(json.dumps(told))


def test_a_limit_on_file_sizes_loses_nothing_and_is_over_when_it_is_lifted(tmp_path: Path) -> None:
    told = json.loads(script("limit", tmp_path / "journal.db"))
    assert "cannot grow: disk I/O error" in told["error"]
    assert "a file may have 400000 bytes at most: RLIMIT_FSIZE" in told["error"]
    assert "ulimit -f" in told["hint"]
    assert (told["lost"], told["whole"]) == ([], True)


def script(*words: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, __file__, *map(str, words)],
        env=PATHS, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- fsync fails


async def test_every_connection_waits_for_the_disk(tmp_path: Path) -> None:
    made: list[sqlite3.Connection] = []

    def connected(address: str) -> sqlite3.Connection:
        made.append(connect(address))
        return made[-1]

    async with opened(tmp_path / "journal.db", connect=connected) as store:
        await begin(store)
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("fullfsync", 1)):
            assert {db.execute(f"pragma {pragma}").fetchone() for db in made} == {(value,)}


class Failing(sqlite3.Connection):
    """A connection whose commit number `at` fails, with what it wrote on disk or not."""

    at = 0
    keeps = False
    commits = 0
    said: Sequence[str] = ()

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        self.said = [*self.said, sql]
        if sql == "commit":
            self.commits += 1
            if self.commits == self.at:
                super().execute("commit" if self.keeps else "rollback")
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
                error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
                raise error
        return super().execute(sql, parameters)


@dataclass(slots=True)
class Disk:
    """Connect so that one commit of the first connection fails."""

    at: int
    keeps: bool
    made: list[Failing] = field(default_factory=list[Failing])

    def __call__(self, address: str) -> sqlite3.Connection:
        db = sqlite3.connect(
            address, uri=True, isolation_level=None, check_same_thread=False, factory=Failing
        )
        assert isinstance(db, Failing)
        db.at, db.keeps = 0 if self.made else self.at, self.keeps
        self.made.append(db)
        return db


@pytest.mark.parametrize("keeps", [True, False], ids=["written all the same", "not written"])
async def test_a_commit_whose_fsync_failed_is_not_repeated_on_that_connection(
    tmp_path: Path, keeps: bool
) -> None:
    disk = Disk(at=5, keeps=keeps)
    async with opened(tmp_path / "journal.db", connect=disk) as store:
        run, epoch = await begin(store)
        await store.append(run, epoch, [note("a")])
        with pytest.raises(JournalError, match=r"the disk failed .* \(SQLITE_IOERR_FSYNC\)"):
            await store.append(run, epoch, [note("b")])
        first = disk.made[0]
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            first.execute("select 1")
        assert await notes(store, run) == (["a", "b"] if keeps else ["a"])
        await store.append(run, epoch, [note("b")])
        assert (first.commits, await notes(store, run)) == (5, ["a", "b"])
        [again] = [db.said for db in disk.made[1:] if "begin immediate" in db.said]
        assert again.index("pragma wal_checkpoint(truncate)") < again.index("begin immediate")
        assert (await verify(store)).whole


async def test_after_a_failed_fsync_nothing_is_added_to_an_end_that_is_not_as_written(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db"
    async with opened(path, connect=Disk(at=5, keeps=False)) as store:
        run, epoch = await begin(store)
        await store.append(run, epoch, [note("a")])
        with pytest.raises(JournalError, match="the disk failed"):
            await store.append(run, epoch, [note("b")])
        with sqlite3.connect(path) as db:
            db.execute("delete from entry where key = 'a'")
        db.close()
        with pytest.raises(BrokenJournalError, match=f"`{run}` does not end with entry 3"):
            await store.append(run, epoch, [note("b")])


async def fail(path: Path) -> None:
    """Append until a write fails, repeat what failed with the same store, and go on."""
    async with opened(path) as store:
        run, epoch = await begin(store)
        written, error = await until_it_fails(store, run, epoch)
        again = [note(str(n)) for n in range(len(written) + 5)]
        for draft in again:
            await store.append(run, epoch, [draft])
        kept = await notes(store, run)
        whole = (await verify(store)).whole
    told = {"error": str(error), "kept": kept == [d.key for d in again], "whole": whole}
    sys.stdout.write(json.dumps(told))


@pytest.mark.parametrize("nth", [12, 15, 22])
def test_when_the_kernel_says_that_an_fsync_failed_each_entry_is_there_once(
    tmp_path: Path, nth: int
) -> None:
    trace = shutil.which("strace")
    if not trace or subprocess.run([trace, "-o", "/dev/null", "true"], check=False).returncode:
        pytest.skip("no strace here that may trace: nobody can make a real fsync fail")
    fault = f"inject=fdatasync:error=EIO:when={nth}"
    command = [trace, "-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", fault]
    done = subprocess.run(
        [*command, sys.executable, __file__, "fail", str(tmp_path / "journal.db")],
        env=PATHS, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "the disk failed under the journal" in told["error"]
    assert (told["kept"], told["whole"]) == (True, True)


ROLES: dict[str, Callable[[Path], Awaitable[None]]] = {"fill": fill, "limit": limit, "fail": fail}

if __name__ == "__main__":
    asyncio.run(ROLES[sys.argv[1]](Path(sys.argv[2])))  # pyright: ignore[reportArgumentType]
