"""When are two failures the same? When only the values in them differ.

Rule 1: the order of the steps is what makes it precise: a body is read before quotes are masked,
    class numbers are kept before numbers are masked, the call's own arguments go first.
Rule 2: precision before recall. A false merge stops work that could go on; a false split costs one call.
Rule 3: every step is one pass over at most 2 KB and cannot backtrack far.
Rule 4: raise `VERSION` with any change here, in `masks` or in `literals`; old failures are derived again
    from their messages.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import cast

import msgspec
from msgspec import Struct

from standpipe.governor import literals, masks
from standpipe.outcomes.outcome import Failed, Unknown

VERSION = 2
INPUT_CHARACTERS_MAX = 2_048
TEMPLATE_CHARACTERS_MAX = 400
HOLE = "<*>"

_MASKED_CHARACTERS_MAX = 1_024  # a template ends long before
_VALUES_MAX = 64
_VALUE_CHARACTERS_MAX = 500
_OCCURRENCES_MAX = 24
_ESCAPED_CHARACTERS_MAX = 100
_GLUED_CHARACTERS_MIN = 8
_DEPTH_MAX = 4
_LITERALS_MAX = 4
_HEX_DIGITS = 12

# A terminal's colours, also as `visible` spells them out.
_ANSI = re.compile(r"(?:\x1b|\\x1b)(?:\[[0-9;?]{0,20}[A-Za-z]|\][^\x07\x1b]{0,200}\x07)")
_SECRET = re.compile(r"\[secret [^\[\]\n]{1,80}\]")
_BOXES = str.maketrans(dict.fromkeys("│┃╷╵╭╰─━├└…", " "))
_TRACE = "Traceback (most recent call last)"
# Lines that show where it was, or repeat the source that failed.
_STACK_LINE = re.compile(
    r"^(?:[ \t]{1,12}+(?:File \"|at |\.\.\. \d|\d{1,6}:[ \t])|[ \t]{0,200}+(?:[\^~]|-->|\d{0,6} {0,3}\| |LINE \d{1,5}:"
    r"|(?:DETAIL|HINT|CONTEXT|QUERY):|\[SQL: |\[parameters: |goroutine \d{1,9} \[)).*$\n?",
    re.MULTILINE,
)
_POINTED_AT = re.compile(r"^.*\n(?=[ \t|]{0,400}\^[~^ ]{0,400}$)", re.MULTILINE)
# The text of a `KeyError` is the repr of its argument, which may be a whole sentence.
_REPR = re.compile(
    r"\A((?:[\w.]{1,80}: ){0,3}[\w.]{1,80}: )(?:'([^'\\]*+(?:\\.[^'\\]*+)*+)'|\"([^\"\\]*+(?:\\.[^\"\\]*+)*+)\")(?=\Z| \(|\n)",
    re.DOTALL,
)
_SENTENCE_SPACES_MIN = 2
_ESCAPED_QUOTE = re.compile(r"\\(?=['\"\\])")
_GUESS = re.compile(r"(?:\.? |\n)(?:did|maybe|perhaps) you mean[^?\n]{0,200}\??\.?", re.IGNORECASE)
_CODE_WORD = re.compile(r"[A-Za-z][\w.-]{1,39}|-?\d{1,5}")
_LONG_DIGITS_MIN = 6
_LONG_NUMBER = re.compile(rf"\d{{{_LONG_DIGITS_MIN},}}")


class Fingerprints(Struct, frozen=True):
    """One failure, named three times: this very call, this place, this cause anywhere."""

    instance: str
    site: str
    cause: str
    template: str


def fingerprints(
    tool_name: str, arguments: Mapping[str, object], failed: Failed | Unknown, route: str = ""
) -> Fingerprints:
    """Name a failure. `route` is what the tool declares of the address, never read from the message."""
    shape = template(failed.message, arguments)
    kind = failed.kind.value
    code = failed.code if isinstance(failed, Failed) else ""
    code = _LONG_NUMBER.sub(HOLE, code) if len(code) >= _LONG_DIGITS_MIN else code
    host = failed.host if isinstance(failed, Failed) else ""
    return Fingerprints(
        instance=_digest(tool_name, _canonical(arguments), kind, shape),
        site=_digest(tool_name, host, route, kind, code, shape),
        cause=_digest(kind, code, shape),
        template=shape,
    )


def template(message: str, arguments: Mapping[str, object]) -> str:
    """Return `message` with everything that varies from call to call replaced by one placeholder.

    Example:
        >>> template("HTTP 404: no order 171717 in report-a", {"report": "report-a"})
        'http 404: no order <*> in <*>'
    """
    kept: list[str] = []
    text = masks.opening_kept(_cleaned(message), kept)
    text = _reduced(text, kept)[:_MASKED_CHARACTERS_MAX]
    text = _without_echo(masks.classes_kept(text, kept), arguments)
    text = masks.quotes_masked(masks.addresses_masked(text).lower())
    text = masks.swallowed(masks.numbers_masked(masks.names_masked(text)))
    shape = masks.restored(" ".join(text.split()), kept, hole=HOLE)
    return shape[:TEMPLATE_CHARACTERS_MAX]


def _cleaned(message: str) -> str:
    """Cut, and take away what is never about the failure: colours, secrets, guesses, stacks."""
    text = message[:INPUT_CHARACTERS_MAX]
    if not text.isascii():
        text = masks.STRAY.sub(" ", text)
        text = text.translate(_BOXES) if "│" in text or "…" in text else text
    text = text.replace(HOLE, masks.HOLE)
    if "\x1b" in text or "\\x1b" in text:
        text = _ANSI.sub("", text)
    if "[secret " in text:
        text = _SECRET.sub(masks.HOLE, text)
    if "***" in text:
        text = masks.STARRED.sub(masks.HOLE, text)
    if "you mean" in text:
        text = _GUESS.sub("", text)
    return _without_repr(_without_stack(text) if "\n" in text else text)


def _without_repr(text: str) -> str:
    """Take a sentence out of the quotes in which it is the whole message; what has no spaces is a name."""
    match = _REPR.match(text) if text[-1:] in "'\")" or "\n" in text else None
    if match is None:
        return text
    said = match[match.lastindex or 0]
    if said.count(" ") < _SENTENCE_SPACES_MIN:
        return text
    return f"{match[1]}{_ESCAPED_QUOTE.sub('', said)}{text[match.end() :]}"


def _without_stack(text: str) -> str:
    """Keep what a traceback ends in, and drop the lines of a stack and of the source."""
    _, trace, rest = text.rpartition(_TRACE)
    if trace:
        lines = [line for line in rest.split("\n")[1:] if line.strip() and not line.startswith(" ")]
        return "\n".join(lines) or rest
    if "^" in text:
        text = _POINTED_AT.sub("", text)
    return _STACK_LINE.sub("", text) or text


def _reduced(text: str, kept: list[str]) -> str:
    """Replace the literals, up to the first that speaks, by what they say failed."""
    if "{" not in text and "[" not in text:
        return text
    pieces: list[str] = []
    done = 0
    for _ in range(_LITERALS_MAX):
        found = literals.first(text, done)
        if found is None:
            break
        said = [_member(member, kept) for member in literals.members(found.value)]
        pieces += [text[done : found.start], *(said or (masks.HOLE,))]
        done = found.end
        if said:
            break
    return " ".join([*pieces, text[done:]])


def _member(member: literals.Member, kept: list[str]) -> str:
    text = member.text
    if member.code and _CODE_WORD.fullmatch(text) and not _LONG_NUMBER.search(text):
        text = masks.keep(text.lower(), kept)
    return f"{member.key} {text}"


def _without_echo(text: str, arguments: Mapping[str, object]) -> str:
    """Replace what the call itself brought along, the longest first."""
    found: list[str] = []
    escaped = "\\" in text or "%" in text
    for value in _words(arguments):
        if value.isalnum():
            if value in text and value.lower() not in masks.ORDINARY:
                found.append(value)
        elif any(map(str.isalnum, value)):
            if value in text:
                found.append(value)
            found += [form for form in _escaped(value) if form in text] if escaped else []
            plain = value.replace("-", "_").replace(" ", "_")  # how a name becomes an identifier
            found += [plain] if plain in text else []
    for value in sorted(found, key=len, reverse=True):
        text = _replaced(text, value)
    return text


def _words(arguments: Mapping[str, object]) -> list[str]:
    """List the texts among the arguments, level by level; numbers are masked anyway."""
    found: list[str] = []
    level: list[object] = [dict(arguments)]
    for _ in range(_DEPTH_MAX):
        deeper: list[object] = []
        for value in level[:_VALUES_MAX]:
            for item in islice(_inner(value), _VALUES_MAX):
                if not isinstance(item, str):
                    deeper.append(item)
                elif len(item) <= _VALUE_CHARACTERS_MAX:
                    found.append(item.strip())
        level = deeper
    return found[:_VALUES_MAX]


def _inner(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return cast("dict[str, object]", value).values()
    return cast("list[object]", value) if isinstance(value, list | tuple) else ()


def _escaped(value: str) -> tuple[str, ...]:
    if len(value) > _ESCAPED_CHARACTERS_MAX:
        return ()
    return repr(value)[1:-1], "".join(map(_quoted, value))


def _replaced(text: str, value: str) -> str:
    """Replace `value` where it stands alone; a long one may have something glued to its end."""
    glues = len(value) >= _GLUED_CHARACTERS_MIN
    pieces: list[str] = []
    done, at = 0, text.find(value)
    for _ in range(_OCCURRENCES_MAX):
        if at < 0:
            break
        end = at + len(value)
        if not text[at - 1 : at].isalnum() and (glues or not text[end : end + 1].isalnum()):
            pieces += [text[done:at], masks.HOLE]
            done = end
        at = text.find(value, end)
    return "".join([*pieces, text[done:]])


def _quoted(character: str) -> str:
    """Write a character as URLs do (`urllib` may do I/O, so a pure package does without it)."""
    if character.isascii() and (character.isalnum() or character in "_.-~/"):
        return character
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "replace"))


def _canonical(arguments: Mapping[str, object]) -> str:
    try:
        return msgspec.json.encode(arguments, order="sorted").decode()
    except (TypeError, ValueError):  # half a surrogate pair is no JSON, and still an argument
        return repr(arguments)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).hexdigest()[:_HEX_DIGITS]
