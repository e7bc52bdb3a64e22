"""Recorded calls of one run, and where the rules against loops end it.

Rule 1: a trace says for itself whether it is stuck, and after which call a person who watches would
    have said so; nothing here decides that.
Rule 2: `replay` counts as the governor does: by site, by cause and host, and by `look`.
"""

from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Struct, field

from standpipe.actions import Effect, Fault, Tool
from standpipe.governor.fingerprint import Fingerprints, fingerprints
from standpipe.governor.loops import SAME_FAILURE_MAX, Step, look
from standpipe.governor.sites import BY_ANY_ARGUMENTS, HOST_WIDE, host_site, resolves
from standpipe.ids import digest
from standpipe.outcomes.classify import classify
from standpipe.outcomes.outcome import Failed, Kind

SAME_WAY = 2
_NOTHING = frozenset({"", "[]", "{}", "null", "0 rows", "no results", "no matches"})
# What the agent's own work in between may have mended.
_MENDABLE = BY_ANY_ARGUMENTS | {Kind.OTHER}


class Call(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One call as it was made, and what came back. `seconds` is the time since the call before."""

    tool: str
    args: Mapping[str, object] = field(default_factory=dict[str, object])
    ok: bool = True
    result: str = ""
    host: str = ""
    changed: bool = False
    thought: str = ""
    seconds: float = 5.0


class Trace(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A run. `stuck_at` is the number of the call after which a person would stop it, from 1.

    `poll` and `expected` are what the tools declare: seconds, and kinds of failure that are answers.
    """

    name: str
    stuck: bool
    stuck_at: int | None = None
    poll: Mapping[str, float] = field(default_factory=dict[str, float])
    expected: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    calls: tuple[Call, ...]


class Halt(Struct, frozen=True):
    """The call after which the rules interfere, and which of them."""

    step: int
    rule: str
    message: str


class _Count(Struct):
    """Failures of one site, or of one cause at one host, since the last resolution."""

    kind: Kind
    host: str
    tools: set[str]
    failures: int = 0
    last_step: int = 0


def read_traces(lines: bytes) -> list[Trace]:
    """Read traces, one JSON object per line."""
    return msgspec.json.Decoder(Trace).decode_lines(lines)


def replay(trace: Trace) -> Halt | None:
    """Return where a run of these calls would first have been told that it is stuck.

    Not part of it is what the table does at the first failure: a retry, a refresh, a question.
    """
    counts: dict[str, _Count] = {}
    steps: list[Step] = []
    for call, failed in zip(trace.calls, map(_failed, trace.calls), strict=True):
        marks = fingerprints(call.tool, call.args, failed) if failed else None
        steps.append(_step(trace, call, failed, marks, steps))
        counted = failed is not None and failed.kind.value not in trace.expected.get(call.tool, ())
        if failed and marks and counted:
            if rule := _same_way(counts, steps, failed, marks):
                return Halt(len(steps), rule, failed.message)
        elif call.ok:
            _resolve(counts, call)
        if finding := look(steps):
            return Halt(len(steps), finding.rule, finding.message)
    return None


def _failed(call: Call) -> Failed | None:
    if call.ok:
        return None
    tool = Tool(name=call.tool, effect=Effect.READ)
    failed = classify(tool, Fault(type="ToolError", message=call.result))
    return msgspec.structs.replace(failed, host=call.host)


def _step(
    trace: Trace, call: Call, failed: Failed | None, marks: Fingerprints | None, before: list[Step]
) -> Step:
    missing = failed is not None and failed.kind is Kind.NOT_FOUND
    return Step(
        tool=call.tool,
        call=digest(msgspec.json.encode((call.tool, call.args), order="sorted")),
        came=marks.template if marks else digest(call.result.encode()),
        ok=call.ok,
        empty=missing or (call.ok and call.result.strip() in _NOTHING),
        changed=call.changed,
        poll_seconds=trace.poll.get(call.tool),
        at_seconds=(before[-1].at_seconds if before else 0.0) + call.seconds,
    )


def _same_way(
    counts: dict[str, _Count], steps: list[Step], failed: Failed, marks: Fingerprints
) -> str:
    """Count one failure; return the rule that it breaks, if it does."""
    for rule, name in _names(failed, marks):
        count = counts.setdefault(name, _Count(failed.kind, failed.host, set()))
        worked = any(step.changed for step in steps[count.last_step : -1])
        count.tools.add(steps[-1].tool)
        count.failures += 1
        count.last_step = len(steps)
        most = SAME_FAILURE_MAX if worked and failed.kind in _MENDABLE else SAME_WAY
        if count.failures >= most:
            return rule
    return ""


def _names(failed: Failed, marks: Fingerprints) -> Iterator[tuple[str, str]]:
    yield "site", marks.site
    if failed.kind in HOST_WIDE and failed.host:
        yield "host", host_site(failed.host, marks.cause)


def _resolve(counts: dict[str, _Count], call: Call) -> None:
    """Take away what this success resolves; the success of one tool says nothing of another."""
    for name, count in list(counts.items()):
        same_tool = call.tool in count.tools
        same_site = same_tool and call.host == count.host
        if resolves(count.kind, same_site=same_site, same_tool=same_tool):
            del counts[name]
