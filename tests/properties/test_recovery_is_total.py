from itertools import product

from hypothesis import given, strategies as st

from standpipe.actions import Effect, Tool
from standpipe.governor.recovery import (
    ATTEMPTS_MAX,
    TABLE,
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
from standpipe.outcomes.outcome import Failed, Kind, Phase

REPEATS = (Retry, Wait, Refresh)
FAILURES = st.builds(
    Failed,
    kind=st.sampled_from(Kind),
    message=st.text(max_size=50),
    code=st.sampled_from(["", "127", "502", "missing_module"]),
    phase=st.sampled_from(Phase),
    retry_after_seconds=st.none() | st.floats(0, 10**6),
)
TOOLS = st.builds(
    Tool,
    name=st.just("look"),
    effect=st.sampled_from(Effect),
    refresh=st.sampled_from(("", "renew_token")),
    same_way=st.none() | st.integers(1, 5),
)
SITUATIONS = st.fixed_dictionaries(
    {
        "attempt": st.integers(1, 10),
        "seen": st.integers(1, 10),
        "refreshed": st.booleans(),
        "jitter": st.floats(0, 1, exclude_max=True),
        "same_way": st.integers(1, 5),
        "alternates": st.lists(st.just("other"), max_size=2),
    }
)


def test_every_kind_has_a_row() -> None:
    assert set(TABLE) == set(Kind)


@given(FAILURES, TOOLS, SITUATIONS)
def test_every_failure_has_exactly_one_recovery_with_its_reason(
    failed: Failed, tool: Tool, situation: dict[str, object]
) -> None:
    recovery = recover(failed, tool=tool, **situation)  # pyright: ignore[reportArgumentType]
    assert isinstance(recovery, Recovery)
    assert failed.kind.value in recovery.why


def test_a_once_effect_that_was_sent_is_never_repeated() -> None:
    # Every case instead of a sample: the dangerous ones are too few to be met by chance.
    tool = Tool(name="send", effect=Effect.ONCE, refresh="renew_token")
    for kind, phase, code, attempt, seen, others in product(
        Kind, Phase, ("", "127", "502"), (1, 2, 3, 4, 5), (1, 2), ((), ("other",))
    ):
        recovery = recover(
            Failed(kind, "m", code=code, phase=phase),
            tool=tool,
            attempt=attempt,
            seen=seen,
            refreshed=False,
            jitter=0.5,
            alternates=others,
        )
        proven = phase in (Phase.NOT_SENT, Phase.PARSED)
        assert proven or not isinstance(recovery, REPEATS), (kind, phase, recovery)
        assert phase is Phase.NOT_SENT or not isinstance(recovery, Alternate), (kind, phase)


@given(FAILURES, TOOLS, SITUATIONS)
def test_no_action_is_attempted_more_often_than_the_cap(
    failed: Failed, tool: Tool, situation: dict[str, object]
) -> None:
    situation |= {"attempt": ATTEMPTS_MAX}
    recovery = recover(failed, tool=tool, **situation)  # pyright: ignore[reportArgumentType]
    assert not isinstance(recovery, REPEATS)


@given(FAILURES, TOOLS, SITUATIONS)
def test_what_failed_often_enough_the_same_way_never_goes_back_to_the_model(
    failed: Failed, tool: Tool, situation: dict[str, object]
) -> None:
    situation |= {"seen": 5, "attempt": ATTEMPTS_MAX}
    recovery = recover(failed, tool=tool, **situation)  # pyright: ignore[reportArgumentType]
    assert not isinstance(recovery, Return)
    assert isinstance(recovery, Escalate | Stop | Alternate)
