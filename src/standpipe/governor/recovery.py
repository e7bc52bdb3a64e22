"""What now, as one table. What fails twice the same way is not tried a third time.

Rule 1: what a row does first happens below the model and costs no model call; when its attempts are
    used up, or the same has been seen often enough, the row's end is what happens.
Rule 2: a `once` effect is repeated only where it is proven that it did not happen.
Rule 3: every recovery says why, with the kind, the count and the message.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import assert_never

from msgspec import Struct

from standpipe.actions import Effect, Tool
from standpipe.outcomes.outcome import Failed, Kind, Outcome, Phase, Refused, Succeeded, Unknown


class Retry(Struct, frozen=True, tag="retry"):
    """The same call again, below the model."""

    why: str
    delay_seconds: float = 0.0


class Wait(Struct, frozen=True, tag="wait"):
    """The same call again, not before the other side said so."""

    why: str
    delay_seconds: float = 0.0


class Refresh(Struct, frozen=True, tag="refresh"):
    """Renew the credential, then the same call once more."""

    why: str


class Alternate(Struct, frozen=True, tag="alternate"):
    """Another declared tool instead, with the same arguments."""

    why: str
    tool: str


class Return(Struct, frozen=True, tag="return"):
    """Tell the model; it may do better."""

    why: str


class Skip(Struct, frozen=True, tag="skip"):
    """Go on without it."""

    why: str


class Escalate(Struct, frozen=True, tag="escalate"):
    """A human has to say what now; the run is blocked."""

    why: str


class Stop(Struct, frozen=True, tag="stop"):
    """The run has failed."""

    why: str


Recovery = Retry | Wait | Refresh | Alternate | Return | Skip | Escalate | Stop

ASKED = "the other side asked"  # how the reason of such a wait begins
ATTEMPTS_MAX = 5  # of one action, whatever the table says
SLEEP_SECONDS_MAX = 86_400.0  # a longer wait is shown to a person, not slept
_QUOTE_CHARACTERS_MAX = 300


class Step(StrEnum):
    """What a row does; `recover` turns it into a recovery with its reason."""

    RETRY = "retry"
    WAIT = "wait"
    REFRESH = "refresh"
    RETURN = "return"
    ESCALATE = "escalate"
    STOP = "stop"


class Row(Struct, frozen=True):
    """One kind: what happens first, how often, and what happens then.

    `times` counts the repeats below the model; `base_seconds` and `cap_seconds` shape their full
    jitter; `alternates` says that another tool may do what this one could not.
    """

    first: Step
    then: Step = Step.ESCALATE
    times: int = 1
    base_seconds: float = 0.0
    cap_seconds: float = 0.0
    alternates: bool = False


_TELL = Row(Step.RETURN)
_ASK = Row(Step.ESCALATE)
_END = Row(Step.STOP, Step.STOP)

TABLE: Mapping[Kind, Row] = MappingProxyType(
    {
        Kind.CREDENTIAL: Row(Step.REFRESH),
        Kind.FORBIDDEN: _ASK,
        Kind.LOGIN_PAGE: Row(Step.ESCALATE, alternates=True),
        Kind.BOT_CHECK: Row(Step.ESCALATE, alternates=True),
        Kind.RATE_LIMITED: Row(Step.WAIT, times=4, base_seconds=1, cap_seconds=30),
        Kind.QUOTA: _ASK,
        Kind.OVERLOADED: Row(Step.WAIT, times=2, base_seconds=2, cap_seconds=20, alternates=True),
        Kind.SERVER_ERROR: Row(Step.RETRY, base_seconds=1, cap_seconds=8, alternates=True),
        Kind.NOT_SENT: Row(Step.RETRY, base_seconds=0.5, cap_seconds=4, alternates=True),
        Kind.TIMED_OUT: Row(Step.RETRY, alternates=True),
        Kind.IN_DOUBT: _ASK,
        Kind.CONFLICT: _TELL,
        Kind.NOT_FOUND: _TELL,
        Kind.BAD_INPUT: _TELL,
        Kind.UNKNOWN_TOOL: Row(Step.RETURN, Step.STOP),
        Kind.TOOL_BUG: _END,
        Kind.HTML: Row(Step.RETRY, base_seconds=1, cap_seconds=8, alternates=True),
        Kind.SCHEMA: Row(Step.ESCALATE, alternates=True),
        Kind.TRUNCATED: Row(Step.RETRY, alternates=True),
        Kind.ERROR_TEXT: _TELL,
        Kind.ENVIRONMENT: _ASK,
        Kind.CONTEXT_OVERFLOW: _TELL,  # the loop compacts when it is told; the same request is never sent again
        Kind.REFUSAL: Row(Step.ESCALATE, alternates=True),
        Kind.CUT: Row(Step.RETURN, Step.STOP),
        Kind.MODEL_SILENT: Row(Step.RETRY, alternates=True),
        Kind.BUDGET: _END,
        Kind.DENIED: _TELL,
        Kind.LOOP: Row(Step.RETURN, Step.STOP),
        Kind.NO_PROGRESS: Row(Step.RETURN, Step.STOP),
        Kind.GAVE_UP: Row(Step.RETURN, Step.STOP),
        Kind.CHECKLIST: _TELL,
        Kind.UNGOVERNED_CALL: _END,
        Kind.OTHER: _TELL,
    }
)
_MENDABLE_HERE = ("127", "missing_module")  # the model may know another command
_REPEATS = (Step.RETRY, Step.WAIT, Step.REFRESH)


def recover(  # noqa: PLR0913 -- all but the outcome are keyword-only facts; the table needs each
    outcome: Outcome,
    *,
    tool: Tool,
    attempt: int,
    seen: int,
    jitter: float,
    refreshed: bool = False,
    same_way: int = 2,
    alternates: Sequence[str] = (),
    wait_seconds_max: float = 30.0,
    repeats_left: bool = True,
) -> Recovery:
    """Choose what happens now.

    attempt: attempts of this action so far, 1 after the first. seen: failures of this site since
    the last resolution, this one included; attempts below the model are not counted in it.
    refreshed: the credential was renewed in this run already. jitter: in [0, 1).
    alternates: those not yet tried. repeats_left: the host's budget of repeats is not used up. What would start beyond `wait_seconds_max` is always a `Wait`,
    whatever its row says first: the caller parks the run until then.
    """
    match outcome:
        case Succeeded():
            return Return("it worked")
        case Refused(reason):
            return Return(reason)
        case Unknown(message):
            return Escalate(f"it may have happened: {_quote(message)}")
        case Failed():
            row = row_of(outcome)
            if (
                row.first in _REPEATS
                and may_repeat(outcome, tool, refreshed=refreshed)
                and attempt <= min(row.times, ATTEMPTS_MAX - 1)
                and (repeats_left or row.first is Step.REFRESH)
            ):
                return _repeat(row, outcome, attempt, jitter, wait_seconds_max)
            again = row.first in _REPEATS or seen >= (tool.same_way or same_way)
            said = f"{outcome.kind}{_times(seen, attempt)}: {_quote(outcome.message)}"
            untouched = tool.effect is not Effect.ONCE or outcome.phase is Phase.NOT_SENT
            if row.alternates and alternates and untouched:
                return Alternate(f"`{tool.name}` cannot do it; {said}", alternates[0])
            return _end(row.then if again else row.first, said)
        case _:
            assert_never(outcome)


def row_of(failed: Failed) -> Row:
    """Return the row of the table for a failure."""
    if failed.kind is Kind.ENVIRONMENT and failed.code in _MENDABLE_HERE:
        return _TELL
    return TABLE[failed.kind]


def may_repeat(failed: Failed, tool: Tool, *, refreshed: bool) -> bool:
    """Whether the same call may go out again at all."""
    if tool.effect is Effect.ONCE and failed.phase not in (Phase.NOT_SENT, Phase.PARSED):
        return False
    match failed.kind:
        case Kind.CREDENTIAL:
            return bool(tool.refresh) and not refreshed
        case Kind.HTML:
            return failed.code.startswith("5")
        case _:
            return (failed.retry_after_seconds or 0.0) <= SLEEP_SECONDS_MAX


def _repeat(
    row: Row, failed: Failed, attempt: int, jitter: float, wait_seconds_max: float
) -> Recovery:
    said = f"{failed.kind} at attempt {attempt}: {_quote(failed.message)}"
    delay = jitter * min(row.cap_seconds, row.base_seconds * 2 ** (attempt - 1))
    if row.first is Step.REFRESH:
        return Refresh(f"the credential was rejected and can be renewed once; {said}")
    delay = max(delay, failed.retry_after_seconds or 0.0)
    if row.first is Step.RETRY and delay <= wait_seconds_max:
        return Retry(f"it is safe to repeat; {said}", delay)
    asked = ASKED if failed.retry_after_seconds else "it is busy"
    parked = ", longer than a run may sleep here" if delay > wait_seconds_max else ""
    return Wait(f"{asked}: {delay:.1f} s to wait{parked}; {said}", delay)


def _end(step: Step, said: str) -> Recovery:
    match step:
        case Step.RETURN:
            return Return(f"the agent may find another way; {said}")
        case Step.STOP:
            return Stop(f"nothing in this run can mend it; {said}")
        case _:
            return Escalate(f"a person has to decide; {said}")


def _times(seen: int, attempt: int) -> str:
    attempts = f" after {attempt} attempts" if attempt > 1 else ""
    return f" (seen {seen} times the same way){attempts}" if seen > 1 else attempts


def _quote(message: str) -> str:
    text = " ".join(message.split()) or "no message"
    return text if len(text) <= _QUOTE_CHARACTERS_MAX else f"{text[:_QUOTE_CHARACTERS_MAX]}…"
