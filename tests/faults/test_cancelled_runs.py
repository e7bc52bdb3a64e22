"""A run that somebody ends while it works: nothing new starts, and what was under way is told as it was."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from standpipe.cli.scaffold import scaffold
from standpipe.desk.report import Report
from standpipe.journal.entries import (
    CancelRequested,
    Decided,
    Draft,
    Intended,
    Settled,
)
from standpipe.journal.verify import verify
from standpipe.runtime import Runtime
from standpipe.testing.waits import until

TOOLS = '''
import time
from pathlib import Path

import standpipe as sp

MARKS = Path("MARKED")


@sp.tool(effect="once", policy="allow", control=["to"], timeout=300)
def send(to: str) -> str:
    """Send it, as soon as the test says so."""
    (MARKS / f"{to} began").touch()
    while not (MARKS / "GO").exists():
        time.sleep(0.02)
    (MARKS / f"{to} sent").touch()
    return "sent"


@sp.tool(effect="read", timeout=300)
def look(at: str) -> str:
    """Look at something."""
    (MARKS / f"{at} seen").touch()
    return "seen"
'''
SEND, LOOK = "send: {to: ann, why: asked}", "look: {at: it}"
DONE = "done: {summary: Done., evidence: [it]}"

pytestmark = pytest.mark.timeout(120)


class Work:
    """A run at work in this process, with what it leaves outside."""

    def __init__(self, folder: Path, *calls: str) -> None:
        self.home, self.marks = folder / "agent", folder / "marks"
        self.marks.mkdir()
        scaffold(self.home, model="script:story.yaml")
        (self.home / "tools.py").write_text(TOOLS.replace("MARKED", str(self.marks)))
        turns = "".join(f"  - call: {{{call}}}\n" for call in calls)
        (self.home / "story.yaml").write_text(f"turns:\n{turns}  - {DONE}\n")

    def mark(self, name: str) -> Callable[[], bool]:
        return (self.marks / name).exists

    async def cancelled(self, *, now: bool) -> Report:
        """Let it run until it is in the middle of its effect, then let somebody cancel it."""
        async with Runtime.open(self.home) as runtime:
            running = asyncio.ensure_future(runtime.run("Send it"))
            await until(self.mark("ann began"), running)
            await runtime.store.post("r1", [Draft("cancel", CancelRequested("ann", now=now))])
            if not now:
                (self.marks / "GO").touch()
            return await running

    async def again(self) -> Report:
        async with Runtime.open(self.home) as runtime:
            assert (await verify(runtime.store)).whole
            return await runtime.resume("r1")


async def test_what_is_under_way_keeps_its_outcome_and_nothing_new_starts(tmp_path: Path) -> None:
    work = Work(tmp_path, SEND, LOOK)
    report = await work.cancelled(now=False)
    assert (report.status, report.summary) == ("cancelled", "ann cancelled it")
    assert [(effect.tool, effect.outcome) for effect in report.effects] == [("send", "Succeeded")]
    assert not work.mark("it seen")()
    assert (await work.again()).status == "cancelled"


async def test_cancelled_at_once_it_stops_in_the_middle_and_says_that_nobody_knows(
    tmp_path: Path,
) -> None:
    work = Work(tmp_path, SEND, LOOK)
    report = await work.cancelled(now=True)
    (work.marks / "GO").touch()  # a worker that lived on would send it now
    assert report.status == "cancelled"
    [effect] = report.effects
    assert (effect.tool, effect.outcome) == ("send", "Unknown")
    assert not work.mark("ann sent")()
    assert (await work.again()).status == "cancelled"


async def test_a_call_of_the_same_response_that_has_not_begun_is_refused_after_a_cancel(
    tmp_path: Path,
) -> None:
    work = Work(tmp_path, LOOK)
    async with Runtime.open(work.home) as runtime:
        run = await runtime.submit("Look", queue="default")
        await runtime.store.post(run, [Draft("cancel", CancelRequested("ann"))])
        assert (await runtime.resume(run)).status == "cancelled"
        kinds = {type(entry.body) for entry in await runtime.store.read(run)}
    assert kinds & {Decided, Intended, Settled} == set()
    assert not work.mark("it seen")()
