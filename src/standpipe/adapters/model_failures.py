"""What the failure of a request to a model means, and what happens now.

Rule 1: a model fails like a tool: the same classifier, the same table, attempts below the agent.
Rule 2: nobody in the run can find a way around the model: what the table would tell the agent changes
    the request, or is put to a person. A script at its end is the exception: no answer makes it longer.
Rule 3: whoever is asked reads what failed, where, and what to do about it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from msgspec.structs import replace

from standpipe.actions import Effect, Returned, Tool
from standpipe.adapters.http_client import PageError, found_in
from standpipe.adapters.model_requests import AnswerCutError, ModelSilentError, StreamCutError
from standpipe.adapters.plan import TooLongError, attempts
from standpipe.adapters.providers import fault_of
from standpipe.adapters.script import ScriptEnded
from standpipe.governor.recovery import (
    Alternate,
    Escalate,
    Recovery,
    Retry,
    Return,
    Stop,
    Wait,
    recover,
    row_of,
)
from standpipe.journal.entries import ModelFailed
from standpipe.outcomes.classify import classify, judge
from standpipe.outcomes.outcome import Failed, Kind, Phase
from standpipe.outcomes.reading import host_of

UNREACHABLE_ATTEMPTS_MAX = 5  # over about 20 s; nothing is sent by any of them
_OWN: Mapping[type[Exception], tuple[Kind, str, Phase]] = MappingProxyType(
    {
        ModelSilentError: (Kind.MODEL_SILENT, "deadline", Phase.SENT),
        AnswerCutError: (Kind.CUT, "length", Phase.RECEIVED),
        StreamCutError: (Kind.TRUNCATED, "stream", Phase.RECEIVED),
        TooLongError: (Kind.CONTEXT_OVERFLOW, "not_sent_again", Phase.NOT_SENT),
    }
)
_TODO: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.CREDENTIAL: "put a key that works into `{key}`, then answer",
        Kind.FORBIDDEN: "allow the account of `{key}` to use `{model}`, then answer",
        Kind.QUOTA: "top up the account of `{key}`, then answer",
        Kind.RATE_LIMITED: "answer when the provider takes requests again, or raise its limit",
        Kind.NOT_FOUND: "set a `model` that exists in standpipe.toml, or go on with --model",
        Kind.CONTEXT_OVERFLOW: "go on with --model and one that takes more, or give a smaller task",
        Kind.CUT: "give a smaller task, or a model that may answer longer",
        Kind.REFUSAL: "say the task differently, or go on with --model and another one",
        Kind.HTML: "see what stands between this machine and {host}, then answer",
        Kind.LOGIN_PAGE: "sign in at the proxy in front of {host}, then answer",
    }
)
_TODO_ELSE = "answer to try again, or go on with --model and another one"


def as_tool(model: str) -> Tool:
    """Return what a model is for the governor: a tool that only reads."""
    return Tool(name=model, effect=Effect.READ)


def judged(error: Exception, *, model: str, url: str | None) -> Failed:
    """Say what the failure of a request means, with the host and the key it is about."""
    failed = _meant(error, as_tool(model))
    host = failed.host or host_of(url or "")
    return replace(failed, host=host, message=_placed(failed, host, model)) if host else failed


@dataclass(frozen=True, slots=True, kw_only=True)
class SoFar:
    """What is known when a request has failed.

    here: what failed at this request in this segment. cuts: how often its answer was cut, in any.
    shorter: its history can still be shortened. alternates: the models that may be asked instead.
    stands_in: this model is asked because another one cannot answer.
    """

    model: str
    here: Sequence[ModelFailed] = ()
    cuts: int = 0
    shorter: bool = False
    alternates: Sequence[str] = ()
    wait_seconds_max: float = 30.0
    stands_in: bool = False


def chosen(error: Exception, failed: Failed, so_far: SoFar, *, jitter: float) -> Recovery:
    """Choose what happens after a request failed."""
    if isinstance(error, ScriptEnded):
        return Stop(error.message)
    attempt = 1 + attempts(so_far.here, model=so_far.model)
    recovery = recover(
        failed,
        tool=as_tool(so_far.model),
        attempt=attempt,
        seen=1 + so_far.cuts if failed.kind is Kind.CUT else 1,
        refreshed=True,
        jitter=jitter,
        alternates=so_far.alternates,
        wait_seconds_max=so_far.wait_seconds_max,
    )
    if isinstance(recovery, Return):
        return _changed(failed, so_far)
    if isinstance(recovery, Wait) and recovery.delay_seconds > so_far.wait_seconds_max:
        return _instead(recovery, failed, so_far)
    if isinstance(recovery, Stop):
        return Stop(f"{recovery.why}; {_todo(failed, so_far.model)}")
    if not isinstance(recovery, Escalate):
        return recovery
    if failed.kind is Kind.NOT_SENT and attempt < UNREACHABLE_ATTEMPTS_MAX:
        # A model's server that restarts must not park a night's work; nothing was sent.
        delay = min(2.0**attempt, 8.0) * (0.5 + jitter / 2)
        return Retry(f"{failed.message}; it may only be restarting", delay_seconds=delay)
    if so_far.stands_in and so_far.alternates:
        # The first model cannot answer; that this one cannot either is no reason to ask no other.
        return Alternate(f"another model can be asked now; {recovery.why}", so_far.alternates[0])
    others = _also_failed(so_far)
    return Escalate(f"{recovery.why}{others}; {_todo(failed, so_far.model)}")


def _changed(failed: Failed, so_far: SoFar) -> Recovery:
    """The agent cannot do better, so the request is changed, or a person is asked."""
    if failed.kind is Kind.CUT:
        return Retry(f"it is asked for smaller parts, once; {failed.message}")
    if failed.kind is Kind.CONTEXT_OVERFLOW and so_far.shorter:
        return Retry(f"it is sent again with a shorter history; {failed.message}")
    same = f"the same request would fail the same way; {failed.kind}: {failed.message}"
    return Escalate(f"{same}; {_todo(failed, so_far.model)}")


def _instead(wait: Wait, failed: Failed, so_far: SoFar) -> Recovery:
    if row_of(failed).alternates and so_far.alternates:
        return Alternate(f"another model can be asked now; {wait.why}", so_far.alternates[0])
    return wait


def _meant(error: Exception, tool: Tool) -> Failed:
    for kind, (meant, code, phase) in _OWN.items():
        if isinstance(error, kind):
            return Failed(meant, str(error), code=code, phase=phase)
    if page := found_in(error, PageError):
        outcome = judge(tool, Returned(page.page))
        if isinstance(outcome, Failed):
            return outcome
    return classify(tool, fault_of(error))


def _placed(failed: Failed, host: str, model: str) -> str:
    said = failed.message if host in failed.message else f"{host}: {failed.message}"
    match failed.kind:
        case Kind.CREDENTIAL | Kind.FORBIDDEN:
            return f"the key in `{_key(model)}` is not accepted: {said}"
        case Kind.QUOTA:
            return f"the account of the key in `{_key(model)}` has nothing left: {said}"
        case _:
            return said


def _todo(failed: Failed, model: str) -> str:
    todo = _TODO.get(failed.kind, _TODO_ELSE)
    return todo.format(key=_key(model), model=model, host=failed.host or "the provider")


def _also_failed(so_far: SoFar) -> str:
    others = {body.model: body.failed for body in so_far.here if body.model != so_far.model}
    said = (f"`{name}` ({failed.kind}: {failed.message})" for name, failed in others.items())
    return f"; before that failed {', '.join(said)}" if others else ""


def _key(model: str) -> str:
    return f"{model.partition(':')[0].partition('-')[0].upper()}_API_KEY"
