"""How much a run may spend. A cap that is reached ends it, in a sentence that names the cap."""

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """The caps of one run; `[budgets]` in standpipe.toml. None: no cap."""

    model_calls: int | None = 50
    actions: int | None = 200
    minutes: float | None = 30.0
    cost_usd: float | None = 5.0


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
    minutes = spent.seconds / 60
    caps = (
        (limits.model_calls, spent.model_calls, "model calls", f"{spent.model_calls} made"),
        (limits.actions, spent.actions, "actions", f"{spent.actions} made"),
        (limits.minutes, minutes, "minutes", f"{minutes:.1f} gone"),
        (limits.cost_usd, spent.cost_usd or 0.0, "USD", f"{spent.cost_usd or 0.0:.2f} spent"),
    )
    for cap, used, unit, said in caps:
        if cap is not None and used >= cap:
            return f"the budget of {cap:g} {unit} is used up ({said})"
    return None
