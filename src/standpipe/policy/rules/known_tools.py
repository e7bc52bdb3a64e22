"""A name that no tool has is denied, with the nearest name that there is."""

from difflib import get_close_matches

from standpipe.actions import Action
from standpipe.policy.decision import Decision, Deny
from standpipe.policy.situation import Situation

UNKNOWN = "unknown"  # the `origin` of a manifest made up for a name nobody has


def rule(action: Action, situation: Situation) -> Decision | None:
    """Deny what does not exist."""
    if action.tool.origin != UNKNOWN:
        return None
    near = get_close_matches(action.tool.name, situation.tools, n=1)
    meant = f"; did you mean `{near[0]}`?" if near else f"; there are {', '.join(situation.tools)}"
    return Deny("known_tools", f"no tool is called `{action.tool.name}`{meant}")
