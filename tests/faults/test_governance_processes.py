"""Real runs that are killed in the middle of a recovery, and real runs that share one home.

What is asserted holds however slow the machine is: what the other side saw, and what the journal says.
"""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from standpipe.cli import main
from standpipe.cli.scaffold import scaffold
from standpipe.governor.recovery import Wait
from standpipe.governor.sites import Site
from standpipe.journal.entries import Entry, Intended, Settled
from standpipe.journal.projections import SITES, read_row
from standpipe.opening import open_store
from standpipe.testing.faults import Fault, FaultServer

TOOLS = '''
import os, time, urllib.request
from pathlib import Path

import standpipe as sp

URL = "SERVER"
MARKS = Path("MARKED")  # outside of the workspace: a file that changes there is work


def mark() -> None:
    """Say which process works; the test looks whether it is gone."""
    with (MARKS / "pids").open("a") as file:
        file.write(f"{os.getpid()}\\n")


def get(path: str) -> str:
    mark()
    with urllib.request.urlopen(URL + path, timeout=300) as answer:
        return answer.read().decode()


def renew() -> dict[str, str]:
    mark()
    with (MARKS / "renewals").open("a") as file:
        file.write("renewal\\n")
    if not (MARKS / "GO").exists():
        time.sleep(600)
    (MARKS / "token").touch()
    return {}


def paid(order: str) -> object:
    return order in get("/pay")


@sp.tool(effect="read", timeout=300)
def orders(url: str) -> str:
    """Ask for the orders."""
    return get(url.removeprefix(URL))


@sp.tool(effect="read", timeout=300)
def invoices(url: str) -> str:
    """Ask for the invoices."""
    return get(url.removeprefix(URL))


@sp.tool(effect="read", timeout=300, local=True)
def pause() -> str:
    """Wait for the test."""
    mark()
    if not (MARKS / "GO").exists():
        time.sleep(600)
    return "went on"


@sp.tool(effect="read", timeout=300, refresh=renew)
def secure() -> str:
    """Ask for what needs a fresh token."""
    return get("/new" if (MARKS / "token").exists() else "/old")


def post(order: str) -> str:
    mark()
    request = urllib.request.Request(URL + "/pay", order.encode(), method="POST")
    with urllib.request.urlopen(request, timeout=300) as answer:
        return answer.read().decode()


@sp.tool(effect="once", policy="allow", control=["order"], timeout=300)
def pay(order: str) -> str:
    """Pay, and be able to ask nobody whether it happened."""
    return post(order)


@sp.tool(effect="once", policy="allow", control=["order"], timeout=300, verify=paid)
def pay_and_ask(order: str) -> str:
    """Pay, and be able to ask whether it happened."""
    return post(order)
'''
DONE = "  - done: {summary: Done., evidence: [it]}\n"
LOOKS_MAX = 900  # a tenth of a second each, on a machine that does much else

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]


@dataclass
class World:
    """A home, a server its tools talk to, and the processes that work on it."""

    home: Path
    marks: Path
    server: FaultServer
    processes: list[subprocess.Popen[bytes]] = field(
        default_factory=list["subprocess.Popen[bytes]"]
    )

    def begin(self, *calls: str, name: str = "story") -> subprocess.Popen[bytes]:
        """Start a process of its own that works on a run with these calls."""
        self.write(name, calls)
        argv = [
            sys.executable, "-m", "standpipe", "run", "Ask for the orders", "--home", str(self.home),
            "--model", f"script:{name}.yaml",
        ]  # fmt: skip
        started = subprocess.Popen(
            argv,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.processes.append(started)
        return started

    def write(self, name: str, calls: Sequence[str]) -> None:
        turns = "".join(f"  - call: {{{call}}}\n" for call in calls)
        (self.home / f"{name}.yaml").write_text(f"turns:\n{turns}{DONE}")

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End a process without a word, and see that nothing it started is left."""
        process.kill()
        process.wait()
        until(lambda: all(map(is_gone, self.pids())))

    def go_on(self, run: str = "r1", *, code: int = 0) -> None:
        said = self.say("run", run, "--detach", code=code)
        assert run in said

    def say(self, *words: str, code: int = 0) -> str:
        with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()) as logged:
            ended = main([*words, "--home", str(self.home)])
        assert ended == code, printed.getvalue() + logged.getvalue()
        return printed.getvalue()

    def go(self) -> None:
        (self.marks / "GO").touch()

    def lines(self, name: str) -> list[str]:
        path = self.marks / name
        return path.read_text().splitlines() if path.exists() else []

    def pids(self) -> list[int]:
        return [int(line) for line in self.lines("pids")]

    def entries(self, run: str = "r1") -> Sequence[Entry]:
        async def read() -> Sequence[Entry]:
            store = open_store(self.home)
            try:
                return await store.read(run)
            finally:
                await store.close()

        journal = self.home / ".standpipe" / "journal.db"
        return asyncio.run(read()) if journal.exists() else ()

    def sites(self) -> list[Site]:
        async def read() -> list[Site]:
            store = open_store(self.home)
            try:
                rows = (await store.rows(SITES)).values()
                return [row for text in rows if (row := read_row(Site, text))]
            finally:
                await store.close()

        return asyncio.run(read())

    def asked(self, *paths: str) -> list[float]:
        """Return when these paths were asked for, by whomever."""
        return [one.at_seconds for one in self.server.requests if one.path in paths]

    def attempts(self, action: str, run: str = "r1") -> list[int]:
        return [
            entry.body.attempt
            for entry in self.entries(run)
            if isinstance(entry.body, Intended) and entry.action == action
        ]


@pytest.fixture
def world(tmp_path: Path) -> Generator[World]:
    home, marks = tmp_path / "agent", tmp_path / "marks"
    marks.mkdir()
    scaffold(home, model="script:story.yaml")
    with FaultServer() as server:
        tools = TOOLS.replace("SERVER", server.url).replace("MARKED", str(marks))
        (home / "tools.py").write_text(tools)
        made = World(home, marks, server)
        yield made
        for process in made.processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def is_gone(pid: int) -> bool:
    """Whether a process has ended; a zombie that waits for its parent has."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # it went before the look, or during it
        return Path("/proc/self").exists()


def until(condition: Callable[[], object], running: subprocess.Popen[bytes] | None = None) -> None:
    """Look again and again, for as long as what is `running` may still bring it about."""
    for _ in range(LOOKS_MAX):
        over = running is not None and running.poll() is not None
        if condition():
            return
        assert not over, "the run ended before it came to that"
        time.sleep(0.1)
    raise AssertionError("it never came to that")


def waits(entries: Sequence[Entry]) -> bool:
    return any(isinstance(e.body, Settled) and isinstance(e.body.recovery, Wait) for e in entries)


def test_a_run_killed_in_a_wait_waits_as_long_as_it_was_told(world: World) -> None:
    world.server.script("/orders", Fault.retry_after("seconds", 6), then=Fault.ok())
    running = world.begin(f"orders: {{url: {world.server.url}/orders}}")
    until(lambda: waits(world.entries()), running)
    world.kill(running)
    world.go_on()
    first, second = world.asked("/orders")
    assert second - first >= 6
    assert world.attempts("r1.1.1") == [1, 2]


def test_a_run_killed_in_a_retry_has_only_the_attempts_that_were_left(world: World) -> None:
    world.server.script("/orders", Fault.status(500), Fault.silence(), then=Fault.status(500))
    running = world.begin(f"orders: {{url: {world.server.url}/orders}}")
    until(lambda: len(world.asked("/orders")) == 2, running)
    world.kill(running)
    world.go_on(code=3)
    assert len(world.asked("/orders")) == 3  # the second attempt again, and no third one
    assert world.attempts("r1.1.1") == [1, 2]


def test_a_count_survives_the_process_that_counted(world: World) -> None:
    world.server.script("/orders", Fault.status(404))
    call = f"orders: {{url: {world.server.url}/orders}}"
    running = world.begin(call, "pause: {}", call)
    until(lambda: world.pids() and is_waiting(world), running)
    world.kill(running)
    world.go()
    world.go_on(code=3)
    assert len(world.asked("/orders")) == 2
    [failure] = json.loads(world.say("report", "--json"))["failures"]
    assert (failure["kind"], failure["count"]) == ("not_found", 2)


def is_waiting(world: World) -> bool:
    entries = world.entries()
    return any(isinstance(e.body, Intended) and e.action == "r1.2.1" for e in entries)


@pytest.mark.parametrize(("landed", "said"), [(True, "yes"), (False, "no")])
def test_an_effect_whose_process_was_killed_happens_once_whatever_a_person_says(
    landed: bool, said: str, world: World
) -> None:
    first = Fault.effect() if landed else Fault.silence()
    world.server.script("POST /pay", first, then=Fault.effect_ok())
    running = world.begin("pay: {order: A-1, why: the task asks}")
    until(lambda: world.asked("/pay"), running)
    world.kill(running)
    world.go_on(code=3)
    assert len(world.asked("/pay")) == 1
    world.say("answer", "b1", said)
    world.go_on()
    assert [one.body for one in world.server.effects] == ["A-1"]


@pytest.mark.parametrize("landed", [True, False])
def test_an_effect_that_can_be_verified_needs_no_person_after_a_kill(
    landed: bool, world: World
) -> None:
    first = Fault.effect() if landed else Fault.silence()
    world.server.script("POST /pay", first, then=Fault.effect_ok())
    world.server.script("GET /pay", Fault.effect_ok())  # a GET lists what landed
    running = world.begin("pay_and_ask: {order: A-1, why: the task asks}")
    until(lambda: world.asked("/pay"), running)
    world.kill(running)
    world.go_on()
    assert [one.body for one in world.server.effects] == ["A-1"]


def test_a_killed_child_of_an_effect_leaves_the_run_in_doubt_and_nothing_running(
    world: World,
) -> None:
    world.server.script("POST /pay", Fault.effect())
    running = world.begin("pay: {order: A-1, why: the task asks}")
    until(lambda: world.asked("/pay"), running)
    os.kill(world.pids()[-1], signal.SIGKILL)
    assert running.wait(LOOKS_MAX / 10) == 3
    until(lambda: all(map(is_gone, world.pids())))
    [asked] = json.loads(world.say("report", "--json"))["blocked_on"]
    assert asked["kind"] == "in_doubt"
    assert len(world.server.effects) == 1


def test_two_processes_make_no_attempt_on_a_host_that_rejects_everybody(world: World) -> None:
    world.server.script("/orders", Fault.status(401))
    world.server.script("/invoices", Fault.status(401))
    orders = f"orders: {{url: {world.server.url}/orders}}"
    invoices = f"invoices: {{url: {world.server.url}/invoices}}"
    ended(world.begin(orders, name="a"), world.begin(orders, name="b"))
    assert [site.open for site in world.sites()] == [True]
    before = len(world.asked("/orders"))
    assert before in (1, 2)  # whoever began before anybody knew
    ended(world.begin(orders, name="a"), world.begin(orders, name="b"))
    ended(world.begin(invoices, name="a"))  # the same from another tool: it is the host
    ended(world.begin(invoices, name="a"), world.begin(orders, name="b"))
    assert len(world.asked("/orders")) == before
    assert len(world.asked("/invoices")) <= 1
    assert world.say("inbox").count("What now?") == len({site.blocker for site in world.sites()})


def ended(*processes: subprocess.Popen[bytes]) -> None:
    """Wait until these processes have ended, all of them blocked."""
    assert {process.wait(LOOKS_MAX / 10) for process in processes} == {3}


def test_two_processes_leave_a_host_alone_for_as_long_as_it_asked_one_of_them(
    world: World,
) -> None:
    world.server.script_together(
        ("/orders", "/invoices"), Fault.retry_after("seconds", 8), Fault.ok()
    )
    first = world.begin(f"orders: {{url: {world.server.url}/orders}}", name="a")
    until(lambda: waits(world.entries()))
    second = world.begin(f"invoices: {{url: {world.server.url}/invoices}}", name="b")
    assert [process.wait(LOOKS_MAX / 10) for process in (first, second)] == [0, 0]
    told, *others = world.asked("/orders", "/invoices")
    assert len(others) == 2
    assert min(others) - told >= 8


def test_a_run_killed_in_a_refresh_renews_the_credential_when_it_goes_on(world: World) -> None:
    world.server.script("/old", Fault.status(401))
    world.server.script("/new", Fault.ok())
    running = world.begin("secure: {}")
    until(lambda: world.lines("renewals"), running)
    world.kill(running)
    world.go()
    world.go_on()
    assert (len(world.asked("/new")), len(world.lines("renewals"))) == (1, 2)
