"""Real worker processes, and everything a tool can do to them."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from standpipe.actions import Action, Died, Effect, Expired, Raised, Result, Returned, Tool
from standpipe.clock import SystemClock
from standpipe.errors import ConfigError
from standpipe.execution.executor import Executor
from standpipe.execution.pool import Home, Pool
from standpipe.execution.workspace import Workspace

TOOLS = '''
import asyncio, os, signal, subprocess, sys, threading, time
from pathlib import Path

from standpipe.execution.tools import keep_secrets, secret, surroundings, tool

print("printed while loading")
WORKSPACE = surroundings().workspace_path


def undeclared() -> None: ...


@tool(effect="read")
def whoami() -> dict[str, object]:
    """Say where this runs."""
    return {
        "pid": os.getpid(), "group": os.getpgrp(), "session": os.getsid(0), "cwd": os.getcwd(),
        "environment": sorted(os.environ), "stdin": sys.stdin.read(),
        "open": sorted(os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                       if os.path.exists(f"/proc/self/fd/{n}")) if sys.platform == "linux" else [],
    }


@tool
def block(seconds: float, mark: str = "") -> str:
    """Hold the thread."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (WORKSPACE / "pids").write_text(f"{os.getpid()} {child.pid}")
    time.sleep(seconds)
    return "woke"


@tool
def stubborn() -> str:
    """Ignore TERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (WORKSPACE / "pids").write_text(str(os.getpid()))
    while True:
        time.sleep(60)


@tool
async def swallow() -> str:
    """Ignore being cancelled."""
    (WORKSPACE / "pids").write_text(str(os.getpid()))
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass


@tool
def hold_the_interpreter() -> str:
    """Never let another thread run."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (WORKSPACE / "pids").write_text(f"{os.getpid()} {child.pid}")
    sys.setswitchinterval(1000)
    while True:
        pass


@tool
def flood() -> str:
    """Print more than any pipe holds."""
    sys.stdout.write("out " * 1_000_000)
    sys.stderr.write("err " * 1_000_000)
    os.write(1, b"raw " * 100_000)
    return "dry"


@tool
def leave(code: int) -> str:
    """Be gone."""
    print("last words", file=sys.stderr, flush=True)
    os._exit(code)


@tool
def leave_politely(code: int) -> str:
    """Call sys.exit, which is an exception."""
    sys.exit(code)


@tool
def large(size: int) -> str:
    """Return a lot."""
    return "x" * size


@tool
def strange() -> object:
    """Return what is no JSON."""
    return object()


class Refused(Exception):
    def __init__(self) -> None:
        super().__init__("not with s3cret")
        self.status_code = 401


@tool
def fail() -> str:
    """Raise with attributes."""
    try:
        {}["missing"]
    except KeyError as error:
        raise Refused() from error


@tool
def wander() -> str:
    """Change the directory of the process."""
    os.chdir("/")
    return os.getcwd()


def was_sent(to: str, key: str) -> object:
    file = WORKSPACE / "sent.txt"
    return f"{to} {key}" if file.exists() and key in file.read_text() else False


def renew() -> dict[str, str]:
    return {"TOKEN": "renewed-value"}


@tool(effect="once", idempotency_key="key", verify=was_sent, refresh=renew)
async def send(to: str, key: str) -> dict[str, str]:
    """Leave a mark."""
    with (WORKSPACE / "sent.txt").open("a") as file:
        file.write(f"{key} {secret('TOKEN')}\\n")
    return {"to": to, "token": secret("TOKEN")}
'''

GRACE_SECONDS = 0.3


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "tools.py").write_text(TOOLS)
    return tmp_path


def hide(value: object) -> object:
    text = msgspec.json.encode(value).decode()
    return msgspec.json.decode(text.replace("s3cret", "[secret TOKEN]"))


def about(home: Path) -> Home:
    return Home(
        home=home,
        workspace=home / "workspace",
        secrets={"TOKEN": "s3cret"},
        environment={"PATH": os.defpath, "LANG": "C.UTF-8", "AWS_SECRET_ACCESS_KEY": "ours"},
        tools_py=home / "tools.py",
    )


class Bench:
    """An executor over the tools above."""

    def __init__(self, home: Path) -> None:
        self.workspace = home / "workspace"
        self.renewed: dict[str, str] = {}
        self.tools: dict[str, Tool] = {}
        self.executor = Executor(
            clock=SystemClock(),
            home=Pool(about(home), grace_seconds=GRACE_SECONDS),
            workspace=Workspace(self.workspace, home / ".standpipe" / "blobs"),
            mask=hide,
            on_secret=self.renewed.__setitem__,
        )

    def action(self, name: str, arguments: Mapping[str, object], *, seconds: float) -> Action:
        tool = msgspec.structs.replace(self.tools[name], timeout_seconds=seconds)
        return Action(id="r1.1.1", tool=tool, arguments=arguments)

    async def result(self, name: str, *, within: float = 15.0, **arguments: object) -> Result:
        action = self.action(name, arguments, seconds=within)
        return (await self.executor.attempt(action, key="r1.1.1")).result

    def pids(self) -> list[int]:
        return [int(pid) for pid in (self.workspace / "pids").read_text().split()]


@asynccontextmanager
async def working(home: Path) -> AsyncGenerator[Bench]:
    bench = Bench(home)
    bench.tools = {tool.name: tool for tool in await bench.executor.start()}
    try:
        yield bench
    finally:
        await bench.executor.close()


def is_gone(pid: int) -> bool:
    """Whether a process has ended with all its threads; a zombie that waits for its parent has."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    try:
        is_zombie = stat.read_text().rpartition(")")[2].split()[0] == "Z"
        return is_zombie and len(list((stat.parent / "task").iterdir())) == 1
    except (FileNotFoundError, ProcessLookupError):
        return stat.parent.parent.exists() and not stat.parent.exists()


async def until(condition: Callable[[], bool]) -> bool:
    """Look again and again, at most 15 s."""
    for _ in range(1500):
        if condition():
            return True
        await asyncio.sleep(0.01)
    return False


def has_no_children() -> bool:
    """Whether nothing is left to be reaped."""
    try:
        return os.waitpid(-1, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return True


async def test_a_worker_offers_what_is_declared_and_nothing_else(home: Path) -> None:
    async with working(home) as bench:
        assert "undeclared" not in bench.tools
        assert bench.tools["send"].effect is Effect.ONCE
        assert bench.tools["send"].origin == "home"
        assert "key" not in str(bench.tools["send"].schema)
    assert not (home / "__pycache__").exists()


async def test_a_worker_has_a_clean_environment_and_nothing_of_ours_open(home: Path) -> None:
    lock = os.open(home / "run.lock", os.O_RDWR | os.O_CREAT)
    try:
        async with working(home) as bench:
            result = await bench.result("whoami")
    finally:
        os.close(lock)
    assert isinstance(result, Returned)
    told = msgspec.convert(result.value, dict[str, object])
    assert set(msgspec.convert(told["environment"], list[str])) <= {"LANG", "LC_CTYPE", "PATH"}
    assert (told["cwd"], told["stdin"]) == (str(home), "")
    assert told["pid"] == told["group"] != os.getpgrp()
    assert told["session"] not in (told["pid"], os.getsid(0))
    assert "run.lock" not in str(told["open"])


async def test_workers_are_warm_and_start_each_call_at_home(home: Path) -> None:
    async with working(home) as bench:
        first = await bench.result("whoami")
        assert await bench.result("wander") == Returned("/")
        assert await bench.result("whoami") == first


async def test_parallel_calls_run_in_processes_of_their_own(home: Path) -> None:
    async with working(home) as bench:
        results = await asyncio.gather(*(bench.result("block", seconds=0.2) for _ in range(3)))
    assert results == [Returned("woke")] * 3


async def test_a_deadline_ends_a_blocking_tool_and_everything_it_started(home: Path) -> None:
    async with working(home) as bench:
        assert await bench.result("block", within=0.5, seconds=60) == Expired(0.5)
        worker, grandchild = bench.pids()
        assert await until(lambda: is_gone(worker) and is_gone(grandchild))
        assert isinstance(await bench.result("whoami"), Returned)


@pytest.mark.parametrize("name", ["stubborn", "swallow", "hold_the_interpreter"])
async def test_a_deadline_ends_a_tool_that_does_not_want_to_end(name: str, home: Path) -> None:
    async with working(home) as bench:
        assert await bench.result(name, within=0.4) == Expired(0.4)
        assert await until(lambda: all(map(is_gone, bench.pids())))


async def test_a_cancelled_attempt_leaves_no_process(home: Path) -> None:
    async with working(home) as bench:
        attempt = asyncio.create_task(bench.result("block", seconds=60))
        assert await until(lambda: (bench.workspace / "pids").exists() and len(bench.pids()) == 2)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        assert await until(lambda: all(map(is_gone, bench.pids())))


async def test_what_a_tool_prints_cannot_stop_or_imitate_its_answer(home: Path) -> None:
    async with working(home) as bench:
        assert await bench.result("flood") == Returned("dry")


async def test_a_tool_that_leaves_is_a_death_with_its_last_words(home: Path) -> None:
    async with working(home) as bench:
        result = await bench.result("leave", code=3)
        assert isinstance(result, Died)
        assert (result.code, result.stderr.splitlines()[-1]) == (3, "last words")


async def test_a_tool_that_calls_exit_has_raised(home: Path) -> None:
    async with working(home) as bench:
        result = await bench.result("leave_politely", code=3)
        assert isinstance(result, Raised)
        assert (result.fault.type, result.fault.attributes["code"]) == ("SystemExit", 3)


async def test_a_killed_worker_is_a_death_by_that_signal(home: Path) -> None:
    async with working(home) as bench:
        attempt = asyncio.create_task(bench.result("block", seconds=60))
        assert await until(lambda: (bench.workspace / "pids").exists() and len(bench.pids()) == 2)
        os.kill(bench.pids()[0], signal.SIGKILL)
        result = await attempt
        assert isinstance(result, Died)
        assert result.code == -signal.SIGKILL
        assert await until(lambda: is_gone(bench.pids()[1]))


async def test_an_idle_worker_that_died_costs_no_call(home: Path) -> None:
    async with working(home) as bench:
        first = await bench.result("whoami")
        assert isinstance(first, Returned)
        pid = msgspec.convert(first.value, dict[str, object])["pid"]
        assert isinstance(pid, int)
        os.kill(pid, signal.SIGKILL)
        assert await until(lambda: is_gone(pid))
        assert isinstance(await bench.result("whoami"), Returned)


async def test_a_result_of_fifty_megabytes_is_refused_and_the_worker_lives(home: Path) -> None:
    async with working(home) as bench:
        result = await bench.result("large", size=50_000_000)
        assert isinstance(result, Raised)
        assert result.fault.type == "ResultTooLarge"
        fits = await bench.result("large", size=200_000)
        assert isinstance(fits, Returned)
        assert len(str(fits.value)) == 200_000


async def test_a_result_no_model_could_read_is_cut_and_says_so(home: Path) -> None:
    async with working(home) as bench:
        cut = await bench.result("large", size=8_000_000)
        assert isinstance(cut, Returned)
        assert str(cut.value).endswith(
            "[cut here: 8000000 characters in all, 262144 shown; ask for less]"
        )


async def test_a_result_that_is_not_json_is_refused(home: Path) -> None:
    async with working(home) as bench:
        result = await bench.result("strange")
        assert isinstance(result, Raised)
        assert result.fault.type == "ResultNotJson"


async def test_an_exception_arrives_with_its_attributes_cause_and_place(home: Path) -> None:
    async with working(home) as bench:
        result = await bench.result("fail")
        assert isinstance(result, Raised)
        fault = result.fault
        assert (fault.type, fault.message) == ("Refused", "not with [secret TOKEN]")
        assert (fault.attributes["status_code"], fault.own_code) == (401, True)
        assert fault.cause is not None
        assert fault.cause.type == "KeyError"


async def test_arguments_that_do_not_fit_never_reach_the_function(home: Path) -> None:
    async with working(home) as bench:
        result = await bench.result("leave", code="three")
        assert isinstance(result, Raised)
        assert (result.fault.type, result.fault.module) == (
            "BadArguments",
            "standpipe.execution.worker",
        )
        assert "`code`" in result.fault.message


async def test_a_tool_gets_its_key_is_verified_and_its_changes_are_listed(home: Path) -> None:
    async with working(home) as bench:
        action = bench.action("send", {"to": "a@example.com"}, seconds=15)
        assert await bench.executor.verify(action, key="K1") == Returned(False)
        before = await bench.executor.prepare(action)
        done = await bench.executor.attempt(action, key="K1")
        assert done.result == Returned({"to": "a@example.com", "token": "[secret TOKEN]"})
        assert [(c.path, c.change, c.added) for c in done.changes] == [("sent.txt", "created", 1)]
        assert before != await bench.executor.prepare(action)
        assert await bench.executor.verify(action, key="K1") == Returned("a@example.com K1")
        leaking = bench.action("send", {"to": "s3cret"}, seconds=15)
        found = await bench.executor.verify(leaking, key="K1")
        assert found == Returned("[secret TOKEN] K1")


async def test_a_renewed_secret_is_used_from_then_on_and_never_shown(home: Path) -> None:
    async with working(home) as bench:
        result = await bench.executor.refresh(bench.tools["send"])
        assert result == Returned({"refreshed": ["TOKEN"]})
        assert bench.renewed == {"TOKEN": "renewed-value"}
        await bench.result("send", to="a@example.com")
        assert "renewed-value" in (bench.workspace / "sent.txt").read_text()


async def test_a_change_by_parallel_calls_is_told_exactly_once(home: Path) -> None:
    async with working(home) as bench:
        actions = [
            msgspec.structs.replace(
                bench.action("send", {"to": "a@example.com"}, seconds=15), id=f"r1.1.{number}"
            )
            for number in range(4)
        ]
        done = await asyncio.gather(*(bench.executor.attempt(a, key=a.id) for a in actions))
    lines = [change.added - change.removed for each in done for change in each.changes]
    assert sum(lines) == 4


async def test_closing_leaves_no_process_and_no_zombie(home: Path) -> None:
    async with working(home) as bench:
        await asyncio.gather(*(bench.result("block", seconds=0.1) for _ in range(3)))
    assert await until(has_no_children)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import os\nimport no_such_module\n", "tools.py:2: ModuleNotFoundError"),
        ("x = 1\nif x\n", "tools.py:2: SyntaxError"),
        ("import sys\n\nsys.exit(4)\n", "tools.py:3: SystemExit"),
        ("import os\nos._exit(4)\n", "tools.py: its worker ended with code 4"),
        (
            "from standpipe.execution.tools import tool\n\n@tool\ndef a(*b: int): ...\n",
            "tools.py:3: tool `a` takes `*args`",
        ),
    ],
)
async def test_tools_that_cannot_be_loaded_are_named_with_file_and_line(
    text: str, message: str, home: Path
) -> None:
    (home / "tools.py").write_text(text)
    with pytest.raises(ConfigError) as caught:
        await Bench(home).executor.start()
    assert caught.value.message.startswith(message)
    assert caught.value.hint
    assert await until(has_no_children)


@pytest.mark.parametrize(("killed", "loads"), [(2, True), (3, False)])
async def test_a_worker_that_is_killed_while_it_loads_is_started_again_and_not_for_ever(
    killed: int, loads: bool, home: Path
) -> None:
    starts = home / "starts"
    text = f"""
import os, signal
from pathlib import Path

started = Path({str(starts)!r})
started.write_text(started.read_text() + "x" if started.exists() else "x")
if len(started.read_text()) <= {killed}:
    os.kill(os.getpid(), signal.SIGKILL)
"""
    (home / "tools.py").write_text(text)
    bench = Bench(home)
    if loads:
        await bench.executor.start()
    else:
        with pytest.raises(ConfigError, match="ended with code -9"):
            await bench.executor.start()
    assert starts.read_text() == "xxx"
    await bench.executor.close()
    assert await until(has_no_children)


async def test_a_change_of_tools_py_does_not_reach_a_run_under_way(home: Path) -> None:
    async with working(home) as bench:
        (home / "tools.py").write_text("raise SystemExit(1)")
        await bench.result("block", within=0.2, seconds=60)  # the first worker is gone
        assert isinstance(await bench.result("whoami"), Returned)


RUNTIME = """
import asyncio, sys
from pathlib import Path
import msgspec
from standpipe.execution.frames import Request
from standpipe.execution.pool import Home, Pool

async def main(home: Path, name: str, portable: bool) -> None:
    tools = home / "tools.py"
    pool = Pool(Home(home=home, workspace=home / "workspace", tools_py=tools, portable=portable))
    await pool.start()
    arguments = msgspec.Raw(b'{"seconds": 60}' if name == "block" else b"{}")
    await pool.ask(Request(op="call", tool=name, arguments=arguments), seconds=60)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "portable"))
"""


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("block", "native"),
        ("block", "portable"),
        ("stubborn", "portable"),
        pytest.param(
            "hold_the_interpreter",
            "native",
            marks=pytest.mark.skipif(
                sys.platform != "linux", reason="only Linux can kill what holds the interpreter"
            ),
        ),
    ],
)
async def test_a_worker_dies_with_its_runtime(name: str, how: str, home: Path) -> None:
    command = [sys.executable, "-c", RUNTIME, str(home), name, how]
    runtime = subprocess.Popen(command)  # noqa: ASYNC220 -- killed below; our own text
    pids = home / "workspace" / "pids"
    assert await until(lambda: pids.exists() and bool(pids.read_text()))
    workers = [int(pid) for pid in pids.read_text().split()]
    runtime.kill()
    runtime.wait()
    assert await until(lambda: all(map(is_gone, workers)))
