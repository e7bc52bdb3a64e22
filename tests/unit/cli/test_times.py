from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from standpipe.cli.times import wake_at
from standpipe.clock import moment, stamp
from standpipe.errors import UsageError

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)  # eight o'clock in Berlin


def read(at: str | None = None, delay: str | None = None, now: datetime = NOW) -> str:
    return stamp(wake_at(at, delay, now=now, zone=BERLIN))


def test_without_a_time_it_begins_now() -> None:
    assert read() == stamp(NOW)


@pytest.mark.parametrize(
    ("at", "begins"),
    [
        ("2026-11-23T07:30:00+01:00", "2026-11-23T06:30:00.000Z"),
        ("2026-11-23 07:30:00z", "2026-11-23T07:30:00.000Z"),
        ("2026-11-22T06:59:30Z", "2026-11-22T06:59:30.000Z"),
        ("08:30", "2026-11-22T07:30:00.000Z"),
        ("08:00", "2026-11-23T07:00:00.000Z"),
        ("00:00", "2026-11-22T23:00:00.000Z"),
    ],
)
def test_a_time_is_a_moment_or_the_next_time_the_clock_shows_it(at: str, begins: str) -> None:
    assert read(at) == begins


def test_tomorrow_at_a_time_of_the_day_may_have_another_offset() -> None:
    evening = moment("2026-10-24T20:00:00Z")  # in the night the clock goes back
    assert read("07:30", now=evening) == "2026-10-25T06:30:00.000Z"


def test_a_delay_counts_from_now() -> None:
    assert read(delay="2h") == "2026-11-22T09:00:00.000Z"


@pytest.mark.parametrize(
    "at",
    [
        "", "now", "tomorrow", "7:30", "24:00", "07:60", "2026-11-23", "2026-11-23T07:30",
        "2026-11-23T07:30:00", "2026-13-01T00:00:00Z", "2026-11-23T07:30:00 Europe/Berlin", "\u0660\u0667:\u0663\u0660",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_an_example(at: str) -> None:
    with pytest.raises(UsageError, match="is no time") as refused:
        read(at)
    assert "07:30" in refused.value.hint


def test_a_time_that_is_over_is_not_meant() -> None:
    with pytest.raises(UsageError, match="is over"):
        read("2025-11-23T07:30:00Z")


@pytest.mark.parametrize("delay", ["", "soon", "-5m", "30"])
def test_what_is_no_delay_is_refused(delay: str) -> None:
    with pytest.raises(UsageError, match="no span of time"):
        read(delay=delay)
