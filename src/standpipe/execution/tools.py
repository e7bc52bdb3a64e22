"""Declare a tool: `@tool(effect="once", control=["to"])` over a plain function, sync or async.

Rule 1: declaring has no effect and imports nothing heavy; the schema is made where the tool runs.
Rule 2: what the runtime knows of a tool is its manifest (`actions.Tool`); the function stays in its worker.
Rule 3: a tool asks for its surroundings (`surroundings()`, `secret(NAME)`); it never reads the environment.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, overload

import msgspec
from msgspec import Meta, Struct

from standpipe.actions import Effect
from standpipe.errors import StandpipeError, UsageError

P = ParamSpec("P")
R = TypeVar("R")
MARK = "__standpipe_tool__"
# As in `config.py`, whose import every `import standpipe` would pay for; a test compares them.
DAY_SECONDS = 86_400
SAME_WAY_MAX = 10
_FUNCTION = "write the function itself, without quotes and without calling it"
_NAMES = 'write a list: ["..."]'
_DAY = f"write seconds: above 0, at most {DAY_SECONDS} (a day)"
_HINTS = {
    "effect": "effect is one of read, idempotent, once; see docs/reference/tools.md",
    "policy": "policy is one of allow, ask, deny",
    "returns": "returns is one of untrusted, trusted",
    "refresh": _FUNCTION,
    "verify": _FUNCTION,
    "control": _NAMES,
    "alternates": _NAMES,
    "expected": _NAMES,
    "timeout": _DAY,
    "poll": _DAY,
    "verify_after_seconds": f"write seconds: from 0 to {DAY_SECONDS} (a day)",
    "same_way": f"write a whole number from 1 to {SAME_WAY_MAX}",
}
_Seconds = Annotated[float, Meta(gt=0, le=DAY_SECONDS)]


class NotAllowedError(PermissionError):
    """A tool refuses by its own rules. The agent is told once; the second time a person is asked."""


class Declaration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the decorator was told; `execution/worker.py` makes the manifest of it."""

    effect: Effect = Effect.ONCE
    control: tuple[str, ...] | None = None
    known: Mapping[str, tuple[str, ...]] = {}
    policy: Literal["allow", "ask", "deny"] | None = None
    destructive: bool = False
    reversible: bool = False
    local: bool = False
    returns: Literal["untrusted", "trusted"] = "untrusted"
    returns_media: str | None = None
    tells: str = ""
    timeout: _Seconds = 30.0
    verify: Callable[..., object] | None = None
    verify_after_seconds: Annotated[float, Meta(ge=0, le=DAY_SECONDS)] = 0.0
    idempotency_key: str | None = None
    alternates: tuple[str, ...] = ()
    refresh: Callable[..., object] | None = None
    expected: tuple[str, ...] = ()
    poll: _Seconds | None = None
    same_way: Annotated[int, Meta(ge=1, le=SAME_WAY_MAX)] | None = None


@overload
def tool(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def tool(
    *,
    effect: str = "once",
    control: Sequence[str] | None = None,
    known: Mapping[str, Sequence[str]] | None = None,
    policy: str | None = None,
    destructive: bool = False,
    reversible: bool = False,
    local: bool = False,
    returns: str = "untrusted",
    returns_media: str | None = None,
    tells: str = "",
    timeout: float = 30.0,
    verify: Callable[..., object] | None = None,
    verify_after_seconds: float = 0.0,
    idempotency_key: str | None = None,
    alternates: Sequence[str] = (),
    refresh: Callable[..., object] | None = None,
    expected: Sequence[str] = (),
    poll: float | None = None,
    same_way: int | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def tool(function: Any = None, /, **options: Any) -> Any:
    """Declare a function as a tool; without options it is taken for the worst (`once`, asks).

    effect: `read` | `idempotent` | `once`: what a second call would do.
    control: the arguments that decide where the effect lands or what it costs.
    timeout: seconds; ends a blocking sync function too, with everything it started.
    verify: called with the tool's arguments by name; returns the receipt or True (it happened),
        False (it did not), None (cannot tell). idempotency_key: the parameter the runtime fills.
    refresh: called once when a credential is rejected; may return `{NAME: new value}`.
    alternates: names of tools to try instead when this one cannot work.
    expected: failure kinds that are answers here (`["not_found"]`).
    poll: for so many seconds the same answer again and again is waiting, not a loop.
    same_way: how often it may fail the same way before a person is asked.

    Each call runs in the context that loading tools.py has left: context variables set in one call are
    seen by what it starts, and by no other call.

    Raises:
        UsageError: an option has a value that cannot be meant.
    """

    def declare(subject: Callable[P, R]) -> Callable[P, R]:
        name = str(getattr(subject, "__name__", subject))
        if unknown := [option for option in options if option not in _OPTIONS]:
            raise _no_such_option(name, unknown[0])
        try:
            declaration = msgspec.convert(options, Declaration, strict=False)
        except msgspec.ValidationError as error:
            what, _, where = str(error).partition(" - at `$.")
            option = where.rstrip("`").partition("[")[0]
            raise UsageError(
                f"tool `{name}`: `{option}`: {what[:1].lower()}{what[1:]}",
                hint=_HINTS.get(option, _HINTS["effect"]),
            ) from None
        setattr(subject, MARK, declaration)
        return subject

    return declare if function is None else declare(function)


_OPTIONS = Declaration.__struct_fields__


def _no_such_option(tool: str, option: str) -> UsageError:
    from standpipe.files import nearest  # noqa: PLC0415 -- only a mistake pays for it

    close = nearest(option, _OPTIONS)
    hint = f"did you mean `{close}`?" if close else f"known: {', '.join(_OPTIONS)}"
    return UsageError(f"tool `{tool}`: unknown option `{option}`", hint=hint)


class Surroundings(Struct, frozen=True, kw_only=True):
    """What a tool may know of the home it runs in."""

    home: str
    workspace: str
    settings: Mapping[str, object] = {}  # the sections a built-in tool needs: egress, mail, sql

    @property
    def workspace_path(self) -> Path:
        return Path(self.workspace)


_here: Surroundings | None = None
_secrets: dict[str, str] = {}


def surroundings() -> Surroundings:
    """Return the surroundings of the running worker.

    Raises:
        StandpipeError: no worker is running this code.
    """
    if _here is None:
        raise StandpipeError(
            "this code does not run in a Standpipe worker",
            hint="call the tool through a run, or use `standpipe.testing` in a test",
        )
    return _here


def settle_in(here: Surroundings) -> None:
    """Tell the running process where it is; called once by the worker."""
    global _here  # noqa: PLW0603 -- one worker process, one home: this is its whole identity
    _here = here


def keep_secrets(values: Mapping[str, str]) -> None:
    """Take over the secrets this worker may use, newest last."""
    _secrets.update(values)


def renewed(name: str) -> str:
    """Return the newest value of a secret this worker was given; empty if it was given none."""
    return _secrets.get(name, "")


def secret(name: str) -> str:
    """Return the value of the secret `name` inside a tool of this home.

    Raises:
        UsageError: standpipe.toml does not give `name` to tools, or the environment has no such value.
    """
    try:
        return _secrets[name]
    except KeyError:
        raise UsageError(
            f"secret `{name}` is not available to this tool",
            hint=f"add `[secrets.{name}]` with `tools = [...]` to standpipe.toml and set {name} in the environment",
        ) from None
