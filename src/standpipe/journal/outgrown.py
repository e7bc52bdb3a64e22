"""Calls that a run still has to take up, and that the tools of today cannot: a tool is gone, or takes something else.

Rule 1: asked before a run is gone on with, so that nothing has started and nothing is decided because a file was away.
Rule 2: a call that needs its tool no more (it is over, waits for an answer, or was answered with no) is let be.
"""

from collections.abc import Iterable, Mapping, Sequence

from standpipe.actions import Action, Effect, Tool
from standpipe.errors import UsageError
from standpipe.governor.recovery import Refresh, Retry, Wait
from standpipe.journal.drafts import answered
from standpipe.journal.entries import AnswerGiven, Decided, Entry, InDoubt, Proposed, Settled
from standpipe.journal.states import State, state_after
from standpipe.journal.views import answers, cancelled
from standpipe.policy.arguments import complaint
from standpipe.policy.decision import Allow

_NOT_OF_THE_HOME = {"agent", "unknown"}  # of `Tool.origin`


def refuse_outgrown(entries: Sequence[Entry], tools: Mapping[str, Tool]) -> None:
    """Refuse to go on with a run whose open calls cannot be taken up with these tools.

    Raises:
        UsageError: one of them cannot.
    """
    if cancelled(entries):  # nothing of it is taken up
        return
    given = answers(entries)
    for name, story in _stories(entries).items():
        call = story[0].body
        if isinstance(call, Proposed) and _needs_its_tool(name, call, story, given):
            _refuse_misfit(name, call, tools.get(call.tool))


def _stories(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.action:
            found.setdefault(entry.action, []).append(entry)
    return found


def _needs_its_tool(
    name: str, call: Proposed, story: Sequence[Entry], given: Mapping[str, AnswerGiven]
) -> bool:
    if call.origin in _NOT_OF_THE_HOME:
        return False
    match state_after((entry.body for entry in story), action=name), story[-1].body:
        case State.PROPOSED | State.ALLOWED | State.ABSENT | State.INTENDED | State.UNKNOWN, _:
            return True
        case State.HELD, Decided(blocker=blocker):
            said = given.get(blocker)
            return said is not None and isinstance(answered(said.answer, said.by), Allow)
        case State.IN_DOUBT, InDoubt(blocker=blocker):
            said = given.get(blocker)  # a no: it did not happen, so it is made
            return said is not None and said.answer.strip().casefold() in {"no", "n"}
        case State.FAILED, Settled(recovery=Retry() | Wait() | Refresh()):
            return True
        case _:
            return False


def _refuse_misfit(name: str, call: Proposed, tool: Tool | None) -> None:
    run = name.partition(".")[0]
    if tool is None:
        hint = f"bring it back and go on, or end the run: standpipe cancel {run}"
        raise UsageError(
            f"`{call.tool}`, which {name} calls, is no tool of this home any more", hint=hint
        )
    read, was_read = tool.effect is Effect.READ, call.effect is Effect.READ
    wrong = complaint(Action(id=name, tool=tool, arguments=call.arguments, why=call.why))
    if read == was_read and wrong is None:
        return
    said = f"it was `{call.effect}` and is `{tool.effect}`" if wrong is None else wrong.message
    hint = f"make it again what it was and go on, or end the run: standpipe cancel {run}"
    raise UsageError(f"`{call.tool}` does not take the call {name} any more: {said}", hint=hint)
