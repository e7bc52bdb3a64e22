"""Code: a mistake in the tool's own lines, and what our own tools raise.

Rule: a type counts only where it was raised. A `KeyError` named in a text is somebody else's.
"""

from standpipe.actions import Fault
from standpipe.outcomes.finding import Finding
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import Link

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
_PAUSED = "standpipe.HostPausedError"
_WORKER = "standpipe.execution.worker"
# What our worker says itself: before it called the function, or about what came back.
_BY_WORKER = {
    "BadArguments": (Kind.BAD_INPUT, "arguments", Phase.NOT_SENT),
    "NotStarted": (Kind.ENVIRONMENT, "not_started", Phase.NOT_SENT),
    "UnknownTool": (Kind.UNKNOWN_TOOL, "unknown_tool", Phase.NOT_SENT),
    "ResultTooLarge": (Kind.BAD_INPUT, "result_too_large", Phase.RECEIVED),
    "ResultNotJson": (Kind.TOOL_BUG, "result_not_json", Phase.RECEIVED),
}
_BUG_NAMES = frozenset(f"builtins.{name}" for name in BUGS)
# Our own exceptions, and those our tools pass on with a `phase` written on them.
_PHASED = ("standpipe", "builtins", "smtplib", "sqlite3", "socket", "ssl")
_PHASES = {"not_sent": Phase.NOT_SENT, "sent": Phase.SENT}
# What the standard library calls a value it cannot read.
_INPUT = frozenset(
    (
        "builtins.TypeError", "builtins.ValueError", "builtins.UnicodeDecodeError", "builtins.UnicodeEncodeError",
        "builtins.OverflowError", "re.error", "re.PatternError", "_csv.Error", "csv.Error", "binascii.Error",
        "struct.error", "zlib.error", "decimal.InvalidOperation", "ipaddress.AddressValueError",
        "tarfile.ReadError", "xml.ParseError",
    )
)  # fmt: skip


def refused_by_worker(fault: Fault) -> Finding | None:
    """Read why the function was not called at all, or why what it returned cannot be passed on."""
    if fault.module != _WORKER or fault.type not in _BY_WORKER:
        return None
    kind, code, phase = _BY_WORKER[fault.type]
    return Finding(kind=kind, message=fault.message, code=code, phase=phase)


def own(link: Link) -> Finding | None:
    """Read what a built-in tool raised on purpose."""
    if "standpipe" not in link.packages:
        return None
    if "standpipe.UnfinishedError" in link.names:  # `done`, with the list of what is open
        kind = Kind(str(link.fault.attributes["kind"]))
        return Finding(kind=kind, message=link.fault.message, code="unfinished", local=True)
    kind = next((OWN[name] for name in link.names if name in OWN), None)
    return None if kind is None else _finding(link, kind, local=True)


def paused(link: Link) -> Finding | None:
    """Read that our own worker kept a request from a host that had asked to be left alone."""
    if link.names[0] != _PAUSED or not link.fault.module.startswith("standpipe."):
        return None
    told = link.fault.attributes
    left = told.get("retry_after_seconds")
    return Finding(
        kind=Kind.RATE_LIMITED,
        message=link.message,
        code="host_paused",
        phase=_PHASES.get(str(told.get("phase", "")), Phase.UNKNOWN),
        host=str(told.get("host", "")),
        retry_after_seconds=float(left) if isinstance(left, int | float) and left >= 0 else None,
    )


def told_phase(fault: Fault) -> Phase | None:
    """Return how far a built-in tool says it got, in the `phase` it leaves on what it raises.

    Only of the outermost exception: what a tool did around an inner one, the inner one cannot know.
    Other packages may call something else `phase`, so theirs is not read.
    """
    if fault.module.partition(".")[0] not in _PHASED:
        return None
    return _PHASES.get(str(fault.attributes.get("phase", "")))


def bug(link: Link) -> Finding | None:
    """Read a mistake made in the tool's own frames."""
    if not link.fault.own_code or link.names[0] not in _BUG_NAMES:
        return None  # a class of the tool's own was raised on purpose, whatever it is derived from
    return _finding(link, Kind.TOOL_BUG, place=link.fault.place)


def find(link: Link) -> Finding | None:
    """Read what is left: a value that some code did not want, wherever it was raised."""
    return None if _INPUT.isdisjoint(link.names) else _finding(link, Kind.BAD_INPUT)


def _finding(link: Link, kind: Kind, *, local: bool = False, place: str = "") -> Finding:
    type_ = link.fault.type
    message = f"{type_}: {link.message}" if link.message else type_
    if place:
        message += f" ({place})"
    return Finding(kind=kind, message=message, code=type_, local=local)
