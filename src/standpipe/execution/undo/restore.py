"""Put paths back: look at everything first, then touch.

Rule 1: a path that is neither as it was left nor already as it was before is a conflict; then nothing is touched.
Rule 2: every step goes through open folders, so no link is followed, not even one that appears meanwhile.
Rule 3: a restore that was killed can be repeated: what is already back counts as restored.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from msgspec import Struct

from standpipe.actions import Change
from standpipe.execution.undo.blobs import Blobs, digest_of

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Restored(Struct, frozen=True):
    """Which paths are back, or which ones somebody else has changed since; never both."""

    paths: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _State:
    """One path at one moment; mode 0 means that nothing is there."""

    mode: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class _Net:
    """What a list of changes came to for one path."""

    before: _State
    after: _State
    broken: bool = False  # somebody else wrote between two of the changes, or there is no copy


def restore(root: Path, blobs: Blobs, changes: Sequence[Change]) -> Restored:
    """Take back the net effect of `changes`, all or nothing."""
    root.mkdir(parents=True, exist_ok=True)
    nets = {path: net for path, net in _nets(changes).items() if net.before != net.after}
    conflicts = [path for path, net in nets.items() if not _can_go_back(root, blobs, path, net)]
    conflicts += [path for path in nets if not _has_place(root, nets, path)]
    conflicts += _strangers(root, nets)
    if conflicts:
        return Restored(conflicts=tuple(sorted(set(conflicts))))
    targets = {path: net.before for path, net in nets.items() if net.before != _now(root, path)}
    for path in sorted(targets, reverse=True):  # what is inside a folder comes after it
        _remove(root, path, targets[path])
    for path in sorted(targets):
        _bring_back(root, blobs, path, targets[path])
    for path in sorted(targets, reverse=True):
        _set_folder_mode(root, path, targets[path])
    return Restored(paths=tuple(sorted(nets)))


def _nets(changes: Sequence[Change]) -> dict[str, _Net]:
    nets: dict[str, _Net] = {}
    for change in changes:
        before = _State(change.mode_before, change.before)
        after = _State(change.mode_after, change.after)
        earlier = nets.get(change.path)
        if earlier is None:
            nets[change.path] = _Net(before, after, broken=not change.undoable)
            continue
        broken = earlier.broken or not change.undoable or earlier.after != before
        nets[change.path] = _Net(earlier.before, after, broken=broken)
    return nets


def _can_go_back(root: Path, blobs: Blobs, path: str, net: _Net) -> bool:
    if net.broken or not _is_inside(path):
        return False
    if net.before.digest and not blobs.has(net.before.digest):
        return False
    return _now(root, path) in (net.before, net.after)


def _has_place(root: Path, nets: Mapping[str, _Net], path: str) -> bool:
    """Whether the folder a path goes back into is there, or comes back with it."""
    above = path.rpartition("/")[0]
    if not nets[path].before.mode or not above:
        return True
    there = nets[above].before if above in nets else _now(root, above)
    return there is not None and stat.S_ISDIR(there.mode)


def _is_inside(path: str) -> bool:
    return all(part not in {"", ".", ".."} for part in path.split("/"))


def _strangers(root: Path, nets: Mapping[str, _Net]) -> Iterator[str]:
    """Yield what others have put into folders that are about to go."""
    for path, net in nets.items():
        if not stat.S_ISDIR(net.after.mode) or stat.S_ISDIR(net.before.mode):
            continue
        for name in _listed(root, path):
            inside = f"{path}/{name}"
            if inside not in nets or nets[inside].before.mode:
                yield inside


def _listed(root: Path, path: str) -> list[str]:
    with contextlib.suppress(OSError), _opened(root, path) as folder:
        return os.listdir(folder)  # noqa: PTH208 -- pathlib knows no open folders
    return []


def _now(root: Path, path: str) -> _State | None:
    """Return what is there; None if it cannot be said (no permission)."""
    try:
        with _parent(root, path) as (folder, name):
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            return _State(found.st_mode, _digest(folder, name, found.st_mode))
    except OSError as error:
        # A file or a link where a folder was: nothing is behind it that belongs to the workspace.
        return _State() if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP} else None


def _digest(folder: int, name: str, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return hashlib.sha256(os.fsencode(os.readlink(name, dir_fd=folder))).hexdigest()
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        return ""
    # A folder is opened only to see that it can be.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(name, flags, dir_fd=folder)
    try:
        return digest_of(handle) if stat.S_ISREG(mode) else ""
    finally:
        os.close(handle)


def _remove(root: Path, path: str, target: _State) -> None:
    """Remove what is there unless it is only to be written over."""
    current = _now(root, path)
    if current is None or not current.mode:
        return
    with _parent(root, path) as (folder, name):
        if stat.S_ISDIR(current.mode):
            if not stat.S_ISDIR(target.mode):
                os.rmdir(name, dir_fd=folder)
        elif not target.mode or stat.S_ISDIR(target.mode):
            os.unlink(name, dir_fd=folder)


def _bring_back(root: Path, blobs: Blobs, path: str, target: _State) -> None:
    if not target.mode:
        return
    with _parent(root, path) as (folder, name):
        if stat.S_ISDIR(target.mode):
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=folder)
            # Open to us until everything in it is back; its own mode comes last.
            _chmod(folder, name, target.mode | stat.S_IRWXU)
            return
        temporary = f".{secrets.token_hex(8)}.restore"
        if stat.S_ISLNK(target.mode):
            os.symlink(os.fsdecode(blobs.read(target.digest)), temporary, dir_fd=folder)
        else:
            _write(folder, temporary, blobs, target)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)


def _write(folder: int, name: str, blobs: Blobs, target: _State) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(name, flags, 0o600, dir_fd=folder)
    try:
        blobs.copy_to(target.digest, handle)
        os.fchmod(handle, stat.S_IMODE(target.mode))
    finally:
        os.close(handle)


def _set_folder_mode(root: Path, path: str, target: _State) -> None:
    if stat.S_ISDIR(target.mode):
        with _parent(root, path) as (folder, name):
            _chmod(folder, name, target.mode)


def _chmod(folder: int, name: str, mode: int) -> None:
    handle = os.open(name, _FOLDER, dir_fd=folder)
    try:
        os.fchmod(handle, stat.S_IMODE(mode))
    finally:
        os.close(handle)


@contextmanager
def _parent(root: Path, path: str) -> Generator[tuple[int, str]]:
    """Open the folder that holds `path`, one step at a time, and name what is in it."""
    above, _, name = path.rpartition("/")
    with _opened(root, above) as folder:
        yield folder, name


@contextmanager
def _opened(root: Path, path: str) -> Generator[int]:
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in filter(None, path.split("/")):
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)
