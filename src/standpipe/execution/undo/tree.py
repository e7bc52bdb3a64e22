"""What a folder holds at one moment: one entry per path, walked without following a link.

Rule 1: only regular files are opened, and only through the folder that was walked (no race with a swapped link).
Rule 2: what cannot be kept stands there with the reason, and its change is seen by its stat.
"""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct

from standpipe.execution.undo.blobs import Blobs


class Entry(Struct, frozen=True, array_like=True):
    """One path. `mode` is the whole `st_mode`: kind and permissions."""

    mode: int
    size: int = 0
    digest: str = ""
    mtime_ns: int = 0
    ctime_ns: int = 0
    inode: int = 0
    reason: str = ""  # why there is no copy

    def is_same(self, other: "Entry") -> bool:
        """Whether the content and mode are the same; by stat where there is no copy."""
        if self.mode != other.mode or self.reason or other.reason:
            return (self.mode, self.size, self.mtime_ns, self.inode) == (
                other.mode,
                other.size,
                other.mtime_ns,
                other.inode,
            )
        return self.digest == other.digest

    def has_stat(self, now: os.stat_result) -> bool:
        """Whether nothing that a write changes has changed."""
        return (self.mode, self.size, self.mtime_ns, self.ctime_ns, self.inode) == (
            now.st_mode,
            now.st_size,
            now.st_mtime_ns,
            now.st_ctime_ns,
            now.st_ino,
        )


Tree = Mapping[str, Entry]
_trees = msgspec.json.Decoder(dict[str, Entry])


@dataclass(frozen=True, slots=True)
class Limits:
    """Up to where copies are kept."""

    file_bytes: int = 64 * 1024 * 1024
    total_bytes: int = 1024 * 1024 * 1024
    files: int = 50_000


def encode(tree: Tree) -> bytes:
    """Return the bytes that name a tree."""
    return msgspec.json.encode(tree, order="sorted")


def decode(content: bytes) -> Tree:
    return _trees.decode(content)


def walk(
    root: Path,
    blobs: Blobs,
    *,
    limits: Limits,
    known: Callable[[str, os.stat_result], Entry | None],
) -> Tree:
    """Return the tree of `root`; an entry that `known` vouches for is not read again."""
    tree: dict[str, Entry] = {}
    total = 0
    for path, name, folder in _paths(root):
        try:
            now = os.stat(name, dir_fd=folder, follow_symlinks=False)
            entry = known(path, now)
            if entry is None:
                reason = _too_much(now, total, len(tree), limits)
                entry = _entry(name, folder, now, blobs, reason=reason)
        except FileNotFoundError:
            continue  # gone since the folder was listed
        shown = _shown(path)
        tree[shown] = entry if shown == path else _nameless(entry)
        total += entry.size
    return tree


def _paths(root: Path) -> Iterator[tuple[str, str, int]]:
    """Yield path, name and folder of everything below `root`, in a fixed order."""
    if not root.is_dir():
        return
    for where, folders, files, folder in os.fwalk(root, follow_symlinks=False):
        folders.sort()
        inside = os.path.relpath(where, root)
        for name in sorted([*folders, *files]):
            yield (name if inside == "." else f"{inside}/{name}"), name, folder


def _too_much(now: os.stat_result, total: int, files: int, limits: Limits) -> str:
    if not stat.S_ISREG(now.st_mode):
        return ""
    if now.st_size > limits.file_bytes:
        return f"larger than {limits.file_bytes} bytes"
    if total + now.st_size > limits.total_bytes:
        return f"the workspace is larger than {limits.total_bytes} bytes"
    return f"the workspace has more than {limits.files} files" if files >= limits.files else ""


def _entry(name: str, folder: int, now: os.stat_result, blobs: Blobs, *, reason: str) -> Entry:
    digest = ""
    if stat.S_ISLNK(now.st_mode):
        digest = blobs.keep_bytes(os.fsencode(os.readlink(name, dir_fd=folder)))
    elif stat.S_ISREG(now.st_mode) and not reason:
        digest, reason = _kept(name, folder, blobs)
    elif not stat.S_ISDIR(now.st_mode) and not reason:
        reason = "neither file, folder nor link"
    if stat.S_ISDIR(now.st_mode):
        return Entry(
            now.st_mode
        )  # times and sizes of folders say nothing that their entries do not
    return Entry(
        now.st_mode,
        now.st_size,
        digest,
        now.st_mtime_ns,
        now.st_ctime_ns,
        now.st_ino,
        reason,
    )


def _kept(name: str, folder: int, blobs: Blobs) -> tuple[str, str]:
    """Return the digest of the copy, or why there is none."""
    try:
        # Not blocking, in case it has become a pipe since it was listed.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        return "", f"cannot be read: {error.strerror}"
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return "", "changed its kind while it was read"
        return blobs.keep(handle), ""
    finally:
        os.close(handle)


def _shown(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _nameless(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, reason="its name is not UTF-8")
