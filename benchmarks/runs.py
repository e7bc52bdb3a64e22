"""Very many runs: 1,000 at once in one process, and 10,000 that wait for a person.

    python benchmarks/runs.py [--runs N] [--blocked N] [--rounds N] [--json FILE]

runs       one Runtime, one home, a script model; every run has three turns: a read, an effect, done. All
           are begun at once. Beside them one run alone in a process of its own, for what the process costs.
blocked    runs that wait for an approval, as their journals. No process waits for them; starting up and
           `standpipe status` are measured beside a home in which one run has ended. Rounds take turns.
"""

import argparse
import asyncio
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from durable_lab.waiting import block

from standpipe import Runtime, __version__
from standpipe.cli.scaffold import scaffold

STORY = """\
turns:
  - call: {word_count: {text: "a few words"}}
  - call: {note_down: {text: "a few words", why: "the task asks for it"}}
  - done: {summary: "Counted.", evidence: ["3 words"]}
"""
TOOLS = '''
import standpipe as sp


@sp.tool(effect="read", local=True)
async def word_count(text: str) -> int:
    """Count the words of a text."""
    return len(text.split())


@sp.tool(effect="once", policy="allow", control=[], local=True)
async def note_down(text: str) -> str:
    """Stand for an effect."""
    return text
'''
PS = shutil.which("ps") or "ps"
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "standpipe status": ("status",),
    "standpipe status --json": ("status", "--json"),
    "standpipe run r1 (it is over)": ("run", "r1"),
}


@dataclass(frozen=True, slots=True)
class Many:
    """What so many runs at once cost one process."""

    runs: int
    ended: Mapping[str, int]
    seconds: float
    megabytes_before: float
    megabytes_peak: float


async def many(home: Path, count: int) -> Many:
    """Begin all runs at once, and wait until each has ended."""
    async with Runtime.open(home) as runtime:
        await runtime.run("Count the words, first of all")  # loads what every run needs
        before, began = _megabytes(), time.perf_counter()
        reports = await asyncio.gather(
            *(runtime.run(f"Count the words of {number}") for number in range(count)),
            return_exceptions=True,
        )
        seconds = time.perf_counter() - began
    ended = Counter(
        type(one).__name__ if isinstance(one, BaseException) else one.status for one in reports
    )
    for one in reports:
        if isinstance(one, BaseException):
            print(f"  {type(one).__name__}: {one}", file=sys.stderr)
            break
    return Many(count, ended, seconds, before, _megabytes())


def _megabytes() -> float:
    """Return the largest resident size so far; Linux counts in KiB, macOS in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def make_home(home: Path) -> Path:
    scaffold(home, model="script:story.yaml")
    (home / "story.yaml").write_text(STORY)
    (home / "tools.py").write_text(TOOLS)
    return home


def blocked(folder: Path, count: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return the milliseconds of each command in a home with one run, and in one where many wait."""
    homes = {"1 run": make_home(folder / "empty"), f"{count} blocked": make_home(folder / "full")}
    asyncio.run(_one(homes["1 run"]))
    asyncio.run(_one(homes[f"{count} blocked"]))
    asyncio.run(block(homes[f"{count} blocked"], count))
    times: dict[str, dict[str, list[float]]] = {name: {} for name in COMMANDS}
    for _ in range(rounds):
        for name, words in COMMANDS.items():
            for where, home in homes.items():
                times[name].setdefault(where, []).append(_seconds(words, home))
    return {
        name: {where: statistics.median(each) * 1000 for where, each in found.items()}
        for name, found in times.items()
    }


async def _one(home: Path) -> None:
    async with Runtime.open(home) as runtime:
        await runtime.run("Count the words")


def _seconds(words: tuple[str, ...], home: Path) -> float:
    command = [sys.executable, "-m", "standpipe", *words, "--home", str(home)]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return time.perf_counter() - start


def processes_of(home: Path) -> int:
    """Return how many processes work in a home."""
    listed = subprocess.run([PS, "-A", "-o", "args="], capture_output=True, text=True, check=True)
    return sum(str(home) in line for line in listed.stdout.splitlines())


def main() -> int:
    options = _options()
    print(f"{datetime.now(UTC).date()}, standpipe {__version__}, {platform.platform()}, "
          f"{os.cpu_count()} cores, Python {platform.python_version()}\n")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="runs") as name:
        folder = Path(name)
        found = asyncio.run(many(make_home(folder / "many"), options.runs))
        _tell(found)
        waiting = blocked(folder, options.blocked, options.rounds)
        print(f"\n{options.blocked} blocked runs, {processes_of(folder / 'full')} processes of theirs; "
              f"median of {options.rounds}, ms\n")  # fmt: skip
        for command, times in waiting.items():
            few, full = times.values()
            print(
                f"  {command:<34}{few:>9.0f} with one run{full:>9.0f} beside them{full / few:>8.2f} x"
            )
    if options.json:
        options.json.write_text(
            json.dumps({"many": asdict(found), "blocked": waiting}, indent=1) + "\n"
        )
    return 0 if found.ended == {"done": found.runs} else 1


def _tell(found: Many) -> None:
    ends = ", ".join(f"{count} {status}" for status, count in sorted(found.ended.items()))
    added = (found.megabytes_peak - found.megabytes_before) * 1024 / found.runs
    print(f"{found.runs} runs at once in one process: {ends}")
    print(f"  {found.seconds:.1f} s, {found.runs / found.seconds:.1f} runs/s; "
          f"{found.megabytes_before:.0f} MB before, {found.megabytes_peak:.0f} MB at most: "
          f"{added:.0f} kB a run")  # fmt: skip


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--blocked", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
