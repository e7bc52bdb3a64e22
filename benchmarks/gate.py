"""One governed action against the bare call, and beside aegis-kernel on the same call.

    python benchmarks/gate.py [--rounds N]

decide only          arguments against the schema and all rules, nothing written
decide + journal     proposed, decided, intended, outcome: on disk (WAL, synchronous=FULL),
                     beside two raw commits of sqlite3 to a file in the same folder
governed action      the whole of it with a warm worker process and a file really written
Ratios hold, milliseconds do not. aegis-kernel runs in an environment that this script makes.
"""

import argparse
import asyncio
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from standpipe import __version__
from standpipe.actions import Action, Done, Effect, Returned, Tool
from standpipe.clock import SystemClock
from standpipe.execution.executor import Executor
from standpipe.execution.pool import Home, Pool
from standpipe.execution.workspace import Workspace
from standpipe.governor.budget import Limits
from standpipe.policy.arguments import complaint
from standpipe.policy.rulebook import decide
from standpipe.policy.situation import Situation
from standpipe.stores.sqlite import SqliteStore
from standpipe.testing.gates import open_gate

NO_LIMITS = Limits(model_calls=None, actions=None, minutes=None, cost_usd=None)
PEER = "aegis-kernel==0.6.0"
ARGUMENTS = {"path": "out/summary.txt", "content": "twelve lines about an order " * 4}
SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
    "required": ["path", "content"],
    "additionalProperties": False,
}
TOOL = Tool(
    name="write_file", effect=Effect.IDEMPOTENT, origin="builtin", local=True, reversible=True,
    control=("path",), schema=SCHEMA,
)  # fmt: skip


def action(number: int) -> Action:
    return Action(id=f"r1.{number}.1", tool=TOOL, arguments=ARGUMENTS, why="the task asks for it")


def timed_decide(rounds: int) -> list[float]:
    situation = Situation(tools=("write_file",), egress=("api.example.com",), trusted=("a task",))
    call, times = action(1), []
    for _ in range(rounds):
        start = time.perf_counter()
        assert complaint(call) is None
        decide(call, situation)
        times.append(time.perf_counter() - start)
    return times


async def timed_journal(rounds: int, folder: Path) -> tuple[list[float], list[float]]:
    """Interleave governed writes and two raw commits, so that both meet the same disk."""
    raw = sqlite3.connect(folder / "raw.db", isolation_level=None)
    raw.execute("pragma journal_mode=wal")
    raw.execute("pragma synchronous=full")
    raw.execute("create table t (a text)")
    gate, _ = await open_gate(
        {"write_file": TOOL}, {"write_file": ["ok"]},
        store=SqliteStore(folder / "journal.db", SystemClock()), clock=SystemClock(), limits=NO_LIMITS,
    )  # fmt: skip
    ours, two_commits = [], []
    text = json.dumps(ARGUMENTS) * 2
    for number in range(1, rounds + 1):
        call = action(number)
        start = time.perf_counter()
        await gate.admit(call)
        await gate.settle(call, Done(Returned("ok")))
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        for _ in range(2):
            raw.execute("insert into t values (?)", (text,))
        two_commits.append(time.perf_counter() - start)
    return ours, two_commits


async def timed_worker(rounds: int, folder: Path) -> tuple[list[float], list[float]]:
    workspace = folder / "workspace"
    (workspace / "out").mkdir(parents=True)
    pool = Pool(Home(home=folder, workspace=workspace, modules=("standpipe.tools.files",)))
    executor = Executor(
        clock=SystemClock(), builtin=pool, workspace=Workspace(workspace, folder / "blobs")
    )
    tools = {tool.name: tool for tool in await executor.start()}
    store = SqliteStore(folder / "worker.db", SystemClock())
    gate, _ = await open_gate(tools, {}, store=store, clock=SystemClock(), limits=NO_LIMITS)
    object.__setattr__(gate, "executor", executor)
    governed, bare = [], []
    target = workspace / "out" / "bare.txt"
    for number in range(1, rounds + 1):
        call = Action(id=f"r1.{number}.1", tool=tools["write_file"], arguments=ARGUMENTS, why="w")
        start = time.perf_counter()
        await gate.perform(call)
        governed.append(time.perf_counter() - start)
        start = time.perf_counter()
        target.write_text(str(ARGUMENTS["content"]))
        bare.append(time.perf_counter() - start)
    await executor.close()
    return governed, bare


def timed_peer(rounds: int, folder: Path) -> dict[str, list[float]] | str:
    home = folder / "peer"
    venv.create(home, with_pip=True)
    install = [home / "bin" / "python", "-m", "pip", "install", "-q", PEER]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"{PEER} could not be installed: {done.stderr.strip().splitlines()[-1:]}"
    script = Path(__file__).with_name("peer_aegis.py")
    ran = subprocess.run(
        [home / "bin" / "python", script, str(rounds)], capture_output=True, text=True, check=False
    )
    return json.loads(ran.stdout) if ran.returncode == 0 else f"{PEER} failed: {ran.stderr[-300:]}"


def row(name: str, times: list[float], against: list[float] | None = None, what: str = "") -> str:
    ordered = sorted(times)
    p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    ratio = f"{p50 / statistics.median(against):8.2f} x {what}" if against else ""
    return f"{name:<44}{p50 * 1e6:>11.1f}{p99 * 1e6:>11.1f}   {ratio}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5_000)
    rounds = parser.parse_args().rounds
    print(f"standpipe {__version__}, Python {platform.python_version()}, {platform.platform()}, "
          f"{os.cpu_count()} cores, SQLite {sqlite3.sqlite_version}, {PEER}")  # fmt: skip
    print(f"{rounds} rounds of decide, {rounds // 10} of journal, {rounds // 50} with a worker\n")
    print(f"{'':<44}{'p50 us':>11}{'p99 us':>11}   ratio of medians")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        decided = timed_decide(rounds)
        ours, two = asyncio.run(timed_journal(rounds // 10, folder))
        governed, bare = asyncio.run(timed_worker(rounds // 50, folder))
        peer = timed_peer(rounds, folder)
    print(row("standpipe: decide only", decided))
    if isinstance(peer, dict):
        print(row("aegis-kernel: decide only", peer["decide"], decided, "standpipe"))
    print(row("standpipe: decide + journal on disk", ours, two, "two raw commits"))
    print(row("sqlite3: two raw commits", two))
    if isinstance(peer, dict):
        print(row("aegis-kernel: decide + log (no fsync)", peer["invoke"]))
    print(row("standpipe: governed file write, warm worker", governed, bare, "the bare call"))
    print(row("the bare call: Path.write_text, no fsync", bare))
    if isinstance(peer, str):
        print(peer, file=sys.stderr)


if __name__ == "__main__":
    main()
