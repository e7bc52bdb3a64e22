"""The agent's own tools: its two ends, its question, its memory.

Rule 1: `done` and `blocked` are ends, so they stand alone in their turn: a sibling could still fail.
Rule 2: a question is an `Ask` whose answer is words.
"""

from standpipe.actions import Action
from standpipe.policy.decision import Allow, Ask, Decision, Deny
from standpipe.policy.situation import Situation


def rule(action: Action, situation: Situation) -> Decision | None:
    """Allow the agent's own tools, hold its questions, refuse an end among other calls."""
    del situation
    if action.tool.origin != "agent":
        return None
    name = action.tool.name
    if name in {"done", "blocked"} and action.siblings:
        return Deny(
            "endings",
            f"`{name}` must be the only call of its turn; call it again alone once the others are settled",
        )
    match name:
        case "ask_human":
            return Ask("endings", str(action.arguments.get("question", "")), kind="question")
        case "blocked":
            on, needs = action.arguments.get("on", ""), action.arguments.get("needs", "")
            return Ask("endings", f"blocked on {on}; needs {needs}", kind="question")
        case _:
            return Allow("endings")
