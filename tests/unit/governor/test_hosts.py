from datetime import UTC, datetime, timedelta

from standpipe.governor.hosts import (
    TOKENS_MAX,
    Host,
    answered,
    may_repeat,
    paused,
    repeated_in_vain,
    seconds_left,
)

AT = "2026-11-22T07:00:00.000Z"
NOW = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)


def test_a_pause_holds_until_its_end_and_a_shorter_one_does_not_shorten_it() -> None:
    host = paused(paused(Host("api.example"), AT, 60), "2026-11-22T07:00:10.000Z", 5)
    assert seconds_left(host, NOW + timedelta(seconds=10)) == 50
    assert seconds_left(host, NOW + timedelta(seconds=61)) == 0
    assert seconds_left(None, NOW) == 0


def test_repeats_end_when_half_of_the_budget_is_gone_and_come_back_with_successes() -> None:
    host, repeats = Host("api.example"), 0
    while may_repeat(host):
        host, repeats = repeated_in_vain(host), repeats + 1
    assert repeats == 5
    assert may_repeat(answered(host))
    assert may_repeat(None)


def test_the_budget_has_a_floor_and_a_ceiling() -> None:
    host = Host("api.example")
    assert answered(host).tokens == TOKENS_MAX
    for _ in range(20):
        host = repeated_in_vain(host)
    assert host.tokens == 0
