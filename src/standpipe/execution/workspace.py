"""Undo by walking: what `workspace/` held before and after, whoever changed it.

Rule 1: a snapshot is the digest of a tree; it and the copies it names are in the store before it is returned.
Rule 2: a file whose stat has not changed is not read again, unless it changed so shortly before the last walk that
    its times could not show another write.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from standpipe.actions import Change
from standpipe.execution.undo.blobs import Blobs
from standpipe.execution.undo.difference import changes_between, unified
from standpipe.execution.undo.restore import Restored, restore
from standpipe.execution.undo.tree import Entry, Limits, Tree, decode, encode, walk

_SETTLED_NS = 20_000_000  # Linux stamps files with a clock that moves every 1 to 10 ms
_LIMITS = Limits()


class _Latest(Struct, frozen=True):
    """The last walk: the start of the next one, also in another process."""

    tree: str
    at_ns: int


class Workspace:
    """A folder whose changes can be listed, shown and taken back."""

    def __init__(self, root: Path, store: Path, *, limits: Limits = _LIMITS) -> None:
        self._root = root.resolve()  # the workspace itself may be a link; nothing in it is followed
        self._blobs = Blobs(store)
        self._limits = limits
        self._note = store / "latest.json"
        self._trees: dict[str, Tree] = {}
        self._latest: _Latest | None = None

    def snapshot(self) -> str:
        """Walk the folder, keep what is new, and return the digest of its tree."""
        at_ns = time.time_ns()  # as the file system stamps; compared with `ctime`, told to nobody
        latest = self._latest or self._noted()
        known: Tree = self._tree(latest.tree) if latest else {}
        settled_ns = latest.at_ns - _SETTLED_NS if latest else 0

        def unchanged(path: str, now: os.stat_result) -> Entry | None:
            entry = known.get(path)
            if entry is None or not entry.digest or entry.ctime_ns >= settled_ns:
                return None
            return entry if entry.has_stat(now) else None

        tree = walk(self._root, self._blobs, limits=self._limits, known=unchanged)
        digest = self._blobs.keep_bytes(encode(tree))
        self._remember(digest, tree, at_ns)
        return digest

    def changes(self, before: str, after: str) -> tuple[Change, ...]:
        """Return what differs between two snapshots, in the order of the paths.

        Raises:
            FileNotFoundError: the store no longer has one of them.
        """
        if before == after:
            return ()
        return changes_between(self._tree(before), self._tree(after), self._blobs)

    def diff(self, change: Change) -> str:
        """Return a change as a unified diff."""
        return unified(change, self._blobs)

    def restore(self, changes: Sequence[Change]) -> Restored:
        """Take back `changes`, given in the order in which they happened, all or nothing."""
        return restore(self._root, self._blobs, changes)

    def _tree(self, digest: str) -> Tree:
        if digest not in self._trees:
            self._trees[digest] = decode(self._blobs.read(digest))
        return self._trees[digest]

    def _remember(self, digest: str, tree: Tree, at_ns: int) -> None:
        self._trees = {name: self._trees[name] for name in list(self._trees)[-3:]} | {digest: tree}
        moved = self._latest is None or self._latest.tree != digest
        self._latest = _Latest(digest, at_ns)
        if moved:
            temporary = self._note.with_suffix(f".{os.getpid()}")
            temporary.write_bytes(msgspec.json.encode(self._latest))
            temporary.replace(self._note)

    def _noted(self) -> _Latest | None:
        try:
            latest = msgspec.json.decode(self._note.read_bytes(), type=_Latest)
            self._tree(latest.tree)
        except (OSError, msgspec.MsgspecError):
            return None  # the first walk, or an unreadable note: everything is read
        return latest
