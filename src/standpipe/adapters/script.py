"""A model that reads its answers from a file: for demos, tests and drills, without a network.

    turns:
      - say: "I will look first."
      - call: {read_file: {path: notes.txt}}
      - call: [{mail_read: {id: m1}}, {mail_read: {id: m2}}]      # in parallel
      - done: {summary: "Sent.", evidence: ["receipt 12"]}
      - blocked: {on: "no price list", needs: "the 2026 price list"}
    then: stop                                                    # or repeat: the last turn for ever

Rule 1: the number of the turn comes from the journal, never from this process, so a killed run goes on.
Rule 2: a mistake in the file names file, line and fix; an unknown key is a mistake.
Rule 3: arguments are what JSON is: bare numbers, `true`, `false` and `null` keep their types, and
    quotes make anything text.
Rule 4: a script can misbehave as models do. `id: X` in an item of `call` forces the provider's id of
    the call (odd, duplicate, empty); `raw_call: {name: T, args: "{broken", id: X}`, or a list of
    them, sends text as arguments; `done` beside `call` is a parallel `done`.
"""

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, cast

import yaml
from msgspec import Meta, Struct, field
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import (
    CompletedStreamedResponse,
    Model,
    ModelRequestParameters,
    StreamedResponse,
)
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from standpipe.errors import ConfigError, StandpipeError
from standpipe.files import Lines, convert, line_of, load_yaml_with_lines, read_text
from standpipe.files.yaml import plain_value

BYTES_MAX = 1_000_000
CHARACTERS_PER_TOKEN = 4
LINE_MAX = 80  # longer text is written as a block
BREAKS = frozenset("\r\x85\u2028\u2029\ufeff")  # YAML reads them as ends of lines, or not at all

Place = tuple[str | int, ...]
Part = TextPart | ToolCallPart


class ScriptEnded(StandpipeError):  # noqa: N818 -- the script is at its end, which is no mistake in it
    """The run asks for a turn that the script does not have."""


class Call(Struct, frozen=True):
    """One tool call. Text as arguments goes out as it is; `id` None is an id that never repeats."""

    name: str
    arguments: Mapping[str, object] | str = field(default_factory=dict[str, object])
    id: str | None = None


class Turn(Struct, frozen=True):
    """One response of the model."""

    say: str = ""
    calls: tuple[Call, ...] = ()


class Script(Struct, frozen=True):
    """What the model will answer, turn by turn. `name` is what people call the file."""

    name: str
    turns: tuple[Turn, ...]
    then: str = "stop"

    def turn(self, number: int) -> Turn:
        """Return turn `number`, counted from 0.

        Raises:
            ScriptEnded: there is none, and the last one does not repeat.
        """
        if number < len(self.turns):
            return self.turns[number]
        if self.then == "repeat":
            return self.turns[-1]
        raise ScriptEnded(
            f"the script `{self.name}` has no turn {number + 1}",
            hint="end it with `done:` or `blocked:`, or say `then: repeat`",
        )


class ScriptModel(Model[None]):
    """Answer with the turns of a script. `next_turn` counts the responses this run already has."""

    def __init__(self, script: Script, next_turn: Callable[[], int]) -> None:
        super().__init__()
        self._script = script
        self._next_turn = next_turn

    @property
    def model_name(self) -> str:
        return f"script:{self._script.name}"

    @property
    def system(self) -> str:
        return "script"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,  # noqa: ARG002 -- a script has no settings
        model_request_parameters: ModelRequestParameters,  # noqa: ARG002 -- nor asks for tools
    ) -> ModelResponse:
        number = self._next_turn()
        parts = list(_parts(self._script.turn(number), number))
        asked = (part for message in messages for part in message.parts)
        return ModelResponse(
            parts=parts,
            usage=RequestUsage(input_tokens=_tokens(asked), output_tokens=_tokens(parts)),
            model_name=self.model_name,
            provider_name=self.system,
            finish_reason="tool_call"
            if any(isinstance(part, ToolCallPart) for part in parts)
            else "stop",
        )

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: object = None,  # noqa: ARG002 -- the interface of Pydantic AI
    ) -> AsyncGenerator[StreamedResponse]:
        response = await self.request(messages, model_settings, model_request_parameters)
        yield CompletedStreamedResponse(
            response, model_request_parameters=model_request_parameters, replay_events=True
        )


def load_script(path: Path) -> Script:
    """Read a script.

    Raises:
        NotFoundError: there is no such file.
        ConfigError: it cannot be read, or does not say what a script says.
    """
    text = read_text(path, limit_bytes=BYTES_MAX).removeprefix("\ufeff")
    found = load_yaml_with_lines(text, name=path.name, json_scalars=True)
    file = convert(found, _ScriptFile, name=path.name)
    reader = _Reader(path.name, found.lines)
    turns = [reader.turn(number, turn) for number, turn in enumerate(file.turns)]
    return Script(path.name, tuple(turns), file.then)


def write_script(turns: Sequence[Turn]) -> str:
    """Return turns as the YAML text of a script; `load_script` reads the same turns from it."""
    return _dump({"turns": [_written(turn) for turn in turns], "then": "stop"})


def _parts(turn: Turn, number: int) -> Iterator[Part]:
    if turn.say:
        yield TextPart(turn.say)
    for place, call in enumerate(turn.calls):
        arguments = call.arguments if isinstance(call.arguments, str) else dict(call.arguments)
        call_id = f"call-{number + 1}-{place + 1}" if call.id is None else call.id
        yield ToolCallPart(call.name, arguments, tool_call_id=call_id)


def _tokens(parts: Iterable[object]) -> int:
    """Estimate: a tokenizer needs the network, and a budget needs only the order of size."""
    texts = (getattr(part, "content", None) or getattr(part, "args", None) or "" for part in parts)
    return -(-sum(len(str(text)) for text in texts) // CHARACTERS_PER_TOKEN)


class _Raw(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    args: str
    id: str | None = None


class _Done(Struct, frozen=True, forbid_unknown_fields=True):
    summary: str
    evidence: tuple[str, ...] = ()


class _Blocked(Struct, frozen=True, forbid_unknown_fields=True):
    on: str
    needs: str


class _TurnFile(Struct, frozen=True, forbid_unknown_fields=True):
    say: str | None = None
    call: Mapping[str, object] | tuple[Mapping[str, object], ...] = ()
    raw_call: _Raw | tuple[_Raw, ...] = ()
    done: _Done | None = None
    blocked: _Blocked | None = None


class _ScriptFile(Struct, frozen=True, forbid_unknown_fields=True):
    turns: Annotated[tuple[_TurnFile, ...], Meta(min_length=1)]
    then: Literal["stop", "repeat"] = "stop"


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turn what the file says into turns; `lines` tells on which line a place of it stands."""

    name: str
    lines: Lines

    def turn(self, number: int, turn: _TurnFile) -> Turn:
        if turn == _TurnFile():
            hint = "give it `say`, `call`, `done` or `blocked`"
            raise self.wrong(("turns", number), "an empty turn", hint)
        calls: list[Call] = []
        if isinstance(turn.call, Mapping):
            calls.append(self.call(("turns", number, "call"), turn.call))
        else:
            places = [("turns", number, "call", place) for place in range(len(turn.call))]
            calls += map(self.call, places, turn.call)
        raw = (turn.raw_call,) if isinstance(turn.raw_call, _Raw) else turn.raw_call
        calls += [Call(call.name, call.args, call.id) for call in raw]
        if done := turn.done:
            calls.append(Call("done", {"summary": done.summary, "evidence": list(done.evidence)}))
        if blocked := turn.blocked:
            calls.append(Call("blocked", {"on": blocked.on, "needs": blocked.needs}))
        return Turn(turn.say or "", tuple(calls))

    def call(self, place: Place, item: Mapping[str, object]) -> Call:
        names = [key for key in item if key != "id"]
        if len(names) != 1:
            named = ", ".join(f"`{name}`" for name in names) or "none"
            hint = "several calls are a list: `call: [{mail_list: {}}, {list_files: {path: .}}]`"
            raise self.wrong(place, f"a call names one tool, this one names {named}", hint)
        (name,) = names
        arguments = item[name] or dict[str, object]()
        if not isinstance(arguments, dict):
            hint = f"write `{name}: {{argument: value}}`"
            raise self.wrong((*place, name), f"`{name}` has no arguments with names", hint)
        call_id = item.get("id")
        if not isinstance(call_id, str | None):
            raise self.wrong((*place, "id"), "`id` is not text", "put it in quotes")
        return Call(name, cast("dict[str, object]", arguments), call_id)

    def wrong(self, place: Place, message: str, hint: str) -> ConfigError:
        return ConfigError(f"{self.name}:{line_of(self.lines, place)}: {message}", hint=hint)


def _written(turn: Turn) -> Mapping[str, object]:
    said = {"say": turn.say} if turn.say or not turn.calls else {}
    end = _end(turn.calls[-1]) if turn.calls else dict[str, object]()
    calls = turn.calls[:-1] if end else turn.calls
    raw = not all(map(_yaml_keeps, calls))
    items = [_item(call, raw=raw) for call in calls]
    key = "raw_call" if raw else "call"
    called = {key: items[0] if len(items) == 1 else items} if items else {}
    return {**said, **called, **end}


def _end(call: Call) -> Mapping[str, object]:
    """Return a well formed `done` or `blocked` under its own key."""
    match call:
        case Call("done", {"summary": str(), "evidence": evidence, **others}, None):
            fits = not others and _texts(evidence)
        case Call("blocked", {"on": str(), "needs": str(), **others}, None):
            fits = not others
        case _:
            fits = False
    return {call.name: call.arguments} if fits else {}


def _item(call: Call, *, raw: bool) -> Mapping[str, object]:
    forced = {} if call.id is None else {"id": call.id}
    if not raw:
        return {call.name: call.arguments, **forced}
    given = call.arguments
    text = given if isinstance(given, str) else json.dumps(given)
    return {"name": call.name, "args": text, **forced}


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(t, str) for t in cast("list[object]", value))


def _yaml_keeps(call: Call) -> bool:
    """Whether a call reads back as it is: not broken JSON, not infinite, not nested without end."""
    if isinstance(call.arguments, str) or call.name == "id":
        return False
    shown = {"turns": [{"call": [{call.name: call.arguments}]}]}
    try:
        read = load_yaml_with_lines(_dump(shown), name="", json_scalars=True).value
    except ConfigError:
        return False
    return json.dumps(read) == json.dumps(shown)  # `==` alone takes 1, 1.0 and true for equal


def _dump(value: object) -> str:
    return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=100)


class _Dumper(yaml.SafeDumper):
    """Write long text as a block, and never an alias: the loader takes none."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 -- PyYAML's signature
        return True


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Quote what our loader would take for something else, which is not what PyYAML would."""
    if BREAKS.intersection(text):
        style = '"'
    elif "\n" in text or len(text) > LINE_MAX:
        style = "|"
    else:
        style = None if plain_value(text, json_scalars=True) == text else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)  # pyright: ignore[reportUnknownMemberType]


_Dumper.add_representer(str, _text_node)
