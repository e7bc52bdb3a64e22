"""What the sets and the rows of the governor say of each kind, one by one, and what is kept of a site."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from standpipe.actions import Effect, Tool
from standpipe.governor.fingerprint import fingerprints
from standpipe.governor.recovery import Escalate, Recovery, Refresh, Wait, recover
from standpipe.governor.sites import (
    HOST_WIDE,
    MODEL_CAUSED,
    TRANSIENT,
    Site,
    failed,
    may_try,
    missed,
    opened,
    probed,
    resolved,
    resolves,
    seen_next,
)
from standpipe.outcomes.outcome import Failed, Kind, Phase

AT, SOON, LATE = "2026-11-22T07:00:00.000Z", "2026-11-22T07:00:30.000Z", "2026-11-22T07:01:00.000Z"
NOW = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
TOOL = Tool(name="look", effect=Effect.READ, refresh="renew")


def site(kind: Kind = Kind.FORBIDDEN, before: Site | None = None, *, at: str = AT) -> Site:
    outcome = Failed(kind, "no", code="x", host="shop.example")
    marks = fingerprints("look", {}, outcome)
    return failed(before, marks=marks, tool="look", outcome=outcome, at=at, run="r1", depends="m:c")


def after(kind: Kind, message: str = "no", **given: Any) -> Recovery:
    outcome = Failed(kind, message, code=given.pop("code", ""), phase=Phase.PARSED)
    facts: dict[str, Any] = {"tool": TOOL, "attempt": 1, "seen": 1, "jitter": 0.5}
    return recover(outcome, **(facts | given))


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_each_kind_cools_down_or_waits_for_a_person_or_is_the_models_own(kind: Kind) -> None:
    cools = {
        "rate_limited", "overloaded", "server_error", "not_sent", "timed_out", "truncated",
        "model_silent",
    }  # fmt: skip
    models = {
        "not_found", "bad_input", "error_text", "unknown_tool", "denied", "checklist", "gave_up",
        "loop", "no_progress", "cut", "budget",
    }  # fmt: skip
    assert ((kind in TRANSIENT), (kind in MODEL_CAUSED)) == (kind in cools, kind in models)
    if kind in models:
        assert may_try(opened(site(kind), "b1", AT), NOW)
    else:
        opens = opened(site(kind), "b1", AT)
        assert may_try(opens, NOW + timedelta(seconds=30)) == (kind in cools)
        assert not may_try(opens, NOW + timedelta(seconds=29))


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_each_kind_is_a_matter_of_the_host_or_of_the_tool(kind: Kind) -> None:
    assert (kind in HOST_WIDE) == (kind in {"credential", "forbidden", "not_sent", "quota"})
    anywhere = kind in {"not_found", "bad_input", "conflict", "error_text"}
    assert resolves(kind, same_site=False, same_tool=True) == anywhere
    assert resolves(kind, same_site=True, same_tool=False) == (
        not anywhere and kind is not Kind.IN_DOUBT
    )


def test_a_resolved_site_keeps_what_it_was_and_nothing_that_holds_anybody() -> None:
    tried = probed(opened(site(before=site()), "b1", AT), "r2.1.1", LATE, AT)
    closed = resolved(replace(tried, probation=True), "ann", SOON)
    kept = replace(site(before=site()), count=0, runs=(), resolved_by="ann", resolved_at=SOON)
    assert closed == kept
    again = site(before=closed, at=LATE)
    assert (again.count, again.total, again.first_at, again.last_at) == (1, 3, LATE, LATE)
    assert (again.resolved_by, again.resolved_at) == ("", "")


def test_what_is_said_of_a_site_is_what_was_said_last() -> None:
    first = site()
    outcome = Failed(Kind.FORBIDDEN, "never", code="y", host="shop.example", retry_after_seconds=3)
    marks = fingerprints("look", {}, outcome)
    again = failed(
        first, marks=marks, tool="look", outcome=outcome, at=LATE, run="r1", depends="n:d"
    )
    assert (again.message, again.code, again.retry_after_seconds) == ("never", "y", 3)
    assert (again.cause, again.template) == (marks.cause, marks.template)
    assert (again.first_at, again.last_at, again.runs) == (AT, LATE, ("r1",))


def test_opening_again_lets_nobody_keep_the_old_attempt() -> None:
    tried = probed(opened(site(), "b1", AT), "r2.1.1", LATE, AT)
    again = opened(replace(tried, probation=True), "b1", AT)
    assert (again.probe, again.probe_until, again.probation) == ("", "", False)
    assert (missed(tried).probe, missed(tried).probe_until) == ("", "")


def test_an_attempt_is_held_by_one_until_its_time_is_over() -> None:
    tried = probed(opened(site(), "b1", AT), "r2.1.1", SOON, AT)
    assert probed(tried, "r3.1.1", LATE, AT) == tried
    assert probed(tried, "r2.1.1", LATE, AT).probe_until == LATE  # its own repeat
    assert probed(tried, "r3.1.1", LATE, SOON).probe == "r3.1.1"  # that one is lost
    later = replace(tried, until=AT)
    assert not may_try(later, NOW + timedelta(seconds=29))
    assert may_try(later, NOW + timedelta(seconds=30))


@pytest.mark.parametrize("depends", ["", "m:c"])
def test_what_is_not_known_to_have_changed_opens_nothing(depends: str) -> None:
    assert not may_try(opened(site(), "b1", AT), NOW, depends=depends)
    assert not may_try(replace(opened(site(), "b1", AT), depends=""), NOW, depends="m:c")


def test_an_open_site_without_a_time_waits_for_a_person() -> None:
    assert not may_try(replace(opened(site(), "b1", AT), until=""), NOW + timedelta(days=9))


def test_on_probation_the_count_is_never_told_smaller_than_it_is() -> None:
    assert seen_next(replace(site(), count=4, probation=True), 2) == 5


def test_a_refresh_is_no_repeat_that_the_budget_of_a_host_could_forbid() -> None:
    assert isinstance(after(Kind.CREDENTIAL, repeats_left=False), Refresh)
    assert isinstance(after(Kind.RATE_LIMITED, repeats_left=False), Escalate)


def test_only_a_missing_command_is_for_the_model_to_mend() -> None:
    assert isinstance(after(Kind.FORBIDDEN, code="127"), Escalate)


def test_a_reason_says_who_asked_how_often_it_was_tried_and_what_was_said() -> None:
    busy, asked = after(Kind.OVERLOADED), after(Kind.RATE_LIMITED, wait_seconds_max=0.1)
    assert busy == Wait("it is busy: 1.0 s to wait; overloaded at attempt 1: no", 1.0)
    assert asked.why.startswith("it is busy: 0.5 s to wait, longer than a run may sleep here; ")
    named = recover(
        Failed(Kind.RATE_LIMITED, "no", retry_after_seconds=30), tool=TOOL, attempt=1, seen=1,
        jitter=0.5, wait_seconds_max=30,
    )  # fmt: skip
    assert named.why == "the other side asked: 30.0 s to wait; rate_limited at attempt 1: no"
    last = after(Kind.OVERLOADED, attempt=3)
    assert last.why == "a person has to decide; overloaded after 3 attempts: no"
    assert after(Kind.QUOTA, message=" \n").why == "a person has to decide; quota: no message"
    assert after(Kind.QUOTA, message="x" * 300).why.endswith("x" * 300)
    assert after(Kind.QUOTA, message="x" * 301).why.endswith("x" * 300 + "…")
