import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import ModelRequestParameters

from standpipe.adapters.script import (
    BYTES_MAX,
    Call,
    Script,
    ScriptEnded,
    ScriptModel,
    Turn,
    load_script,
    write_script,
)
from standpipe.errors import ConfigError, NotFoundError

CONTRACT = """\
turns:
  - say: "I will look first."
  - call: {read_file: {path: notes.txt}}
  - call:
      - {http_get: {url: "http://127.0.0.1:8080/orders"}}
      - {send_email: {to: [a@example.com], subject: Hi, body: "...", why: "the task asks"}}
  - done: {summary: "Sent.", evidence: ["receipt 12"]}
  - blocked: {on: "no price list", needs: "the 2026 price list"}
then: stop
"""

Load = Callable[[str], Script]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def write_and_load(text: str) -> Script:
        path = tmp_path / "story.yaml"
        path.write_text(text, encoding="utf-8")
        return load_script(path)

    return write_and_load


async def ask(script: Script, number: int) -> ModelResponse:
    model = ScriptModel(script, lambda: number)
    messages = [ModelRequest.user_text_prompt("go on")]
    return await model.request([*messages], None, ModelRequestParameters())


def test_a_script_says_exactly_what_the_contract_shows(load: Load) -> None:
    email = {"to": ["a@example.com"], "subject": "Hi", "body": "...", "why": "the task asks"}
    assert load(CONTRACT) == Script(
        "story.yaml",
        (
            Turn("I will look first."),
            Turn(calls=(Call("read_file", {"path": "notes.txt"}),)),
            Turn(
                calls=(
                    Call("http_get", {"url": "http://127.0.0.1:8080/orders"}),
                    Call("send_email", email),
                )
            ),
            Turn(calls=(Call("done", {"summary": "Sent.", "evidence": ["receipt 12"]}),)),
            Turn(calls=(Call("blocked", {"on": "no price list", "needs": "the 2026 price list"}),)),
        ),
    )


def test_a_turn_may_say_and_call_and_end_at_once(load: Load) -> None:
    script = load("turns:\n- {say: Go, call: {mail_list: {}}, done: {summary: Sent}}\n")
    calls = (Call("mail_list"), Call("done", {"summary": "Sent", "evidence": []}))
    assert script.turns == (Turn("Go", calls),)


def test_numbers_and_truth_values_in_arguments_keep_their_types(load: Load) -> None:
    script = load(
        "turns:\n- call: {pay: {cents: 1250, rate: -2.50, fast: true, to: null, no: [1, 0.5, x],"
        " version: '1.10', day: 2026-01-02}}\n"
    )
    assert script.turns[0].calls[0].arguments == {
        "cents": 1250,
        "rate": -2.5,
        "fast": True,
        "to": None,
        "no": [1, 0.5, "x"],
        "version": "1.10",
        "day": "2026-01-02",
    }


def test_a_call_without_arguments_may_leave_them_out(load: Load) -> None:
    assert load("turns:\n- call: {mail_list: }\n").turns[0].calls == (Call("mail_list"),)


def test_a_script_can_force_ids_and_broken_arguments(load: Load) -> None:
    script = load(
        "turns:\n"
        "- call: [{mail_list: {}, id: x}, {mail_list: {}, id: x}, {mail_list: {}, id: ''}]\n"
        "- raw_call: {name: read_file, args: '{\"path\": '}\n"
    )
    assert [call.id for call in script.turns[0].calls] == ["x", "x", ""]
    assert script.turns[1].calls == (Call("read_file", '{"path": '),)


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("turns:\n- say: a\n- cal: {x: {}}\n", 3, "unknown key `cal`", "did you mean `call`?"),
        ("turns:\n- say: a\nthem: stop\n", 3, "unknown key `them`", "did you mean `then`?"),
        ("turns:\n- say: a\nthen: maybe\n", 3, "`then` has a value nobody knows", "repeat, stop"),
        ("turns: []\n", 1, "`turns` is not a list of length >= 1", "list"),
        ("then: stop\n", 1, "`turns` is missing", "add `turns`"),
        ("", 1, "the file", "write"),
        ("turns:\n- hello\n", 2, "`turns.0` is not", "write"),
        ("turns:\n- {}\n", 2, "an empty turn", "give it `say`"),
        ("turns:\n- say: 12\n", 2, "`turns.0.say` is not text", "text"),
        ("turns:\n- call: 3\n", 2, "`turns.0.call` is not", "list"),
        ("turns:\n- call:\n    read_file: x.txt\n", 3, "`read_file` has no arguments", "argument"),
        (
            "turns:\n- call:\n  - a: {}\n  - {b: {}, c: {}}\n",
            4,
            "this one names `b`, `c`",
            "a list",
        ),
        ("turns:\n- call: [{id: x}]\n", 2, "this one names none", "are a list"),
        ("turns:\n- call: [{a: {}, id: 7}]\n", 2, "`id` is not text", "quotes"),
        ("turns:\n- done: {evidence: [x]}\n", 2, "`summary` is missing", "add `summary`"),
        (
            "turns:\n- done:\n    summary: s\n    evidence: x\n",
            4,
            "evidence` is not a list",
            "list",
        ),
        ("turns:\n- blocked: {on: x}\n", 2, "`needs` is missing", "add `needs`"),
        ("turns:\n- raw_call: {name: x, arg: '{'}\n", 2, "unknown key `arg`", "`args`?"),
        ("turns:\n- say: a\n- say: *b\n", 3, "alias", "write the value out"),
    ],
)
def test_a_mistake_names_file_line_and_fix(
    load: Load, text: str, line: int, message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert caught.value.message.startswith(f"story.yaml:{line}: ")
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_file_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "story.yaml"
    with pytest.raises(NotFoundError, match=r"story\.yaml"):
        load_script(path)
    path.write_bytes(b"turns:\n- say: \xff\n")
    with pytest.raises(ConfigError, match=r"story\.yaml:2: "):
        load_script(path)
    path.write_bytes(b"#" * (BYTES_MAX + 1))
    with pytest.raises(ConfigError, match="larger than"):
        load_script(path)


async def test_the_turn_comes_from_the_count_of_responses_and_not_from_the_model(
    load: Load,
) -> None:
    script = load(CONTRACT)
    assert (await ask(script, 3)).parts == (await ask(script, 3)).parts
    assert (await ask(script, 0)).parts == [TextPart("I will look first.")]


async def test_parallel_calls_have_ids_that_differ_in_the_whole_run(load: Load) -> None:
    script = load("turns:\n- call: [{a: {}}, {b: {}}]\nthen: repeat\n")
    parts = [part for number in range(3) for part in (await ask(script, number)).parts]
    ids = [part.tool_call_id for part in parts if isinstance(part, ToolCallPart)]
    assert len(ids) == len(set(ids)) == 6


async def test_forced_ids_and_broken_arguments_reach_the_loop_unchanged(load: Load) -> None:
    script = load("turns:\n- call: {a: {}, id: ''}\n  raw_call: {name: b, args: '{x', id: '?'}\n")
    assert (await ask(script, 0)).parts == [
        ToolCallPart("a", {}, tool_call_id=""),
        ToolCallPart("b", "{x", tool_call_id="?"),
    ]


async def test_a_script_that_is_over_says_which_turn_is_missing(load: Load) -> None:
    with pytest.raises(ScriptEnded) as caught:
        await ask(load("turns:\n- say: a\n"), 4)
    assert caught.value.message == "the script `story.yaml` has no turn 5"
    assert "then: repeat" in caught.value.hint


async def test_a_repeating_script_never_ends(load: Load) -> None:
    script = load("turns:\n- say: a\n- say: b\nthen: repeat\n")
    assert (await ask(script, 400)).text == "b"


async def test_a_response_carries_name_usage_and_reason_to_end(load: Load) -> None:
    script = load("turns:\n- say: four\n- call: {mail_list: {}}\n")
    response = await ask(script, 0)
    assert (response.model_name, response.provider_name) == ("script:story.yaml", "script")
    assert (response.usage.input_tokens, response.usage.output_tokens) == (2, 1)
    assert response.finish_reason == "stop"
    assert (await ask(script, 1)).finish_reason == "tool_call"


async def test_a_streamed_response_is_the_same_response(load: Load) -> None:
    model = ScriptModel(load("turns:\n- {say: Go, call: {a: {x: 1}}}\n"), lambda: 0)
    async with model.request_stream([], None, ModelRequestParameters()) as stream:
        kinds = [event.event_kind async for event in stream]
        assert stream.get().parts == (await model.request([], None, ModelRequestParameters())).parts
    assert "part_start" in kinds


def test_a_written_script_is_one_that_people_want_to_edit() -> None:
    long = "Dear customer,\n\nyour refund is on its way.\n"
    turns = [
        Turn("I will look.", (Call("mail_read", {"id": "m1"}),)),
        Turn(
            calls=(Call("send_email", {"to": ["a@example.com"], "body": long}), Call("mail_list"))
        ),
        Turn(calls=(Call("done", {"summary": "Sent.", "evidence": ["receipt 12"]}),)),
    ]
    assert write_script(turns) == (
        "turns:\n"
        "- say: I will look.\n"
        "  call:\n"
        "    mail_read:\n"
        "      id: m1\n"
        "- call:\n"
        "  - send_email:\n"
        "      to:\n"
        "      - a@example.com\n"
        "      body: |\n"
        "        Dear customer,\n"
        "\n"
        "        your refund is on its way.\n"
        "  - mail_list: {}\n"
        "- done:\n"
        "    summary: Sent.\n"
        "    evidence:\n"
        "    - receipt 12\n"
        "then: stop\n"
    )


def test_what_yaml_cannot_say_is_written_as_json_for_the_whole_turn(load: Load) -> None:
    huge = {"number": 10**30}
    text = write_script([Turn(calls=(Call("tag", huge), Call("a", {"x": "1"})))])
    assert "raw_call" in text
    raw = [json.loads(str(call.arguments)) for call in load(text).turns[0].calls]
    assert raw == [huge, {"x": "1"}]


def test_text_that_looks_like_something_else_stays_text(load: Load) -> None:
    odd = (
        "a\r\nb",
        "\x85",
        "a\u2028\nb",
        "\ufeff",
        "1.10",
        "1e5",
        "12",
        "true",
        "null",
        "NO",
        "on",
        "",
        "=",
        "<<",
        "- x",
        "2026-01-02",
    )
    turns = (Turn("12", (Call("tag", {text: text for text in odd}),)),)
    text = write_script(turns)
    assert "raw_call" not in text
    assert load(text).turns == turns
