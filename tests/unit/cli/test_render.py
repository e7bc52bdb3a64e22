"""Fleets, inboxes and reports as lines for a terminal."""

from datetime import UTC, datetime

from standpipe.cli.render import fleet_lines, report_lines, waiting_row
from standpipe.desk.blockers import Waiting
from standpipe.desk.fleet import fleet
from standpipe.desk.report import Ask, Report, Usage
from standpipe.journal.projections import RunRow
from standpipe.testing.fakes import FakeClock

NOW, BEGAN = "2026-11-22T07:00:42.000Z", "2026-11-22T07:00:00.000Z"


def lines(**more: str) -> list[str]:
    facts = {"id": "r1", "agent": "a", "task": "Look", "model": "m", "started_at": BEGAN, **more}
    found = fleet([RunRow(**facts)], alive=lambda _: True, now=NOW)  # type: ignore[arg-type]
    return [line for line, _ in fleet_lines(found)]


def waiting(kind: str) -> Waiting:
    return Waiting(
        id="b1", run="r1", agent="a", task="Look", kind=kind, ask="`orders` failed: no. What now?",
        why="twice", action=None, choices=(), setting="", default="park", raised_at=BEGAN,
        expires_at="2026-11-22T08:00:42.000Z", state="open",
    )  # fmt: skip


def test_a_run_at_work_is_one_line_with_what_it_does_and_for_how_long() -> None:
    assert lines(doing="orders", doing_since=BEGAN) == [
        "1 running",
        "r1    running   Look: orders for 42 s",
    ]


def test_trouble_stands_under_the_run_and_cannot_act() -> None:
    said = lines(trouble="orders: overloaded\x1b[2J", last_at=NOW)
    assert said[1:] == ["r1    running   Look", "      trouble: orders: overloaded⟨U+001B⟩[2J"]


def test_a_question_about_a_failure_names_the_ways_on() -> None:
    row = waiting_row(waiting("failure"))
    assert row.commands == ("standpipe answer b1 TEXT|skip",)
    assert row.details == (
        "any answer lets it be tried once more, so say what has changed; `skip` goes on without it",
    )


def test_what_waits_for_a_time_names_it_and_the_command_that_goes_on() -> None:
    row = waiting_row(waiting("wait"))
    assert row.details == ("why: twice", "goes on at 2026-11-22T08:00:42.000Z")
    assert row.commands == ("standpipe run r1",)


def test_a_report_says_how_long_is_left_of_a_wait() -> None:
    asks = (Ask(id="b1", kind="wait", ask="later", why="", expires_at="2026-11-22T07:30:00.000Z"),)
    usage = Usage(
        model_calls=0, tool_calls=0, attempts=0, input_tokens=0, output_tokens=0, cost_usd=None, wall_seconds=0.0
    )  # fmt: skip
    made = Report(
        run="r1", agent="a", task="t", status="blocked", summary="waits", started_at=BEGAN, ended_at=None,
        blocked_on=asks, failures=(), effects=(), files=(), decisions=(), checklist=(), lessons=(), usage=usage,
    )  # fmt: skip
    clock = FakeClock(datetime(2026, 11, 22, 7, 0, tzinfo=UTC))
    said = [line for line, _ in report_lines(made, clock=clock)]
    assert "    goes on at 2026-11-22T07:30:00.000Z, in 30 min" in said
