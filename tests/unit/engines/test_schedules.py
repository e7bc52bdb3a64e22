from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from standpipe.clock import moment, seconds_of, stamp
from standpipe.config import load_settings
from standpipe.engines.schedules import (
    LATE,
    Last,
    Schedule,
    due_now,
    occurrences,
    read_schedules,
)
from standpipe.errors import ConfigError, UsageError

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Beirut", "America/Havana"]
CRONS = [
    "30 2 * * *",
    "0,30 2 * * *",
    "*/20 * * * *",
    "5 */3 * * *",
    "0 0 1 * *",
    "15 7 * * MON-FRI",
]
MINUTE = timedelta(minutes=1)


def daily(cron: str = "30 2 * * *", **more: object) -> Schedule:
    said: dict[str, object] = {"id": "mail", "task": "t", "cron": cron, "zone": BERLIN, **more}
    return Schedule(**said)  # type: ignore[arg-type]


def between(schedule: Schedule, after: str, until: str) -> list[str]:
    return [f"{one:%d %H:%M}" for one in occurrences(schedule, moment(after), moment(until))]


def hourly(**more: object) -> Schedule:
    return daily("0 * * * *", zone=UTC, **more)


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 11, 22, hour, minute, second, tzinfo=UTC)


def test_a_time_that_the_spring_skips_is_taken_when_the_gap_is_over() -> None:
    # On 28 March 2027 02:00 becomes 03:00 in Berlin, which is 01:00 UTC.
    found = between(daily(), "2027-03-26T12:00Z", "2027-03-29T12:00Z")
    assert found == ["27 01:30", "28 01:00", "29 00:30"]


def test_a_time_that_the_autumn_repeats_is_taken_once() -> None:
    # On 25 October 2026 03:00 becomes 02:00 in Berlin; 02:30 is 00:30 UTC and 01:30 UTC.
    found = between(daily(), "2026-10-23T12:00Z", "2026-10-26T12:00Z")
    assert found == ["24 00:30", "25 00:30", "26 01:30"]


@pytest.mark.parametrize("after", ["00:30", "00:45", "01:00", "01:29", "01:30", "01:45"])
def test_a_worker_that_starts_in_the_repeated_hour_does_not_take_a_time_again(after: str) -> None:
    found = between(daily(), f"2026-10-25T{after}Z", "2026-10-25T12:00Z")
    assert found == []


def test_two_times_inside_of_the_skipped_hour_become_one() -> None:
    found = between(daily("0,30 2 * * *"), "2027-03-28T00:00Z", "2027-03-28T12:00Z")
    assert found == ["28 01:00"]


def test_steps_follow_the_time_that_passes_on_both_days() -> None:
    spring = between(daily("*/30 * * * *"), "2027-03-28T00:00Z", "2027-03-28T02:00Z")
    assert spring == ["28 00:30", "28 01:00", "28 01:30", "28 02:00"]
    autumn = between(daily("*/30 * * * *"), "2026-10-25T00:00Z", "2026-10-25T02:00Z")
    assert autumn == ["25 00:30", "25 01:00", "25 01:30", "25 02:00"]


@given(
    cron=st.sampled_from(CRONS),
    zone=st.sampled_from(ZONES),
    start=st.integers(0, 400 * 24 * 60),
    first=st.integers(0, 3 * 24 * 60),
    then=st.integers(0, 3 * 24 * 60),
)
def test_looking_at_any_moment_between_changes_no_occurrence(
    cron: str, zone: str, start: int, first: int, then: int
) -> None:
    schedule = daily(cron, zone=ZoneInfo(zone))
    begin = at(0) + start * MINUTE
    middle = begin + first * MINUTE
    end = middle + then * MINUTE
    whole = list(occurrences(schedule, begin, end))
    assert whole == sorted(set(whole))
    assert whole == [
        *occurrences(schedule, begin, middle),
        *occurrences(schedule, middle, end),
    ]


def test_an_interval_is_counted_the_same_way_by_everybody() -> None:
    schedule = Schedule(id="a", task="t", every=timedelta(minutes=20))
    found = between(schedule, "2026-11-22T07:01Z", "2026-11-22T08:00Z")
    assert found == ["22 07:20", "22 07:40", "22 08:00"]


def test_the_first_run_begins_with_the_first_occurrence_that_is_not_too_late() -> None:
    assert due_now(hourly(), None, at(7, 0, 30)) == at(7)
    assert due_now(hourly(), None, at(7, 2)) is None


def test_of_several_that_are_not_too_late_the_newest_begins_and_no_older_one_after_it() -> None:
    often = Schedule(id="a", task="t", every=timedelta(seconds=10), overlap="queue")
    assert due_now(often, None, at(7, 0, 55)) == at(7, 0, 50)
    assert due_now(often, Last(at(7, 0, 50), at(7, 0, 56)), at(7, 0, 57)) is None
    assert due_now(often, Last(at(7, 0, 0), at(7, 0, 5)), at(7, 0, 35)) == at(7, 0, 30)


def test_an_occurrence_is_planned_once_and_then_not_again() -> None:
    assert due_now(hourly(), Last(at(6), at(6, 5)), at(7, 0, 1)) == at(7)
    assert due_now(hourly(), Last(at(7), at(7, 0, 2)), at(7, 0, 3)) is None


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_nothing_begins_while_the_run_before_is_not_over(overlap: str) -> None:
    assert due_now(hourly(overlap=overlap), Last(at(6), None), at(7, 0, 1)) is None


def test_what_overlapped_is_skipped_even_when_the_run_ends_a_moment_later() -> None:
    assert due_now(hourly(), Last(at(6), at(7, 0, 10)), at(7, 0, 11)) is None
    assert due_now(hourly(missed="once"), Last(at(6), at(7, 0, 10)), at(7, 30)) is None


def test_what_overlapped_waits_in_line_and_begins_one_after_the_other() -> None:
    schedule = hourly(overlap="queue")
    assert due_now(schedule, Last(at(6), at(8, 30)), at(8, 31)) == at(7)
    assert due_now(schedule, Last(at(7), at(8, 40)), at(8, 41)) == at(8)
    assert due_now(schedule, Last(at(8), at(8, 50)), at(8, 51)) is None


def test_what_nobody_began_in_time_is_skipped() -> None:
    assert due_now(hourly(), Last(at(3), at(3, 5)), at(9, 30)) is None


def test_what_nobody_began_in_time_is_made_up_for_once_by_the_newest() -> None:
    schedule = hourly(missed="once")
    assert due_now(schedule, Last(at(3), at(3, 5)), at(9, 30)) == at(9)
    assert due_now(schedule, Last(at(9), at(9, 31)), at(9, 32)) is None


def test_a_year_of_missed_minutes_is_made_up_for_without_counting_them() -> None:
    schedule = daily("* * * * *", zone=UTC, missed="once")
    year = timedelta(days=365)
    assert due_now(schedule, Last(at(7) - year, at(7) - year), at(7, 0, 30) + LATE) == at(7, 1)
    yearly = daily("0 0 1 1 *", zone=UTC, missed="once")
    assert due_now(yearly, Last(at(7) - 3 * year, at(7) - 3 * year), at(7)) == datetime(
        2026, 1, 1, tzinfo=UTC
    )


def test_a_clock_that_jumps_an_hour_and_comes_back_loses_nothing() -> None:
    last = Last(at(6), at(6, 5))
    assert due_now(hourly(), last, at(8, 30)) is None
    assert due_now(hourly(), last, at(7, 0, 1)) == at(7)


def test_a_run_is_named_by_the_planned_time_of_its_occurrence() -> None:
    schedule = daily()
    name = schedule.caller_id(at(1, 30).astimezone(BERLIN))
    assert name == "schedule-mail-2026-11-22T01:30:00Z"
    assert schedule.planned(name) == at(1, 30)
    assert schedule.planned("schedule-mail-late-2026-11-22T01:30:00Z") is None
    assert schedule.planned("mail") is None


def said(home: Path, text: str) -> tuple[Schedule, ...]:
    (home / "standpipe.toml").write_text(f"[[schedule]]\n{text}\n")
    return read_schedules(load_settings(home))


def test_a_schedule_is_read_from_the_settings(tmp_path: Path) -> None:
    text = (
        'id = "mail"\ntask = "T-7"\ncron = "30 7 * * 1-5"\nzone = "Europe/Berlin"\nmissed = "once"'
    )
    [one] = said(tmp_path, text)
    assert (one.id, one.task, one.zone, one.missed) == ("mail", "T-7", BERLIN, "once")
    [one] = said(tmp_path, 'task = "Look"\nevery = "15m"')
    assert (one.every, one.overlap) == (timedelta(minutes=15), "skip")
    assert one.id


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('task = "t"', "either `cron` or `every`"),
        ('task = "t"\ncron = "* * * * *"\nevery = "1h"', "either `cron` or `every`"),
        ('task = " "\nevery = "1h"', "standpipe.toml:2: a schedule needs a task"),
        ('task = "t"\ncron = "61 * * * *"', "standpipe.toml:3: `61 * * * *`: bad minute"),
        ('task = "t"\ncron = "0 0 30 2 *"', "bad day-of-month"),
        ('task = "t"\ncron = "0 * * * * *"', "five fields"),
        ('task = "t"\ncron = "@daily"', "five fields"),
        ('task = "t"\nevery = "often"', "`often` is no span of time"),
        ('task = "t"\nevery = "0s"', "too often"),
        ('task = "t"\nevery = "1h"\nzone = "Europe/Berlin"', "means nothing to `every`"),
        ('task = "t"\ncron = "0 1 * * *"\nzone = "Berlin"', "no time zone `Berlin`"),
        ('task = "t"\ncron = "0 1 * * *"\nzone = "/etc/passwd"', "no time zone"),
        ('task = "t"\ncron = "0 1 * * *"\nzone = ""', "no time zone"),
        ('task = "t"\nevery = "1h"\nid = "a b"', "cannot be the id"),
    ],
)
def test_a_schedule_that_cannot_be_meant_is_named_with_its_line(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        said(tmp_path, text)
    assert says in raised.value.message
    assert raised.value.message.startswith("standpipe.toml:")
    assert raised.value.hint


def test_two_schedules_never_share_an_id(tmp_path: Path) -> None:
    one = 'id = "a"\ntask = "t"\nevery = "1h"\n'
    with pytest.raises(ConfigError, match="two schedules have the id `a`"):
        said(tmp_path, f"{one}[[schedule]]\n{one}")


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30.0), ("5m", 300.0), (" 2h ", 7200.0), ("1.5d", 129_600.0)]
)
def test_a_span_of_time_is_a_number_and_its_unit(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "30", "s", "-5m", "1h30m", "5 m", "5M", "1w", "9999999s", "٣s"]
)
def test_what_is_no_span_of_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        seconds_of(text)


def test_a_planned_time_can_be_written_and_read() -> None:
    assert moment(stamp(at(7))) == at(7)
