"""Run an operator's command: an executable in `checks/`, or an `acceptance: {run: ...}`.

Rule 1: no environment of ours, its own process group, killed whole at the deadline.
Rule 2: what cannot be started is a result, not an exception: the caller fails closed.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

OUTPUT_MAX = 4_000  # characters of output kept as evidence
_PART_BYTES = 64 * 1024
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
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            env=_environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return Ran(_NOT_STARTED, f"cannot be started: {error.strerror}: {argv[0]}")
    try:
        output = await asyncio.wait_for(_finished(process, stdin), deadline_seconds)
    except TimeoutError:
        return Ran(None, f"ended after {deadline_seconds:g} s, its deadline")
    finally:
        await _end(process)  # also what it left running behind itself
    return Ran(process.returncode, output.decode(errors="replace").strip()[-OUTPUT_MAX:])


async def _finished(process: asyncio.subprocess.Process, stdin: bytes) -> bytes:
    """Feed it, keep the end of what it says, and wait for its exit."""
    assert process.stdin is not None  # noqa: S101 -- asked for above
    assert process.stdout is not None  # noqa: S101 -- asked for above
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not read
        process.stdin.write(stdin)
        await process.stdin.drain()
    process.stdin.close()
    kept = b""
    while part := await process.stdout.read(_PART_BYTES):
        kept = (kept + part)[-4 * OUTPUT_MAX :]
    await process.wait()
    return kept


def shell_argv(command: str) -> list[str]:
    """Return the argv that runs an operator's command line."""
    return ["/bin/sh", "-c", command]


async def _end(process: asyncio.subprocess.Process) -> None:
    """End its whole group, whether it is still there itself or not."""
    gone = process.returncode is not None
    for sign in (signal.SIGKILL,) if gone else (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            await asyncio.wait_for(process.wait(), _GRACE_SECONDS)
        except TimeoutError:
            continue
        break


def _environment() -> dict[str, str]:
    return {
        "PATH": os.defpath + ":/usr/local/bin",
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
    }
