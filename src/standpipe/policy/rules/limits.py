"""What is used up, and what is known to be broken, is not tried again."""

from standpipe.actions import Action
from standpipe.policy.decision import Decision, Deny
from standpipe.policy.situation import Situation


def rule(action: Action, situation: Situation) -> Decision | None:
    """Deny beyond the budget, and where a site is open; asking a human and ending stay possible."""
    if action.tool.origin == "agent":
        return None
    if situation.over_budget:
        return Deny("budget", situation.over_budget)
    if situation.open_site:
        return Deny("open_site", situation.open_site)
    return None
