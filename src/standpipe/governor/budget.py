"""How much a run may spend. A cap that is reached ends it, in a sentence that names the cap."""

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """The caps of one run; `[budgets]` in standpipe.toml."""

    model_calls: int = 50
    actions: int = 200
    minutes: float = 30.0
    cost_usd: float | None = 5.0  # None: no cap


class Spent(Struct, frozen=True, kw_only=True):
    """What one run has used; `cost_usd` is None where a price is unknown, never 0."""

    model_calls: int = 0
    actions: int = 0
    seconds: float = 0.0
    cost_usd: float | None = None


def over(limits: Limits, spent: Spent) -> str | None:
    """Name the first cap that is reached, or return None.

    Example:
        >>> over(Limits(), Spent(model_calls=50))
        'the budget of 50 model calls is used up (50 made)'
    """
    if spent.model_calls >= limits.model_calls:
        return (
            f"the budget of {limits.model_calls} model calls is used up ({spent.model_calls} made)"
        )
    if spent.actions >= limits.actions:
        return f"the budget of {limits.actions} actions is used up ({spent.actions} made)"
    if spent.seconds >= limits.minutes * 60:
        used = spent.seconds / 60
        return f"the budget of {limits.minutes:g} minutes is used up ({used:.1f} gone)"
    if limits.cost_usd is not None and (spent.cost_usd or 0.0) >= limits.cost_usd:
        used = spent.cost_usd or 0.0
        return f"the budget of {limits.cost_usd:.2f} USD is used up ({used:.2f} spent)"
    return None
