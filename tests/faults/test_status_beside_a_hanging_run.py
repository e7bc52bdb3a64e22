"""A run in a process of its own that waits or hangs, and `standpipe status` beside it."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import pytest

from standpipe.cli import main
from standpipe.cli.scaffold import scaffold

TOOLS = '''
import time

import standpipe as sp


class Busy(Exception):
    status_code = 503
    headers = {"retry-after": "25"}


@sp.tool(effect="read", local=True, timeout=600)
def hang() -> str:
    """Never come back."""
    time.sleep(600)
    return "woke"


@sp.tool(effect="read", local=True)
def orders() -> str:
    """Ask a service that has no room."""
    raise Busy("no room")
'''
STORY = "turns:\n  - call: {{{tool}: {{}}}}\n  - done: {{summary: Done., evidence: [it]}}\n"
LOOKS_MAX = 600  # a tenth of a second each, on a machine that does much else

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]


@contextmanager
def running(home: Path, tool: str) -> Generator[subprocess.Popen[bytes]]:
    """Run a task whose only call is `tool`, and end it like Ctrl-C does."""
    scaffold(home, model="script:story.yaml")
    (home / "tools.py").write_text(TOOLS)
    (home / "story.yaml").write_text(STORY.format(tool=tool))
    process = subprocess.Popen(
        [sys.executable, "-m", "standpipe", "run", "Ask for the orders", "--home", str(home)],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def printed(home: Path, *words: str) -> str:
    with redirect_stdout(io.StringIO()) as said:
        assert main([*words, "--home", str(home)]) == 0
    return said.getvalue()


def seen(home: Path, fits: Callable[[Mapping[str, object]], bool]) -> Mapping[str, object]:
    """Look at the run until it is as expected."""
    runs: list[Mapping[str, object]] = []
    for _ in range(LOOKS_MAX):
        runs = json.loads(printed(home, "status", "--json"))["runs"]
        if runs and fits(runs[0]):
            return runs[0]
        time.sleep(0.1)
    raise AssertionError(f"it never came to that: {runs}")


def test_a_failure_that_is_waited_for_is_seen_from_another_process(tmp_path: Path) -> None:
    home = tmp_path / "agent"
    with running(home, "orders") as process:
        run = seen(home, lambda run: bool(run["trouble"]))
        assert run["status"] == "running"
        assert "orders: overloaded" in str(run["trouble"])
        assert "503" in str(run["trouble"])
        assert "\n      trouble: orders: overloaded" in printed(home, "status")
        [failure] = json.loads(printed(home, "report", "--json"))["failures"]
        assert (failure["tool"], failure["kind"]) == ("orders", "overloaded")
        assert process.poll() is None


def test_a_run_that_hangs_says_in_what_and_for_how_long(tmp_path: Path) -> None:
    home = tmp_path / "agent"
    with running(home, "hang") as process:
        run = seen(
            home, lambda run: run["summary"] == "hang" and isinstance(run["step_seconds"], float) and run["step_seconds"] >= 1
        )  # fmt: skip
        assert (run["status"], run["trouble"]) == ("running", "")
        assert "Ask for the orders: hang for " in printed(home, "status")
        assert process.poll() is None
