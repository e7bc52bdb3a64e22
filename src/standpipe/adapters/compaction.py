"""Make the history shorter that a model called too long; pure, so that a resumed run sends the same.

Rule 1: only what is sent gets shorter. The journal keeps every word, and each note says where.
Rule 2: task, instructions and what the model said stay; the oldest results and arguments go first.
Rule 3: no call loses its answer and no answer its call: providers refuse such a history.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    ToolCallPart,
    ToolReturnPart,
)

from standpipe.adapters.history import arguments_of, calls
from standpipe.policy.arguments import TEXT

TURNS_KEPT = 2  # the model works with what these brought
NOTE_CHARACTERS = 200  # a text not longer than its limit and a note stays as it is


@dataclass(frozen=True, slots=True)
class Step:
    """How many characters of one result or argument are left: of old turns, and of the last ones."""

    old: int
    recent: int | None


STEPS = (Step(old=400, recent=None), Step(old=100, recent=2_000))


@dataclass(frozen=True, slots=True)
class Compaction:
    """Before request `number` the turns so far were shortened by `step`, counted from 0."""

    number: int
    step: int

    def limit(self, turn: int) -> int | None:
        """Return the characters that are left of what `turn` brought, or None for all."""
        if turn >= self.number:
            return None
        step = STEPS[self.step]
        return step.old if turn < self.number - TURNS_KEPT else step.recent


def compacted(
    messages: Sequence[ModelMessage], done: Sequence[Compaction], *, run: str
) -> list[ModelMessage]:
    """Return the history as it is sent after these compactions."""
    turn, places, short = 0, dict[str, str](), list[ModelMessage]()
    for message in messages:
        if isinstance(message, ModelResponse):
            turn += 1
            ids = [call.tool_call_id for call in calls(message)]
            places = {known: f"{run}.{turn}.{place}" for place, known in enumerate(ids, 1)}
        short.append(_shortened(message, _strictest(done, turn), places))
    return short


def compactions(
    messages: Sequence[ModelMessage], numbers: Iterable[int], *, run: str
) -> list[Compaction]:
    """Return what was done about requests that were too long, given their numbers in order.

    A step that would change nothing is passed over, since the same request would go out again. A
    number for which nothing is left to do adds nothing.
    """
    done: list[Compaction] = []
    for number in numbers:
        first = max((each.step + 1 for each in done if each.number == number), default=0)
        before = compacted(messages, done, run=run)
        for step in range(first, len(STEPS)):
            if compacted(messages, [*done, Compaction(number, step)], run=run) != before:
                done.append(Compaction(number, step))
                break
    return done


def size_of(messages: Sequence[ModelMessage]) -> int:
    """Return how many characters a history has, as the journal writes it."""
    return len(ModelMessagesTypeAdapter.dump_json([*messages]).decode())


def _strictest(done: Iterable[Compaction], turn: int) -> int | None:
    limits = (limit for each in done if (limit := each.limit(turn)) is not None)
    return min(limits, default=None)


def _shortened(message: ModelMessage, limit: int | None, places: Mapping[str, str]) -> ModelMessage:
    if limit is None:
        return message
    if isinstance(message, ModelRequest):
        return replace(message, parts=[_result(part, limit, places) for part in message.parts])
    return replace(message, parts=[_call(part, limit, places) for part in message.parts])


def _result(part: ModelRequestPart, limit: int, places: Mapping[str, str]) -> ModelRequestPart:
    if not isinstance(part, ToolReturnPart):
        return part
    text = part.model_response_str()
    short = _cut(text, limit, what=f"the result of `{part.tool_name}`", at=_at(part, places))
    return part if short == text else replace(part, content=short)


def _call(part: ModelResponsePart, limit: int, places: Mapping[str, str]) -> ModelResponsePart:
    if not isinstance(part, ToolCallPart):
        return part
    arguments = arguments_of(part)
    short = {
        name: _cut(value, limit, what=f"`{name}`", at=_at(part, places))
        if isinstance(value, str)
        else value
        for name, value in arguments.items()
    }
    if TEXT in arguments or short == arguments:  # what is no JSON object has no values to shorten
        return part
    return replace(part, args=json.dumps(short) if isinstance(part.args, str) else short)


def _at(part: ToolReturnPart | ToolCallPart, places: Mapping[str, str]) -> str:
    place = places.get(part.tool_call_id)
    return f" at {place}" if place else ""


def _cut(text: str, limit: int, *, what: str, at: str) -> str:
    if len(text) <= limit + NOTE_CHARACTERS:
        return text
    left = f"{len(text) - limit} of {len(text)} characters"
    return f"{text[:limit]} [{left} of {what} are left out here; the journal has them{at}]"
