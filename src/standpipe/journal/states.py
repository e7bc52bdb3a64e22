"""The life of an action, as one table.

Rule 1: every state and every legal step is in this file; the picture in ARCHITECTURE.md is drawn from it.
Rule 2: this file knows nothing of storage, time or tools.
What the table cannot say: *why* an action is tried again. From FAILED a new intent needs a recovery that
says so, from UNKNOWN an idempotency key the other side honours; `views.next_step` decides both. A new
decision before another attempt is made only where call or manifest are not what was decided on.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from standpipe.errors import StateError
from standpipe.journal.entries import (
    Body,
    Decided,
    InDoubt,
    Intended,
    Proposed,
    Reconciled,
    Settled,
)


class State(StrEnum):
    NEW = "new"
    PROPOSED = "proposed"
    HELD = "held"
    ALLOWED = "allowed"
    INTENDED = "intended"
    UNKNOWN = "unknown"
    IN_DOUBT = "in_doubt"
    ABSENT = "absent"
    FAILED = "failed"
    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    GAVE_UP = "gave_up"


# The words are those of the entries: a decision, an outcome, a verdict, or the entry itself.
# No step leads from IN_DOUBT to `intended`: no code can repeat what may have happened. Only a
# verdict can, and ABSENT is the one that opens the way to another attempt.
STEPS: Mapping[State, Mapping[str, State]] = {
    State.NEW: {"proposed": State.PROPOSED},
    State.PROPOSED: {
        "allow": State.ALLOWED,
        "ask": State.HELD,
        "deny": State.REFUSED,
        "failed": State.FAILED,
    },
    State.HELD: {"allow": State.ALLOWED, "ask": State.HELD, "deny": State.REFUSED},
    State.ALLOWED: {
        "intended": State.INTENDED,
        "ask": State.HELD,
        "deny": State.REFUSED,
        "refused": State.REFUSED,
    },
    State.INTENDED: {
        "succeeded": State.SUCCEEDED,
        "failed": State.FAILED,
        "unknown": State.UNKNOWN,
        "refused": State.REFUSED,
        "happened": State.SUCCEEDED,
        "absent": State.ABSENT,
        "gave_up": State.GAVE_UP,
        "in_doubt": State.IN_DOUBT,
    },
    State.UNKNOWN: {
        "intended": State.INTENDED,
        "happened": State.SUCCEEDED,
        "absent": State.ABSENT,
        "gave_up": State.GAVE_UP,
        "in_doubt": State.IN_DOUBT,
    },
    State.IN_DOUBT: {
        "happened": State.SUCCEEDED,
        "absent": State.ABSENT,
        "gave_up": State.GAVE_UP,
    },
    State.ABSENT: {
        "intended": State.INTENDED,
        "allow": State.ALLOWED,
        "ask": State.HELD,
        "deny": State.REFUSED,
    },
    State.FAILED: {
        "intended": State.INTENDED,
        "allow": State.ALLOWED,
        "ask": State.HELD,
        "deny": State.REFUSED,
    },
    State.SUCCEEDED: {},
    # What stood in the way may be gone when somebody goes on with the run: then it is decided anew.
    State.REFUSED: {"allow": State.ALLOWED, "ask": State.HELD, "deny": State.REFUSED},
    State.GAVE_UP: {},
}


def word_of(body: Body) -> str | None:
    """Return the word under which the table knows an entry; None if it is not about an action."""
    match body:
        case Proposed():
            return "proposed"
        case Decided(decision=said):
            return str(said.__struct_config__.tag)
        case Intended():
            return "intended"
        case Settled(outcome=said):
            return str(said.__struct_config__.tag)
        case Reconciled(verdict=verdict):
            return verdict.value
        case InDoubt():
            return "in_doubt"
        case _:
            return None


def step(state: State, body: Body, *, action: str) -> State:
    """Return the state after `body`.

    Raises:
        StateError: the table has no such step.
    """
    word = word_of(body)
    if word is None:
        return state
    if word not in STEPS[state]:
        raise StateError(
            f"`{word}` cannot follow `{state}` for action `{action}`",
            hint="this is a bug in standpipe, or a journal somebody edited; `standpipe journal verify`",
        )
    return STEPS[state][word]


def state_after(story: Iterable[Body], *, action: str = "?") -> State:
    """Return where an action stands after its whole `story`."""
    state = State.NEW
    for body in story:
        state = step(state, body, action=action)
    return state


def diagram() -> str:
    """Draw the table as a Mermaid state diagram, for ARCHITECTURE.md.

    Example:
        >>> diagram().splitlines()[:2]
        ['stateDiagram-v2', '    [*] --> proposed: proposed']
    """
    lines = ["stateDiagram-v2"]
    for state, steps in STEPS.items():
        here = "[*]" if state is State.NEW else state.value
        lines += [f"    {here} --> {after.value}: {word}" for word, after in steps.items()]
        if not steps:
            lines.append(f"    {here} --> [*]")
    return "\n".join(lines)
