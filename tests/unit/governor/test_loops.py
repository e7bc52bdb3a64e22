import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from standpipe.governor.loops import EMPTY_MAX, ROUNDS, TAIL, Finding, Step, look
from standpipe.outcomes.outcome import Kind
from standpipe.testing.traces import Call, Trace, read_traces, replay

ROOT = Path(__file__).parents[3]
TRACES = [
    trace
    for path in sorted((ROOT / "tests" / "golden" / "loops").glob("*.jsonl"))
    for trace in read_traces(path.read_bytes())
]


def did(name: str, came: str = "same", *, tool: str = "", ok: bool = True, at: float = 0.0) -> Step:
    return Step(tool=tool or name, call=name, came=came, ok=ok, at_seconds=at)


def worked(number: int) -> Step:
    return Step(tool="edit", call=f"edit {number}", came="ok", ok=True, changed=True)


def asked(number: int, *, empty: bool = True, tool: str = "search") -> Step:
    return Step(tool=tool, call=f"{tool} {number}", came=f"{empty} {number}", ok=True, empty=empty)


def polled(at: float, came: str = "pending", *, call: str = "wait 7", seconds: float = 60) -> Step:
    return Step(
        tool="wait", call=call, came=came, ok=True, empty=True, poll_seconds=seconds, at_seconds=at
    )


def found(steps: Sequence[Step]) -> Finding:
    finding = look(steps)
    assert finding is not None
    return finding


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.name)
def test_who_is_stuck_is_told_when_a_person_would_and_nobody_else_is(trace: Trace) -> None:
    halt = replay(trace)
    assert (halt.step if halt else None) == trace.stuck_at
    assert trace.stuck == (trace.stuck_at is not None)


def test_ten_honest_days_end_without_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    days = cast("list[Trace]", importlib.import_module("honest_days").days())
    assert [trace.name for trace in days if replay(trace)] == []
    assert [len(trace.calls) >= 100 for trace in days] == [True] * 10


@pytest.mark.parametrize(("period", "rounds"), ROUNDS.items())
def test_a_cycle_is_told_with_its_last_round_and_not_before(period: int, rounds: int) -> None:
    steps = [did("before"), *[did(f"t{number}") for number in range(period)] * rounds]
    finding = found(steps)
    assert (finding.kind, finding.rule) == (Kind.LOOP, "cycle")
    assert finding.tools == finding.calls == tuple(f"t{number}" for number in range(period))
    assert look(steps[:-1]) is None
    assert look(steps[1:-1]) is None


def test_seven_calls_in_turn_are_no_cycle_of_ours() -> None:
    assert look([did(f"t{number}") for number in range(7)] * 5) is None


@pytest.mark.parametrize("rounds", [3, 5])
def test_the_same_call_with_a_result_that_moves_is_no_cycle(rounds: int) -> None:
    steps = [did(name, f"{name} {turn}") for turn in range(rounds) for name in ("a", "b")]
    assert look(steps) is None


def test_a_change_that_differs_each_time_is_work_and_one_that_does_not_is_a_cycle() -> None:
    listing = did("list")
    assert look([step for number in range(9) for step in (listing, worked(number))]) is None
    assert found([listing, worked(1)] * 3).tools == ("list", "edit")


def test_who_waits_may_do_the_same_meanwhile() -> None:
    assert look([step for at in range(10) for step in (polled(at), did("log"))]) is None


def test_a_poll_may_tell_the_same_for_its_time_and_no_longer() -> None:
    assert look([polled(at) for at in (0, 30, 60)]) is None
    finding = found([polled(at) for at in (0, 30, 61)])
    assert (finding.kind, finding.rule, finding.calls) == (Kind.NO_PROGRESS, "poll", ("wait 7",))
    assert "61 s" in finding.message
    assert "60 s" in finding.message


def test_a_poll_that_moves_starts_its_time_anew() -> None:
    assert look([polled(0), polled(50, "half"), polled(100), polled(160)]) is None


def test_each_job_is_waited_for_by_itself() -> None:
    one, other = (polled(0, call="wait 1"), polled(50, "half", call="wait 2"))
    assert look([one, other, polled(100, "half", call="wait 2")]) is None
    assert found([one, other, polled(100, call="wait 1")]).calls == ("wait 1",)


def test_a_failure_that_no_work_changes_is_told_the_fourth_time() -> None:
    steps = [
        step for n in range(4) for step in (worked(n), did("ls", f"{n}"), did("test", ok=False))
    ]
    finding = found(steps)
    assert (finding.kind, finding.rule) == (Kind.NO_PROGRESS, "same_failure")
    assert (finding.tools, finding.calls) == (("test",), ("test",))
    assert look(steps[:-1]) is None
    assert look(steps[3:]) is None


@pytest.mark.parametrize("other", [did("test", "green"), did("test", "another", ok=False)])
def test_a_call_that_came_to_anything_else_begins_anew(other: Step) -> None:
    red = [step for number in range(3) for step in (worked(number), did("test", ok=False))]
    assert look([*red, other, *red]) is None


def test_a_search_that_is_told_as_a_failure_may_find_nothing_after_every_change() -> None:
    nothing = Step(tool="shell", call="grep old", came="exit 1", ok=False, empty=True)
    assert look([step for number in range(9) for step in (worked(number), nothing)]) is None


def test_a_result_that_stays_the_same_while_work_goes_on_is_no_failure() -> None:
    assert look([step for n in range(6) for step in (worked(n), did("test"))]) is None


def test_six_empty_answers_in_ten_are_told_and_five_are_not() -> None:
    hits = [asked(number, empty=False) for number in range(4)]
    finding = found([asked(90), *hits, *[asked(number) for number in range(10, 16)]])
    assert (finding.kind, finding.rule, finding.calls) == (Kind.NO_PROGRESS, "empty", ())
    assert finding.tools == ("search",)
    assert "6 of its last 6" in finding.message
    five = [asked(number) for number in range(10, 15)]
    assert look([asked(90), *hits, asked(91, empty=False), *five]) is None


def test_an_answer_that_is_eleven_calls_old_counts_no_more() -> None:
    hits = [asked(number, empty=False) for number in range(4)]
    later = [*hits, *[asked(number) for number in range(20, 25)]]
    assert found([asked(90), *later]).rule == "empty"
    assert look([asked(90), asked(91, empty=False), *later]) is None


def test_only_an_empty_answer_is_told_of_empty_answers() -> None:
    steps = [asked(number) for number in range(EMPTY_MAX)]
    assert look([*steps, asked(7, empty=False)]) is None
    assert look([*steps, asked(7, empty=False, tool="read")]) is None


def test_what_other_tools_find_does_not_count() -> None:
    steps = [step for n in range(5) for step in (asked(n), asked(n, tool="grep"))]
    assert look(steps) is None
    assert found([*steps, asked(9)]).tools == ("search",)


def test_after_a_change_a_search_may_find_nothing_again() -> None:
    assert look([step for n in range(12) for step in (worked(n), asked(n))]) is None


def test_waiting_for_something_to_arrive_is_no_empty_search() -> None:
    assert look([polled(at, f"{at}") for at in range(10)]) is None


def test_the_same_finding_has_the_same_signature_wherever_it_is_entered() -> None:
    steps = [did("a"), did("b"), did("c")] * 3
    assert found(steps).signature == found([*steps, did("a")]).signature
    assert found(steps).signature != found([did("a"), did("b")] * 3).signature


def test_other_words_in_vain_are_the_same_finding() -> None:
    steps = [asked(number) for number in range(7)]
    assert found(steps).signature == found(steps[:-1]).signature
    assert found(steps).signature != found([asked(n, tool="grep") for n in range(6)]).signature


def test_a_run_of_any_length_is_read_at_its_end_only() -> None:
    class Counted(list[Step]):
        read = 0

        def __getitem__(self, index: object) -> list[Step]:  # type: ignore[override]
            assert isinstance(index, slice)
            self.read += len(range(*index.indices(len(self))))
            return list(self)[index]

    steps = Counted(did(f"{number}") for number in range(10 * TAIL))
    assert look(steps) is None
    assert steps.read == TAIL
    assert look([]) is None


def test_a_trace_with_a_field_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="stuck_att"):
        read_traces(b'{"name": "a", "stuck": false, "stuck_att": 1, "calls": []}')


def test_work_in_between_excuses_no_dead_credential() -> None:
    refused = failing("get", "HTTP 401 token expired")
    assert halted(refused, edit(1), refused) == (3, "site")


def test_a_wrong_value_is_tried_again_after_work_up_to_the_fourth_time() -> None:
    red = failing("test", "FAILED test_a - KeyError")
    assert halted(red, edit(1), red, edit(2), red) is None
    assert halted(red, edit(1), red, edit(2), red, edit(3), red) == (7, "site")
    assert halted(edit(1), red, red) == (3, "site")


def test_what_a_failing_call_leaves_behind_is_no_work() -> None:
    red = replace(failing("test", "FAILED test_a - KeyError"), changed=True)
    assert halted(red, red) == (2, "site")


def test_only_what_a_host_does_to_everybody_is_counted_for_the_host() -> None:
    assert halted(failing("a", "HTTP 403 forbidden"), failing("b", "HTTP 403 forbidden")) == (
        2,
        "host",
    )
    assert halted(failing("a", "HTTP 500 internal"), failing("b", "HTTP 500 internal")) is None


def test_a_success_elsewhere_resolves_nothing() -> None:
    failed = failing("get", "HTTP 500 internal")
    assert halted(failed, Call("get", result="fine", host="b.example"), failed) == (3, "site")
    assert halted(failed, Call("get", result="fine", host="a.example"), failed) is None


def test_the_order_of_the_arguments_makes_no_other_call() -> None:
    one = Call("read", {"path": "a", "from": 1}, result="text")
    other = Call("read", {"from": 1, "path": "a"}, result="text")
    assert halted(one, other, one, other) == (4, "cycle")


def edit(number: int) -> Call:
    return Call("edit", {"new": number}, result="ok", changed=True)


def failing(tool: str, told: str) -> Call:
    return Call(tool, ok=False, result=told, host="a.example")


def halted(*calls: Call) -> tuple[int, str] | None:
    halt = replay(Trace(name="", stuck=False, calls=calls))
    return (halt.step, halt.rule) if halt else None
