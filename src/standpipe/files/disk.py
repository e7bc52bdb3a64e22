"""Read with a limit, write so that a kill at any moment leaves the old bytes or the new ones.

Rule 1: nothing from outside is read without a limit.
Rule 2: nothing is written in place: a file beside it, fsync, rename, fsync of the folder.
"""

import itertools
import os
import stat
from pathlib import Path

from standpipe.errors import ConfigError, NotFoundError

STRAY_SUFFIX = ".standpipe-tmp"  # what a killed writer may leave behind; never read by anybody
_numbers = itertools.count()


def read_text(path: Path, *, limit_bytes: int) -> str:
    """Return the text of a UTF-8 file, line ends and byte order mark as they are.

    Raises:
        NotFoundError: there is no such file.
        ConfigError: it is too large, no text, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit_bytes + 1)
    except FileNotFoundError:
        raise NotFoundError(f"no file `{path}`", hint="check the spelling of the path") from None
    except IsADirectoryError:
        raise ConfigError(f"`{path}` is a folder", hint="name a file in it") from None
    except OSError as error:
        hint = "check the owner and the mode of the file"
        raise ConfigError(f"cannot read `{path}`: {error.strerror}", hint=hint) from None
    if len(content) > limit_bytes:
        hint = "split it, or move what is not needed elsewhere"
        raise ConfigError(f"`{path}` is larger than {limit_bytes} bytes", hint=hint)
    return _decode(content, path)


def write_atomic(path: Path, content: bytes | str, *, mode: int | None = None) -> None:
    """Replace a file, or make it; `mode` is the one found, or what the umask gives a new file."""
    stray = path.with_name(f".{path.name[:200]}.{os.getpid()}.{next(_numbers)}{STRAY_SUFFIX}")
    kept = _mode_of(path) if mode is None else mode
    descriptor = os.open(stray, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if kept is not None:
                os.fchmod(file.fileno(), kept)
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        stray.replace(path)
    except BaseException:
        stray.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    """Make renames and removals in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _decode(content: bytes, path: Path) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        hint = "save the file as UTF-8"
        raise ConfigError(f"{path}:{line}: this is not UTF-8 text", hint=hint) from None


def _mode_of(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return None
