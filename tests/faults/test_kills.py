"""Real `standpipe run` processes are killed with -9 at every turn of a run, and the run is gone on with.

The process kills itself, right before or right after the commit of a named entry, so no test waits for the right
moment. What is counted is outside of it: the requests that reached the model, and the lines the tools wrote.
"""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from time import sleep

import msgspec
import pytest

from standpipe.cli import main
from standpipe.cli.scaffold import scaffold
from standpipe.desk.report import Report
from standpipe.testing.providers import Answer, Hang, ProviderServer, Step, ToolCall

MODEL = "openai:gpt-test"
TASK = "Tell everybody"
LOOKS_MAX = 900  # a tenth of a second each, on a machine that does much else
DYING = """
import os, signal, sys
from standpipe.cli import main
from standpipe.journal.entries import kind_of
from standpipe.stores.sqlite import SqliteStore

what, count, when = sys.argv.pop(1).split(":")
left = int(count)


def named(step, given):
    drafts = given[-1] if step == "append" else ()
    kinds = {kind_of(draft.body) for draft in drafts}
    tools = {getattr(draft.body, "tool", "") for draft in drafts}
    return {step, *kinds, *(f"{kind} {tool}" for kind in kinds for tool in tools)}


def mortal(step):
    real = getattr(SqliteStore, step)

    async def write(self, *given, **more):
        global left
        left -= what in named(step, given)
        fatal = left == 0 and what in named(step, given)
        if fatal and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        written = await real(self, *given, **more)
        if fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return written

    setattr(SqliteStore, step, write)


for step in ("create", "start_segment", "append", "post", "number", "seal"):
    mortal(step)
sys.exit(main())
"""
TOOLS = '''
import os, time
from pathlib import Path

import standpipe as sp

MARKS = Path("MARKED")  # outside of the workspace: a file that changes there is work


def write(name: str, line: str) -> None:
    with (MARKS / name).open("a") as file:
        file.write(line + "\\n")


def lines() -> list[str]:
    ledger = MARKS / "ledger"
    return ledger.read_text().splitlines() if ledger.exists() else []


def was_sent(to: str) -> object:
    write("verified", str(os.getpid()))
    if (MARKS / "HANG").exists():
        time.sleep(600)
    return f"mail {to}" in lines()


@sp.tool(effect="read")
def look(page: str) -> str:
    """Read a page."""
    return page


@sp.tool(effect="idempotent", policy="allow", control=["name"])
def save(name: str) -> str:
    """Save a file in the workspace."""
    Path("workspace", name).write_text(name)
    return name


@sp.tool(effect="once", policy="allow", control=["to"], verify=was_sent)
def send(to: str) -> str:
    """Send a mail, and be able to ask whether it was sent."""
    write("ledger", f"mail {to}")
    return to


@sp.tool(effect="once", policy="allow", control=["to"], idempotency_key="key")
def charge(to: str, key: str) -> str:
    """Charge a card; the other side takes a key once."""
    if f"charge {key}" not in lines():
        write("ledger", f"charge {key}")
    return to
'''
CALLS = Answer(
    calls=(
        ToolCall("look", {"page": "1"}),
        ToolCall("save", {"name": "sum.txt", "why": "the task asks"}),
        ToolCall("send", {"to": "ann", "why": "the task asks"}),
        ToolCall("charge", {"to": "bob", "why": "the task asks"}),
    )
)
DONE = Answer(calls=(ToolCall("done", {"summary": "All told.", "evidence": ["receipts"]}),))

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]


@dataclass
class World:
    """A home, and what its tools leave outside of it."""

    home: Path
    marks: Path
    processes: list[subprocess.Popen[bytes]] = field(
        default_factory=list["subprocess.Popen[bytes]"]
    )

    def begin(self, server: ProviderServer, point: str) -> subprocess.Popen[bytes]:
        """Start a process that works on the run, and dies at `point`."""
        kept = {name: os.environ.get(name, "") for name in ("PATH", "PYTHONPATH")}
        started = subprocess.Popen(
            [sys.executable, "-c", DYING, point, *self.words()],
            env={"HOME": "/nonexistent", "LANG": "C.UTF-8", **kept, **server.credentials},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.processes.append(started)
        return started

    def words(self) -> list[str]:
        return ["run", TASK, "--id", "told", "--model", MODEL, "--json", "--home", str(self.home)]

    def killed(self, server: ProviderServer, point: str) -> None:
        """Let a process work until it dies at `point`."""
        assert self.begin(server, point).wait(LOOKS_MAX / 10) == -signal.SIGKILL

    def go_on(self) -> Report:
        """Say the same again; return the report."""
        with redirect_stdout(StringIO()) as printed, redirect_stderr(StringIO()) as logged:
            code = main(self.words())
        assert code == 0, printed.getvalue() + logged.getvalue()
        return msgspec.json.decode(printed.getvalue(), type=Report)

    def lines(self, name: str) -> list[str]:
        path = self.marks / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def world(tmp_path: Path) -> Generator[World]:
    home, marks = tmp_path / "agent", tmp_path / "marks"
    marks.mkdir()
    scaffold(home, model=MODEL)
    (home / "standpipe.toml").write_text("")
    (home / "tools.py").write_text(TOOLS.replace("MARKED", str(marks)))
    made = World(home, marks)
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Generator[Callable[..., ProviderServer]]:
    """A provider on loopback that this process, too, takes for the real one."""
    servers: list[ProviderServer] = []

    def serve(*steps: Step) -> ProviderServer:
        server = ProviderServer(steps).__enter__()
        servers.append(server)
        for name, value in server.credentials.items():
            monkeypatch.setenv(name, value)
        return server

    yield serve
    for server in servers:
        server.__exit__(None, None, None)


def until(condition: Callable[[], object], running: subprocess.Popen[bytes]) -> None:
    """Look again and again, for as long as what is `running` may still bring it about."""
    for _ in range(LOOKS_MAX):
        over = running.poll() is not None
        if condition():
            return
        assert not over, "the run ended before it came to that"
        sleep(0.1)
    raise AssertionError("it never came to that")


def told_once(world: World, report: Report) -> None:
    """Everybody was told, once, and the report says so."""
    assert (report.run, report.status, report.summary) == ("r1", "done", "All told.")
    told = Counter(line.split()[0] for line in world.lines("ledger"))
    assert told == {"mail": 1, "charge": 1}
    effects = sorted((one.tool, one.outcome) for one in report.effects)
    assert effects == [("charge", "Succeeded"), ("save", "Succeeded"), ("send", "Succeeded")]
    assert [file.path for file in report.files] == ["sum.txt"]
    assert (report.blocked_on, report.failures) == ((), ())


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("create:1:before", id="before its first entry"),
        pytest.param("model.responded:1:after", id="before the first of four calls"),
        pytest.param("action.outcome:2:after", id="after two of four calls"),
        pytest.param("action.outcome:4:after", id="between the last outcome and the next request"),
        pytest.param("done.checked:1:before", id="inside the done gate"),
    ],
)
def test_a_run_killed_anywhere_goes_on_from_there_and_asks_the_model_nothing_twice(
    point: str, world: World, model: Callable[..., ProviderServer]
) -> None:
    server = model(CALLS, DONE)
    world.killed(server, point)
    told_once(world, world.go_on())
    assert len(server.requests) == 2


def test_a_run_killed_while_its_report_is_made_is_done_and_told_as_often_as_anybody_asks(
    world: World, model: Callable[..., ProviderServer]
) -> None:
    server = model(CALLS, DONE)
    world.killed(server, "seal:1:before")
    told_once(world, world.go_on())
    told_once(world, world.go_on())
    assert len(server.requests) == 2


def test_a_run_killed_while_the_model_is_asked_asks_it_once_more(
    world: World, model: Callable[..., ProviderServer]
) -> None:
    server = model(Hang(), CALLS, DONE)
    running = world.begin(server, "never:1:before")
    until(lambda: server.requests, running)
    running.kill()
    running.wait()
    told_once(world, world.go_on())
    assert len(server.requests) == 3


def test_a_run_killed_inside_verify_asks_again_and_does_nothing_twice(
    world: World, model: Callable[..., ProviderServer]
) -> None:
    server = model(CALLS, DONE)
    world.killed(server, "action.outcome send:1:before")
    (world.marks / "HANG").touch()
    running = world.begin(server, "never:1:before")
    until(lambda: world.lines("verified"), running)
    running.kill()
    running.wait()
    (world.marks / "HANG").unlink()
    told_once(world, world.go_on())
    assert len(server.requests) == 2
    assert len(world.lines("verified")) == 2
