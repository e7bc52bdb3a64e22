"""What happened? The one place that turns what came back into an outcome.

Rule 1: what carries a structure is read before words, and the outer exception before its cause.
Rule 2: a `once` effect has failed only where that is proven: nothing was sent, or the other side said
    no. Everything else is `Unknown`, which nobody repeats blindly.
Rule 3: judging never raises; a family that crashes makes the failure `other`, with both messages.

The order (`TURNS`): what our own worker refused; what carries a status, a code or a number; mistakes in the
tool's lines and answers that do not parse; numbers and code words in a message; the name of an exception;
phrases; a name that says only roughly what it is; at last any `TypeError` or `ValueError`.
"""

from collections.abc import Callable
from typing import TypeVar, assert_never

from msgspec.structs import replace

from standpipe.actions import Died, Effect, Expired, Fault, Raised, Result, Returned, Tool
from standpipe.outcomes.families import (
    code,
    database,
    http,
    mail,
    mcp,
    model,
    names,
    process,
    shapes,
    transport,
    words,
)
from standpipe.outcomes.finding import Finding, visible
from standpipe.outcomes.outcome import Failed, Kind, Outcome, Phase, Succeeded, Unknown
from standpipe.outcomes.reading import Link, capped, chain
from standpipe.outcomes.retry_after import told_by, told_in

F = TypeVar("F", bound=Finding | None)
Family = Callable[[Link], Finding | None]
# A table of turns: every family of one turn reads the whole chain before the next turn begins.
TURNS: tuple[tuple[Family, ...], ...] = (
    (code.paused,),
    (
        code.own,
        http.find,
        model.find,
        mcp.find,
        mail.find,
        database.find,
        names.known,
        transport.find,
        process.find,
    ),
    (code.bug, shapes.of_fault),
    (http.loose, words.numbers),
    (names.strong,),
    (words.find,),
    (names.weak,),
    (code.find,),
)
_LIMITS = (Kind.RATE_LIMITED, Kind.OVERLOADED, Kind.QUOTA)


def judge(tool: Tool, result: Result) -> Outcome:
    """Say what one attempt came to."""
    finding = _finding(tool, result)
    if finding is None:
        assert isinstance(result, Returned)  # noqa: S101 -- only a returned value can be what it looks like
        return Succeeded(result.value)
    if tool.effect is Effect.ONCE and not _did_not_happen(tool, finding):
        kind = Kind.IN_DOUBT if finding.kind is Kind.OTHER else finding.kind
        return Unknown(visible(finding.message), kind=kind)
    failed = _failed(finding)
    if failed.kind in tool.expected:
        return Succeeded({"expected": failed.kind.value, "message": failed.message})
    return failed


def classify(tool: Tool, fault: Fault) -> Failed:
    """Say what an exception means, whatever the effect of the tool; also for model providers."""
    return _failed(_guarded(lambda: _diagnose(fault), lambda: _raised(tool, fault)))


def read(tool: Tool, result: Result) -> Failed | None:
    """Say how a result would be read if a second call changed nothing; None is a success."""
    finding = _finding(tool, result)
    return None if finding is None else _failed(finding)


def _finding(tool: Tool, result: Result) -> Finding | None:
    match result:
        case Returned(value, cut):
            found = _guarded(
                lambda: shapes.find(tool, value, cut=cut), lambda: "a result came back"
            )
            if isinstance(value, str) and found and found.kind in _LIMITS:
                return replace(found, retry_after_seconds=told_in(value))
            return found
        case Raised(fault):
            return _guarded(lambda: _diagnose(fault), lambda: _raised(tool, fault))
        case Expired(seconds):
            message = f"no result within {seconds:g} s, the time limit of `{tool.name}`"
            return Finding(kind=Kind.TIMED_OUT, message=message, code="deadline")
        case Died():
            return _guarded(lambda: process.died(result), lambda: f"exit {result.code}")
        case _:
            assert_never(result)


def _diagnose(fault: Fault) -> Finding:
    if refused := code.refused_by_worker(fault):
        return refused
    if fault.group:  # several things failed; the one that proves least decides what may be repeated
        return min((_diagnose(member) for member in fault.group), key=_proof)
    links = chain(fault)
    found = _read(links)
    if (phase := code.told_phase(fault)) is not None:
        found = replace(found, phase=phase)
    if found.kind in _LIMITS and found.retry_after_seconds is None:
        found = replace(found, retry_after_seconds=told_by(links))
    return found


def _read(links: list[Link]) -> Finding:
    for families in TURNS:
        for link in links:
            for family in families:
                if found := family(link):
                    return found
    outer = links[0]
    type_ = outer.fault.type
    return Finding(kind=Kind.OTHER, message=f"{type_}: {outer.message}", code=type_)


def _proof(finding: Finding) -> bool:
    return finding.answered or finding.phase is Phase.NOT_SENT


def _did_not_happen(tool: Tool, finding: Finding) -> bool:
    return _proof(finding) or (tool.local and finding.local)


def _failed(finding: Finding) -> Failed:
    return Failed(
        kind=finding.kind,
        message=visible(finding.message),
        code=visible(finding.code, limit=80),
        # Both sides know that it did not happen: as good as never sent, for whoever asks about a second call.
        phase=Phase.PARSED if finding.answered else finding.phase,
        host=visible(finding.host, limit=260),
        retry_after_seconds=finding.retry_after_seconds,
    )


def _guarded(reading: Callable[[], F], said: Callable[[], str]) -> F | Finding:
    try:
        return reading()
    except Exception as error:  # noqa: BLE001 -- a bug in a family must not lose the failure it was reading
        message = f"{said()} (and it could not be judged: {type(error).__name__}: {error})"
        return Finding(kind=Kind.OTHER, message=message, code="classifier")


def _raised(tool: Tool, fault: Fault) -> str:
    return f"`{tool.name}` raised {fault.type}: {capped(fault.message)}"
