"""Files of `workspace/`, and nothing else.

Rule 1: paths are relative to `workspace/` and stay inside it (`beneath.py`).
Rule 2: a file is written whole or not at all: beside it, on disk, then renamed over it.
Rule 3: files are UTF-8 text; what was cut is said.
"""

import os
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress

from standpipe.execution.tools import surroundings, tool
from standpipe.tools.beneath import Place, beneath, components, folder_beneath, refuse_irregular

READ_BYTES_MAX = 1024 * 1024
LIST_MAX = 1000


@tool(
    effect="read",
    control=["path"],
    local=True,
    tells="file {path}",
    expected=["not_found", "bad_input"],
)
def read_file(path: str) -> str:
    """Read a text file of the workspace.

    Args:
        path: relative to workspace/
    """
    with _place(path) as place:
        content, size = _content(place)
    if size <= READ_BYTES_MAX:
        return _text(content, path)
    # The cut may fall inside a character; a file that is not text still says so.
    cut = _text(content[: _whole_characters(content)], path)
    return f"{cut}\n[cut: this is the first {READ_BYTES_MAX} of {size} bytes of `{path}`]"


@tool(effect="read", control=["path"], local=True, tells="folder {path}", expected=["not_found"])
def list_files(path: str = ".") -> list[str]:
    """List a folder of the workspace; names of folders end in `/`.

    Args:
        path: relative to workspace/
    """
    folders = [] if path in ("", ".", "./") else components(path)
    with folder_beneath(surroundings().workspace, folders, path, portable=_portable()) as folder:
        names = sorted(_listed(folder))
    if len(names) > LIST_MAX:
        return [*names[:LIST_MAX], f"[cut: {len(names) - LIST_MAX} more names in `{path}`]"]
    return names


@tool(
    effect="idempotent",
    control=["path"],
    local=True,
    reversible=True,
    returns="trusted",  # our own words about our own file
    tells="file {path}",
    expected=["not_found", "bad_input"],  # a slip of the pen is told, not counted
)
def write_file(path: str, content: str) -> dict[str, object]:
    """Write a text file of the workspace, whole; its folders are made.

    Args:
        path: relative to workspace/
        content: all of the new text
    """
    written = _bytes(content, path)
    with _place(path, create=True) as place:
        before = place.status()
        if before is not None:
            refuse_irregular(before, path)
        _replace(place, written, mode=stat.S_IMODE(before.st_mode) if before else None)
    return {"path": path, "bytes": len(written), "created": before is None}


@tool(
    effect="idempotent",
    control=["path"],
    local=True,
    reversible=True,
    returns="trusted",  # our own words about our own file
    tells="file {path}",
    expected=["not_found", "bad_input"],  # a slip of the pen is told, not counted
)
def edit_file(path: str, old: str, new: str) -> dict[str, object]:
    """Replace one piece of text in a file of the workspace.

    Args:
        path: relative to workspace/
        old: the text to replace; it must stand in the file exactly once
        new: the text to put there
    """
    if not old:
        raise ValueError("`old` is empty\nhint: write_file writes a whole file")
    with _place(path) as place:
        before = place.regular()
        content, size = _content(place)
        if size > READ_BYTES_MAX:
            raise ValueError(
                f"`{path}` has {size} bytes, more than edit_file takes ({READ_BYTES_MAX})"
            )
        text = _text(content, path)
        if (count := _count(text, old)) != 1:
            raise ValueError(f"`old` stands {count} times in `{path}`, not once{_hint(count)}")
        written = _bytes(text.replace(old, new), path)
        _replace(place, written, mode=stat.S_IMODE(before.st_mode))
    return {"path": path, "bytes": len(written)}


@tool(
    effect="idempotent",
    control=["path"],
    local=True,
    reversible=True,
    tells="file {path}",
    returns="trusted",
    expected=["not_found", "bad_input"],
)
def delete_file(path: str) -> dict[str, object]:
    """Delete one file of the workspace.

    Args:
        path: relative to workspace/
    """
    with _place(path) as place:
        place.regular()
        os.unlink(place.name, dir_fd=place.folder)
        os.fsync(place.folder)
    return {"path": path, "deleted": True}


@contextmanager
def _place(path: str, *, create: bool = False) -> Generator[Place]:
    root = surroundings().workspace
    with beneath(root, path, create=create, portable=_portable()) as place:
        yield place


def _portable() -> bool:
    return bool(surroundings().settings.get("portable"))


def _content(place: Place) -> tuple[bytes, int]:
    """Return the first bytes of the file, and how many there are in all."""
    with os.fdopen(place.open(portable=_portable()), "rb") as opened:
        return opened.read(READ_BYTES_MAX), os.fstat(opened.fileno()).st_size


def _whole_characters(content: bytes) -> int:
    """Return how many bytes end with a whole UTF-8 character."""
    end = len(content)
    while end > len(content) - 4 and content[end - 1] & 0xC0 == 0x80:  # noqa: PLR2004 -- bits of UTF-8
        end -= 1
    return end - 1 if content[end - 1] & 0x80 else len(content)


def _text(content: bytes, path: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"`{path}` is not UTF-8 text (byte {error.start})") from None


def _bytes(text: str, path: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the text for `{path}` is not valid Unicode (character {error.start})"
        ) from None


def _listed(folder: int) -> Generator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name


def _count(text: str, old: str) -> int:
    """Count places, overlapping ones too: `aa` stands twice in `aaa`."""
    count = start = 0
    while (start := text.find(old, start) + 1) > 0:
        count += 1
    return count


def _hint(count: int) -> str:
    if count:
        return "\nhint: add the lines around it, so that only one place fits"
    return "\nhint: read_file shows the text as it is now, blanks and all"


def _replace(place: Place, content: bytes, *, mode: int | None) -> None:
    beside = f".standpipe-{secrets.token_hex(8)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(beside, flags, 0o666, dir_fd=place.folder), "wb") as opened:
            opened.write(content)
            opened.flush()
            if mode is not None:
                os.fchmod(opened.fileno(), mode)
            os.fsync(opened.fileno())
        os.rename(beside, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(beside, dir_fd=place.folder)
        raise
    os.fsync(place.folder)
