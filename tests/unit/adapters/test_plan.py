from collections.abc import Sequence

import pytest
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
)

from standpipe.adapters.compaction import Compaction
from standpipe.adapters.plan import IN_PARTS, Plan, attempts, failures, plan
from standpipe.governor.recovery import Alternate, Escalate, Recovery, Retry, Stop, Wait
from standpipe.journal.entries import Entry, ModelFailed
from standpipe.outcomes.outcome import Failed, Kind

MAIN, OTHER, THIRD = "openai:a", "anthropic:b", "ollama:c"
AGAIN, ASKED = Retry("again"), Escalate("what now")


def failed(
    kind: Kind, recovery: Recovery, *, number: int = 3, model: str = MAIN, epoch: int = 1
) -> Entry:
    body = ModelFailed(number, 1, Failed(kind, "m"), recovery, model, "s")
    return Entry("r7", 1, epoch, "", 1, "", body, "", "")


def history() -> list[ModelMessage]:
    messages: list[ModelMessage] = [ModelRequest.user_text_prompt("the task")]
    for turn in ("c1", "c2"):
        messages.append(ModelResponse([ToolCallPart("read_file", "{}", tool_call_id=turn)]))
        result = ToolReturnPart("read_file", "x" * 9_000, tool_call_id=turn)
        messages.append(ModelRequest([result]))
    return messages


def planned(*entries: Entry, main: str = MAIN, epoch: int = 1) -> Plan:
    return plan(entries, history(), main=main, number=3, epoch=epoch, run="r7")


def test_a_run_without_failures_asks_its_model_for_the_whole_history() -> None:
    messages = history()
    assert planned() == Plan(MAIN)
    assert planned().applied(messages, run="r7") == messages


def test_the_model_that_stood_in_last_is_asked_until_the_segment_ends() -> None:
    stood_in = [
        failed(Kind.OVERLOADED, Alternate("a", OTHER), number=1),
        failed(Kind.SERVER_ERROR, Alternate("b", THIRD), number=2, model=OTHER),
    ]
    assert planned(*stood_in).model == THIRD
    assert planned(*stood_in, epoch=2).model == MAIN


def test_a_request_that_was_too_long_is_made_shorter_as_often_as_that_was_decided() -> None:
    too_long = failed(Kind.CONTEXT_OVERFLOW, AGAIN)
    assert planned(too_long).compactions == (Compaction(3, 1),)
    sent = planned(too_long).applied(history(), run="r7")
    assert len(str(sent)) < len(str(history()))
    assert planned(failed(Kind.CONTEXT_OVERFLOW, ASKED)).compactions == ()


def test_a_request_that_was_too_long_in_every_length_is_not_sent_again() -> None:
    given_up = failed(Kind.CONTEXT_OVERFLOW, ASKED)
    assert planned(given_up).repeats
    assert planned(given_up, epoch=2).repeats  # neither a restart nor an answer makes it shorter
    assert not planned(given_up, main=OTHER).repeats
    assert not planned(failed(Kind.CONTEXT_OVERFLOW, AGAIN)).repeats
    assert not planned(failed(Kind.CONTEXT_OVERFLOW, ASKED, number=2)).repeats


def test_an_answer_that_was_cut_is_asked_for_in_parts_for_that_request_only() -> None:
    messages = history()
    [*earlier, last] = planned(failed(Kind.CUT, AGAIN)).applied(messages, run="r7")
    assert earlier == messages[:-1]
    assert [*last.parts[:-1]] == [*messages[-1].parts]
    assert IN_PARTS in str(last.parts[-1])
    assert not planned(failed(Kind.CUT, AGAIN, number=2)).in_parts
    assert not planned(failed(Kind.CUT, Stop("no"))).in_parts


def test_only_failures_of_this_request_and_segment_are_counted() -> None:
    entries = [
        failed(Kind.OVERLOADED, Wait("w")),
        failed(Kind.OVERLOADED, Wait("w"), number=2),
        failed(Kind.OVERLOADED, Wait("w"), epoch=2),
    ]
    assert len(failures(entries, number=3)) == 2
    assert len(failures(entries, number=3, epoch=2)) == 1


@pytest.mark.parametrize("kind", [Kind.CONTEXT_OVERFLOW, Kind.CUT])
def test_a_request_that_was_changed_is_asked_anew(kind: Kind) -> None:
    before: Sequence[ModelFailed] = failures(
        [failed(kind, AGAIN), failed(Kind.OVERLOADED, Wait("w")), failed(kind, AGAIN, model=OTHER)],
        number=3,
    )
    assert (attempts(before, model=MAIN), attempts(before, model=OTHER)) == (1, 0)
