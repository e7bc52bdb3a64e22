"""Only listed hosts are reached."""

from collections.abc import Iterator

from standpipe.actions import Action
from standpipe.policy.decision import Allow, Decision, Deny
from standpipe.policy.egress import host_allowed, host_of
from standpipe.policy.setting import texts, under
from standpipe.policy.situation import Situation


def rule(action: Action, situation: Situation) -> Decision | None:
    """Deny a built-in request to a host that is not listed; a listed one needs no question."""
    if action.tool.origin != "builtin" or "url" not in (action.tool.control or ()):
        return None
    for url in _urls(action):
        refused = host_allowed(url, situation.egress)
        if refused:
            host = host_of(url) or "HOST"
            line = under("egress", f"allow = {texts(situation.egress, [host])}")
            return Deny("egress", f"{refused}. To allow it, write in standpipe.toml {line}", line)
    return Allow("egress")


def _urls(action: Action) -> Iterator[str]:
    value = action.arguments.get("url")
    yield value if isinstance(value, str) else ""
