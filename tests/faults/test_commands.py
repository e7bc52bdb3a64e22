"""Real commands, and what they leave running."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from standpipe.execution import commands
from standpipe.execution.commands import OUTPUT_MAX, run_command, shell_argv


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # it went before the look, or during it
        return True


async def until(condition: Callable[[], bool]) -> bool:
    for _ in range(500):
        if condition():
            return True
        await asyncio.sleep(0.01)
    return False


def child_of(home: Path) -> int:
    text = (home / "pid").read_text() if (home / "pid").exists() else ""
    return int(text) if text.strip() else 0


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> object:
    yield
    if (pid := child_of(tmp_path)) and not is_gone(pid):
        os.kill(pid, signal.SIGKILL)


async def test_a_child_left_behind_is_ended_and_does_not_hold_up_the_result(
    tmp_path: Path,
) -> None:
    # It holds the output open and does not hear TERM.
    command = "(trap '' TERM; sleep 60) & echo $! > pid; echo done"
    ran = await run_command(shell_argv(command), cwd=tmp_path, deadline_seconds=20)
    assert (ran.code, ran.output) == (0, "done")
    assert await until(lambda: is_gone(child_of(tmp_path)))


async def test_a_deadline_ends_the_children_of_a_leader_that_goes_politely(tmp_path: Path) -> None:
    command = "(trap '' TERM; while :; do sleep 1; done) & echo $! > pid; exec sleep 60"
    ran = await run_command(shell_argv(command), cwd=tmp_path, deadline_seconds=0.3)
    assert not ran.passed
    assert ran.code is None
    assert await until(lambda: is_gone(child_of(tmp_path)))


async def test_a_cancelled_command_is_ended_at_once(tmp_path: Path) -> None:
    command = "trap '' TERM; echo $$ > pid; while :; do sleep 1; done"
    task = asyncio.create_task(run_command(shell_argv(command), cwd=tmp_path))
    assert await until(lambda: child_of(tmp_path) > 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await until(lambda: is_gone(child_of(tmp_path)))


async def test_output_without_end_is_bounded_to_its_last_words(tmp_path: Path) -> None:
    command = "head -c 5000000 /dev/zero | tr '\\0' x; echo; echo last"
    ran = await run_command(shell_argv(command), cwd=tmp_path)
    assert ran.passed
    assert len(ran.output) == OUTPUT_MAX
    assert ran.output.endswith("x\nlast")


@pytest.mark.parametrize("argv", [["a\0b"], ["/nonexistent"], ["/bin/sh", "a\0b"]])
async def test_what_cannot_be_started_is_a_result(argv: list[str], tmp_path: Path) -> None:
    ran = await run_command(argv, cwd=tmp_path)
    assert ran.code == 127
    assert "cannot be started" in ran.output


async def test_a_command_reads_its_input_or_not(tmp_path: Path) -> None:
    assert (await run_command(["cat"], cwd=tmp_path, stdin=b"words")).output == "words"
    assert (await run_command(["true"], cwd=tmp_path, stdin=b"x" * 1_000_000)).passed
    assert (await run_command(shell_argv("echo no >&2; exit 3"), cwd=tmp_path)).code == 3


def test_what_is_kept_of_the_output_does_not_grow() -> None:
    watch = commands._Watch()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] -- its memory is not seen from outside
    for _ in range(20):
        watch.pipe_data_received(1, b"x" * 65_536 + b"last")
    assert len(watch.tail) <= 4 * OUTPUT_MAX
    assert watch.tail.endswith(b"last")
