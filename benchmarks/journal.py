"""Writing down actions so that none is lost: how many a second, and at what price, beside others.

    python benchmarks/journal.py [--rounds N | --quick] [--store sqlite|postgres|both] [--sizes 1k,100k,1M]
                                 [--only actions|sizes] [--peers DIR] [--json FILE]

An action of Standpipe is an intent on disk before the effect and an outcome after it, with hash chain,
fence and projections; through the gate also with schema, rules and redaction. The tool does nothing. A
peer writes one step. All write to the same disk, rounds take turns, figures are medians.

raw         two commits of a text of 300 bytes: what the disk and the library allow
ratio       to raw on the same store: median of the rounds, each against raw in the same round
20 at once  20 runs, one action of each at a time
fsyncs      of an action, counted by strace: in the process, or in all of the server; "-" where there is none
CPU ms      of an action, in the process of the contestant alone; the server's is not in it

Second table: journals of 1k, 100k and 1M entries in runs of 40. Resuming one open run, `status` (in
process, and as a command), verifying everything.
"""

import argparse
import asyncio
import json
import os
import platform
import sqlite3
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from durable_lab.contest import CONTESTANTS, Contestant, Result, Running, start, stop
from durable_lab.peer_env import PEER, SHOWN
from durable_lab.postgres import Postgres, postgres
from durable_lab.sizes import SIZES, Size, measure
from failures_lab.environments import Environment, prepare

from standpipe import __version__

MANY = 20
AT_ONCE = (1, MANY)
FSYNCS_MAX = 0.2
COUNTED = 4  # rounds in which fsyncs are counted: a server has some of its own
GATE, STORE, OVERLAP = (
    "standpipe, through the gate", "standpipe, the store alone", "standpipe, outcome overlapping",
)  # fmt: skip


async def contest(options: argparse.Namespace, peers: Environment, folder: Path) -> list[Result]:
    """Let everybody write, in turns."""
    stores = ("sqlite", "postgres") if options.store == "both" else (options.store,)
    results: list[Result] = []
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(postgres()) if "postgres" in stores else None
        for store in stores:
            chosen = [one for one in CONTESTANTS if one.store == store]
            print(f"\n{_title(store, server)}\n{_heading()}", flush=True)
            found = await _rounds(options, chosen, peers.python, folder, server)
            print("\n".join(_rows(found)), flush=True)
            results += found
    return results


async def _rounds(
    options: argparse.Namespace, chosen: Sequence[Contestant], peer: Path, folder: Path, server: Postgres | None
) -> list[Result]:  # fmt: skip
    counts = {
        1: 25,
        20: 100,
    }  # short rounds and many of them: the disk of a shared machine changes its mood
    async with _started(chosen, peer, folder, server) as (running, results):
        for number in range(options.rounds + 1):  # the first one warms up
            for one in running:
                for parallel in AT_ONCE:
                    if number:
                        await one.round(parallel, counts[parallel])
                    else:
                        await one.ask(parallel, 20)
        for one in running:
            for parallel in AT_ONCE:
                await one.count(parallel, counts[parallel] * COUNTED, server)
        return results


@asynccontextmanager
async def _started(
    chosen: Sequence[Contestant], peer: Path, folder: Path, server: Postgres | None
) -> AsyncGenerator[tuple[list[Running], list[Result]]]:
    running: list[Running] = []
    results: list[Result] = []
    try:
        for contestant in chosen:
            try:
                running.append(await start(contestant, peer, folder, server))
                results.append(running[-1].result)
            except EOFError as error:
                results.append(Result(contestant, error=str(error)))
        yield running, results
    finally:
        await stop(running)


def _title(store: str, server: Postgres | None) -> str:
    if server is None or store == "sqlite":
        return f"SQLite {sqlite3.sqlite_version}"
    return f"PostgreSQL {server.ask('show server_version')}"


def _heading() -> str:
    one = f"{'actions/s':>11}{'ratio':>8}{'fsyncs':>8}{'CPU ms':>8}"
    return f"{'':<34}{'one after the other':>35}{'20 at once':>35}\n{'':<34}{one}{one}"


def _rows(results: Sequence[Result]) -> Iterator[str]:
    raw = results[0]
    for one in results:
        if one.error:
            yield f"{one.contestant.name:<34} did not run: {one.error}"
            continue
        cells = ""
        for parallel in AT_ONCE:
            cpu = sorted(one.cpu_ms[parallel])[len(one.cpu_ms[parallel]) // 2]
            fsyncs = f"{one.fsyncs[parallel]:.2f}" if parallel in one.fsyncs else "-"
            ratio = one.ratio(raw, parallel)
            cells += f"{one.speed(parallel):>11.0f}{ratio:>8.2f}{fsyncs:>8}{cpu:>8.2f}"
        yield f"{one.contestant.name:<34}{cells}"


def goals(results: Sequence[Result]) -> Iterator[str]:
    """Yield one line for each goal that these results can tell about."""
    by = {(one.contestant.store, one.contestant.name): one for one in results if not one.error}
    for name, parallel, against, least in (
        (STORE, 1, "raw sqlite3, two commits", 0.9),
        (GATE, 1, "raw sqlite3, two commits", 0.9),
        (OVERLAP, 1, "raw sqlite3, two commits", 1.3),
        (GATE, 20, "DBOS steps, WAL", 8.0),
    ):
        yield from _goal(by, "sqlite", name, parallel, against, least)
    for parallel in AT_ONCE:
        yield from _goal(by, "postgres", GATE, parallel, "DBOS steps", 2.0)
    for store in ("sqlite", "postgres"):
        if (one := by.get((store, GATE))) and MANY in one.fsyncs:
            reached = "reached" if one.fsyncs[MANY] <= FSYNCS_MAX else "MISSED"
            yield f"{store}: {GATE}, 20 at once: {one.fsyncs[MANY]:.2f} fsyncs an action, at most 0.2: {reached}"


def _goal(
    by: dict[tuple[str, str], Result], store: str, name: str, parallel: int, against: str, least: float
) -> Iterator[str]:  # fmt: skip
    ours, theirs = by.get((store, name)), by.get((store, against))
    if ours and theirs:
        ratio = ours.ratio(theirs, parallel)
        reached = "reached" if ratio >= least else "MISSED"
        yield f"{store}: {name}, {parallel} at once: {ratio:.2f} x {against}, goal {least:g}: {reached}"


def main() -> None:
    options = _options()
    told: dict[str, object] = {"about": _about()}
    print(_about())
    with tempfile.TemporaryDirectory(prefix="journal") as name:
        if options.only != "sizes":
            peers = prepare(PEER, options.peers)
            print(", ".join(f"{one} {peers.versions[one]}" for one in SHOWN))
            results = asyncio.run(contest(options, peers, Path(name)))
            print("", *goals(results), sep="\n", flush=True)
            told["actions"] = [asdict(one) for one in results]
        if options.only != "actions":
            told["sizes"] = [asdict(one) for one in _sizes(options, Path(name))]
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n")


def _sizes(options: argparse.Namespace, folder: Path) -> list[Size]:
    print(f"\n{Size.heading()}", flush=True)
    found: list[Size] = []
    for name in options.sizes.split(","):
        found.append(measure(SIZES[name], folder / name, min(options.rounds, 5)))
        print(found[-1].row(found[0]), flush=True)
    return found


def _about() -> str:
    return (
        f"{datetime.now(UTC).date()}, standpipe {__version__}, {platform.platform()}, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kept = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "standpipe/benchmarks"
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--quick", action="store_true", help="5 rounds")
    parser.add_argument("--store", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--sizes", default="1k,100k,1M", metavar="A,B")
    parser.add_argument("--only", choices=("actions", "sizes"))
    parser.add_argument("--peers", type=Path, default=kept, metavar="DIR", help=f"default: {kept}")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    options.rounds = min(options.rounds, 5) if options.quick else options.rounds
    return options


if __name__ == "__main__":
    sys.exit(main())
