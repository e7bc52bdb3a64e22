"""What governing costs where nothing fails: a tool in its worker, the governor on a successful read.

    python benchmarks/overhead.py [--rounds N]

in the worker   a sync tool of tools.py in its own process, beside the same function called directly;
                with a workspace, the files in it are compared before and after as in every run
the governor    one successful read through `Gate.perform`, beside the same gate with everything of the
                governor taken out: judging, recoveries, sites, pauses, loops
Blocks of both kinds alternate. Medians; ratios hold on other machines, milliseconds do not.
"""

import argparse
import asyncio
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import ModuleType

from standpipe import __version__, gate as gate_module
from standpipe.actions import Action, Effect, Tool
from standpipe.clock import SystemClock
from standpipe.execution.executor import Executor
from standpipe.execution.pool import Home, Pool
from standpipe.execution.workspace import Workspace
from standpipe.governor.recovery import Return
from standpipe.journal import folds, record
from standpipe.journal.outlook import Outlook
from standpipe.journal.recoveries import Recoveries
from standpipe.journal.refusals import Refusals
from standpipe.journal.store import Store
from standpipe.outcomes.outcome import Succeeded
from standpipe.stores.memory import MemoryStore
from standpipe.stores.sqlite import SqliteStore
from standpipe.testing.gates import open_gate

TOOLS = '''
from standpipe import tool


@tool(effect="read")
def order_status(order: int, shop: str = "main") -> dict[str, object]:
    """Say where an order is."""
    return {"order": order, "shop": shop, "lines": [{"sku": f"A-{n}", "count": n} for n in range(10)]}
'''
ARGUMENTS = {"order": 4711}
RESULT = {"order": 4711, "lines": [{"sku": f"A-{n}", "count": n} for n in range(10)]}
READ = Tool(
    name="order_status", effect=Effect.READ, origin="home",
    schema={"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]},
)  # fmt: skip
FILES = 50
BLOCK = 50  # calls in one run, so that its journal stays as short as a real one
PAUSED = {f"host-{n}.example": 60.0 for n in range(3)}
WORKER_GOAL_MS = 2.0
GOVERNOR_GOAL_US = 50.0


async def timed(rounds: int, act: Callable[[], Awaitable[object]]) -> list[float]:
    times: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        await act()
        times.append(time.perf_counter() - start)
    return times


@contextmanager
def folder_with_tools() -> Generator[Path]:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        (home / "workspace").mkdir()
        for number in range(FILES):
            (home / "workspace" / f"{number}.txt").write_text("a line of text\n" * 50)
        (home / "tools.py").write_text(TOOLS)
        yield home


async def timed_worker(rounds: int) -> dict[str, list[float]]:
    """Return the times of the same call, called directly and in workers."""
    module = ModuleType("tools")
    exec(TOOLS, vars(module))  # noqa: S102 -- our own text
    times: dict[str, list[float]] = {}

    async def direct() -> object:
        return module.order_status(**ARGUMENTS)

    with folder_with_tools() as home:
        about = Home(
            home=home,
            workspace=home / "workspace",
            environment={"PATH": os.defpath},
            tools_py=home / "tools.py",
        )
        bare = Executor(clock=SystemClock(), home=Pool(about))
        kept = Workspace(home / "workspace", home / ".standpipe" / "blobs")
        whole = Executor(clock=SystemClock(), home=Pool(about), workspace=kept)
        (tool,) = await bare.start()
        await whole.start()
        action = Action(id="r1.1.1", tool=tool, arguments=ARGUMENTS)
        ways: dict[str, Callable[[], Awaitable[object]]] = {
            "called directly": direct,
            "in the worker": lambda: bare.attempt(action, key="k"),
            "in the worker, 3 hosts paused": lambda: bare.attempt(action, key="k", paused=PAUSED),
            f"in the worker, workspace of {FILES} files": lambda: whole.attempt(action, key="k"),
        }
        for _ in range(max(1, rounds // BLOCK)):
            for name, way in ways.items():
                times.setdefault(name, []).extend((await timed(BLOCK + 5, way))[5:])
        await bare.close()
        await whole.close()
    return times


def stubs() -> Iterable[tuple[object, str, object]]:
    """Yield what the governor does around a call that succeeds, and what stands in for it."""

    async def nothing(*_: object) -> None:
        return None

    async def no_pause(*_: object) -> float:
        return 0.0

    async def no_pauses(*_: object) -> dict[str, float]:
        return {}

    async def ours(*_: object) -> bool:
        return True

    went_well = Return("it worked")
    yield gate_module, "judge", lambda tool, result: Succeeded(result.value)  # noqa: ARG005 -- as the real one
    yield record, "recover", lambda *_, **__: went_well
    yield Recoveries, "mended", lambda *_: ""
    yield Outlook, "refusal", nothing
    yield Refusals, "pause", no_pause
    yield Refusals, "paused", no_pauses
    yield Refusals, "claim", ours
    yield folds, "_settled", lambda *_: None


@contextmanager
def without_governor() -> Generator[None]:
    real = [(owner, name, getattr(owner, name)) for owner, name, _ in stubs()]
    for owner, name, stub in stubs():
        setattr(owner, name, stub)
    try:
        yield
    finally:
        for owner, name, was in real:
            setattr(owner, name, was)


async def timed_gate(rounds: int, make: Callable[[], Store]) -> tuple[list[float], list[float]]:
    """Return the times of one read with the governor, and without it."""

    async def block() -> list[float]:
        gate, _ = await open_gate({READ.name: READ}, {READ.name: [RESULT]}, store=make())
        numbers = count(1)

        async def read() -> object:
            number = next(numbers)
            arguments = {"order": number}
            return await gate.perform(Action(id=f"r1.{number}.1", tool=READ, arguments=arguments))

        return (await timed(BLOCK + 5, read))[5:]

    governed: list[float] = []
    alone: list[float] = []
    for _ in range(max(1, rounds // BLOCK)):
        governed += await block()
        with without_governor():
            alone += await block()
    return governed, alone


def row(name: str, times: list[float], against: list[float] | None, unit: float) -> str:
    ordered = sorted(times)
    p50, p99 = ordered[len(ordered) // 2] * unit, ordered[int(len(ordered) * 0.99)] * unit
    added = ratio = ""
    if against is not None:
        base = statistics.median(against) * unit
        added, ratio = f"{p50 - base:+.3f}", f"{p50 / base:.2f} x"
    return f"{name:<46}{p50:>11.3f}{p99:>11.3f}{added:>12}{ratio:>10}"


def head(unit: str) -> str:
    return f"{'':<46}{f'p50 {unit}':>11}{f'p99 {unit}':>11}{'added':>12}{'ratio':>10}"


def verdict(what: str, found: float, goal: float, unit: str) -> str:
    return f"{what}: {found:.2f} {unit}, goal {goal:g} {unit}: {'reached' if found <= goal else 'MISSED'}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=1_000)
    rounds = parser.parse_args().rounds
    print(f"standpipe {__version__}, Python {platform.python_version()}, {platform.platform()}, "
          f"{os.cpu_count()} cores; {rounds} rounds\n")  # fmt: skip
    times = asyncio.run(timed_worker(rounds))
    direct = times.pop("called directly")
    print(head("ms"))
    print(row("called directly", direct, None, 1e3))
    for name, each in times.items():
        print(row(name, each, direct, 1e3))
    print()
    print(head("us"))
    added: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        numbers = count()
        stores: dict[str, Callable[[], Store]] = {
            "in memory": lambda: MemoryStore(SystemClock()),
            "on disk": lambda: SqliteStore(Path(name) / f"{next(numbers)}.db", SystemClock()),
        }
        for where, make in stores.items():
            governed, alone = asyncio.run(timed_gate(rounds, make))
            print(row(f"read, journal {where}, no governor", alone, None, 1e6))
            print(row(f"read, journal {where}", governed, alone, 1e6))
            added[where] = (statistics.median(governed) - statistics.median(alone)) * 1e6
    worker = (statistics.median(times["in the worker"]) - statistics.median(direct)) * 1e3
    print()
    print(verdict("a sync tool in the worker", worker, WORKER_GOAL_MS, "ms"))
    print(verdict("the governor on a successful read", added["in memory"], GOVERNOR_GOAL_US, "us"))
    return 0 if worker <= WORKER_GOAL_MS and added["in memory"] <= GOVERNOR_GOAL_US else 1


if __name__ == "__main__":
    sys.exit(main())
