"""Content by its SHA-256, under `blobs/ab/abcdef...`.

Rule 1: a blob appears whole or not at all, and never changes.
Rule 2: it is a copy (a reflink where the file system can), never a hard link: writing in place would change it.
A blob survives a killed process, not a power cut: syncing every file before every effect would cost more than it saves.
"""

import errno
import fcntl
import hashlib
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

_FICLONE = 0x40049409  # linux/fs.h; `fcntl` has no name for it
_PART_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Blobs:
    """A folder of copies."""

    root: Path

    def keep(self, source: int) -> str:
        """Copy an open file and return the digest of the copy."""
        handle, temporary = self._temporary()
        try:
            _copy(source, handle)
            digest = digest_of(handle)
            self._publish(temporary, digest)
        finally:
            os.close(handle)
            Path(temporary).unlink(missing_ok=True)
        return digest

    def keep_bytes(self, content: bytes) -> str:
        """Keep bytes that are no file: a tree, the target of a link."""
        digest = hashlib.sha256(content).hexdigest()
        if self._is_whole(digest, len(content)):
            return digest
        handle, temporary = self._temporary()
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(content)
            self._publish(temporary, digest)
        finally:
            Path(temporary).unlink(missing_ok=True)
        return digest

    def has(self, digest: str) -> bool:
        """Whether there is a copy of this content."""
        return self.path(digest).exists()

    def read(self, digest: str) -> bytes:
        """Return the content; none for no digest.

        Raises:
            FileNotFoundError: there is no copy of it.
        """
        return self.path(digest).read_bytes() if digest else b""

    def copy_to(self, digest: str, target: int) -> None:
        """Write the content into an open, empty file."""
        source = os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC)
        try:
            _copy(source, target)
        finally:
            os.close(source)

    def path(self, digest: str) -> Path:
        return self.root / digest[:2] / digest

    def _is_whole(self, digest: str, size: int) -> bool:
        """Whether there is a copy of this size; a power cut leaves shorter ones."""
        try:
            return self.path(digest).stat().st_size == size
        except OSError:
            return False

    def _temporary(self) -> tuple[int, str]:
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        return tempfile.mkstemp(prefix=".new-", dir=self.root)

    def _publish(self, temporary: str, digest: str) -> None:
        target = self.path(digest)
        target.parent.mkdir(exist_ok=True, mode=0o700)
        os.replace(temporary, target)  # noqa: PTH105 -- the same content, so it does not matter who comes second


def digest_of(handle: int) -> str:
    """Return the SHA-256 of an open file, from its start."""
    os.lseek(handle, 0, os.SEEK_SET)
    found = hashlib.sha256()
    while part := os.read(handle, _PART_BYTES):
        found.update(part)
    return found.hexdigest()


def _copy(source: int, target: int) -> None:
    if _cloned(source, target):
        return
    while part := os.read(source, _PART_BYTES):
        rest = memoryview(part)
        while rest:
            rest = rest[os.write(target, rest) :]


def _cloned(source: int, target: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EIO, errno.EDQUOT}:
            raise
        return False  # another file system, or one that cannot
    return True
