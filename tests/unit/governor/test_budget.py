import pytest

from standpipe.governor.budget import Limits, Spent, over


@pytest.mark.parametrize(
    ("spent", "cap"),
    [
        (Spent(model_calls=50), "50 model calls"),
        (Spent(actions=200), "200 actions"),
        (Spent(seconds=1_800), "30 minutes"),
        (Spent(cost_usd=5.0), "5 USD"),
    ],
)
def test_the_cap_that_is_reached_is_named(spent: Spent, cap: str) -> None:
    assert f"the budget of {cap} is used up" in (over(Limits(), spent) or "")


def test_below_every_cap_nothing_is_over() -> None:
    assert over(Limits(), Spent(model_calls=49, actions=199, seconds=1_799, cost_usd=4.99)) is None


def test_an_unknown_price_and_an_absent_cap_end_nothing() -> None:
    assert over(Limits(), Spent(cost_usd=None)) is None
    assert over(Limits(cost_usd=None), Spent(cost_usd=1_000)) is None
