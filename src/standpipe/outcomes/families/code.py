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
_BUG_NAMES = frozenset(f"builtins.{name}" for name in BUGS)
_INPUT = ("builtins.TypeError", "builtins.ValueError")


def refused_by_worker(fault: Fault) -> Finding | None:
    """Read what the worker says before it calls the function at all."""
    if (fault.module, fault.type) != ("standpipe.execution.worker", "BadArguments"):
        return None
    return Finding(
        kind=Kind.BAD_INPUT, message=fault.message, code="arguments", phase=Phase.NOT_SENT
    )


def own(fault: Fault) -> Finding | None:
    """Read what a built-in tool raised on purpose."""
    if "standpipe.UnfinishedError" in called(fault):  # `done`, with the list of what is open
        kind = Kind(str(fault.attributes["kind"]))
        return Finding(kind=kind, message=fault.message, code="unfinished", local=True)
    kind = next((OWN[name] for name in called(fault) if name in OWN), None)
    return None if kind is None else _finding(fault, kind, local=True)


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
