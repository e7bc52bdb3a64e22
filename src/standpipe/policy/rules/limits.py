"""What is used up, and what is known to be broken, is not tried again."""

from standpipe.actions import Action
from standpipe.policy.decision import Ask, Decision, Deny
from standpipe.policy.situation import Situation

_ENDS = frozenset({"done", "blocked", "ask_human"})


def rule(action: Action, situation: Situation) -> Decision | None:
    """Deny beyond the budget, and what failed before; asking a human and ending stay possible."""
    if action.tool.name in _ENDS:
        return None
    if situation.over_budget and action.tool.origin != "agent":
        return Deny("budget", situation.over_budget)
    if refusal := situation.refusal:
        if refusal.asks:
            return Ask(refusal.rule, refusal.reason)
        return Deny(refusal.rule, refusal.reason)
    return None
