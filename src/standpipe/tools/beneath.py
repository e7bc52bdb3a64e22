"""Open paths beneath one folder, whatever links are laid in the way while we look.

Rule 1: a path is opened, then looked at; it is never resolved and then opened.
Rule 2: no link is followed, on no component. Linux says so in one call (`openat2`); elsewhere
    each component is opened from its parent without following.
Rule 3: only regular files with one name; a second name may lie outside.
"""

import ctypes
import difflib
import errno
import os
import re
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from standpipe.execution.tools import NotAllowedError

_OPENAT2 = 437  # the number of the call, the same on every Linux architecture but alpha
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_INVISIBLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f\ud800-\udfff]"
)
_NEVER = {".git"}  # its hooks run as the person who owns the repository


@dataclass(frozen=True, slots=True)
class Place:
    """One name in one open folder."""

    folder: int
    name: str
    path: str  # as it was asked for, for messages

    def status(self) -> os.stat_result | None:
        """Look at what the name stands for now, without following it."""
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def regular(self) -> os.stat_result:
        """Return the status of the regular file that stands here.

        Raises:
            FileNotFoundError: there is none.
            NotAllowedError: it is a folder, a link, a device or has a second name.
        """
        status = self.status()
        if status is None:
            raise missing(self)
        refuse_irregular(status, self.path)
        return status

    def open(self, *, portable: bool = False) -> int:
        """Open the regular file that stands here for reading."""
        # O_NONBLOCK: opening a pipe would wait for a writer that never comes.
        opened = _open(
            self.folder, self.name, os.O_RDONLY | os.O_NONBLOCK, self.path, portable=portable
        )
        try:
            refuse_irregular(os.fstat(opened), self.path)
        except BaseException:
            os.close(opened)
            raise
        return opened


@contextmanager
def beneath(
    root: str, path: str, *, create: bool = False, portable: bool = False
) -> Generator[Place]:
    """Give the place `path` stands for under `root`; with `create`, its folders are made.

    Raises:
        ValueError: the path cannot be meant.
        NotAllowedError: it leaves the folder, or goes through a link.
        FileNotFoundError: one of its folders does not exist.
    """
    *folders, name = components(path)
    with folder_beneath(root, folders, path, create=create, portable=portable) as folder:
        yield Place(folder, name, path)


@contextmanager
def folder_beneath(
    root: str, folders: list[str], path: str, *, create: bool = False, portable: bool = False
) -> Generator[int]:
    """Give a descriptor of the folder `folders` lead to."""
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if create or portable or not _openat2_works():
            found = _walk(top, folders, path, create=create)
        else:
            found = _leap(top, folders, path)
    finally:
        os.close(top)
    try:
        yield found
    finally:
        os.close(found)


def components(path: str) -> list[str]:
    """Split a relative path into names.

    Raises:
        ValueError: it is empty or holds characters nobody sees.
        NotAllowedError: it is absolute, goes up, or names what is not the agent's.
    """
    if _INVISIBLE.search(path):
        raise ValueError(f"path {path!r} holds control or invisible characters")
    if "\\" in path:
        raise ValueError(f"path `{path}` holds a backslash\nhint: separate folders by `/`")
    if path.startswith(("/", "~")):
        raise NotAllowedError(
            f"path `{path}` is not in the workspace\nhint: write it relative to workspace/"
        )
    names = [name for name in path.split("/") if name not in ("", ".")]
    if ".." in names:
        raise NotAllowedError(
            f"path `{path}` goes up with `..`\nhint: write it relative to workspace/"
        )
    if any(name.casefold() in _NEVER for name in names):
        raise NotAllowedError(f"path `{path}` is inside `.git`, which no agent touches")
    if any(len(os.fsencode(name)) > 255 for name in names):  # noqa: PLR2004 -- NAME_MAX everywhere
        raise ValueError(f"path `{path[:60]}...` has a name longer than 255 bytes")
    if not names:
        raise ValueError(f"path `{path}` names no file")
    return names


def refuse_irregular(status: os.stat_result, path: str) -> None:
    """Refuse all but a regular file that has exactly one name."""
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(f"`{path}` is a folder\nhint: list_files shows what is in it")
    if not stat.S_ISREG(status.st_mode):
        raise NotAllowedError(f"`{path}` is not a regular file")
    if status.st_nlink > 1:
        raise NotAllowedError(
            f"`{path}` has a second name (hard link), which may lie outside the workspace"
        )


def missing(place: Place) -> FileNotFoundError:
    """Make the error for a name that does not exist, with the names it may be a slip for."""
    return _not_found(place.folder, place.name, place.path)


def _leap(top: int, folders: list[str], path: str) -> int:
    try:
        return _openat2(top, "/".join(folders) or ".", _FOLDER)
    except OSError:
        # Either a race, which the walk takes as it comes, or a refusal, where it names the component.
        return _walk(top, folders, path, create=False)


def _walk(top: int, folders: list[str], path: str, *, create: bool) -> int:
    current = os.dup(top)
    for name in folders:
        try:
            current, left = _enter(current, name, path, create=create), current
        except BaseException:
            os.close(current)
            raise
        os.close(left)
    return current


def _enter(parent: int, name: str, path: str, *, create: bool) -> int:
    if create:
        _make_folder(parent, name)
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except OSError as error:
        raise _refusal(error, parent, name, path) from None


def _make_folder(parent: int, name: str) -> None:
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        return
    os.fsync(parent)


def _open(folder: int, name: str, flags: int, path: str, *, portable: bool = False) -> int:
    try:
        if portable or not _openat2_works():
            return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        return _openat2(folder, name, flags | os.O_CLOEXEC)
    except OSError as error:
        raise _refusal(error, folder, name, path) from None


def _refusal(error: OSError, folder: int, name: str, path: str) -> OSError:
    match error.errno:
        case errno.ENOENT:
            return _not_found(folder, name, path)
        case errno.ELOOP | errno.EXDEV:
            return NotAllowedError(
                f"path `{path}` goes through a link, which may lead out of the workspace"
            )
        case errno.ENOTDIR:  # what O_DIRECTORY | O_NOFOLLOW says of a link, too
            return NotAllowedError(f"path `{path}` goes through something that is not a folder")
        case errno.ENXIO | errno.EOPNOTSUPP:
            return NotAllowedError(f"`{path}` is not a regular file")
        case _:
            return OSError(error.errno, f"{error.strerror}: `{path}`")


def _not_found(folder: int, name: str, path: str) -> FileNotFoundError:
    near = difflib.get_close_matches(name, os.listdir(folder), n=3)
    hint = f"\nhint: did you mean {', '.join(f'`{one}`' for one in near)}" if near else ""
    return FileNotFoundError(f"no `{path}` in the workspace{hint}")


class _How(ctypes.Structure):
    """The kernel's `struct open_how`."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def _openat2(folder: int, name: str, flags: int) -> int:
    how = _How(flags, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)
    libc = ctypes.CDLL(None, use_errno=True)
    opened: int = libc.syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_int(folder),
        ctypes.c_char_p(os.fsencode(name)),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if opened < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return opened


_supported: bool | None = None


def _openat2_works() -> bool:
    """Try the call once: a kernel before 5.6 lacks it and a seccomp filter may forbid it."""
    global _supported  # noqa: PLW0603 -- a property of the machine, found once
    if _supported is None:
        _supported = sys.platform == "linux" and _try_openat2()
    return _supported


def _try_openat2() -> bool:
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(_openat2(root, ".", _FOLDER))
    except OSError:
        return False
    finally:
        os.close(root)
    return True
