import os
import subprocess

import pytest
from msgspec.structs import replace

from standpipe.desk.fleet import can_go_on, fleet, sentence_of
from standpipe.desk.liveness import lives, started
from standpipe.journal.projections import BlockerRow, RunRow


def row(name: str, status: str = "running", **more: object) -> RunRow:
    facts = {
        "agent": "mailer",
        "task": "mail",
        "model": "m",
        "started_at": "t",
        "pid": 41,
        "epoch": 1,
    }
    return RunRow(id=name, status=status, **{**facts, **more})  # type: ignore[arg-type]


def test_a_running_run_whose_process_is_gone_is_lost() -> None:
    found = fleet([row("r1"), row("r2", pid=42)], alive=lambda row: row.pid == 42, now="t")
    assert [(run.run, run.status) for run in found.runs] == [("r2", "running"), ("r1", "lost")]
    assert found.counts == {
        "queued": 0, "running": 1, "blocked": 0, "done": 0, "failed": 0, "cancelled": 0, "lost": 1,
    }  # fmt: skip


@pytest.mark.parametrize("wakes", ["2026-11-22T07:00:01.000Z", ""])  # "": written before this rule
def test_a_run_that_nobody_took_up_yet_is_not_lost(wakes: str) -> None:
    created = row("r1", epoch=0, pid=0, wake_at=wakes)
    found = fleet([created], alive=lambda _: False, now="2026-11-22T07:00:00.000Z")
    assert found.runs[0].status == "running"


def test_a_run_that_nobody_took_up_in_time_is_lost_and_says_how_it_begins() -> None:
    now = "2026-11-22T07:00:00.000Z"
    created = row("r1", epoch=0, pid=0, wake_at=now)
    [run] = fleet([created], alive=lambda _: False, now=now).runs
    assert run.status == "lost"
    assert run.summary == "killed before it began; `standpipe resume r1` begins it"
    assert can_go_on(created, {}, alive=lambda _: False, now=now)


def test_an_unknown_price_makes_the_sum_unknown() -> None:
    rows = [row("r1", cost_usd=0.5, model_calls=1), row("r2", cost_usd=None, model_calls=1)]
    assert fleet(rows[:1], alive=lambda _: True, now="t").cost.total_usd == 0.5
    assert fleet(rows, alive=lambda _: True, now="t").cost.total_usd is None


def test_a_long_summary_is_cut_to_what_a_list_holds() -> None:
    found = fleet([row("r1", "done", summary="ä" * 500)], alive=lambda _: True, now="t")
    assert len(found.runs[0].summary.encode()) <= 203
    assert found.runs[0].summary.endswith("…")


def test_a_running_run_says_what_it_does_for_how_long_and_what_troubles_it() -> None:
    began, now = "2026-11-22T07:00:00.000Z", "2026-11-22T07:00:42.000Z"
    busy = row("r1", doing="orders", doing_since=began, last_at=now, trouble="orders: overloaded")
    [run] = fleet([busy], alive=lambda _: True, now=now).runs
    assert (run.summary, run.step_seconds, run.trouble) == ("orders", 42.0, "orders: overloaded")
    between = row("r2", last_at=began, trouble="orders: overloaded")
    [run] = fleet([between], alive=lambda _: True, now=now).runs
    assert (run.summary, run.step_seconds) == ("", 42.0)
    [run] = fleet([row("r3", last_at=now)], alive=lambda _: True, now=began).runs
    assert (run.summary, run.step_seconds) == ("thinking", 0.0)  # whose clock is behind


@pytest.mark.parametrize("status", ["done", "failed", "blocked", "cancelled"])
def test_what_does_not_run_does_nothing_and_is_in_no_trouble(status: str) -> None:
    [run] = fleet([row("r1", status, trouble="x")], alive=lambda _: True, now="t").runs
    assert (run.step_seconds, run.trouble) == (None, "")


@pytest.mark.parametrize("status", ["failed", "blocked"])
def test_why_a_run_failed_or_waits_is_told_at_length(status: str) -> None:
    [run] = fleet([row("r1", status, summary="w" * 500)], alive=lambda _: True, now="t").runs
    assert run.summary == "w" * 500


def test_one_line_says_what_is_broken_first() -> None:
    rows = [row("r1", "done"), row("r2", "blocked"), row("r3")]
    found = fleet(rows, alive=lambda _: False, now="t")
    assert sentence_of(found) == "1 lost, 1 need you, 1 done"
    assert sentence_of(fleet([], alive=lambda _: False, now="t")) == "no runs yet"


def test_a_run_that_was_given_back_is_lost_though_its_process_lives() -> None:
    [run] = fleet([row("r1", "yielded", summary="interrupted")], alive=lambda _: True, now="t").runs
    assert run.status == "lost"
    assert run.summary == "interrupted; `standpipe resume r1` goes on where it stopped"


@pytest.mark.parametrize(
    ("queue", "now", "summary"),
    [
        ("default", "2026-11-22T07:00:00.000Z", "waits for a worker"),
        ("night", "2026-11-22T07:00:00.000Z", "waits for a worker (queue night)"),
        ("default", "2026-11-22T06:00:00.000Z", "begins at 2026-11-22T07:00:00.000Z"),
    ],
)
def test_a_queued_run_says_what_it_waits_for(queue: str, now: str, summary: str) -> None:
    queued = row("r1", "queued", epoch=0, queue=queue, wake_at="2026-11-22T07:00:00.000Z")
    found = fleet([queued], alive=lambda _: False, now=now)
    assert (found.runs[0].summary, found.counts["queued"]) == (summary, 1)
    assert sentence_of(found) == "1 queued"


LATER = "2026-11-22T08:00:00.000Z"


@pytest.mark.parametrize(
    ("run", "goes_on"),
    [
        (row("r1"), True),  # its process is gone
        (row("r1", pid=42), False),
        (row("r1", epoch=0), True),  # it was killed before it came to its first segment
        (row("r1", "yielded", pid=42), True),
        (row("r1", "queued", epoch=0, wake_at="2026-11-22T06:00:00.000Z"), True),
        (row("r1", "queued", epoch=0, wake_at=LATER), False),
        (row("r1", "blocked", wake_at="2026-11-22T06:00:00.000Z"), True),
        (row("r1", "blocked", wake_at=LATER), False),
        (row("r1", "blocked", waits_for=("b1",)), True),
        (row("r1", "blocked", waits_for=("b1", "b2")), False),
        (row("r1", "blocked", waits_for=("b1", "b3")), True),  # a wait that is over
        (row("r1", "blocked"), False),  # a row of an older version: its own questions count
        (row("r1", "done"), False),
        (row("r1", "cancelled"), False),
    ],
)
def test_what_waits_for_nobody_can_go_on(run: RunRow, goes_on: bool) -> None:
    open_one = BlockerRow(id="b2", run="r1", kind="question", ask="?", why="", raised_at="t")
    questions = {
        "b1": replace(open_one, id="b1", answer="yes"),
        "b2": open_one,
        "b3": replace(open_one, id="b3", kind="wait", expires_at="2026-11-22T06:30:00.000Z"),
    }
    now = "2026-11-22T07:00:00.000Z"
    assert can_go_on(run, questions, alive=lambda row: row.pid == 42, now=now) is goes_on


def test_this_process_is_alive_and_its_pid_with_another_start_time_is_not() -> None:
    own = os.getpid()
    assert lives(own, started(own))
    assert started(own) == "" or not lives(own, "earlier")


def test_no_process_is_never_alive() -> None:
    assert not lives(0, "")
    assert not lives(-1, "")


def test_a_zombie_is_gone() -> None:
    child = subprocess.Popen(["/bin/sh", "-c", ":"])
    os.waitid(
        os.P_PID, child.pid, os.WEXITED | os.WNOWAIT
    )  # it has ended, and nobody has buried it
    try:
        assert not lives(child.pid, "")
    finally:
        child.wait()
