"""What the manifest says: `allow`, `ask`, `deny`; and without a word, what is safe.

Rule 1: reads and idempotent effects are allowed, `once` asks, what nobody declared asks.
Rule 2: `destructive` asks, whatever the policy says.
Rule 3: every question names the line of standpipe.toml that would make it unnecessary.
"""

from standpipe.actions import Action, Effect
from standpipe.policy.decision import Allow, Ask, Decision, Deny
from standpipe.policy.setting import under
from standpipe.policy.situation import Situation


def rule(action: Action, situation: Situation) -> Decision | None:
    """Say what the declaration of the tool says."""
    del situation
    tool = action.tool
    if tool.origin in {"agent", "unknown"}:
        return None
    if tool.policy == "deny":
        return Deny("declared", f'`{tool.name}` is switched off: policy = "deny" in standpipe.toml')
    if tool.destructive:
        line = under(f"tools.{tool.name}", "destructive = false")
        return Ask("declared", f"`{tool.name}` destroys something and is always asked", line)
    if tool.policy == "ask":
        line = under(f"tools.{tool.name}", 'policy = "allow"')
        return Ask("declared", f"`{tool.name}` is set to ask", line)
    if tool.policy == "allow" or tool.effect is not Effect.ONCE:
        return Allow("declared")
    return _undecided(action)


def _undecided(action: Action) -> Decision | None:
    tool = action.tool
    line = under(f"tools.{tool.name}", 'policy = "allow"')
    if tool.origin == "undeclared":
        declare = under(f"tools.{tool.name}", 'effect = "once"')
        return Ask("declared", f"nobody has declared what `{tool.name}` does", declare)
    if tool.origin == "builtin" and tool.control:  # listed hosts and known recipients decide
        return None
    return Ask("declared", f"`{tool.name}` acts once and cannot be repeated", line)
