"""The parent of one worker: `python -m standpipe.execution.keeper`, started by `execution/pool.py`.

It forks before anything heavy is loaded. The child becomes the worker (`execution/worker.py`); the
parent runs no tool, so no tool can hold it up, and only waits.

Rule 1: when the runtime closes the lifeline, on purpose or because it is gone, everything that a tool
    started is killed; so it is when the worker has ended by itself.
Rule 2: on Linux that holds for daemons and sessions too: every orphan becomes a child of this process.
    Elsewhere it holds for the worker's process group, which a tool can leave.
Rule 3: it ends as the worker did, so that the runtime reads the worker's own exit code or signal.
"""

import contextlib
import os
import resource
import select
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

_LIFELINE = 1
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_KILL_ROUNDS_MAX = 50
_ROUND_SECONDS = 0.01


def main() -> None:
    """Fork; keep the worker in the parent, be it in the child."""
    native = sys.platform == "linux" and "portable" not in sys.argv[1:]
    if native:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signals = _signals()
    keeper = os.getpid()
    worker = os.fork()
    # In both, because nobody knows who comes first.
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.setpgid(worker, 0)
    if worker:
        _keep(worker, signals, native=native)
    _let_go_of(signals)
    if native:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == keeper:
        from standpipe.execution.worker import main as work  # noqa: PLC0415 -- the parent needs none of it

        work()


def _prctl(option: int, value: int) -> None:
    import ctypes  # noqa: PLC0415 -- only Linux needs it

    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _signals() -> tuple[int, int]:
    """Let every TERM and every end of a child be a byte in a pipe."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, _noted)
    return read, write


def _noted(number: int, frame: FrameType | None) -> None:
    """Do nothing here: the byte is in the pipe."""


def _let_go_of(signals: tuple[int, int]) -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    for end in signals:
        os.close(end)


def _keep(worker: int, signals: tuple[int, int], *, native: bool) -> NoReturn:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)  # the channel and the log are the worker's: they close when it ends
    os.dup2(null, 2)
    status = _wait(worker, signals[0])
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker, signal.SIGKILL)
    for _ in range(_KILL_ROUNDS_MAX):
        if native:
            _kill_children()
        alone, found = _reap(worker)
        status = found if status is None else status
        if alone:
            break
        select.select([], [], [], _ROUND_SECONDS)
    _end_as(status)


def _wait(worker: int, signals: int) -> int | None:
    """Wait for the end of the worker and return its status, or None when the runtime let go first."""
    while True:
        ready, _, _ = select.select([_LIFELINE, signals], [], [])
        told = os.read(signals, 4096) if signals in ready else b""
        _, status = _reap(worker)
        if status is not None:
            return status
        if _LIFELINE in ready and not os.read(_LIFELINE, 1):
            return None
        if signal.SIGTERM in told:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(worker, signal.SIGTERM)


def _reap(worker: int) -> tuple[bool, int | None]:
    """Take leave of every child that has ended; return whether none is left, and the worker's status."""
    status = None
    while True:
        try:
            pid, each = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True, status
        if pid == 0:
            return False, status
        if pid == worker:
            status = each


def _kill_children() -> None:
    """Kill our children; theirs become ours, and are met in the next round."""
    with contextlib.suppress(OSError):
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and _parent(entry) == os.getpid():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(int(entry.name), signal.SIGKILL)


def _parent(process: Path) -> int:
    try:
        stat = (process / "stat").read_text(errors="replace")
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])  # the name of a process may hold blanks


def _end_as(status: int | None) -> NoReturn:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the worker has left its own, if any
    if status is None or os.WIFSIGNALED(status):
        number = signal.SIGKILL if status is None else os.WTERMSIG(status)
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status or 0))


if __name__ == "__main__":
    main()
