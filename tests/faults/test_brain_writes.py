"""Real processes: a writer that is killed, and four that write at once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from standpipe.files import STRAY_SUFFIX
from standpipe.memory.brain import Brain

LOOP = """
import sys
from standpipe.memory.brain import Brain
brain = Brain.open(sys.argv[1])
for number in range(10**9):
    brain.write("notes/a.md", f"{number}\\n" * 20_000)
    print("written", flush=True)
"""
APPENDS = """
import sys
from standpipe.memory.brain import Brain
brain = Brain.open(sys.argv[1])
for number in range(20):
    brain.append("notes/a.md", f"{sys.argv[2]}.{number}")
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "standpipe.toml").write_text("")
    (tmp_path / "brain").mkdir()
    return tmp_path


def start(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(home: Path) -> None:
    for kill in range(4):
        writer = start(LOOP, str(home))
        assert writer.stdout is not None
        for _ in range(2 + kill):
            writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        lines = (home / "brain/notes/a.md").read_text().splitlines()
        assert (len(lines), len(set(lines))) == (20_000, 1)
        Brain.open(home).write("notes/a.md", "still writable")  # the lock died with its holder


def test_what_a_killed_writer_leaves_is_never_read_as_memory(home: Path) -> None:
    notes = home / "brain/notes"
    notes.mkdir()
    (notes / f".a.md.1.0{STRAY_SUFFIX}").write_text("half a sen")
    brain = Brain.open(home)
    assert brain.search("half") == []
    assert "half" not in brain.boot().text


def test_four_processes_that_append_to_one_file_lose_nothing(home: Path) -> None:
    writers = [start(APPENDS, str(home), str(number)) for number in range(4)]
    assert [(writer.communicate(), writer.returncode)[1] for writer in writers] == [0, 0, 0, 0]
    lines = (home / "brain/notes/a.md").read_text().split()
    assert sorted(lines) == sorted(
        f"{writer}.{number}" for writer in range(4) for number in range(20)
    )
