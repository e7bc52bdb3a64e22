"""What is done to the processes: kill -9, a frozen process, a locked journal, a stopped database.

Rule 1: half of the kills meet whoever sends just now, most others a process that works on a run, and
    some anybody, also while it starts.
Rule 2: whatever is frozen goes on later: that is what makes it dangerous.
"""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

from durable_lab.ledger import Ledger

FROZEN_SECONDS = 4.0  # longer than a lease
HELD_SECONDS = 1.5
ARRIVAL_SECONDS = 3.0
PS = shutil.which("ps") or "ps"
CHANCES = {"outage": 0.1, "freeze": 0.1, "aim": 0.4, "at work": 0.3, "anybody": 0.1}
CHILD_CHANCE = 0.15  # of a kill that it meets a tool process

Deed = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Trouble:
    """A while in which a process, or with 0 all of them, could not have worked."""

    pid: int
    since: float
    until: float


class Team(Protocol):
    """Whom it is done to."""

    @property
    def living(self) -> Collection[int]: ...

    def at_work(self) -> Collection[int]:
        """Return the processes that work on something, as far as is known."""
        ...

    def responsible(self, order: str, sender: int) -> int:
        """Return the living process that has an order sent, 0 where nobody knows."""
        ...


@dataclass(slots=True, kw_only=True)
class Storm:
    """Do `kills` kills about `every_seconds`; `outages` are what else befalls the whole place."""

    team: Team
    ledger: Ledger
    random: random.Random
    kills: int
    every_seconds: float
    outages: dict[str, Deed]
    deeds: Counter[str] = field(default_factory=Counter[str])
    killed: dict[int, float] = field(default_factory=dict[int, float])  # when, by process
    touched: set[int] = field(default_factory=set[int])  # its tools or itself were met in any way
    frozen: set[int] = field(default_factory=set[int])  # with everything it had started
    troubles: list[Trouble] = field(default_factory=list[Trouble])
    _aiming: bool = False
    _thawing: set["asyncio.Task[None]"] = field(default_factory=set)

    async def work(self) -> None:
        """Rage until all kills are done."""
        self.ledger.arrived = self._arrived
        try:
            while self.done() < self.kills:
                await asyncio.sleep(self.random.uniform(0.5, 1.5) * self.every_seconds)
                await self._strike()
        finally:
            self._aiming = False
            await asyncio.gather(*self._thawing)

    async def _strike(self) -> None:
        deed = self.random.choices(list(CHANCES), list(CHANCES.values()))[0]
        if deed == "outage" and self.outages:
            name = self.random.choice(sorted(self.outages))
            self.deeds[name] += 1
            since = time.time()
            await self.outages[name]()
            self.troubles.append(Trouble(0, since, time.time()))
        elif deed == "freeze":
            self._freeze()
        elif deed == "aim":
            await self._aim()
        else:
            at_work = self.team.at_work() if deed == "at work" else []
            self._kill(self._one_of(at_work or self.team.living), "killed at any time")

    async def _aim(self) -> None:
        """Kill whoever sends next; where nobody sends, wait no longer than a while."""
        before, self._aiming = self.done(), True
        for _ in range(int(ARRIVAL_SECONDS / 0.05)):
            if self.done() > before:
                return
            await asyncio.sleep(0.05)
        self._aiming = False

    def _arrived(self, order: str, sender: int) -> None:
        before_it_lands = self.random.choice((True, False))  # or before its answer
        if self._aiming and before_it_lands and (pid := self.team.responsible(order, sender)):
            self._aiming = False
            self._kill(pid, "killed with an effect on its way")

    def _kill(self, pid: int, deed: str) -> None:
        if pid not in self.team.living:
            return
        children = descendants(pid)
        if children and self.random.random() < CHILD_CHANCE:
            deed, victim = "killed a tool process", self.random.choice(children)
        else:
            victim = pid
            self.killed[pid] = time.time()
        self.touched.add(pid)
        self.deeds[deed] += 1
        _send(victim, signal.SIGKILL)

    def _freeze(self) -> None:
        if pid := self._one_of(self.team.living):
            self.deeds["frozen"] += 1
            self.touched.add(pid)
            self.troubles.append(Trouble(pid, time.time(), time.time() + FROZEN_SECONDS))
            family = [pid, *descendants(pid)]
            self.frozen.update(family)
            for one in family:
                _send(one, signal.SIGSTOP)
            self._thawing.add(asyncio.create_task(self._thaw(family)))

    async def _thaw(self, family: list[int]) -> None:
        await asyncio.sleep(FROZEN_SECONDS)
        for one in family:
            _send(one, signal.SIGCONT)

    def _one_of(self, pids: Collection[int]) -> int:
        return self.random.choice(sorted(pids)) if pids else 0

    def done(self) -> int:
        """Return how many kills there were."""
        return sum(count for name, count in self.deeds.items() if name.startswith("killed"))


def _send(pid: int, sign: int) -> None:
    try:
        os.kill(pid, sign)
    except ProcessLookupError:
        return


def descendants(pid: int) -> list[int]:
    """Return everything a process has started, and what that has started."""
    listed = subprocess.run(
        [PS, "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    parents = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    found = [pid]
    for parent in found:
        found += [child for child, its in parents if its == parent]
    return found[1:]
