from typing import Any

from standpipe.desk.script import Call, Turn, turns
from standpipe.journal.entries import ModelResponded


def part(name: str, args: object) -> dict[str, object]:
    return {"part_kind": "tool-call", "tool_name": name, "args": args, "tool_call_id": "c1"}


async def test_a_recorded_run_becomes_the_turns_of_a_script(told: Any) -> None:
    parts = [
        {"part_kind": "text", "content": "I look"},
        part("mail_read", '{"id": "4"}'),
        part("mail_list", None),
    ]
    await told.say("1", ModelResponded(1, {"parts": parts}, "m", say="I look"))
    await told.say(
        "2", ModelResponded(2, {"parts": [part("done", {"summary": "s", "evidence": []})]}, "m")
    )
    assert turns(await told.entries()) == [
        Turn("I look", (Call("mail_read", {"id": "4"}), Call("mail_list", {}))),
        Turn("", (Call("done", {"summary": "s", "evidence": []}),)),
    ]


async def test_arguments_that_are_no_object_stay_as_they_were_sent(told: Any) -> None:
    parts = [part("a", '{"broken'), part("b", "[1]")]
    await told.say("1", ModelResponded(1, {"parts": parts}, "m"))
    (turn,) = turns(await told.entries())
    assert [call.arguments for call in turn.calls] == ['{"broken', "[1]"]
