"""Do it: one attempt, under the tool's deadline, between two looks at the workspace.

Rule 1: whatever a tool does comes back as a value; only a bug of ours, a lost journal or a cancel is raised.
Rule 2: values are masked here, where they come in, before anybody else sees them.
Rule 3: calls run in parallel, walks do not; with calls in parallel a change belongs to the one that ends first after it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

import msgspec

from standpipe.actions import (
    Action,
    Change,
    Done,
    Effect,
    Expired,
    Raised,
    Result,
    Returned,
    Tool,
)
from standpipe.clock import Clock
from standpipe.errors import JournalError, StandpipeError, StateError
from standpipe.execution import faults
from standpipe.execution.frames import RESULT_BYTES_MAX, Request
from standpipe.execution.hosts import NO_PAUSES
from standpipe.execution.pool import GRACE_SECONDS, Answer, Pool
from standpipe.execution.workspace import Workspace

Inner = Callable[[Action], Awaitable[object]]
OUTPUT_CHARACTERS_MAX = 256 * 1024
_REFRESH_SECONDS_MIN = 30.0


def _as_it_is(value: object) -> object:
    return value


def _forget(name: str, value: str) -> None:
    del name, value


class Executor:
    """The only thing that has effects."""

    def __init__(
        self,
        *,
        clock: Clock,
        builtin: Pool | None = None,
        home: Pool | None = None,
        workspace: Workspace | None = None,
        inner: Mapping[str, Inner] | None = None,
        mask: Callable[[object], object] = _as_it_is,
        on_secret: Callable[[str, str], None] = _forget,
    ) -> None:
        self._clock = clock
        self._builtin = builtin
        self._home = home
        self._workspace = workspace
        self._inner = dict(inner or {})
        self._mask = mask
        self._on_secret = on_secret
        self._pools: dict[str, Pool] = {}
        self._walking = asyncio.Lock()
        self._under_way = 0
        self._seen = ""  # the tree up to which changes have been told
        self._inherited = False  # `_seen` is from a process that was killed
        self._prepared: dict[str, str] = {}

    async def start(self) -> tuple[Tool, ...]:
        """Start a worker of each group and return their manifests; the home's win over built-in ones.

        Raises:
            ConfigError: tools cannot be loaded.
        """
        pools = [pool for pool in (self._builtin, self._home) if pool is not None]
        started = await asyncio.gather(*(pool.start() for pool in pools), return_exceptions=True)
        tools: dict[str, Tool] = {}
        for pool, offered in zip(pools, started, strict=True):
            if isinstance(offered, BaseException):
                await self.close()
                raise offered
            tools |= {tool.name: tool for tool in offered}
            self._pools |= {tool.name: pool for tool in offered}
        return tuple(tools.values())

    async def close(self) -> None:
        """End every worker."""
        for pool in (self._builtin, self._home):
            if pool is not None:
                await pool.close()

    async def prepare(self, action: Action) -> str:
        """Return the digest of the workspace before the action; empty if it cannot change it.

        Raises:
            StandpipeError: no copy can be kept, so the action must not start.
        """
        if self._workspace is None or not self._may_write(action.tool):
            return ""
        async with self._walking:
            try:
                tree = await asyncio.to_thread(self._workspace.snapshot)
            except OSError as error:
                raise StandpipeError(
                    f"`workspace/` cannot be copied before `{action.tool.name}`: {error}",
                    hint="free some disk space, or make .standpipe/ writable; nothing was done",
                ) from error
            if not self._under_way and not self._inherited:
                self._seen = tree  # what came before was done by a person
        self._prepared[action.id] = tree
        return tree

    async def attempt(
        self, action: Action, *, key: str, paused: Mapping[str, float] = NO_PAUSES
    ) -> Done:
        """Do the action once, without a request to a host in `paused` before its seconds are over.

        `key` fills the parameter the tool named as `idempotency_key`.
        """
        before = self._prepared.pop(action.id, "") or await self.prepare(action)
        self._prepared.pop(action.id, None)
        started = self._clock.monotonic()
        if not before:
            answer = await self._performed(action, key, paused)
            seconds = self._clock.monotonic() - started
            return Done(answer.result, seconds=seconds, hosts=answer.hosts)
        self._under_way += 1
        try:
            answer = await self._performed(action, key, paused)
            seconds = self._clock.monotonic() - started
            return Done(answer.result, await self._changes(), seconds, answer.hosts)
        finally:
            # Only now: as long as its changes are not told, a `prepare` must not pass over them.
            self._under_way -= 1

    def inherit(self, tree: str) -> None:
        """Go on from the workspace as it was before an attempt whose process was killed."""
        if tree:
            self._seen, self._inherited = tree, True

    async def left_over(self) -> tuple[Change, ...]:
        """Return what a killed attempt changed, if nobody has told it yet."""
        return await self._changes() if self._inherited else ()

    async def verify(
        self, action: Action, *, key: str, paused: Mapping[str, float] = NO_PAUSES
    ) -> Result:
        """Ask the tool's `verify` whether the action happened."""
        request = _request("verify", action, key, paused)
        seconds = action.tool.timeout_seconds
        return self._masked((await self._asked(request, seconds=seconds)).result)

    async def refresh(self, tool: Tool, *, paused: Mapping[str, float] = NO_PAUSES) -> Result:
        """Renew the tool's credential; new values are used from now on and are not in the result."""
        request = Request(op="refresh", tool=tool.name, paused=dict(paused))
        seconds = max(tool.timeout_seconds, _REFRESH_SECONDS_MIN)
        result = (await self._asked(request, seconds=seconds)).result
        if not isinstance(result, Returned):
            return self._masked(result)
        return Returned({"refreshed": sorted(self._renewed(tool.name, result.value))})

    def _may_write(self, tool: Tool) -> bool:
        if tool.name in self._inner:
            return False
        # A `read` tool of the home is believed about the world outside, not about the workspace.
        return self._pools.get(tool.name) is not self._builtin or tool.effect is not Effect.READ

    async def _performed(self, action: Action, key: str, paused: Mapping[str, float]) -> Answer:
        seconds = action.tool.timeout_seconds
        if inner := self._inner.get(action.tool.name):
            return Answer(self._masked(await _in_process(inner, action, seconds=seconds)))
        request = _request("call", action, key, paused)
        fresh = action.tool.effect is Effect.ONCE
        answer = await self._asked(request, seconds=seconds, fresh=fresh)
        hosts = msgspec.convert(self._mask(list(answer.hosts)), tuple[str, ...])
        return Answer(_shortened(self._masked(answer.result)), hosts)

    async def _asked(
        self, request: Request | Raised, *, seconds: float, fresh: bool = False
    ) -> Answer:
        if isinstance(request, Raised):
            return Answer(request)
        pool = self._pools.get(request.tool)
        if pool is None:
            what = f"no tool `{request.tool}` can be run here"
            return Answer(faults.refused(faults.UNKNOWN_TOOL, what))
        return await pool.ask(request, seconds=seconds, fresh=fresh)

    async def _changes(self) -> tuple[Change, ...]:
        """Return what has changed since the last time anybody was told."""
        workspace = self._workspace
        if workspace is None:
            return ()
        async with self._walking:
            try:
                after = await asyncio.to_thread(workspace.snapshot)
                before, self._seen, self._inherited = self._seen, after, False
                return await asyncio.to_thread(workspace.changes, before, after)
            except (OSError, msgspec.MsgspecError) as error:  # a copy is gone, or was cut short
                # The effect has happened, so its result must not be lost over the list of files.
                # Told once: what the next call changes is compared with what stands there now.
                return (Change(".", "modified", undoable=False, reason=f"not compared: {error}"),)

    def _renewed(self, tool: str, value: object) -> list[str]:
        if not isinstance(value, Mapping):
            return []
        given = cast("Mapping[str, object]", value)
        secrets = {name: each for name, each in given.items() if isinstance(each, str)}
        for name, each in secrets.items():
            self._on_secret(name, each)
        # The built-in tools are our own code and carry every credential; other tools only theirs.
        for pool in (self._builtin, self._pools[tool]):
            if pool is not None:
                pool.renew(secrets)
        return list(secrets)

    def _masked(self, result: Result) -> Result:
        return msgspec.convert(self._mask(msgspec.to_builtins(result)), Result)


def _shortened(result: Result) -> Result:
    """Cut what no model could read; the note says what is missing."""
    if not isinstance(result, Returned):
        return result
    text = (
        result.value
        if isinstance(result.value, str)
        else msgspec.json.encode(result.value).decode()
    )
    if len(text) <= OUTPUT_CHARACTERS_MAX:
        return result
    cut = f"[cut here: {len(text)} characters in all, {OUTPUT_CHARACTERS_MAX} shown; ask for less]"
    return Returned(f"{text[:OUTPUT_CHARACTERS_MAX]}\n{cut}", cut=True)


async def _in_process(inner: Inner, action: Action, *, seconds: float) -> Result:
    """Run one of the agent's own tools; one that ignores its cancellation is left behind."""
    task = asyncio.ensure_future(_as_value(inner, action))
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task}, timeout=GRACE_SECONDS)
    except asyncio.CancelledError:
        task.cancel()
        raise
    return Expired(seconds)


async def _as_value(inner: Inner, action: Action) -> Result:
    try:
        value = faults.as_json(await inner(action))
        size = len(msgspec.json.encode(value))
    except (JournalError, StateError):
        raise  # not the tool's failure but ours
    except Exception as error:  # noqa: BLE001 -- the one place of this process where a tool's exception becomes a value
        return Raised(faults.fault_of(error))
    if size > RESULT_BYTES_MAX:
        return faults.refused(faults.RESULT_TOO_LARGE, f"the result is {size} bytes")
    return Returned(value)


def _request(op: str, action: Action, key: str, paused: Mapping[str, float]) -> Request | Raised:
    try:
        arguments = msgspec.Raw(msgspec.json.encode(action.arguments))
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        return faults.refused(faults.BAD_ARGUMENTS, str(error))
    return Request(op=op, tool=action.tool.name, arguments=arguments, key=key, paused=dict(paused))
