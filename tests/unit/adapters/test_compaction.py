import json

from hypothesis import given, strategies as st
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from standpipe.adapters.compaction import STEPS, Compaction, compacted, compactions, size_of

LONG = "a long story. " * 1_000


def history(*results: object, arguments: object = "{}") -> list[ModelMessage]:
    """Return a run whose turns brought these results."""
    task = [SystemPromptPart("be careful" * 100), UserPromptPart("the task " * 1_000)]
    messages: list[ModelMessage] = [ModelRequest(task, instructions="rules " * 1_000)]
    for turn, result in enumerate(results, 1):
        call = ToolCallPart("read_file", arguments, tool_call_id=f"c{turn}")  # pyright: ignore[reportArgumentType]
        messages.append(ModelResponse([TextPart("I look. " * 500), call]))
        messages.append(
            ModelRequest([ToolReturnPart("read_file", result, tool_call_id=f"c{turn}")])
        )
    return messages


def results(messages: list[ModelMessage]) -> list[str]:
    parts = (part for message in messages for part in message.parts)
    return [part.model_response_str() for part in parts if isinstance(part, ToolReturnPart)]


def test_the_oldest_results_are_shortened_first_and_say_where_the_rest_is() -> None:
    messages = history(*[LONG] * 4)
    short = results(compacted(messages, [Compaction(5, 0)], run="r7"))
    assert [len(text) < 600 for text in short] == [True, True, False, False]
    assert "`read_file`" in short[0]
    assert f"{len(LONG) - STEPS[0].old} of {len(LONG)} characters" in short[0]
    assert [f"at r7.{turn}.1" in short[turn - 1] for turn in (1, 2)] == [True, True]


def test_the_second_step_shortens_the_last_turns_too() -> None:
    short = results(compacted(history(*[LONG] * 4), [Compaction(5, 1)], run="r7"))
    assert [len(text) < 300 for text in short] == [True, True, False, False]
    assert all(len(text) < 2_300 for text in short)


def test_task_instructions_and_what_the_model_said_stay() -> None:
    messages = history(*[LONG] * 4)
    short = compacted(messages, [Compaction(5, 1)], run="r7")
    assert short[0] == messages[0]
    said = [m.parts[0] for m in messages if isinstance(m, ModelResponse)]
    assert [m.parts[0] for m in short if isinstance(m, ModelResponse)] == said


def test_what_came_after_a_compaction_is_sent_whole() -> None:
    short = results(compacted(history(*[LONG] * 6), [Compaction(5, 1)], run="r7"))
    assert short[4:] == [LONG, LONG]


def test_long_arguments_are_shortened_and_stay_arguments() -> None:
    asked = {"path": "a.txt", "content": LONG, "size": 3}
    for arguments in (asked, json.dumps(asked)):
        short = compacted(history(*["ok"] * 4, arguments=arguments), [Compaction(5, 0)], run="r7")
        call = short[1].parts[1]
        assert isinstance(call, ToolCallPart)
        assert type(call.args) is type(arguments)
        kept = call.args_as_dict()
        assert (kept["path"], kept["size"], len(kept["content"]) < 600) == ("a.txt", 3, True)


def test_arguments_that_are_no_object_stay_as_they_are() -> None:
    messages = history(*["ok"] * 4, arguments='{"content": "' + LONG)
    assert compacted(messages, [Compaction(5, 1)], run="r7") == messages


def test_a_result_that_is_no_text_is_shortened_as_the_model_reads_it() -> None:
    short = results(compacted(history({"rows": [LONG]}, *["ok"] * 3), [Compaction(5, 0)], run="r7"))
    assert short[0].startswith('{"rows":["a long story')


def test_a_step_that_would_change_nothing_is_passed_over() -> None:
    assert compactions(history("ok", "ok"), [3], run="r7") == []
    recent = history("ok", LONG)  # only the last turns are long
    assert compactions(recent, [3], run="r7") == [Compaction(3, 1)]
    assert compactions(recent, [3, 3], run="r7") == [Compaction(3, 1)]


def test_a_request_is_made_shorter_twice_at_most() -> None:
    messages = history(*[LONG] * 6)
    assert compactions(messages, [7, 7, 7], run="r7") == [Compaction(7, 0), Compaction(7, 1)]


def test_a_later_request_may_be_made_shorter_again() -> None:
    messages = history(*[LONG] * 6)
    assert compactions(messages, [4, 7], run="r7") == [Compaction(4, 0), Compaction(7, 0)]


@given(
    sizes=st.lists(st.integers(0, 5_000), max_size=8),
    numbers=st.lists(st.integers(1, 9), max_size=5).map(sorted),
)
def test_every_compaction_makes_the_request_another_and_a_shorter_one(
    sizes: list[int], numbers: list[int]
) -> None:
    messages = history(*("x" * size for size in sizes))
    done = compactions(messages, numbers, run="r7")
    sent = [size_of(compacted(messages, done[:count], run="r7")) for count in range(len(done) + 1)]
    assert sent == sorted(set(sent), reverse=True)


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=8), st.data())
def test_no_call_loses_its_answer(sizes: list[int], data: st.DataObject) -> None:
    messages = history(*("x" * size for size in sizes))
    number, step = data.draw(st.integers(1, 9)), data.draw(st.integers(0, 1))
    short = compacted(messages, [Compaction(number, step)], run="r7")
    assert [ids(message) for message in short] == [ids(message) for message in messages]


def ids(message: ModelMessage) -> list[str]:
    kinds = (ToolCallPart, ToolReturnPart)
    return [part.tool_call_id for part in message.parts if isinstance(part, kinds)]
