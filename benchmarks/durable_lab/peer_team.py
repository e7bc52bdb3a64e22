"""Workers of another engine in the same storm: the same ledger, the same kills, its own way of going on.

Rule 1: a worker that dies is started again under its own name; it ends when all work is done.
Rule 2: a peer has no operator: what its step cannot know, nobody is asked.
"""

import asyncio
import random
import subprocess
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from durable_lab.contest import PEERS
from durable_lab.ledger import Ledger
from durable_lab.storm import Storm

ENDLESS = 1_000_000


@dataclass(frozen=True, slots=True)
class PeerWork:
    """Which worker is started, on which database, and how much it has to do."""

    name: str
    script: str
    url: str
    runs: int
    orders: int


@dataclass(slots=True)
class PeerTeam:
    """So many workers of a peer."""

    work: PeerWork
    python: Path
    ledger: Ledger
    errors: Path
    living: set[int] = field(default_factory=set[int])

    def at_work(self) -> Collection[int]:
        return self.living

    def responsible(self, order: str, sender: int) -> int:
        del order
        return sender if sender in self.living else 0

    async def keep(self, number: int) -> None:
        """Start a worker again and again, until it says that all is done."""
        words = (
            self.work.url,
            self.ledger.url,
            f"w{number}",
            str(self.work.runs),
            str(self.work.orders),
        )
        code = -1
        while code != 0:
            with self.errors.open("ab") as errors:
                process = await asyncio.create_subprocess_exec(
                    self.python, PEERS / self.work.script, *words,
                    stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                )  # fmt: skip
            self.living.add(process.pid)
            try:
                code = await process.wait()
            except asyncio.CancelledError:
                process.kill()
                await process.wait()
                raise
            finally:
                self.living.discard(process.pid)


@dataclass(frozen=True, slots=True)
class Suffered:
    """What became of the orders of a peer."""

    name: str
    kills: int
    orders: int
    duplicates: int
    lost: int
    seconds: float

    def line(self) -> str:
        return (f"  {self.name:<28}{self.kills:>7}{self.orders:>8}{self.duplicates:>12}"
                f"{self.duplicates / max(1, self.kills):>10.2f}{self.lost:>7}{self.seconds:>9.0f}")  # fmt: skip

    @staticmethod
    def heading() -> str:
        return f"  {'':<28}{'kills':>7}{'orders':>8}{'duplicates':>12}{'per kill':>10}{'lost':>7}{'seconds':>9}"


async def suffer(
    work: PeerWork, python: Path, folder: Path, *, workers: int, every_seconds: float, seed: int, patience: float
) -> Suffered:  # fmt: skip
    """Let a peer do its work while it is killed, until the work is done."""
    ledger = Ledger(seed)
    await ledger.open()
    team = PeerTeam(work, python, ledger, folder / f"{work.name}.txt")
    storm = Storm(
        team=team, ledger=ledger, random=random.Random(seed), kills=ENDLESS,  # noqa: S311 -- chance, no secret
        every_seconds=every_seconds, outages={},
    )  # fmt: skip
    raging = asyncio.create_task(storm.work())
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(patience):
            await asyncio.gather(*(team.keep(number) for number in range(workers)))
    except TimeoutError:
        pass  # what has not landed by now counts as lost
    finally:
        seconds = asyncio.get_running_loop().time() - began
        raging.cancel()
        await asyncio.gather(raging, return_exceptions=True)
        await ledger.close()
    landed = [len(each) for each in ledger.landed.values()]
    wanted = work.runs * work.orders
    return Suffered(
        work.name, storm.done(), wanted, sum(landed) - len(landed), wanted - len(landed), seconds
    )
