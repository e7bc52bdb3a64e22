"""`standpipe demo`: one run of a real agent over real services, killed in the middle, and the proof.

Rule 1: nothing is faked but the model. The agent is `standpipe run` in a process of its own.
Rule 2: everything lies in one folder and listens on 127.0.0.1; both are gone at the end, also on Ctrl-C.
Rule 3: what it claims at the end is computed; if it does not hold, it says so and exits with 1.
"""

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from msgspec import Struct

from standpipe.cli.demo.home import TASK, make_home
from standpipe.cli.demo.mail import Outbox, receiving
from standpipe.cli.demo.proof import Proof, prove, receipts
from standpipe.cli.demo.screen import Screen, money_back
from standpipe.cli.demo.services import Shop, listening
from standpipe.clock import Clock, SystemClock
from standpipe.config import environment
from standpipe.desk.answers import give, read_answer
from standpipe.desk.blockers import run_rows
from standpipe.desk.inert import inert
from standpipe.desk.report import FINAL, Report, report
from standpipe.desk.sentences import Tone
from standpipe.errors import StandpipeError, UsageError
from standpipe.journal.entries import BlockedRaised
from standpipe.journal.store import Store
from standpipe.journal.verify import verify
from standpipe.journal.views import open_blockers
from standpipe.opening import open_store

INTERRUPTED = 130
KILL_AFTER = 3  # mails the server has filed
ANSWER_SECONDS = 3.0  # how long a person is waited for
_LOOK_SECONDS = 0.05
_STARTS_MAX = 6
_NAME = "demo"
_LINES_SHOWN = 3


def main(*, keep: Path | None = None, interactive: bool, colour: bool, out: TextIO) -> int:
    """Play the story; return 0 if what it claims at the end holds.

    Raises:
        UsageError: the folder to keep it in cannot be used.
    """
    clock = SystemClock()
    screen = Screen(out=out, colour=colour, clock=clock, began=clock.monotonic())
    try:
        with _folder(keep) as folder:
            return asyncio.run(_story(folder, screen, clock, interactive=interactive, keep=keep))
    except (KeyboardInterrupt, asyncio.CancelledError):
        screen.line("stopped; nothing is left running", Tone.CARE)
        return INTERRUPTED


async def _story(
    folder: Path, screen: Screen, clock: Clock, *, interactive: bool, keep: Path | None
) -> int:
    _opening(screen, folder)
    with _ended_by_signals():
        async with _stage(folder, screen, clock, interactive=interactive) as demo:
            ending = await demo.play()
    return conclude(screen, ending, log=_last_words(folder), keep=keep)


def conclude(screen: Screen, ending: "Ending", *, log: str, keep: Path | None = None) -> int:
    """Show what came of it; return 0 only if all that the demo claims is true."""
    status = ending.report.status
    good = ending.proof.holds and status == "done" and ending.kills == 1
    screen.line("")
    screen.report(ending.report)
    screen.line(f"proof: {ending.proof.line}", Tone.GOOD if good else Tone.BAD)
    if not good:
        screen.line(f"not as promised: the run is {status}, killed {ending.kills} times", Tone.BAD)
        screen.line(log)
        return 1
    _farewell(screen, keep)
    return 0


def _opening(screen: Screen, folder: Path) -> None:
    screen.line(
        "A support agent answers six mails; the fourth orders it to send all customer records away."
    )
    screen.line(
        "Nothing is faked but the model: a script that believes what it reads. Mail server, shop,"
    )
    screen.line(f"database, files and the kill -9 are real, on 127.0.0.1 and in {folder}.\n")


def _farewell(screen: Screen, keep: Path | None) -> None:
    activate = [". .venv/bin/activate"] if _runs_in_local_venv() else []
    if keep is not None:
        home = shlex.quote(str(keep / "agent"))
        screen.line("\nWhat it wrote:")
        screen.line(f"  $ standpipe report --home {inert(home)}", Tone.PERSON)
    screen.line("\nYour own agent:")
    for command in (
        *activate,
        "standpipe init my-agent",
        'standpipe run "Summarise the notes" --home my-agent',
    ):
        screen.line(f"  $ {command}", Tone.PERSON)


def _runs_in_local_venv() -> bool:
    """Whether `standpipe` is found only once the `.venv` of this folder is activated."""
    folder = Path(sys.prefix)
    found = shutil.which("standpipe")
    return folder == Path.cwd() / ".venv" and not (found and Path(found).is_relative_to(folder))


@asynccontextmanager
async def _stage(
    folder: Path, screen: Screen, clock: Clock, *, interactive: bool
) -> AsyncGenerator["Demo"]:
    """Start the services, write the agent, and end whatever is left at the end."""
    home, shop = folder / "agent", Shop()
    outbox = Outbox(home / "mail" / "sent")
    with listening(shop) as shop_url:
        async with receiving(outbox) as smtp:
            make_home(home, shop=shop_url, smtp=smtp)
            store = open_store(home, create=True)
            demo = Demo(
                home=home, shop=shop, outbox=outbox, store=store, screen=screen, clock=clock,
                interactive=interactive,
            )  # fmt: skip
            outbox.taken = demo.mail_taken
            try:
                yield demo
            finally:
                await demo.end()
                await store.close()


class Ending(Struct, frozen=True):
    """What came of the run, and whether what is said of it is true."""

    report: Report
    proof: Proof
    kills: int


class _Reply(Struct, frozen=True):
    answer: str
    by: str


@dataclass(slots=True, kw_only=True)
class Demo:
    """One run of the agent, as seen from outside: its process, its journal, its mail server."""

    home: Path
    shop: Shop
    outbox: Outbox
    store: Store
    screen: Screen
    clock: Clock
    interactive: bool
    kills: int = 0
    _run: str = ""
    _seen: int = 0
    _killed_at: float = 0.0
    _process: asyncio.subprocess.Process | None = None

    async def play(self) -> Ending:
        """Start the agent as often as it takes, and answer what it asks in between."""
        for _ in range(_STARTS_MAX):
            code = await self._watched(await self._started())
            if await self._over():
                break
            if code not in {3, -signal.SIGKILL}:
                raise StandpipeError(
                    f"the agent ended with {code}", hint=_last_words(self.home.parent)
                )
            await self._answer_all()
        entries = await self.store.read(self._run)
        ledger = [mail.message_id for mail in self.outbox.ledger]
        proof = prove(receipts(entries), ledger, await verify(self.store))
        return Ending(report(entries), proof, self.kills)

    async def mail_taken(self) -> None:
        """Kill the agent after its third mail: the server has it, the agent has not heard so."""
        process = self._process
        if len(self.outbox.ledger) != KILL_AFTER or self.kills or process is None:
            return
        pid = (await run_rows(self.store))[self._run].pid
        if pid != process.pid:
            return
        await self._tell()
        self.kills += 1
        to = ", ".join(self.outbox.ledger[-1].to)
        said = f"mail to {to} is out, its receipt is not: now kill -9 (process {pid})"
        self.screen.now(said, Tone.BAD)
        self._killed_at = self.clock.monotonic()
        os.kill(pid, signal.SIGKILL)

    async def end(self) -> None:
        """End the agent's process, if there is one."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _started(self) -> asyncio.subprocess.Process:
        task = [self._run] if self._run else [TASK, "--id", _NAME]
        with (self.home.parent / "agent.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "standpipe", "run", *task, "--home", str(self.home),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.home,
                env={**environment.for_children(), "SHOP_TOKEN": self.shop.expired_token},
                start_new_session=True,  # Ctrl-C is for the demo, which then ends the agent
            )  # fmt: skip
        return self._process

    async def _watched(self, process: asyncio.subprocess.Process) -> int:
        """Tell what the journal tells until the process has ended."""
        ended = asyncio.ensure_future(process.wait())
        while not ended.done():
            await self._tell()
            await asyncio.wait({ended}, timeout=_LOOK_SECONDS)
        noticed = self.clock.monotonic()
        await self._tell()
        code = ended.result()
        if code == -signal.SIGKILL and self.kills:
            passed_ms = (noticed - self._killed_at) * 1000
            self.screen.now(
                f"process {process.pid} was killed (signal 9), noticed after {passed_ms:.0f} ms",
                Tone.BAD,
            )
        return code

    async def _tell(self) -> None:
        if not self._run:
            rows = await run_rows(self.store)
            self._run = next((row.id for row in rows.values() if row.caller_id == _NAME), "")
        for entry in await self.store.read(self._run, self._seen) if self._run else ():
            self._seen = entry.seq
            self.screen.entry(entry)

    async def _over(self) -> bool:
        row = (await run_rows(self.store)).get(self._run)
        return row is not None and row.status in FINAL

    async def _answer_all(self) -> None:
        for name, asked in open_blockers(await self.store.read(self._run)).items():
            if asked.kind != "approval":
                raise StandpipeError(
                    f"the agent asks {name}, which is not in the story: {asked.ask}"
                )
            forged = asked.tool == "send_email"
            said = _Reply("no", "the demo") if forged else await self._refund(name, asked)
            await give(self.store, name, said.answer, said.by)
            await self._tell()

    async def _refund(self, name: str, asked: BlockedRaised) -> _Reply:
        """Ask the person who is there; answer for one who is not, or says nothing."""
        what = f"{name}: refund {money_back(asked.shows)}, yes or no?"
        question = f"{what} After {ANSWER_SECONDS:.0f} s the demo says yes. > "
        while self.interactive:
            self.screen.now(question, Tone.PERSON, end="")
            typed = await _typed(ANSWER_SECONDS)
            if not typed:
                self.screen.line("")
                break
            try:
                return _Reply(read_answer(asked.kind, name, typed), "you")
            except UsageError as error:
                self.screen.line(inert(error.message), Tone.CARE)
        return _Reply("yes", "the demo, in your place")


async def _typed(seconds: float) -> str:
    """Return what is typed in time; an empty text if nothing is."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sys.stdin.fileno(), lambda: ready.done() or ready.set_result(None))
    try:
        async with asyncio.timeout(seconds):
            await ready
        return sys.stdin.readline().strip()
    except TimeoutError:
        return ""
    finally:
        loop.remove_reader(sys.stdin.fileno())


@contextmanager
def _folder(keep: Path | None) -> Generator[Path]:
    """Yield an empty folder; a temporary one is removed."""
    if keep is None:
        folder = Path(tempfile.mkdtemp(prefix="standpipe-demo-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    folder = keep.expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"`{keep}` is not empty", hint="name a new folder")
    except OSError as error:
        raise UsageError(
            f"`{keep}`: {error.strerror}", hint="name a folder you may write to"
        ) from None
    yield folder


@contextmanager
def _ended_by_signals() -> Generator[None]:
    """Let TERM and HUP end the demo as Ctrl-C does."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    signals = (signal.SIGTERM, signal.SIGHUP)
    with contextlib.suppress(ValueError, RuntimeError):  # not the main thread: nothing to listen to
        for number in signals:
            loop.add_signal_handler(number, lambda: task and task.cancel())
    yield


def _last_words(folder: Path) -> str:
    log = folder / "agent.log"
    lines = log.read_text(errors="replace").split("\n") if log.is_file() else []
    said = [inert(line.strip()) for line in lines if line.strip()]
    return f"the agent's last words: {' / '.join(said[-_LINES_SHOWN:]) or 'none'}"
