"""A home that cannot be written is still read: whole, and without a trace of having been read."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from standpipe.cli import main
from standpipe.cli.scaffold import scaffold
from standpipe.clock import SystemClock
from standpipe.errors import JournalError
from standpipe.journal.entries import Draft, Noted, RunCreated
from standpipe.journal.verify import verify
from standpipe.stores.sqlite import SqliteStore

PATHS = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
MOUNT = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
NOTES = 20
SPINE = Path(__file__).parents[1] / "golden/journals/spine.db"  # schema 1


def read_only(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python where nothing under `folder` can be written: mounted so, or by its permissions."""
    command = [sys.executable, *words]
    if _may_mount():
        command = [*NAMESPACE, "sh", "-c", MOUNT, str(folder), *command]
    elif os.geteuid() == 0:
        pytest.skip("root may write everywhere, and this machine lets it mount nothing read-only")
    places = [folder, *folder.rglob("*")]
    modes = [place.stat().st_mode for place in places]
    for place, mode in zip(places, modes, strict=True):
        place.chmod(mode & ~0o222)
    try:
        return subprocess.run(command, env=PATHS, capture_output=True, text=True, check=False)
    finally:
        for place, mode in zip(places, modes, strict=True):
            place.chmod(mode)


def _may_mount() -> bool:
    if not shutil.which("unshare"):
        return False
    return subprocess.run([*NAMESPACE, "true"], check=False, capture_output=True).returncode == 0


async def write(path: Path) -> SqliteStore:
    store = SqliteStore(path, SystemClock())
    run = await store.create(RunCreated("a task", "agent", "script:x", ""))
    await store.post(run, [Draft(str(n), Noted("agent", "x", "because")) for n in range(NOTES)])
    return store


async def read(path: Path) -> None:
    """Say what a journal says that cannot be written."""
    store = SqliteStore(path, SystemClock(), create=False)
    told: dict[str, object] = {
        "entries": len(await store.read("r1")),
        "whole": (await verify(store)).whole,
        "due": len(await store.due("")),
    }
    for name, write in (("number", store.number("b")), ("seal", store.seal())):
        try:
            await write
        except JournalError as error:
            told[name] = error.message.endswith("is read-only")
    await store.close()
    sys.stdout.write(json.dumps(told))


def told(folder: Path) -> object:
    done = read_only(folder, __file__, str(folder / "journal.db"))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


READ = {"entries": NOTES + 1, "whole": True, "due": 0, "number": True, "seal": True}


def listed(folder: Path) -> Sequence[str]:
    return sorted(file.name for file in folder.iterdir())


async def test_a_journal_that_was_closed_is_read(tmp_path: Path) -> None:
    await (await write(tmp_path / "journal.db")).close()
    before = listed(tmp_path)
    assert "journal.db-wal" not in before
    assert told(tmp_path) == READ
    assert listed(tmp_path) == before


async def test_a_journal_that_somebody_is_writing_is_read_to_its_end(tmp_path: Path) -> None:
    store = await write(tmp_path / "journal.db")
    assert told(tmp_path) == READ
    await store.number("b")  # the writer was not disturbed
    await store.close()


@pytest.mark.parametrize("index", [True, False], ids=["with its index", "without its index"])
async def test_the_log_of_a_process_that_was_killed_is_read(tmp_path: Path, index: bool) -> None:
    store = await write(tmp_path / "journal.db")
    left = tmp_path / "left"
    left.mkdir()
    for name in ("journal.db", "journal.db-wal", *(["journal.db-shm"] if index else [])):
        shutil.copy(tmp_path / name, left)
    await store.close()
    before = listed(left)
    assert told(left) == READ
    assert listed(left) == before


async def test_a_journal_of_an_older_schema_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    shutil.copy(SPINE, tmp_path / "journal.db")
    before = (tmp_path / "journal.db").read_bytes()
    said = told(tmp_path)
    assert isinstance(said, dict)
    assert (said["whole"], said["number"]) == (True, True)
    assert (tmp_path / "journal.db").read_bytes() == before
    assert listed(tmp_path) == ["journal.db"]


def test_people_read_a_home_that_cannot_be_written_and_nothing_begins_in_it(tmp_path: Path) -> None:
    home = tmp_path / "agent"
    scaffold(home, model="script:story.yaml")
    (home / "story.yaml").write_text("turns:\n  - done: {summary: Nothing to do., evidence: [x]}\n")
    command = [sys.executable, "-m", "standpipe", "run", "Look", "--home", str(home)]
    done = subprocess.run(command, env=PATHS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    done = read_only(home, __file__, "--home", str(home))
    codes = json.loads(done.stdout.splitlines()[-1])
    assert codes == [0, 0, 0, 0, 1], done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("hint: ") == 1


def asked(home: str) -> None:
    """Type what people type, one after the other, and say how each ended."""
    typed = (
        ["status"],
        ["report", "r1"],
        ["log", "r1"],
        ["journal", "verify"],
        ["run", "Look again"],
    )
    codes = [main([*words, "--home", home]) for words in typed]
    sys.stdout.write(json.dumps(codes))


if __name__ == "__main__":
    if sys.argv[1] == "--home":
        asked(sys.argv[2])
    else:
        asyncio.run(read(Path(sys.argv[1])))
