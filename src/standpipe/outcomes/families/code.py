"""Code: a mistake in the tool's own lines, and what our own tools raise.

Rule: a type counts only where it was raised. A `KeyError` named in a text is somebody else's.
"""

from standpipe.actions import Fault
from standpipe.outcomes.finding import Finding
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import called

BUGS = (
    "TypeError", "KeyError", "AttributeError", "IndexError", "ZeroDivisionError", "NameError",
    "UnboundLocalError", "NotImplementedError", "RecursionError", "AssertionError", "SyntaxError",
    "LookupError", "StopIteration",
)  # fmt: skip
# What the built-in tools raise on purpose; nearest base first.
OWN = {
    "standpipe.NotAllowedError": Kind.DENIED,
    "standpipe.Conflict": Kind.CONFLICT,
    "standpipe.NotFoundError": Kind.NOT_FOUND,
    "standpipe.ConfigError": Kind.ENVIRONMENT,
    "standpipe.UsageError": Kind.BAD_INPUT,
}
_WORKER = "standpipe.execution.worker"
_NOT_CALLED = {
    "BadArguments": (Kind.BAD_INPUT, "arguments"),
    "NotStarted": (Kind.ENVIRONMENT, "not_started"),
    "UnknownTool": (Kind.UNKNOWN_TOOL, "unknown_tool"),
}
_BUG_NAMES = frozenset(f"builtins.{name}" for name in BUGS)
# Our own exceptions, and those our tools pass on with a `phase` written on them.
_PHASED = ("standpipe", "builtins", "smtplib", "sqlite3", "socket", "ssl")
_PHASES = {"not_sent": Phase.NOT_SENT, "sent": Phase.SENT}
_INPUT = ("builtins.TypeError", "builtins.ValueError")


def refused_by_worker(fault: Fault) -> Finding | None:
    """Read why the function was not called at all."""
    if fault.module != _WORKER or fault.type not in _NOT_CALLED:
        return None
    kind, code = _NOT_CALLED[fault.type]
    return Finding(kind=kind, message=fault.message, code=code, phase=Phase.NOT_SENT)


def own(fault: Fault) -> Finding | None:
    """Read what a built-in tool raised on purpose."""
    if "standpipe.UnfinishedError" in called(fault):  # `done`, with the list of what is open
        kind = Kind(str(fault.attributes["kind"]))
        return Finding(kind=kind, message=fault.message, code="unfinished", local=True)
    kind = next((OWN[name] for name in called(fault) if name in OWN), None)
    return None if kind is None else _finding(fault, kind, local=True)


def told_phase(fault: Fault) -> Phase | None:
    """Return how far a built-in tool says it got, in the `phase` it leaves on what it raises.

    Only of the outermost exception: what a tool did around an inner one, the inner one cannot know.
    Other packages may call something else `phase`, so theirs is not read.
    """
    if fault.module.partition(".")[0] not in _PHASED:
        return None
    return _PHASES.get(str(fault.attributes.get("phase", "")))


def bug(fault: Fault) -> Finding | None:
    """Read a mistake made in the tool's own frames."""
    if not fault.own_code or _BUG_NAMES.isdisjoint(called(fault)):
        return None
    return _finding(fault, Kind.TOOL_BUG)


def find(fault: Fault) -> Finding | None:
    """Read what is left: a value that some code did not want, wherever it was raised."""
    if any(name in _INPUT for name in called(fault)):
        return _finding(fault, Kind.BAD_INPUT)
    return None


def _finding(fault: Fault, kind: Kind, *, local: bool = False) -> Finding:
    message = f"{fault.type}: {fault.message}" if fault.message else fault.type
    return Finding(kind=kind, message=message, code=fault.type, local=local)
