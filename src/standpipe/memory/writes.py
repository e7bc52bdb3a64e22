"""One writer per file of the brain, across processes; what cannot be believed is set aside.

Rule 1: a lock is held from the read to the rename, so nobody's change is lost between the two.
Rule 2: locks live in `.standpipe/locks/`, never in the brain, which is a repository of its own.
"""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from standpipe.errors import StandpipeError
from standpipe.files import write_atomic
from standpipe.ids import digest

FILE_BYTES = 1024 * 1024
LOCK_SECONDS = 10.0


@contextmanager
def locked(home: Path, name: str) -> Generator[None]:
    """Be the only writer of `name` for a while.

    Raises:
        StandpipeError: somebody else has held it for too long.
    """
    folder = home / ".standpipe" / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"brain-{digest(name.encode())[:16]}.lock")
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        hint = "another process writes it; try again, or look for one that hangs"
        raise StandpipeError(f"`{name}` is locked for {LOCK_SECONDS:g} s", hint=hint) from None
    try:
        yield
    finally:
        lock.release()


def set_aside(brain: Path, text: str) -> str:
    """Keep text that nobody vouches for, and return the reference that may stand elsewhere."""
    content = text.encode()
    reference = f"untrusted/{digest(content)}.txt"
    path = brain / reference
    if not path.exists():
        put(path, content)
    return reference


def vouched(brain: Path, text: str, *, trusted: bool) -> str:
    """Return `text`, or, when it was written after something untrusted was read, a reference."""
    return text if trusted or not text else set_aside(brain, text)


def keep_conflict(brain: Path, path: Path, ours: str, theirs: str, now: datetime) -> str:
    """Keep both versions of a file of which only one can stay."""
    reference = f"conflicts/{now:%Y%m%dT%H%M%S}-{path.stem}-{digest(theirs.encode())[:8]}"
    put(brain / reference / "ours.md", ours)
    put(brain / reference / "theirs.md", theirs)
    return reference


def put(path: Path, content: bytes | str) -> None:
    """Write a file, making its folder where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)
