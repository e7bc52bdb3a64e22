"""Warm worker processes, one call per process at a time, each below a keeper (`execution/keeper.py`).

Rule 1: a worker inherits no descriptor of ours but its channel and its log, and no environment of ours.
Rule 2: a worker that was interrupted is never used again: TERM to its group, a grace, then its lifeline is cut, upon
    which its keeper kills everything below it.
Rule 3: all workers of a group run the same text of tools.py, the one that was there at `start()`.
"""

import asyncio
import contextlib
import os
import select
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from standpipe.actions import Died, Expired, Raised, Result, Returned, Tool
from standpipe.errors import ConfigError, StandpipeError
from standpipe.execution import faults
from standpipe.execution.frames import (
    Broken,
    Hello,
    Init,
    Reached,
    Reply,
    Request,
    Source,
    encode,
    read_reply,
)
from standpipe.execution.hosts import touches

GRACE_SECONDS = 2.0
WORKERS_MAX = 8
_START_SECONDS = 60.0
_KILLED_MAX = 2  # starts that a signal may end, before it is the fault of the tools
_KILL_SECONDS = 0.7  # after which the keeper itself is killed
_STDERR_TAIL_BYTES = 4_096
_SOURCE_BYTES_MAX = 1024 * 1024
# `-P`: the current folder is the home, and a `json.py` there must not replace the real one.
_COMMAND = (sys.executable, "-P", "-m", "standpipe.execution.keeper")
_ENVIRONMENT = ("PATH", "HOME", "LANG", "TMPDIR")


class _KilledError(ConfigError):
    """A signal ended a worker before it had loaded its tools."""


class Home(Struct, frozen=True, kw_only=True):
    """What the workers of one group are told of the home, and which tools they hold.

    `secrets` are the ones its tools may have in process; of `environment` only PATH, HOME, LANG
    and TMPDIR are handed on.
    """

    home: Path
    workspace: Path
    settings: Mapping[str, object] = {}
    secrets: Mapping[str, str] = {}
    environment: Mapping[str, str] = {}
    modules: tuple[str, ...] = ()  # built-in tools: "standpipe.tools.files" ...
    tools_py: Path | None = None  # the tools of the home
    portable: bool = False  # use nothing that only Linux has


class Answer(Struct, frozen=True):
    """What came of a request, and the hosts the tool connected to on the way."""

    result: Result
    hosts: tuple[str, ...] = ()


class Pool:
    """The workers of one group of tools: the built-in ones, or those of the home."""

    def __init__(
        self, home: Home, *, grace_seconds: float = GRACE_SECONDS, workers_max: int = WORKERS_MAX
    ) -> None:
        self._home = home
        self._secrets = dict(home.secrets)
        self._grace_seconds = grace_seconds
        self._workers_max = workers_max
        self._free = asyncio.Semaphore(workers_max)
        self._init: Init | None = None
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._ending: dict[_Worker, asyncio.Task[int]] = {}

    async def start(self) -> tuple[Tool, ...]:
        """Start the first worker and return the manifests of its tools.

        Raises:
            ConfigError: the tools cannot be loaded.
        """
        self._init = _init(self._home)
        worker = await self._start_one(self._init)
        self._idle.append(worker)
        return worker.tools

    async def ask(self, request: Request, *, seconds: float, fresh: bool = False) -> Answer:
        """Put one request to a worker and return what came of it, at the latest after `seconds`.

        With `fresh` and a pause, the worker is one that was never connected to anything, so that what
        is refused for the pause is known to be not sent. What cannot be put to a worker is a result
        too: the intent is on disk, and nothing was done.
        """
        try:
            frame = encode(msgspec.structs.replace(request, secrets=dict(self._secrets)))
        except ValueError as error:
            what = f"the arguments cannot be sent: {error}"
            return Answer(faults.refused(faults.BAD_ARGUMENTS, what))
        async with self._free:
            try:
                worker = await self._take(request.paused, fresh=fresh)
            except (ConfigError, OSError) as error:
                return Answer(faults.refused(faults.NOT_STARTED, f"no worker for it: {error}"))
            before = len(worker.told)
            result = await self._answered(worker, frame, seconds)
        return Answer(result, tuple(worker.told[before:]))

    def renew(self, secrets: Mapping[str, str]) -> None:
        """Use these values from the next request on, in every worker."""
        self._secrets.update(secrets)

    async def close(self) -> None:
        """End every worker, busy or not, and wait until none is left."""
        self._idle.clear()
        for worker in self._all:
            worker.hang_up()
        await asyncio.gather(*(self._end(worker, ask_first=False) for worker in list(self._all)))

    async def _answered(self, worker: "_Worker", frame: bytes, seconds: float) -> Result:
        try:
            async with asyncio.timeout(seconds):
                reply = await worker.ask(frame)
        except TimeoutError:
            await self._end(worker)
            return Expired(seconds)
        except (EOFError, ConnectionError, ValueError):
            code = await self._end(worker)
            return Died(code, worker.stderr_tail)
        except asyncio.CancelledError:
            await self._end(worker)
            raise
        if not isinstance(reply, Returned | Raised):
            await self._end(worker)
            raise StandpipeError(f"a worker answered a request with {type(reply).__name__}")
        self._idle.append(worker)
        return reply

    async def _take(self, paused: Mapping[str, float], *, fresh: bool) -> "_Worker":
        """Return a worker that holds no connection to where the call must not go."""
        kept: list[_Worker] = []
        try:
            while self._idle:
                worker = self._idle.pop()  # the last one used is the warmest
                if not worker.alive or len(kept) >= self._workers_max:
                    await self._end(worker)
                elif paused and (worker.told if fresh else touches(worker.told, paused)):
                    kept.append(worker)
                else:
                    return worker
        finally:
            self._idle += reversed(kept)
        if self._init is None:
            raise StandpipeError("the pool was not started", hint="await `start()` first")
        return await self._start_one(self._init)

    async def _start_one(self, init: Init) -> "_Worker":
        """Start a worker; one that somebody killed while it loaded had no part in that."""
        for _ in range(_KILLED_MAX):
            with contextlib.suppress(_KilledError):
                return await self._started(init)
        return await self._started(init)

    async def _started(self, init: Init) -> "_Worker":
        worker = await _Worker.spawn(self._home)
        self._all.add(worker)
        try:
            async with asyncio.timeout(_START_SECONDS):
                reply = await worker.ask(encode(init))
        except TimeoutError:
            await self._end(worker)
            raise ConfigError(
                f"{_place(init)}: not loaded after {_START_SECONDS:g} s",
                hint="move slow work out of the import into the tools",
            ) from None
        except (EOFError, ConnectionError, ValueError):
            code = await self._end(worker)
            kind = _KilledError if code < 0 else ConfigError
            raise kind(
                f"{_place(init)}: its worker ended with code {code} while loading it",
                hint=f"its last words: {worker.stderr_tail.strip()[-500:] or 'none'}",
            ) from None
        except asyncio.CancelledError:
            await self._end(worker)
            raise
        if isinstance(reply, Hello):
            worker.tools = reply.tools
            return worker
        await self._end(worker)
        raise _not_loaded(reply)

    async def _end(self, worker: "_Worker", *, ask_first: bool = True) -> int:
        """End a worker, once, even if whoever wants it is cancelled meanwhile."""
        if worker not in self._ending:
            end = worker.end(self._grace_seconds, ask_first=ask_first)
            self._ending[worker] = asyncio.create_task(end)
        code = await asyncio.shield(self._ending[worker])
        self._all.discard(worker)
        self._ending.pop(worker, None)
        return code


class _Worker:
    """A worker and its keeper. The process we started is the keeper; it ends as the worker does."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        channel: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        lifeline: int,
    ) -> None:
        self.tools: tuple[Tool, ...] = ()
        self.told: list[str] = []  # the hosts it was connected to, call after call
        self._process = process
        self._reader, self._writer = channel
        self._lifeline = lifeline
        self._tail = b""
        self._log = asyncio.create_task(self._keep_tail())

    @classmethod
    async def spawn(cls, home: Home) -> "_Worker":
        ours, theirs = socket.socketpair()
        lifeline_end, lifeline = os.pipe()
        try:
            process = subprocess.Popen(  # noqa: ASYNC220, S603 -- returns at exec; our own interpreter and module
                [*_COMMAND, *(["portable"] if home.portable else [])],
                stdin=theirs.fileno(),
                stdout=lifeline_end,
                stderr=subprocess.PIPE,
                cwd=home.home,
                env={
                    name: home.environment[name]
                    for name in _ENVIRONMENT
                    if name in home.environment
                },
                start_new_session=True,
            )
        except OSError:
            ours.close()
            os.close(lifeline)
            raise
        finally:
            theirs.close()
            os.close(lifeline_end)
        return cls(process, await asyncio.open_connection(sock=ours), lifeline)

    @property
    def alive(self) -> bool:
        """Whether the channel is open and silent; the kernel is asked, the loop may not have looked yet."""
        if self._reader.at_eof() or self._reader.exception() or self._writer.is_closing():
            return False
        channel = select.poll()
        channel.register(self._writer.get_extra_info("socket"), select.POLLIN)
        return not channel.poll(0)

    @property
    def stderr_tail(self) -> str:
        return self._tail.decode("utf-8", "replace")

    async def ask(self, frame: bytes) -> Reply:
        self._writer.write(frame)
        await self._writer.drain()
        while isinstance(reply := await read_reply(self._reader), Reached):
            self.told.append(reply.host)
        return reply

    def hang_up(self) -> None:
        """Close the channel, upon which an idle worker ends by itself."""
        self._writer.close()

    async def end(self, grace_seconds: float, *, ask_first: bool) -> int:
        """TERM to the group, a grace, KILL to everything below the keeper; then reap."""
        if ask_first:
            self._process.terminate()  # the keeper hands it on
        # Whoever is left holds the log open, as a rule.
        await asyncio.wait({self._log}, timeout=grace_seconds)
        os.close(self._lifeline)
        ended = asyncio.ensure_future(asyncio.to_thread(self._process.wait))
        await asyncio.wait({ended}, timeout=_KILL_SECONDS)
        if not ended.done():
            self._process.kill()
        code = await ended
        await asyncio.wait({self._log}, timeout=grace_seconds / 10)
        self._log.cancel()
        self._writer.close()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await self._log
            await self._writer.wait_closed()
        return code

    async def _keep_tail(self) -> None:
        """Read the log to its end, so that a tool that prints a lot never blocks."""
        log = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(log), self._process.stderr
        )
        try:
            while part := await log.read(65_536):
                self._tail = (self._tail + part)[-_STDERR_TAIL_BYTES:]
        finally:
            transport.close()


def _init(home: Home) -> Init:
    return Init(
        home=str(home.home.absolute()),
        workspace=str(home.workspace.absolute()),
        settings=home.settings,
        secrets=home.secrets,
        modules=home.modules,
        source=None if home.tools_py is None else _source(home.tools_py.absolute()),
    )


def _source(path: Path) -> Source:
    try:
        size = path.stat().st_size
        if size > _SOURCE_BYTES_MAX:
            raise ConfigError(
                f"{path.name}: {size} bytes, at most {_SOURCE_BYTES_MAX} are read",
                hint="move data into files beside it",
            )
        return Source(str(path), path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path.name}: this is not UTF-8 text", hint="save it as UTF-8"
        ) from error
    except OSError as error:
        hint = "tools.py is a file with UTF-8 text that you may read"
        raise ConfigError(f"{path.name}: {error.strerror}", hint=hint) from error


def _place(init: Init) -> str:
    return "tools.py" if init.source is None else Path(init.source.path).name


def _not_loaded(reply: Reply) -> StandpipeError:
    if not isinstance(reply, Broken):
        return StandpipeError(f"a worker greeted with {type(reply).__name__}")
    place = Path(reply.file).name or "tools.py"
    where = f"{place}:{reply.line}" if reply.line else place
    hint = reply.hint or f"`python {place}` shows the whole traceback"
    return ConfigError(f"{where}: {reply.message}", hint=hint)
