"""When are two failures the same? When only the values in them differ.

Rule 1: the order of the steps is what makes it precise: a body is read before quotes are masked,
    class numbers are protected before numbers are masked, the call's own arguments go first.
Rule 2: precision before recall. A false merge stops work that could go on; a false split costs one call.
Rule 3: every expression runs once over at most 2 KB and cannot backtrack far.
Rule 4: raise `VERSION` with any change here; old failures are derived again from their messages.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import cast

import msgspec
from msgspec import Struct

from standpipe.governor import literals
from standpipe.outcomes.outcome import Failed, Unknown
from standpipe.outcomes.reading import fields, items

VERSION = 1
INPUT_CHARACTERS_MAX = 2_048
TEMPLATE_CHARACTERS_MAX = 400
HOLE = "<*>"

_VALUES_MAX = 64
_VALUE_CHARACTERS_MAX = 500
_WORD_CHARACTERS_MIN = 4
_DIGITS_MIN = 3
_GLUED_CHARACTERS_MIN = 8
_DEPTH_MAX = 4
_ITEMS_MAX = 2
_HEX_DIGITS = 12

# A protected character stands for an ASCII one in the private use area, where no mask sees it.
_SHIFT = 0xE000
_PROTECTED = {_SHIFT + number: chr(number) for number in range(0x80)}
_STRAY = re.compile(f"[{chr(_SHIFT)}-{chr(_SHIFT + 0x7F)}]")

_ANSI = re.compile(r"\x1b\[[0-9;?]{0,20}[A-Za-z]|\x1b\][^\x07\x1b]{0,200}\x07")
_TRACE = "Traceback (most recent call last)"
_STACK_LINE = re.compile(r"^\s{1,12}(?:File \"|at |\^|~).*$\n?", re.MULTILINE)

_CLASS_KEYS = frozenset(
    "type code error error_code status status_code reason message title detail errno name kind".split()  # noqa: SIM905 -- as the reference lists them
)
_CODE_KEYS = frozenset({"type", "code", "error_code", "status", "status_code", "errno", "kind"})
_CODE_WORD = re.compile(r"[A-Za-z][\w.-]{1,39}|-?\d{1,5}")
_LONG_NUMBER = re.compile(r"\d{6,}")

_REASONS = (
    "Bad|Unauthorized|Payment|Forbidden|Not|Method|Request|Conflict|Gone|Precondition|Payload|Content|URI"
    "|Unsupported|Unprocessable|Locked|Too|Internal|Gateway|Service|HTTP|Client|Server|Temporary"
)
# The number in the group is what failed; any other number says where, when or how much.
_CLASSES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"^\s{0,4}([45]\d\d)(?=\s{0,2}(?:[-:]|(?:code|detail|error|message|status|title|type)\b))",
        r"\b(?:http(?:/\d(?:\.\d)?)?|status|status[ _]?code|response code)\W{0,3}([1-5]\d\d)\b",
        r"\berror(?:[ _]?code)?\W{0,3}([1-5]\d\d)\b",
        r"\b(?:errno|winerror|errcode|error[ _]code|exit(?:ed with)?(?: code| status)?|exit code|signal|code)\W{0,3}(-?\d{1,5})\b",
        r"\bcurl: \((\d{1,3})\)",
        rf"\b([1-5]\d\d):? (?:{_REASONS})\b",
        r"\(([245]\d\d), b?['\"]",
        r"\b([45]\d\d[ -][45]\.\d{1,2}\.\d{1,2})\b",
        r"\bsqlstate\W{0,3}([0-9a-z]{5})\b",
        r"\((\d{4}), ['\"]",
        r"(?<!\d)(-32\d{3})\b",
        r"\b((?:ORA|PLS|AADSTS|E|SQL|TS|CS)-?\d{3,6})(?=[:\s\])])",
    )
)

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
_MASKS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b[a-z][a-z0-9+.-]{1,15}://[^\s'\"<>]+",  # url
        r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}",  # email
        rf"\b(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{{0,6}},? )?\d{{1,2}}[ -]{_MONTH}[ -]\d{{2,4}}(?:[ T][\d:.]{{4,15}})?(?: gmt| utc)?",
        r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d{1,9})?(?:z|[+-]\d\d:?\d\d)?)?",
        r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b",  # uuid
        r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?\b",  # ip
        r"(?<![\w/<.>])(?:~|\.{1,2})?/[^\s'\"`:,;()<>\[\]{}|]*|\b[a-z]:\\[^\s'\"]{1,300}",  # path
    )
)
# Hosts and file names are written in lower case; `json.JSONDecodeError` is neither.
_HOST = re.compile(
    r"(?<![\w.-])(?:[A-Za-z0-9-]{1,63}\.){1,8}[a-z]{2,12}(?!\.?[\w-])(?:(?<=[a-z]):\d{1,5}\b)?"
)
_QUOTED = re.compile(
    r"(?<!\w)b?'[^'\n]{1,400}'(?!\w)|\"[^\"\n]{1,400}\"|`[^`\n]{1,400}`|«[^»\n]{1,400}»"
)
_TOKEN = re.compile(r"[\w.-]+")
_GLUED = re.compile(r"[\w.@%~+/<*>-]+")
_RUN = re.compile(r"<\*>(?:[\s,:;|/=-]{0,4}<\*>)+")


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
    code = _LONG_NUMBER.sub(HOLE, failed.code) if isinstance(failed, Failed) else ""
    host = failed.host if isinstance(failed, Failed) else ""
    canonical = msgspec.json.encode(arguments, order="sorted").decode()
    return Fingerprints(
        instance=_digest(tool_name, canonical, kind, shape),
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
    text = _STRAY.sub(" ", message[:INPUT_CHARACTERS_MAX])
    text = _reduced(_last_line(_ANSI.sub("", text)))
    for pattern in _CLASSES:
        text = pattern.sub(_keep_group, text)
    text = _without_echo(text, arguments)
    for pattern in (*_MASKS, _HOST):
        text = pattern.sub(HOLE, text)
    text = _QUOTED.sub(_mask_quoted, text)
    text = _TOKEN.sub(_mask_digits, text)
    text = _GLUED.sub(_swallow, text)
    text = _RUN.sub(HOLE, text).translate(_PROTECTED)
    return " ".join(text.lower().split())[:TEMPLATE_CHARACTERS_MAX]


def _last_line(text: str) -> str:
    """Keep what a traceback ends in, and drop the lines of a stack."""
    _, trace, rest = text.rpartition(_TRACE)
    if trace:
        lines = [line for line in rest.split("\n")[1:] if line.strip() and not line.startswith(" ")]
        return "\n".join(lines) or rest
    return _STACK_LINE.sub("", text)


def _reduced(text: str) -> str:
    """Replace the first literal by those of its members that say what failed."""
    found = literals.first(text)
    if found is None:
        return text
    members = " ".join(sorted(_members(found.value, 0))) or HOLE
    return f"{text[: found.start]} {members} {text[found.end :]}"


def _members(value: object, depth: int) -> Iterator[str]:
    if depth >= _DEPTH_MAX:
        return
    for item in items(value)[:_ITEMS_MAX]:
        yield from _members(item, depth + 1)
    for key, inner in fields(value).items():
        if isinstance(inner, dict | list):
            yield from _members(cast("object", inner), depth + 1)
        elif key in _CLASS_KEYS:
            yield _member(key, str(inner))


def _member(key: str, value: str) -> str:
    keeps = key in _CODE_KEYS and _CODE_WORD.fullmatch(value) and not _LONG_NUMBER.search(value)
    return f"{key} {_shifted(value) if keeps else value}"


def _without_echo(text: str, arguments: Mapping[str, object]) -> str:
    """Replace what the call itself brought along, the longest first."""
    values = {form for value in islice(_flat(arguments, 0), _VALUES_MAX) for form in _forms(value)}
    for value in sorted((value for value in values if value in text), key=len, reverse=True):
        text = _replaced(text, value)
    return text


def _replaced(text: str, value: str) -> str:
    """Replace `value` where it stands alone; a long one may have something glued to its end."""
    glues = len(value) >= _GLUED_CHARACTERS_MIN and not value.isdecimal()
    pieces: list[str] = []
    done, at = 0, text.find(value)
    while at >= 0:
        end = at + len(value)
        if not text[at - 1 : at].isalnum() and (glues or not text[end : end + 1].isalnum()):
            pieces += [text[done:at], HOLE]
            done = end
        at = text.find(value, end)
    return "".join([*pieces, text[done:]])


def _flat(value: object, depth: int) -> Iterator[str]:
    if depth > _DEPTH_MAX or value is None or isinstance(value, bool):
        return
    if isinstance(value, Mapping | list | tuple):
        for inner in (*fields(cast("object", value)).values(), *items(cast("object", value))):
            yield from _flat(inner, depth + 1)
    elif _echoes(text := str(value)):
        yield text


def _echoes(text: str) -> bool:
    short = _DIGITS_MIN if text.isdecimal() else _WORD_CHARACTERS_MIN
    return short <= len(text.strip()) and len(text) <= _VALUE_CHARACTERS_MAX


def _forms(value: str) -> Iterator[str]:
    yield value
    yield repr(value)[1:-1]
    yield "".join(_quoted(character) for character in value)
    if "-" in value or " " in value:  # how a name becomes an identifier
        yield value.replace("-", "_").replace(" ", "_")


def _quoted(character: str) -> str:
    """Write a character as URLs do (`urllib` may do I/O, so a pure package does without it)."""
    if character.isascii() and (character.isalnum() or character in "_.-~/"):
        return character
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "replace"))


def _keep_group(match: re.Match[str]) -> str:
    start, end = match.start(1) - match.start(), match.end(1) - match.start()
    whole = match[0]
    return whole[:start] + _shifted(whole[start:end]) + whole[end:]


def _shifted(text: str) -> str:
    return "".join(chr(_SHIFT + ord(char)) if char.isascii() else char for char in text)


def _mask_quoted(match: re.Match[str]) -> str:
    text = match[0]
    if _STRAY.search(text):  # a class number stands in it: '401 Unauthorized'
        return text
    says_something = HOLE in text or any(character.isalnum() for character in text)
    return HOLE if says_something else text


def _mask_digits(match: re.Match[str]) -> str:
    text = match[0]
    masked = any(character.isdigit() for character in text)
    stop = "." if text.endswith(".") else ""
    return HOLE + stop if masked else text


def _swallow(match: re.Match[str]) -> str:
    text = match[0]
    return HOLE if HOLE in text else text


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).hexdigest()[:_HEX_DIGITS]
