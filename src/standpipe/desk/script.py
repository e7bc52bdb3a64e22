"""A recorded run as the turns of a script: yesterday's run, as a test of one's own agent."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from msgspec import Struct

from standpipe.files import is_list, is_table
from standpipe.journal.entries import Entry, ModelResponded


class Call(Struct, frozen=True):
    """One tool call as the model sent it; text where that was no object."""

    name: str
    arguments: Mapping[str, object] | str


class Turn(Struct, frozen=True):
    """One response of the model."""

    say: str = ""
    calls: tuple[Call, ...] = ()


def turns(entries: Sequence[Entry]) -> list[Turn]:
    """Return what the model answered in a run, one turn per response."""
    return [
        Turn(body.say, tuple(_calls(body.message)))
        for body in (entry.body for entry in entries)
        if isinstance(body, ModelResponded)
    ]


def _calls(message: object) -> Iterator[Call]:
    for part in _parts(message):
        match part:
            case {"part_kind": "tool-call", "tool_name": str() as name}:
                yield Call(name, _arguments(cast("Mapping[str, object]", part).get("args")))
            case _:
                pass


def _parts(message: object) -> Sequence[object]:
    one = message[0] if is_list(message) and message else message
    parts = one.get("parts") if is_table(one) else None
    return parts if is_list(parts) else ()


def _arguments(sent: object) -> Mapping[str, object] | str:
    match sent:
        case None:
            return {}
        case dict():
            return cast("Mapping[str, object]", sent)
        case str():
            return _read(sent)
        case _:
            return json.dumps(sent)


def _read(text: str) -> Mapping[str, object] | str:
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else text
