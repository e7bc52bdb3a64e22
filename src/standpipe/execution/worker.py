"""The child in which tools run, forked by `execution/keeper.py`, which ends it.

Rule 1: descriptor 0 is the channel to the runtime, 2 its log. A tool sees neither: it reads from nowhere, and what
    it prints goes to the log.
Rule 2: whatever a tool raises is answered as a `Fault`; only a bug of ours ends the process with a traceback.
Rule 3: calls share the process, not the context: each starts with the context variables that loading has left.
"""

import asyncio
import contextvars
import importlib
import inspect
import os
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import cast

from standpipe.actions import Raised, Returned
from standpipe.errors import StandpipeError
from standpipe.execution import faults
from standpipe.execution.frames import (
    RESULT_BYTES_MAX,
    Broken,
    FrameTooLargeError,
    Hello,
    Init,
    Reached,
    Request,
    Source,
    encode,
    read_request,
)
from standpipe.execution.hosts import Watch
from standpipe.execution.manifests import BadArgumentsError, Bound, ToolError, tools_of
from standpipe.execution.tools import Surroundings, keep_secrets, settle_in
from standpipe.files import nearest

_END = object()


def main() -> None:
    """Serve the runtime until it closes the channel."""
    channel = _detach()
    watch = Watch(tell=lambda host: channel.sendall(encode(Reached(host))))
    sys.addaudithook(watch.hear)
    match read_request(channel):
        case Init() as init:
            bench = _load(init)
        case _:
            return
    if isinstance(bench, Broken):
        channel.sendall(encode(bench))
        return
    channel.sendall(encode(Hello(tuple(bound.tool for bound in bench.values()))))
    while isinstance(request := read_request(channel), Request):
        os.chdir(init.home)  # the last tool may have gone elsewhere
        with watch.call(request.paused):
            reply = contextvars.copy_context().run(_answer, bench, request)
        channel.sendall(_frame(reply))


def _detach() -> socket.socket:
    channel = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    return channel


@dataclass(frozen=True, slots=True)
class _Loaded:
    module: ModuleType
    source: bytes
    origin: str


def _load(init: Init) -> dict[str, Bound] | Broken:
    """Import the tools; what they print or leave behind is theirs."""
    os.chdir(init.home)
    settle_in(Surroundings(home=init.home, workspace=init.workspace, settings=init.settings))
    keep_secrets(init.secrets)
    try:
        loaded = [_builtin(name) for name in init.modules]
        if init.source is not None:
            loaded.append(_home_tools(init.home, init.source))
    except BaseException as error:  # noqa: BLE001 -- a module of the user may raise anything, SystemExit too
        return _broken(error, init.source)
    return _bench(loaded)


def _builtin(name: str) -> _Loaded:
    module = importlib.import_module(name)
    return _Loaded(module, Path(str(module.__file__)).read_bytes(), "builtin")


def _home_tools(home: str, source: Source) -> _Loaded:
    """Run the text of tools.py as module `tools`; modules beside it can be imported by it."""
    sys.path.append(home)  # last, so that a `json.py` of the home replaces nothing
    sys.dont_write_bytecode = True  # a home is the user's folder
    module = ModuleType("tools")
    module.__file__ = source.path
    sys.modules["tools"] = module  # annotations are looked up there
    exec(compile(source.text, source.path, "exec"), vars(module))  # noqa: S102 -- the operator's own code
    return _Loaded(module, source.text.encode(), "home")


def _bench(loaded: list[_Loaded]) -> dict[str, Bound] | Broken:
    bench: dict[str, Bound] = {}
    for each in loaded:
        file = str(each.module.__file__)
        try:
            offered = tools_of(each.module, source=each.source, origin=each.origin)
        except ToolError as error:
            return Broken(file, error.line, str(error), error.hint)
        for bound in offered:
            name = bound.tool.name
            if name in bench:
                return Broken(file, 0, f"two tools are called `{name}`", "rename one of them")
            bench[name] = bound
    return bench


def _broken(error: BaseException, source: Source | None) -> Broken:
    frames = traceback.extract_tb(error.__traceback__)
    places = [(frame.filename, frame.lineno or 0) for frame in frames]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno or 0))
    file, line = places[-1] if places else ("", 0)
    if source is not None:
        # The line of tools.py that led there, not the inside of a library.
        own = [number for name, number in places if name == source.path]
        file, line = source.path, own[-1] if own else 0
    if isinstance(error, StandpipeError):
        return Broken(file, line, error.message, error.hint)
    hint = ""
    if isinstance(error, ModuleNotFoundError) and error.name:
        hint = f"install `{error.name}` where standpipe is installed ({sys.prefix})"
    elif isinstance(error, NameError) and error.name:
        close = nearest(error.name, vars(sys.modules["tools"])) if "tools" in sys.modules else None
        hint = f"did you mean `{close}`?" if close else ""
    fault = faults.fault_of(error)
    return Broken(file, line, f"{fault.type}: {fault.message}", hint)


def _answer(bench: Mapping[str, Bound], request: Request) -> Returned | Raised:
    keep_secrets(request.secrets)
    bound = bench.get(request.tool)
    if bound is None:
        return faults.refused(faults.UNKNOWN_TOOL, f"no tool `{request.tool}` in this worker")
    try:
        step = _step(bound, request)
    except BadArgumentsError as error:
        return faults.refused(faults.BAD_ARGUMENTS, str(error))
    return _carried_out(step, own_file=bound.file)


def _step(bound: Bound, request: Request) -> Callable[[], object]:
    """Return what to do, with the arguments as the function wants them."""
    if request.op == "refresh":
        return bound.refresh or _nothing
    arguments = bound.arguments(bytes(request.arguments))
    if bound.tool.idempotency_key is not None:
        arguments[bound.tool.idempotency_key] = request.key
    if request.op == "call":
        return lambda: bound.function(**arguments)
    verify = bound.verify or _nothing
    wanted = _accepted(verify, arguments)
    return lambda: verify(**wanted)


def _nothing() -> None:
    """Stand in for a `verify` or `refresh` nobody declared: it cannot tell."""


def _accepted(
    function: Callable[..., object], arguments: Mapping[str, object]
) -> dict[str, object]:
    """Return the arguments a `verify` asks for by name; it need not repeat the whole signature."""
    parameters = inspect.signature(function).parameters
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return dict(arguments)
    return {name: value for name, value in arguments.items() if name in parameters}


def _carried_out(step: Callable[[], object], *, own_file: str) -> Returned | Raised:
    try:
        value = step()
        if inspect.isawaitable(value):
            value = asyncio.run(_awaited(value))
        if isinstance(value, Iterator):
            value = _collected(cast("Iterator[object]", value))
    except BaseException as error:  # noqa: BLE001 -- the one place of this process where a tool's exception becomes a value
        return Raised(faults.fault_of(error, own_file=own_file))
    return _as_reply(value)


async def _awaited(value: Awaitable[object]) -> object:
    return await value


def _collected(rows: Iterator[object]) -> list[object]:
    """Return what a generator yields, as far as it could be sent."""
    found: list[object] = []
    size = 0
    while size <= RESULT_BYTES_MAX and (row := next(rows, _END)) is not _END:
        found.append(row)
        size += faults.least_size(row, enough=RESULT_BYTES_MAX)
    return found


def _as_reply(value: object) -> Returned | Raised:
    """Return the value as JSON, or why it cannot be sent; one that is far too large is never copied."""
    if faults.least_size(value, enough=RESULT_BYTES_MAX) > RESULT_BYTES_MAX:
        return _too_large(f"more than {RESULT_BYTES_MAX} bytes")
    try:
        made = faults.as_json(value)
    except ValueError as error:
        return faults.refused(faults.RESULT_NOT_JSON, str(error))
    if faults.least_size(made, enough=RESULT_BYTES_MAX) > RESULT_BYTES_MAX:
        return _too_large(f"more than {RESULT_BYTES_MAX} bytes")
    return Returned(made)


def _too_large(what: str) -> Raised:
    return faults.refused(faults.RESULT_TOO_LARGE, f"the result is {what}; return less of it")


def _frame(reply: Returned | Raised) -> bytes:
    """Return the frame of a reply, or of the reason why there can be none."""
    try:
        return encode(reply, bytes_max=RESULT_BYTES_MAX)
    except FrameTooLargeError as error:
        return encode(_too_large(str(error)))
    except ValueError as error:
        return encode(faults.refused(faults.RESULT_NOT_JSON, str(error)))
