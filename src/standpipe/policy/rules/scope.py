"""A run that was narrowed stays narrow."""

from standpipe.actions import Action
from standpipe.policy.decision import Decision, Deny
from standpipe.policy.situation import Situation


def rule(action: Action, situation: Situation) -> Decision | None:
    """Deny tools outside the scope; the agent's own tools are always inside."""
    if situation.scope is None or action.tool.origin == "agent":
        return None
    if action.tool.name in situation.scope:
        return None
    return Deny(
        "scope",
        f"`{action.tool.name}` is outside the scope of this run ({', '.join(situation.scope)})",
    )
