from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from standpipe.governor.fingerprint import VERSION, fingerprints
from standpipe.governor.sites import (
    Site,
    failed,
    is_alias,
    may_try,
    missed,
    opened,
    probed,
    resolved,
    resolves,
    seen_next,
)
from standpipe.outcomes.outcome import Failed, Kind, Unknown

AT = "2026-11-22T07:00:00.000Z"
NOW = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)


def fail(
    before: Site | None = None, kind: Kind = Kind.FORBIDDEN, *, run: str = "r1", depends: str = "",
    retry_after_seconds: float | None = None,
) -> Site:  # fmt: skip
    outcome = Failed(
        kind, "HTTP 403", code="403", host="api.example", retry_after_seconds=retry_after_seconds
    )
    marks = fingerprints("look", {}, outcome)
    return failed(
        before, marks=marks, tool="look", outcome=outcome, at=AT, run=run, depends=depends
    )


def test_failures_are_counted_over_runs() -> None:
    site = fail(fail(fail()), run="r2")
    assert (site.count, site.runs, site.first_at) == (3, ("r1", "r2"), AT)


def test_the_first_failure_after_a_resolution_counts_as_the_first() -> None:
    site = fail(resolved(fail(fail()), "r1.4.1"))
    assert (site.count, site.resolved_by) == (1, "")


def test_an_effect_in_doubt_has_a_site_too() -> None:
    outcome = Unknown("the line went dead")
    marks = fingerprints("send", {}, outcome)
    site = failed(None, marks=marks, tool="send", outcome=outcome, at=AT, run="r1")
    assert (site.kind, site.code) == (Kind.IN_DOUBT, "")


def test_an_open_site_refuses_until_a_person_answers() -> None:
    site = opened(fail(), "b3", AT)
    assert site.blocker == "b3"
    assert not may_try(site, NOW + timedelta(days=6))
    assert may_try(resolved(site, "human"), NOW)


def test_an_open_site_lets_one_through_after_seven_days_or_a_change() -> None:
    site = opened(fail(depends="manifest:token"), "b3", AT)
    assert may_try(site, NOW + timedelta(days=7))
    assert may_try(site, NOW, depends="manifest:another token")
    assert not may_try(site, NOW, depends="manifest:token")


def test_only_one_attempt_at_a_time_is_let_through_and_a_lost_one_holds_nobody_for_ever() -> None:
    later, lost = "2026-11-22T07:01:00.000Z", "2026-11-22T07:02:00.000Z"
    site = probed(opened(fail(kind=Kind.OVERLOADED), "b3", AT), "r2.1.1", lost, later)
    assert not may_try(site, NOW + timedelta(seconds=61))
    assert probed(site, "r3.1.1", lost, later).probe == "r2.1.1"
    assert may_try(site, NOW + timedelta(seconds=121))
    assert may_try(missed(site), NOW + timedelta(seconds=61))


def test_on_probation_the_next_failure_is_the_last() -> None:
    mended = resolved(opened(fail(fail()), "b3", AT), "ann", AT, probation=True)
    assert seen_next(mended, 5) == 5
    assert seen_next(resolved(fail(), "look", AT), 5) == 1
    assert seen_next(fail(), 5) == 2
    assert seen_next(None, 5) == 1


def test_an_older_name_of_the_same_site_is_known_again() -> None:
    old = msgspec.structs.replace(fail(), version=VERSION - 1, template="as it was")
    now = fail()
    outcome = Failed(Kind.FORBIDDEN, "HTTP 403", code="another", host="api.example")
    assert is_alias(old, tool="look", outcome=outcome, shape=now.template)
    assert is_alias(old, tool="look", outcome=outcome, shape="as it was")
    assert not is_alias(now, tool="look", outcome=outcome, shape=now.template)
    assert not is_alias(old, tool="look", outcome=outcome, shape="another")
    assert not is_alias(old, tool="send", outcome=outcome, shape=now.template)
    elsewhere = msgspec.structs.replace(outcome, host="b.example")
    assert not is_alias(old, tool="look", outcome=elsewhere, shape=now.template)


def test_the_cool_down_of_a_transient_kind_doubles_up_to_ten_minutes() -> None:
    site = fail(kind=Kind.OVERLOADED)
    found: list[float] = []
    for _ in range(7):
        site = opened(site, "b3", AT)
        found.append(site.cooldown_seconds)
    assert found == [30, 60, 120, 240, 480, 600, 600]
    assert site.until == "2026-11-22T07:10:00.000Z"


def test_what_the_server_asked_for_is_the_floor_of_the_cool_down() -> None:
    site = opened(fail(kind=Kind.RATE_LIMITED, retry_after_seconds=3_600), "b3", AT)
    assert not may_try(site, NOW + timedelta(seconds=3_599))
    assert may_try(site, NOW + timedelta(seconds=3_600))


@pytest.mark.parametrize(
    "kind",
    [
        Kind.NOT_FOUND, Kind.BAD_INPUT, Kind.ERROR_TEXT, Kind.UNKNOWN_TOOL, Kind.DENIED,
        Kind.CHECKLIST, Kind.GAVE_UP,
    ],
)  # fmt: skip
def test_what_the_model_causes_closes_no_site_to_other_runs(kind: Kind) -> None:
    assert may_try(opened(fail(kind=kind), "b3", AT), NOW)


def test_nothing_known_of_a_site_means_that_it_may_be_tried() -> None:
    assert may_try(None, NOW)
    assert may_try(fail(), NOW)


def test_a_success_resolves_what_it_proves() -> None:
    assert resolves(Kind.FORBIDDEN, same_site=True, same_tool=True)
    assert not resolves(Kind.FORBIDDEN, same_site=False, same_tool=True)
    assert resolves(Kind.NOT_FOUND, same_site=False, same_tool=True)
    assert not resolves(Kind.NOT_FOUND, same_site=False, same_tool=False)
    assert not resolves(Kind.IN_DOUBT, same_site=True, same_tool=True)
