"""Clocks that somebody sets while they are used."""

from datetime import timedelta

from standpipe.clock import AnchoredClock, steadily
from standpipe.testing.fakes import FakeClock


def test_a_clock_that_is_set_meanwhile_changes_no_measured_time() -> None:
    clock = FakeClock()
    told = steadily(clock)
    before = told()
    clock.jump(3_600)
    clock.advance(5)
    assert told() - before == timedelta(seconds=5)


def test_an_anchored_clock_says_what_the_other_one_said_and_goes_on_from_there() -> None:
    clock, there = AnchoredClock(), FakeClock().now()
    clock.anchor(there)
    assert timedelta() <= clock.now() - there < timedelta(minutes=1)
