"""Whether the process a run was started in is still there.

Rule 1: a pid alone proves nothing: it is given out again. Its start time says whose it is.
Rule 2: a zombie is gone: it answers signals, and will never do anything.
Where there is no /proc the start time is unknown and the pid has to do.
"""

import os
from pathlib import Path

from standpipe.journal.projections import RunRow

_PROC = Path("/proc")
_STATE, _STARTED = 0, 19  # fields 3 and 22 of /proc/PID/stat, counted behind the name
_DEAD = frozenset("ZXx")


def started(pid: int) -> str:
    """Return when `pid` was started, in this boot; an empty text if nobody can tell."""
    fields = _stat(pid)
    return f"{_boot()}-{fields[_STARTED]}" if fields else ""


def alive(row: RunRow) -> bool:
    """Return whether the process of this machine that a run was last started in is still there."""
    return lives(row.pid, row.process_started)


def lives(pid: int, started_then: str) -> bool:
    """Return whether the process `pid` that had this start time is still running."""
    if pid <= 0:
        return False
    if _PROC.joinpath("self/stat").exists():
        fields = _stat(pid)
        if not fields or fields[_STATE] in _DEAD:
            return False
        return not started_then or started(pid) == started_then
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _stat(pid: int) -> list[str]:
    try:
        text = _PROC.joinpath(str(pid), "stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()  # the name may hold spaces and brackets


def _boot() -> str:
    try:
        return _PROC.joinpath("sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        return ""
