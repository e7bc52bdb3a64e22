"""The strictest opinion wins. No rule, or a crashed rule, means no."""

from collections.abc import Iterable
from typing import assert_never

from msgspec import Struct


class Allow(Struct, frozen=True, tag="allow"):
    """It may happen."""

    rule: str


class Ask(Struct, frozen=True, tag="ask", omit_defaults=True):
    """A human decides; until then the action is held.

    `setting` is the line of standpipe.toml that would make the question unnecessary; `kind` is
    `approval`, or `question` where the answer is words.
    """

    rule: str
    reason: str
    setting: str = ""
    kind: str = "approval"


class Deny(Struct, frozen=True, tag="deny", omit_defaults=True):
    """It may not happen."""

    rule: str
    reason: str
    setting: str = ""


Decision = Allow | Ask | Deny


def strictest(opinions: Iterable[Decision], *, otherwise: Decision) -> Decision:
    """Return the strictest of `opinions`; the first of equals.

    Example:
        >>> strictest([Allow("a"), Deny("b", "no")], otherwise=Deny("default", "no rule"))
        Deny(rule='b', reason='no', setting='')
    """
    return max(opinions, key=strictness, default=otherwise)


def strictness(decision: Decision) -> int:
    """Rank a decision, mildest first."""
    match decision:
        case Allow():
            return 0
        case Ask():
            return 1
        case Deny():
            return 2
        case _:
            assert_never(decision)
