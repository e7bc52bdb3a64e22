"""A secret never leaves through an argument.

Values are masked where they come in, so what stands here is a marker, or a key the mask knows by its shape.
"""

from standpipe.actions import Action
from standpipe.policy.decision import Decision, Deny
from standpipe.policy.situation import Situation


def rule(action: Action, situation: Situation) -> Decision | None:
    """Deny a call whose arguments hold a secret; the message names it and never shows it."""
    names = situation.secrets_in(action.arguments)
    if not names:
        return None
    return Deny(
        "secrets",
        f"the arguments of `{action.tool.name}` hold a secret ({', '.join(names)}); nothing was done. "
        "Credentials are added by host at the boundary and never belong in a text, file or request",
    )
