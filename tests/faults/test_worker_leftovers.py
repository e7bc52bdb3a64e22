"""Tools that crash, leave processes behind or return the unbearable: one clear failure, and nothing remains."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from standpipe.actions import Died, Effect, Expired, Raised, Result, Returned, Tool
from standpipe.execution.frames import Request
from standpipe.execution.pool import Home, Pool
from standpipe.outcomes.classify import judge
from standpipe.outcomes.outcome import Unknown

TOOLS = '''
import asyncio, contextvars, ctypes, os, resource, signal, sys, threading, time
from pathlib import Path

from standpipe.execution.tools import surroundings, tool

PIDS = surroundings().workspace_path / "pids"
USER = contextvars.ContextVar("USER", default="nobody")
USER.set("loaded")


def here() -> None:
    with PIDS.open("a") as file:
        file.write(f"{os.getpid()}\\n")


def linger() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    here()
    while True:
        time.sleep(60)


def leave_behind(how: str) -> None:
    read, write = os.pipe()
    if os.fork():
        os.close(write)
        os.read(read, 1)  # until it has said where it is
        return
    if how != "group":
        os.setsid()
    if how == "orphan" and os.fork():
        os._exit(0)
    here()
    os.write(write, b"x")
    linger()


@tool
def daemon(how: str, then: str) -> str:
    """Leave a process behind, and then end in some way."""
    here()
    leave_behind(how)
    if then == "exit":
        os._exit(3)
    if then == "segfault":
        ctypes.string_at(0)
    if then == "hang":
        linger()
    return "left one"


@tool
def shut() -> str:
    """Close everything the process has open."""
    here()
    os.closerange(3, 256)
    linger()


@tool
def huge(what: str) -> object:
    """Return a gigabyte, with room for half of one beside it."""
    with Path("/proc/self/statm").open() as file:
        used = int(file.read().split()[0]) * os.sysconf("SC_PAGESIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + 1_500_000_000, resource.RLIM_INFINITY))
    if what == "bytes":
        return bytes(1_000_000_000)
    if what == "list":
        return ["x" * 1_000_000] * 1_000
    if what == "table":
        return {str(n): ["x" * 1_000_000] * 100 for n in range(10)}
    return ("x" * 1_000_000 for _ in range(1_000_000))


@tool
def rows(fail: bool = False) -> object:
    """Return a generator."""
    yield {"id": 1}
    if fail:
        raise KeyError("second")
    yield {"id": 2}


@tool
def print_and_hang() -> str:
    """Print for ever."""
    here()
    while True:
        sys.stdout.write("noise " * 10_000)


@tool
async def swallow() -> str:
    """Ignore every cancellation, in a thread too."""
    here()
    threading.Thread(target=linger).start()
    while True:
        try:
            await asyncio.sleep(60)
        except BaseException:
            pass


@tool
def sync_user(user: str) -> list[str]:
    """Say who the user is, before and after."""
    before = USER.get()
    USER.set(user)
    return [before, USER.get()]


@tool
async def async_user(user: str) -> list[str]:
    """Say who the user is, in what the call starts too."""
    before = USER.get()
    USER.set(user)
    return [before, await asyncio.to_thread(USER.get), await asyncio.create_task(later())]


async def later() -> str:
    return USER.get()


@tool
def buggy() -> str:
    """Have a mistake in it."""
    return {}["missing"]
'''

GRACE_SECONDS = 0.3
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives us every orphan")
LEFT = [
    pytest.param("group", False, id="group"),
    pytest.param("group", True, id="group, portable"),
    pytest.param("session", False, id="session", marks=LINUX),
    pytest.param("orphan", False, id="orphan", marks=LINUX),
]


class Bench:
    """The tools above, in workers."""

    def __init__(self, home: Path, *, portable: bool = False) -> None:
        self.pids_file = home / "workspace" / "pids"
        about = Home(
            home=home,
            workspace=home / "workspace",
            environment={"PATH": os.defpath},
            tools_py=home / "tools.py",
            portable=portable,
        )
        self.pool = Pool(about, grace_seconds=GRACE_SECONDS)

    async def call(self, name: str, *, within: float = 15.0, **arguments: object) -> Result:
        raw = msgspec.Raw(msgspec.json.encode(arguments))
        answer = await self.pool.ask(Request(op="call", tool=name, arguments=raw), seconds=within)
        return answer.result

    def pids(self) -> set[int]:
        said = self.pids_file.read_text() if self.pids_file.exists() else ""
        return {int(pid) for pid in said.split()}

    async def is_empty(self) -> bool:
        """Whether every process that said where it is has gone."""
        return await until(lambda: all(map(is_gone, self.pids())))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "tools.py").write_text(TOOLS)
    return tmp_path


@asynccontextmanager
async def working(home: Path, *, portable: bool = False) -> AsyncGenerator[Bench]:
    bench = Bench(home, portable=portable)
    await bench.pool.start()
    try:
        yield bench
    finally:
        await bench.pool.close()


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def until(condition: Callable[[], bool]) -> bool:
    """Look again and again, at most 15 s."""
    for _ in range(1500):
        if condition():
            return True
        await asyncio.sleep(0.01)
    return False


@pytest.mark.parametrize(("how", "portable"), LEFT)
async def test_a_deadline_ends_what_a_tool_left_behind(
    how: str, portable: bool, home: Path
) -> None:
    async with working(home, portable=portable) as bench:
        assert await bench.call("daemon", how=how, then="hang", within=1.5) == Expired(1.5)
        assert await bench.is_empty()


@pytest.mark.parametrize(("how", "portable"), LEFT)
@pytest.mark.parametrize(("then", "code"), [("exit", 3), ("segfault", -signal.SIGSEGV)])
async def test_a_tool_that_exits_hard_leaves_nothing_behind(
    how: str, portable: bool, then: str, code: int, home: Path
) -> None:
    async with working(home, portable=portable) as bench:
        result = await bench.call("daemon", how=how, then=then)
        assert isinstance(result, Died)
        assert result.code == code
        assert len(bench.pids()) == 2
        assert await bench.is_empty()


@pytest.mark.parametrize(("how", "portable"), LEFT)
async def test_what_a_finished_call_left_behind_ends_with_its_worker(
    how: str, portable: bool, home: Path
) -> None:
    async with working(home, portable=portable) as bench:
        assert await bench.call("daemon", how=how, then="return") == Returned("left one")
        assert not any(map(is_gone, bench.pids()))
    assert await bench.is_empty()


@pytest.mark.parametrize("name", ["print_and_hang", "swallow"])
async def test_a_tool_that_does_not_stop_by_itself_is_stopped(name: str, home: Path) -> None:
    async with working(home) as bench:
        assert await bench.call(name, within=0.5) == Expired(0.5)
        assert await bench.is_empty()
        assert await bench.call("sync_user", user="next") == Returned(["loaded", "next"])


async def test_a_tool_that_closes_our_channel_has_died(home: Path) -> None:
    async with working(home) as bench:
        assert isinstance(await bench.call("shut"), Died)
        assert await bench.is_empty()


@pytest.mark.parametrize("then", ["exit", "segfault"])
async def test_a_crash_under_an_effect_that_happens_once_is_in_doubt(then: str, home: Path) -> None:
    async with working(home) as bench:
        result = await bench.call("daemon", how="group", then=then)
    assert isinstance(judge(Tool(name="daemon", effect=Effect.ONCE), result), Unknown)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to its memory")
@pytest.mark.parametrize("what", ["bytes", "list", "table", "generator"])
async def test_a_gigabyte_is_refused_without_being_copied(what: str, home: Path) -> None:
    async with working(home) as bench:
        result = await bench.call("huge", what=what)
        assert isinstance(result, Raised)
        assert result.fault.type == "ResultTooLarge"
        assert await bench.call("sync_user", user="next") == Returned(["loaded", "next"])


async def test_a_generator_is_a_list_and_its_exception_the_tools(home: Path) -> None:
    async with working(home) as bench:
        assert await bench.call("rows") == Returned([{"id": 1}, {"id": 2}])
        result = await bench.call("rows", fail=True)
        assert isinstance(result, Raised)
        assert result.fault.type == "KeyError"


@pytest.mark.parametrize("name", ["sync_user", "async_user"])
async def test_context_variables_reach_what_a_call_starts_and_no_other_call(
    name: str, home: Path
) -> None:
    async with working(home) as bench:
        for user in ("ann", "bob"):
            result = await bench.call(name, user=user)
            assert isinstance(result, Returned)
            assert msgspec.convert(result.value, list[str])[0] == "loaded"
            assert set(msgspec.convert(result.value, list[str])[1:]) == {user}


async def test_a_mistake_of_a_tool_names_its_line(home: Path) -> None:
    line = TOOLS.splitlines().index('    return {}["missing"]') + 1
    async with working(home) as bench:
        result = await bench.call("buggy")
    assert isinstance(result, Raised)
    assert (result.fault.own_code, result.fault.place) == (True, f"tools.py:{line} in buggy")


RUNTIME = """
import asyncio, sys
from pathlib import Path
import msgspec
from standpipe.execution.frames import Request
from standpipe.execution.pool import Home, Pool

async def main(home: Path, arguments: str, portable: bool) -> None:
    tools = home / "tools.py"
    pool = Pool(Home(home=home, workspace=home / "workspace", tools_py=tools, portable=portable))
    await pool.start()
    raw = msgspec.Raw(arguments.encode())
    await pool.ask(Request(op="call", tool="daemon", arguments=raw), seconds=60)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "True"))
"""


@pytest.mark.parametrize(("how", "portable"), LEFT)
async def test_what_a_tool_left_behind_dies_with_a_runtime_that_is_killed(
    how: str, portable: bool, home: Path
) -> None:
    arguments = msgspec.json.encode({"how": how, "then": "hang"}).decode()
    command = [sys.executable, "-c", RUNTIME, str(home), arguments, str(portable)]
    runtime = subprocess.Popen(command)  # noqa: ASYNC220 -- killed below; our own text
    bench = Bench(home)
    # The worker says where it is before it begins and again when it lingers.
    assert await until(
        lambda: bench.pids_file.exists() and bench.pids_file.read_text().count("\n") == 4
    )
    runtime.kill()
    runtime.wait()
    assert len(bench.pids()) == 2
    assert await bench.is_empty()
