"""The processes that work on the runs, started again whenever one dies.

Rule 1: only the journal knows how a run ended; what a process says at its end is counted, not believed.
Rule 2: two ways to work: one `standpipe run` for each run that can go on, or so many `standpipe worker`
    that are handed every run by `standpipe submit`.
"""

import asyncio
import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from durable_lab.stories import Story, make_story, story_of
from durable_lab.watch import Watch

LOOK_SECONDS = 0.1
AT_ONCE = 4  # runs of one worker
ENDS = (0, 1, 3, 4, -signal.SIGKILL, -signal.SIGTERM)  # ends of runs, and what chaos does
STANDPIPE = (sys.executable, "-m", "standpipe")


@dataclass(slots=True, kw_only=True)
class Team(ABC):
    """Work on stories until nobody wants more and all of them have ended."""

    home: Path
    seed: int
    watch: Watch
    environment: Mapping[str, str]
    size: int
    short: bool = False  # runs of two turns
    more: bool = True  # whether new runs are begun
    stories: list[Story] = field(default_factory=list[Story])
    living: set[int] = field(default_factory=set[int])
    ends: Counter[int] = field(default_factory=Counter[int])

    async def work(self) -> None:
        """Keep everybody busy; return once no more is wanted and every run has ended."""
        keepers = [asyncio.create_task(self.keep()) for _ in range(self.size)]
        try:
            while self.more or self.watch.unended(self.stories):
                await self.refill()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)

    @abstractmethod
    async def keep(self) -> None:
        """Keep one place in the team busy for ever."""

    async def refill(self) -> None:
        """See that there is something to work on; where a place finds its own work, that is nothing."""
        await asyncio.sleep(0)

    def begin(self) -> Story:
        """Return the next story, with its script written."""
        number = len(self.stories) + 1
        self.stories.append(story := make_story(self.home, number, self.seed, short=self.short))
        return story

    async def command(self, *words: str, mortal: bool = True) -> int:
        """Run a command to its end and return its exit code; chaos may meet what is `mortal`."""
        with (self.home.parent / "errors.txt").open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *STANDPIPE, *words, "--home", str(self.home), env=self.environment,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
            )  # fmt: skip
        if mortal:
            self.living.add(process.pid)
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            process.terminate()
            await process.wait()
            raise
        finally:
            self.living.discard(process.pid)
        self.ends[code] += 1
        return code

    def at_work(self) -> Collection[int]:
        """Return the processes that own a run."""
        return self.living & self.watch.owners()

    def responsible(self, order: str, sender: int) -> int:
        """Return the process that owns the run of an order; the sender is only its tool process."""
        del sender
        return self.watch.owner(story_of(order))

    def oddities(self) -> Mapping[int, int]:
        """Return how often a process ended in a way that neither a run nor chaos explains."""
        return {code: count for code, count in self.ends.items() if code not in ENDS}


@dataclass(slots=True, kw_only=True)
class RunTeam(Team):
    """One process for each run, as a person or cron would start it."""

    taken: set[str] = field(default_factory=set[str])

    async def keep(self) -> None:
        while True:
            if story := self._next():
                self.taken.add(story.name)
                words = ("--id", story.name, "--model", story.model, "--detach")
                await self.command("run", story.task, *words)
                await self.watch.look()
                self.taken.discard(story.name)
            else:
                await asyncio.sleep(LOOK_SECONDS)

    def _next(self) -> Story | None:
        waiting = (story for story in self.stories if story.name not in self.taken)
        found = next((story for story in waiting if self.watch.may_go_on(story)), None)
        return found or (self.begin() if self.more else None)


@dataclass(slots=True, kw_only=True)
class WorkerTeam(Team):
    """So many workers, as on several machines."""

    async def keep(self) -> None:
        while True:
            await self.command("worker", "--concurrency", str(AT_ONCE))

    async def refill(self) -> None:
        if self.more and len(self.watch.unended(self.stories)) < self.size * AT_ONCE:
            story = self.begin()
            words = ("submit", story.task, "--id", story.name, "--model", story.model)
            while await self.command(*words, mortal=False):  # noqa: ASYNC110 -- the database may be down
                await asyncio.sleep(LOOK_SECONDS)


def quiet_environment(more: Mapping[str, str]) -> Mapping[str, str]:
    """Return an environment with nothing in it of the person who measures."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return {**kept, "HOME": "/nonexistent", "LANG": "C.UTF-8", **more}
