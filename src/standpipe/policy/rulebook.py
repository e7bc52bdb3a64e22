"""All rules, asked about one call. The strictest opinion wins; a crashed rule closes the gate."""

from collections.abc import Callable, Sequence

from standpipe.actions import Action
from standpipe.policy.decision import Decision, Deny, strictest
from standpipe.policy.rules import (
    declared,
    destinations,
    egress,
    endings,
    known_tools,
    limits,
    scope,
    secrets,
)
from standpipe.policy.situation import Situation

Rule = Callable[[Action, Situation], Decision | None]

RULES: tuple[Rule, ...] = (
    known_tools.rule,
    scope.rule,
    limits.rule,
    endings.rule,
    secrets.rule,
    egress.rule,
    destinations.rule,
    declared.rule,
)


def decide(action: Action, situation: Situation, rules: Sequence[Rule] = RULES) -> Decision:
    """Return the strictest opinion any rule has about `action`; without one, no.

    Example:
        >>> from standpipe.actions import Tool
        >>> decide(Action(id="r1.1.1", tool=Tool(name="rm")), Situation(), rules=[])
        Deny(rule='default', reason='no rule allows `rm`', setting='')
    """
    opinions = [said for rule in rules if (said := _ask(rule, action, situation)) is not None]
    return strictest(opinions, otherwise=Deny("default", f"no rule allows `{action.tool.name}`"))


def _ask(rule: Rule, action: Action, situation: Situation) -> Decision | None:
    try:
        return rule(action, situation)
    except Exception as error:  # noqa: BLE001 -- a crashed rule closes the gate, it does not open it
        return Deny("crashed", f"the rule `{rule.__module__}` crashed: {error!r}")
