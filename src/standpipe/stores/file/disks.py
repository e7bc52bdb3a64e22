"""Which file system a folder lies on, where the machine tells.

SQLite in WAL mode shares memory between the processes of one host. Over a network two hosts would each have
their own, and write over each other without a word.
"""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from standpipe.errors import UsageError

NETWORK = frozenset({
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "lustre", "9p", "gpfs", "beegfs",
    "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.rclone", "fuse.s3fs", "fuse.davfs", "davfs",
})  # fmt: skip
_MOUNTS = Path("/proc/self/mountinfo")

FileSystem = Callable[[Path], str]


def file_system(folder: Path) -> str:
    """Return the type of the file system of a folder; "" where there is no way to ask (macOS)."""
    try:
        return type_of(os.path.realpath(folder), _MOUNTS.read_text().splitlines())
    except (OSError, UnicodeDecodeError):
        return ""


def type_of(folder: str, mounts: Iterable[str]) -> str:
    r"""Find a folder among the lines of `mountinfo`.

    Example:
        >>> type_of("/mnt/a b/c", [r"9 1 0:3 / /mnt/a\040b rw shared:5 - nfs4 host:/x rw"])
        'nfs4'
    """
    found, longest = "", -1
    for line in mounts:
        before, _, after = line.partition(" - ")
        point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), before.split()[4])
        inside = folder == point or folder.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= longest:  # of two on one folder the later one is seen
            found, longest = after.split()[0], len(point)
    return found


def refuse_network(journal: Path, kind: FileSystem) -> None:
    """Stop before a journal that several hosts could write over each other.

    Raises:
        UsageError: it lies on a network file system.
    """
    folder = journal.parent
    while not folder.exists():
        folder = folder.parent
    if (name := kind(folder)) in NETWORK:
        raise UsageError(
            f"the journal `{journal}` lies on a network file system ({name}), where SQLite loses entries",
            hint='move the home to a local disk, or keep the journal in PostgreSQL: `[journal] store = "postgres"`',
        )
