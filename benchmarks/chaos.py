"""Kill everything, again and again, and count what happened twice and what got lost.

    python benchmarks/chaos.py [--kills N] [--store sqlite|postgres] [--ways run|worker] [--workers N]
                               [--every SECONDS] [--seed S] [--short] [--json FILE]
                               [--alone] [--peers DIR]

Runs of several turns send orders to a ledger on loopback: in parallel, to somebody who can be asked
(`verify`), who honours a key, and who does neither; with approvals, questions and waits in between. An
operator answers and tells the truth. Meanwhile processes are killed (-9) at random and while an effect
is on its way, tool processes too; process groups are frozen for 4 s, and the journal is locked for 1.5 s
(PostgreSQL: and stopped for 5 s). New runs begin until all kills are done; then all must end.

duplicates      orders that landed more than once
lost            orders that never landed though their run is done
failed          runs that did not end as `done`
put to a person failures of tools that chaos alone has caused
doubts          questions whether something happened; real where a process was killed or frozen between
                intent and outcome of a tool that can neither be asked nor honours a key
takeover        from the kill of a process to the next segment of its run, by a worker that lived and was
                not frozen, and while the database was there; else it is counted below it

Then peers do 30 runs of 25 mails each in the same storm (without locks and stops), every mail a step;
they go on in their own way, and have nobody to ask. --alone leaves them out.

Exit code 0: no duplicates, nothing lost, nobody failed or was asked about a failure,
every doubt real, the journal whole.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from durable_lab.contest import PEERS
from durable_lab.ledger import Ledger
from durable_lab.operator import Operator
from durable_lab.peer_env import PEER
from durable_lab.peer_team import PeerWork, Suffered, suffer
from durable_lab.postgres import postgres
from durable_lab.reckoning import Reckoning, reckon
from durable_lab.stories import make_home
from durable_lab.storm import HELD_SECONDS, Deed, Storm
from durable_lab.team import RunTeam, Team, WorkerTeam, quiet_environment
from durable_lab.watch import Watch
from failures_lab.environments import prepare

from standpipe import __version__

URL = "STANDPIPE_DATABASE_URL"
ON_POSTGRES = f'[journal]\nstore = "postgres"\nurl_secret = "{URL}"\n'
STOPPED_SECONDS = 5.0
PEERS_ON = {
    "sqlite": (("DBOS steps", "chaos_dbos.py"),),
    "postgres": (("DBOS steps", "chaos_dbos.py"), ("absurd", "chaos_absurd.py")),
}
PEER_RUNS, PEER_ORDERS, PEER_SECONDS = 30, 25, 600.0


@dataclass(frozen=True, slots=True)
class Fought:
    """A storm that is over."""

    reckoning: Reckoning
    storm: Storm
    team: Team
    operator: Operator
    seconds: float


async def fight(options: argparse.Namespace, folder: Path) -> Fought:
    """Let a team work in a storm, and reckon once everything has ended."""
    began = time.monotonic()
    async with _place(options, folder) as (team, ledger, outages):
        storm = Storm(
            team=team, ledger=ledger, random=random.Random(options.seed), kills=options.kills,  # noqa: S311 -- chance, no secret
            every_seconds=options.every, outages=outages,
        )  # fmt: skip
        operator = Operator(team.watch, ledger)
        working = asyncio.create_task(team.work())
        answering = asyncio.create_task(operator.work())
        try:
            await storm.work()
            team.more = False
            await working
            found = await reckon(team.watch, ledger, team.stories, storm)
        finally:
            answering.cancel()
            working.cancel()
            await asyncio.gather(answering, working, return_exceptions=True)
    return Fought(found, storm, team, operator, time.monotonic() - began)


@asynccontextmanager
async def _place(
    options: argparse.Namespace, folder: Path
) -> AsyncGenerator[tuple[Team, Ledger, dict[str, Deed]]]:
    """Open the ledger and a home on the store that was chosen."""
    ledger, home = Ledger(options.seed), folder / "agent"
    async with AsyncExitStack() as stack:
        await ledger.open()
        stack.push_async_callback(ledger.close)
        settings, variables, outages = "", {}, {"journal locked": partial(_locked, home)}
        if options.store == "postgres":
            database = await stack.enter_async_context(postgres())
            url = database.server.database()
            settings, variables = ON_POSTGRES, {URL: url}
            os.environ |= variables  # the watch reads the same journal
            outages = {
                "journal locked": partial(database.lock_for, url, "standpipe.entry", HELD_SECONDS),
                "database stopped": partial(database.out_for, STOPPED_SECONDS),
            }
        make_home(home, ledger, settings)
        watch = Watch(home)
        stack.push_async_callback(watch.close)
        kind = RunTeam if options.ways == "run" else WorkerTeam
        yield kind(
            home=home, seed=options.seed, watch=watch, size=options.workers,
            short=options.short, environment=quiet_environment(variables),
        ), ledger, outages  # fmt: skip


async def _locked(home: Path) -> None:
    await asyncio.to_thread(_hold, home / ".standpipe" / "journal.db")


def _hold(journal: Path) -> None:
    """Keep everybody from writing for a while, as a backup or a person with a shell might."""
    if not journal.exists():
        return
    db = sqlite3.connect(journal, isolation_level=None, timeout=10)
    db.execute("begin immediate")
    time.sleep(HELD_SECONDS)
    db.execute("rollback")
    db.close()


def main() -> int:
    options = _options()
    print(_about(options), flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos") as name:
        fought = asyncio.run(fight(options, Path(name)))
        errors = (Path(name) / "errors.txt").read_text()
    _tell(fought, errors)
    peers = [] if options.alone else [asdict(one) for one in asyncio.run(_beside(options))]
    if options.json:
        told = asdict(fought.reckoning) | {
            "deeds": fought.storm.deeds,
            "errors": errors,
            "peers": peers,
        }
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    return 0 if fought.reckoning.holds else 1


async def _beside(options: argparse.Namespace) -> list[Suffered]:
    """Let the peers suffer the same, one after the other."""
    python = prepare(PEER, options.peers).python
    print(f"\n{Suffered.heading()}", flush=True)
    found: list[Suffered] = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos")))
        server = (
            await stack.enter_async_context(postgres()) if options.store == "postgres" else None
        )
        for name, script in PEERS_ON[options.store]:
            url = server.server.database() if server else f"sqlite:///{folder / 'peer.db'}"
            if name == "absurd":
                subprocess.run([python, PEERS / "absurd_schema.py", url], check=True)  # noqa: ASYNC221 -- alone
            work = PeerWork(name, script, url, PEER_RUNS, PEER_ORDERS)
            found.append(
                await suffer(
                    work, python, folder, workers=options.workers, every_seconds=options.every,
                    seed=options.seed, patience=PEER_SECONDS,
                )
            )  # fmt: skip
            print(found[-1].line(), flush=True)
    return found


def _tell(fought: Fought, errors: str) -> None:
    deeds = ", ".join(f"{count} x {name}" for name, count in sorted(fought.storm.deeds.items()))
    kinds = [*fought.operator.answered.values()]
    answers = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
    print(f"\n  {deeds}\n  answered: {answers or 'nothing'}; {fought.seconds:.0f} s\n")
    print("\n".join(fought.reckoning.lines()))
    if odd := fought.team.oddities():
        print(f"  processes that ended oddly, by exit code: {dict(odd)}")
        print("\n".join(f"    {line}" for line in errors.splitlines() if "error" in line.lower()))


def _about(options: argparse.Namespace) -> str:
    return (
        f"{datetime.now(UTC).date()}, standpipe {__version__}, {platform.platform()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}\n"
        f"{options.kills} kills about every {options.every:g} s, {options.store}, "
        f"{options.workers} x `standpipe {options.ways}`, --seed {options.seed}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--ways", choices=("run", "worker"), default="worker")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS")
    parser.add_argument("--short", action="store_true", help="runs of two turns")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))  # noqa: S311 -- chance, no secret
    kept = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "standpipe/benchmarks"
    parser.add_argument("--alone", action="store_true", help="without the peers")
    parser.add_argument("--peers", type=Path, default=kept, metavar="DIR", help=f"default: {kept}")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
