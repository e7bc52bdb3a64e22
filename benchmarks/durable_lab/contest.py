"""Contestants that write down actions, asked in turns.

Rule 1: each is a process of its own that stays alive, so that one round of all meets the same machine.
Rule 2: fsyncs are counted in a round of their own, because whoever counts them slows them down.
"""

import asyncio
import json
import re
import shutil
import signal
import sqlite3
import statistics
import sys
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from durable_lab.postgres import Postgres

PEERS = Path(__file__).resolve().parents[1] / "durable_peers"
OWN = Path(sys.executable)
ATTACHED = b"attached"
_CALLS = re.compile(r"^\s*\S+\s+\S+\s+\S+\s+(\d+)\s.*\b(?:fsync|fdatasync)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Contestant:
    """Who writes, with which script, and to what: `sqlite`, or a database of the server."""

    name: str
    script: str
    words: tuple[str, ...]
    store: str
    peer: bool = False
    wal: bool = False  # the file is made with a write-ahead log before it starts


CONTESTANTS = (
    Contestant("raw sqlite3, two commits", "run_raw.py", ("sqlite", "{file}"), "sqlite"),
    Contestant("standpipe, the store alone", "run_standpipe.py", ("store", "sqlite", "{file}"), "sqlite"),
    Contestant("standpipe, outcome overlapping", "run_standpipe.py", ("overlap", "sqlite", "{file}"), "sqlite"),
    Contestant("standpipe, through the gate", "run_standpipe.py", ("gate", "sqlite", "{file}"), "sqlite"),
    Contestant("DBOS steps", "run_dbos.py", ("sqlite:///{file}",), "sqlite", peer=True),
    Contestant("DBOS steps, WAL", "run_dbos.py", ("sqlite:///{file}",), "sqlite", peer=True, wal=True),
    Contestant("LangGraph SqliteSaver, sync", "run_langgraph.py", ("sqlite", "{file}"), "sqlite", peer=True),
    Contestant("raw psycopg, two commits", "run_raw.py", ("postgres", "{url}"), "postgres"),
    Contestant("standpipe, the store alone", "run_standpipe.py", ("store", "postgres", "{url}"), "postgres"),
    Contestant("standpipe, outcome overlapping", "run_standpipe.py", ("overlap", "postgres", "{url}"), "postgres"),
    Contestant("standpipe, through the gate", "run_standpipe.py", ("gate", "postgres", "{url}"), "postgres"),
    Contestant("DBOS steps", "run_dbos.py", ("{url}",), "postgres", peer=True),
    Contestant("LangGraph PostgresSaver, sync", "run_langgraph.py", ("postgres", "{url}"), "postgres", peer=True),
    Contestant("absurd steps", "run_absurd.py", ("{url}",), "postgres", peer=True),
)  # fmt: skip


@dataclass(slots=True)
class Result:
    """What one contestant reached, by how many actions were under way at once."""

    contestant: Contestant
    per_second: dict[int, list[float]] = field(default_factory=dict[int, list[float]])
    cpu_ms: dict[int, list[float]] = field(default_factory=dict[int, list[float]])
    fsyncs: dict[int, float] = field(default_factory=dict[int, float])
    error: str = ""

    def speed(self, parallel: int) -> float:
        """Return the actions a second."""
        return statistics.median(self.per_second[parallel])

    def ratio(self, other: "Result", parallel: int) -> float:
        """Return how fast it is against another one, each round against the same round."""
        rounds = zip(self.per_second[parallel], other.per_second[parallel], strict=True)
        return statistics.median(ours / theirs for ours, theirs in rounds)


@dataclass(slots=True)
class Running:
    """The process of a contestant."""

    result: Result
    process: "asyncio.subprocess.Process"

    async def round(self, parallel: int, count: int) -> None:
        """Let it write so many actions, and keep the figures."""
        said = await self.ask(parallel, count)
        self.result.per_second.setdefault(parallel, []).append(count / said["seconds"])
        self.result.cpu_ms.setdefault(parallel, []).append(said["cpu_seconds"] * 1000 / count)

    async def count(self, parallel: int, count: int, server: Postgres | None) -> None:
        """Count the fsyncs of one more round, where they can be counted."""
        if strace := shutil.which("strace"):
            pids = server.processes() if self._in_server and server else [self.process.pid]
            self.result.fsyncs[parallel] = await self._traced(strace, pids, parallel, count) / count

    @property
    def _in_server(self) -> bool:
        return self.result.contestant.store == "postgres"

    async def ask(self, parallel: int, count: int) -> dict[str, float]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{parallel} {count}\n".encode())
        return json.loads(await self.line())

    async def line(self) -> bytes:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        if line := await self.process.stdout.readline():
            return line
        said = (await self.process.stderr.read()).decode().strip().splitlines()
        raise EOFError(said[-1] if said else "it ended without a word")

    async def _traced(self, strace: str, pids: Sequence[int], parallel: int, count: int) -> int:
        with tempfile.NamedTemporaryFile("r") as table:
            tracing = await asyncio.create_subprocess_exec(
                strace, "-f", "-c", "-e", "trace=fsync,fdatasync", "-o", table.name,
                *(f"--attach={pid}" for pid in pids), stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert tracing.stderr is not None
            while ATTACHED not in (said := await tracing.stderr.readline()):
                if not said:
                    return 0
            await self.ask(parallel, count)
            tracing.send_signal(signal.SIGINT)
            await tracing.communicate()
            return sum(map(int, _CALLS.findall(table.read())))


async def start(
    contestant: Contestant, peer_python: Path, folder: Path, server: Postgres | None
) -> Running:
    """Start a contestant on a file or a database of its own.

    Raises:
        EOFError: it ended before it was ready.
    """
    file = folder / f"{uuid.uuid4().hex}.db"
    if contestant.wal:
        made = sqlite3.connect(file)
        made.execute("pragma journal_mode=wal")
        made.execute("create table made (n integer)")
        made.close()
    url = server.server.database() if server and contestant.store == "postgres" else ""
    words = [word.format(file=file, url=url) for word in contestant.words]
    process = await asyncio.create_subprocess_exec(
        peer_python if contestant.peer else OWN, PEERS / contestant.script, *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    running = Running(Result(contestant), process)
    while await running.line() != b"ready\n":
        pass
    return running


async def stop(all_running: Sequence[Running]) -> None:
    """End every contestant that still lives."""
    for running in all_running:
        if running.process.returncode is None:
            running.process.kill()
            await running.process.wait()
