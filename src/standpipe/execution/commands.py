"""Run an operator's command: an executable in `checks/`, or an `acceptance: {run: ...}`.

Rule 1: no environment of ours, its own process group; the group is killed whole when its leader has
    ended, at the deadline, and when whoever asked is cancelled.
Rule 2: what cannot be started is a result, not an exception: the caller fails closed.
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

OUTPUT_MAX = 4_000  # characters of output kept as evidence
_BYTES_MAX = 4 * OUTPUT_MAX  # a character of UTF-8 has at most 4
_GRACE_SECONDS = 2.0
_NOT_STARTED = 127


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command came to; `code` is None where the deadline ended it."""

    code: int | None
    output: str

    @property
    def passed(self) -> bool:
        return self.code == 0


async def run_command(
    argv: Sequence[str], *, cwd: Path, stdin: bytes = b"", deadline_seconds: float = 60.0
) -> Ran:
    """Run `argv` in `cwd` and return its exit code and the end of its output."""
    try:
        transport, watch = await asyncio.get_running_loop().subprocess_exec(
            _Watch,
            *argv,
            cwd=cwd,
            env=_environment(),
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
        why = error.strerror if isinstance(error, OSError) else error
        return Ran(_NOT_STARTED, f"cannot be started: {why}: {argv[0]!r}")
    try:
        _feed(transport, stdin)
        return await _watched(transport, watch, deadline_seconds)
    except BaseException:  # no `await` here: a second cancellation must not leave anything running
        _signal(transport, signal.SIGKILL)
        raise
    finally:
        _let_go(transport)


def shell_argv(command: str) -> list[str]:
    """Return the argv that runs an operator's command line."""
    return ["/bin/sh", "-c", command]


class _Watch(asyncio.SubprocessProtocol):
    """Keep the end of what a command says, and see its leader end.

    `Process.wait()` of Python 3.11 waits for the pipes too, which a child left behind holds open.
    """

    def __init__(self) -> None:
        self.tail = b""
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        del fd  # both streams are one
        self.tail = (self.tail + data)[-_BYTES_MAX:]

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.closed.set()


def _feed(transport: asyncio.SubprocessTransport, stdin: bytes) -> None:
    """Hand over the input; a command need not read it."""
    pipe = cast("asyncio.WriteTransport", transport.get_pipe_transport(0))
    pipe.write(stdin)
    pipe.write_eof()


async def _watched(
    transport: asyncio.SubprocessTransport, watch: _Watch, deadline_seconds: float
) -> Ran:
    if not await _within(watch.exited, deadline_seconds):
        _signal(transport, signal.SIGTERM)
        await _within(watch.exited, _GRACE_SECONDS)
        _signal(transport, signal.SIGKILL)
        await _within(watch.exited, _GRACE_SECONDS)
        return Ran(None, f"ended after {deadline_seconds:g} s, its deadline")
    _signal(transport, signal.SIGKILL)  # what it left running, which would hold the output open
    await _within(watch.closed, _GRACE_SECONDS)
    output = watch.tail.decode(errors="replace").strip()[-OUTPUT_MAX:]
    return Ran(transport.get_returncode(), output)


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _signal(transport: asyncio.SubprocessTransport, number: signal.Signals) -> None:
    """Signal the whole group; its id stays taken for as long as anybody is in it."""
    # macOS answers EPERM for a group of which only the unreaped leader is left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(transport.get_pid(), number)


def _let_go(transport: asyncio.SubprocessTransport) -> None:
    """Close our ends; somebody who left the group may hold the others for ever."""
    for number in (0, 1):
        pipe = transport.get_pipe_transport(number)
        if pipe is not None:
            pipe.close()


def _environment() -> dict[str, str]:
    return {
        "PATH": os.defpath + ":/usr/local/bin",
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
    }
