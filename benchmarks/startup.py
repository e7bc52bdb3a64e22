"""What it costs to start: importing beside httpx, and a reading command beside a bare interpreter.

    python benchmarks/startup.py [--rounds N]

Each figure is the median of whole processes, taken in turn so that both meet the same machine.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from standpipe import __version__

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import standpipe": [sys.executable, "-c", "import standpipe"],
    "import httpx": [sys.executable, "-c", "import httpx"],
    "import pydantic_ai": [sys.executable, "-c", "import pydantic_ai"],
}


def seconds(command: list[str], cwd: str) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=cwd, check=False, capture_output=True, stdin=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    standpipe = [sys.executable, "-m", "standpipe"]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        subprocess.run([*standpipe, "init", str(home)], check=True, capture_output=True)
        task = [*standpipe, "run", "Summarise the notes", "--home", str(home)]
        subprocess.run(task, check=True, capture_output=True, stdin=subprocess.DEVNULL)
        commands = {**COMMANDS, "standpipe status": [*standpipe, "status", "--home", str(home)]}
        times = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                times[name].append(seconds(command, folder))
    print(f"standpipe {__version__}, Python {platform.python_version()}, {platform.platform()}, "
          f"{os.cpu_count()} cores, median of {rounds}\n")  # fmt: skip
    httpx = statistics.median(times["import httpx"])
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:<24}{median * 1000:>9.0f} ms{median / httpx:>9.2f} x `import httpx`")


if __name__ == "__main__":
    main()
