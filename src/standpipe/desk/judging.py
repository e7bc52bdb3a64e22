"""What Standpipe would make of a failure somebody describes: `standpipe failures classify`.

Rule 1: nothing is kept and nothing is asked: one line in, one answer out, the same every time.
Rule 2: the answer is that of a first attempt at a place where nothing failed before, with nothing
    declared but the effect: no alternates, no `refresh`, no `expected`.
"""

import json
from collections.abc import Mapping
from typing import Annotated, NoReturn, cast

import msgspec
from msgspec import Meta, Struct

from standpipe.actions import Effect, Result, Returned, Tool
from standpipe.errors import UsageError
from standpipe.governor.fingerprint import fingerprints
from standpipe.governor.recovery import recover
from standpipe.journal.drafts import placed
from standpipe.outcomes.classify import judge, read
from standpipe.outcomes.evidence import answer, error
from standpipe.outcomes.outcome import Failed, Kind, Unknown
from standpipe.outcomes.shape import is_empty

EXAMPLE = '{"tool": "t", "effect": "read", "args": {}, "http": {"status": 401, "body": ""}}'
_JITTER = 0.5  # the middle of what may be slept, so that the same line gives the same answer
_SUCCESSES = range(200, 300)
_EVIDENCE = "one of `error`, `http` and `result`"


class Marks(Struct, frozen=True):
    """The three names of a failure."""

    instance: str
    site: str
    cause: str


class Judgement(Struct, frozen=True, kw_only=True):
    """One line of the answer. A success has nothing but a `why`."""

    kind: str | None = None
    code: str | None = None
    phase: str | None = None
    template: str | None = None
    fingerprint: Marks | None = None
    recovery: str | None = None
    why: str


class _Error(Struct, frozen=True):
    type: Annotated[str, Meta(min_length=1)]
    message: object = ""
    module: str | None = None


class _Http(Struct, frozen=True):
    status: Annotated[int, Meta(ge=100, le=599)]
    headers: Mapping[str, object] | None = None
    body: object = ""


class _Line(Struct, frozen=True):
    """What is known of one call; other keys are the writer's own."""

    tool: Annotated[str, Meta(min_length=1)]
    effect: object = None
    args: Mapping[str, object] | None = None
    error: _Error | None = None
    http: _Http | None = None


def judged(line: bytes) -> Judgement:
    """Say what one JSON line would be taken for, and what would be done.

    Raises:
        UsageError: it is not such a line.

    Example:
        >>> found = judged(b'{"tool": "t", "effect": "read", "http": {"status": 403, "body": ""}}')
        >>> found.kind, found.recovery
        ('forbidden', 'escalate')
    """
    try:
        written = _decoded(line)
        said = msgspec.convert(written, type=_Line)
        return _judged(said, _evidence(said, written))
    except msgspec.ValidationError as wrong:
        text = str(wrong)
        raise UsageError(f"{text[:1].lower()}{text[1:]}", hint=EXAMPLE) from None
    except RecursionError:
        raise UsageError("it is nested too deeply to be judged", hint=EXAMPLE) from None


def _decoded(line: bytes) -> Mapping[str, object]:
    """Read with the standard library: half a surrogate pair in a message is what there is to judge."""
    try:
        value = json.loads(line.decode("utf-8-sig"), parse_constant=_no_number)
    except UnicodeDecodeError as wrong:
        raise UsageError(f"byte {wrong.start + 1} is not UTF-8", hint=EXAMPLE) from None
    except json.JSONDecodeError as wrong:
        said = f"{wrong.msg[:1].lower()}{wrong.msg[1:]} at character {wrong.pos + 1}"
        raise UsageError(f"it is not JSON: {said}", hint=EXAMPLE) from None
    except ValueError as wrong:  # a number of thousands of digits, or `NaN`
        raise UsageError(f"it is not JSON: {wrong}", hint=EXAMPLE) from None
    if not isinstance(value, dict):
        raise UsageError("it is JSON, and no object", hint=EXAMPLE)
    return cast("Mapping[str, object]", value)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"`{name}` is no number in JSON")


def _evidence(said: _Line, written: Mapping[str, object]) -> Result:
    """Return what came back. A `result` of null is one where nothing else is given."""
    given = [each for each in (said.error, said.http) if each is not None]
    result = "result" in written and (written["result"] is not None or not given)
    if len(given) + result != 1:
        number = "more than one" if given else "none"
        raise UsageError(f"it needs {_EVIDENCE}, and has {number}", hint=EXAMPLE)
    match given:
        case [_Error(type=name, message=message, module=module)]:
            return error(name, _text(message), "builtins" if module is None else module)
        case [_Http(status=status, headers=headers, body=body)]:
            shown = {name: _text(value) for name, value in (headers or {}).items()}
            return answer(status, shown, body if status in _SUCCESSES else _text(body))
        case _:
            return Returned(written["result"])


def _judged(said: _Line, result: Result) -> Judgement:
    tool, arguments = Tool(name=said.tool, effect=_effect(said.effect)), said.args or {}
    outcome, reading = judge(tool, result), read(tool, result)
    if not isinstance(outcome, Failed | Unknown) or reading is None:
        return Judgement(why=_worked(result))
    outcome = placed(arguments, outcome)  # as the journal does
    prints = fingerprints(tool.name, arguments, outcome)
    chosen = recover(outcome, tool=tool, attempt=1, seen=1, jitter=_JITTER)
    return Judgement(
        kind=(Kind.IN_DOUBT if isinstance(outcome, Unknown) else outcome.kind).value,
        code=reading.code,
        phase=reading.phase.value,
        template=prints.template,
        fingerprint=Marks(prints.instance, prints.site, prints.cause),
        recovery=str(chosen.__struct_config__.tag),
        why=chosen.why,
    )


def _effect(written: object) -> Effect:
    """Take what nobody declared for the worst, as the gate does; a word nobody knows is a mistake."""
    if written is None or written == "":
        return Effect.ONCE
    known = {effect.value: effect for effect in Effect}
    if not isinstance(written, str) or written not in known:
        raise UsageError(f"`effect` is one of {', '.join(known)}", hint=EXAMPLE)
    return known[written]


def _worked(result: Result) -> str:
    if isinstance(result, Returned) and is_empty(result.value):
        return "it worked, and there is nothing in it; that is counted for `no_progress`"
    return "it worked"


def _text(value: object) -> str:
    """Return a text as it is, and anything else as the JSON it came as."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
