from typing import Any

import pytest

from standpipe.actions import Effect, Tool
from standpipe.governor.recovery import (
    Alternate,
    Escalate,
    Recovery,
    Refresh,
    Retry,
    Return,
    Stop,
    Wait,
    recover,
)
from standpipe.outcomes.outcome import Failed, Kind, Outcome, Phase, Refused, Succeeded, Unknown

READ = Tool(name="look", effect=Effect.READ)
ONCE = Tool(name="send", effect=Effect.ONCE)


def after(outcome: Outcome, tool: Tool = READ, **situation: Any) -> Recovery:
    usual: dict[str, Any] = {"attempt": 1, "seen": 1, "refreshed": False, "jitter": 0.5}
    return recover(outcome, tool=tool, **(usual | situation))


def failed(kind: Kind, **rest: Any) -> Failed:
    return Failed(kind, "what happened", **rest)


@pytest.mark.parametrize(
    ("kind", "first", "twice"),
    [
        (Kind.NOT_FOUND, Return, Escalate),
        (Kind.BAD_INPUT, Return, Escalate),
        (Kind.CONFLICT, Return, Escalate),
        (Kind.ERROR_TEXT, Return, Escalate),
        (Kind.OTHER, Return, Escalate),
        (Kind.DENIED, Return, Escalate),
        (Kind.CHECKLIST, Return, Escalate),
        (Kind.UNKNOWN_TOOL, Return, Stop),
        (Kind.GAVE_UP, Return, Stop),
        (Kind.LOOP, Return, Stop),
        (Kind.FORBIDDEN, Escalate, Escalate),
        (Kind.QUOTA, Escalate, Escalate),
        (Kind.ENVIRONMENT, Escalate, Escalate),
        (Kind.TOOL_BUG, Stop, Stop),
        (Kind.BUDGET, Stop, Stop),
    ],
)
def test_the_second_time_the_same_way_ends_it(
    kind: Kind, first: type[Recovery], twice: type[Recovery]
) -> None:
    assert isinstance(after(failed(kind)), first)
    again = after(failed(kind), seen=2)
    assert isinstance(again, twice)
    assert "seen 2 times the same way" in again.why


def test_what_is_not_a_failure_needs_no_recovery() -> None:
    assert after(Succeeded(1)) == Return("it worked")
    assert after(Refused("no rule")) == Return("no rule")
    assert after(Unknown("the line went dead")) == Escalate(
        "it may have happened: the line went dead"
    )


def test_a_tool_may_be_allowed_to_fail_more_often() -> None:
    patient = Tool(name="look", effect=Effect.READ, same_way=3)
    assert isinstance(after(failed(Kind.NOT_FOUND), patient, seen=2), Return)
    assert isinstance(after(failed(Kind.NOT_FOUND), patient, seen=3), Escalate)


def test_a_timeout_of_a_read_is_repeated_once() -> None:
    assert isinstance(after(failed(Kind.TIMED_OUT)), Retry)
    assert isinstance(after(failed(Kind.TIMED_OUT), attempt=2), Escalate)


def test_what_was_not_sent_is_repeated_whatever_the_effect() -> None:
    assert isinstance(after(failed(Kind.NOT_SENT, phase=Phase.NOT_SENT), ONCE), Retry)


def test_a_rate_limit_waits_as_long_as_it_was_told_and_at_most_four_times() -> None:
    limited = failed(Kind.RATE_LIMITED, phase=Phase.PARSED, retry_after_seconds=3.0)
    for attempt in (1, 2, 3, 4):
        waiting = after(limited, ONCE, attempt=attempt)
        assert isinstance(waiting, Wait)
        assert waiting.delay_seconds >= 3
    assert isinstance(after(limited, attempt=5), Escalate)


def test_jitter_stays_below_its_cap_and_grows() -> None:
    delays = [
        wait.delay_seconds
        for attempt in (1, 2, 3, 4)
        if isinstance(wait := after(failed(Kind.RATE_LIMITED), attempt=attempt, jitter=0.9), Wait)
    ]
    assert delays == pytest.approx([0.9, 1.8, 3.6, 7.2])


def test_a_long_wait_is_told_to_the_caller_and_a_day_to_a_person() -> None:
    hour = after(failed(Kind.RATE_LIMITED, retry_after_seconds=3_600.0))
    assert isinstance(hour, Wait)
    assert "longer than a run may sleep" in hour.why
    assert isinstance(after(failed(Kind.RATE_LIMITED, retry_after_seconds=100_000.0)), Escalate)


def test_a_credential_is_renewed_once_and_only_where_that_is_declared() -> None:
    renewable = Tool(name="look", effect=Effect.READ, refresh="renew_token")
    rejected = failed(Kind.CREDENTIAL, phase=Phase.PARSED)
    assert isinstance(after(rejected, renewable), Refresh)
    assert isinstance(after(rejected, renewable, refreshed=True), Escalate)
    assert isinstance(after(rejected, renewable, attempt=2), Escalate)
    assert isinstance(after(rejected), Escalate)


def test_an_alternate_comes_before_a_person() -> None:
    for kind in (Kind.LOGIN_PAGE, Kind.BOT_CHECK, Kind.SCHEMA):
        assert after(failed(kind), alternates=["other"]) == Alternate(
            f"`look` cannot do it; {kind}: what happened", "other"
        )
    assert isinstance(after(failed(Kind.TIMED_OUT), alternates=["other"]), Retry)
    assert isinstance(after(failed(Kind.TIMED_OUT), attempt=2, alternates=["other"]), Alternate)
    assert isinstance(after(failed(Kind.QUOTA), alternates=["other"]), Escalate)


def test_an_alternate_of_a_once_effect_needs_proof_that_nothing_was_sent() -> None:
    refused = failed(Kind.NOT_SENT, phase=Phase.NOT_SENT)
    assert isinstance(after(refused, ONCE, attempt=2, alternates=["other"]), Alternate)
    lost = failed(Kind.SCHEMA, phase=Phase.RECEIVED)
    assert isinstance(after(lost, ONCE, attempt=2, alternates=["other"]), Escalate)


def test_a_page_is_asked_for_again_only_if_its_title_reads_like_a_5xx() -> None:
    assert isinstance(after(failed(Kind.HTML, code="502")), Retry)
    assert isinstance(after(failed(Kind.HTML)), Escalate)


def test_a_missing_command_goes_back_to_the_model_once() -> None:
    missing = failed(Kind.ENVIRONMENT, code="127")
    assert isinstance(after(missing), Return)
    assert isinstance(after(missing, seen=2), Escalate)


@pytest.mark.parametrize("kind", [Kind.SERVER_ERROR, Kind.TRUNCATED, Kind.RATE_LIMITED])
def test_a_pause_nobody_sleeps_through_is_a_wait_whatever_the_row_says(kind: Kind) -> None:
    asked = failed(kind, retry_after_seconds=3600.0)
    recovery = after(asked, wait_seconds_max=30.0)
    assert isinstance(recovery, Wait)
    assert recovery.delay_seconds == 3600.0
    assert "longer than a run may sleep here" in recovery.why


def test_a_short_pause_of_a_broken_server_stays_a_retry() -> None:
    recovery = after(failed(Kind.SERVER_ERROR, retry_after_seconds=30.0), wait_seconds_max=30.0)
    assert isinstance(recovery, Retry)
    assert recovery.delay_seconds == 30.0
