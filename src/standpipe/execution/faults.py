"""Turn an exception into data, by its shape: no client library is imported, no name is believed blindly.

Rule 1: reading an exception never raises; what cannot be read is left out.
Rule 2: everything is capped, because the other side of the exception may be hostile.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath
from traceback import walk_tb
from typing import cast

import msgspec

from standpipe.actions import Fault, Raised

BAD_ARGUMENTS = "BadArguments"
RESULT_TOO_LARGE = "ResultTooLarge"
RESULT_NOT_JSON = "ResultNotJson"
UNKNOWN_TOOL = "UnknownTool"
NOT_STARTED = "NotStarted"

_OURS = "standpipe.execution.worker"  # with the names above, a contract with `outcomes/families/code.py`
_MESSAGE_MAX = 8_192
_BODY_MAX = 4_096
_ATTRIBUTE_MAX = 512
_DEPTH_MAX = 8
_GROUP_MAX = 16
_FAULTS_MAX = 64  # in all: a group may hold the same group again and again
_HEADERS_MAX = 64
# Class attributes, descriptors and properties that `vars()` does not show.
_NAMES = (
    "status_code", "status", "code", "errno", "winerror", "strerror", "filename", "reason",
    "sqlstate", "pgcode", "sqlite_errorcode", "sqlite_errorname", "returncode", "signal",
    "smtp_code", "smtp_error", "retry_after", "request_id", "lineno", "name",
)  # fmt: skip


def fault_of(error: BaseException, *, own_file: str = "") -> Fault:
    """Write down `error`, its causes and its group; `own_file` is where the tool itself is written."""
    return _Reader(own_file).fault(error, seen=frozenset())


def refused(type_: str, message: str) -> Raised:
    """Say in the words of a `Fault` what this package itself objects to."""
    return Raised(Fault(type_, plain(message, _MESSAGE_MAX), module=_OURS))


def plain(text: str, limit: int) -> str:
    """Return text that every encoder takes: no lone surrogates, not longer than `limit`."""
    return text[:limit].encode("utf-8", "replace").decode("utf-8")


def as_json(value: object) -> object:
    """Return `value` as JSON values.

    Raises:
        ValueError: JSON has no words for it.
    """
    from pydantic_core import (  # noqa: PLC0415 -- heavy, and a run without tools never needs it
        PydanticSerializationError,
        to_jsonable_python,
    )

    try:
        return to_jsonable_python(value, fallback=_struct)
    except (PydanticSerializationError, UnicodeError, RecursionError, TypeError) as error:
        raise ValueError(
            f"a result of type `{type(value).__name__}` is not JSON: {error}"
        ) from error


def least_size(value: object, *, enough: int) -> int:
    """Return at least how many bytes a value takes as JSON, without making it; stop above `enough`.

    Example:
        >>> least_size(["x" * 1000] * 1000, enough=5000)
        6000
    """
    size, left = 0, [value]
    while left and size <= enough:
        each = left.pop()
        if isinstance(each, str | bytes | bytearray):
            size += len(each)
        elif isinstance(each, dict):
            table = cast("dict[object, object]", each)
            size += len(table)
            left += [*table.keys(), *table.values()]
        elif isinstance(each, list | tuple | set | frozenset):
            size += len(cast("list[object]", each))
            left += cast("list[object]", each)
        else:
            size += 1
    return size


def _struct(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    raise TypeError(f"`{type(value).__name__}` has no form in JSON")


@dataclass(slots=True)
class _Reader:
    """Reads an exception with what hangs on it."""

    own_file: str
    left: int = _FAULTS_MAX

    def fault(self, error: BaseException, *, seen: frozenset[int]) -> Fault:
        self.left -= 1
        answer = _answer_of(error)
        own_code, place = self._place(error)
        within = seen | {id(error)}
        return Fault(
            type=type(error).__qualname__,
            module=type(error).__module__,
            message=_message(error),
            attributes={**_attributes(error), **answer.attributes},
            headers=answer.headers,
            body=answer.body,
            url=answer.url,
            own_code=own_code,
            bases=tuple(
                f"{base.__module__}.{base.__qualname__}"
                for base in type(error).__mro__[1:]
                if base is not object
            ),
            cause=self._cause(error, seen=within),
            group=self._group(error, seen=within),
            place=place,
        )

    def _place(self, error: BaseException) -> tuple[bool, str]:
        """Return whether the tool itself raised, and its own innermost line."""
        frames = list(walk_tb(error.__traceback__)) if self.own_file else []
        own = [each for each in frames if each[0].f_code.co_filename == self.own_file]
        if not own:
            return False, ""
        frame, line = own[-1]
        place = f"{PurePath(self.own_file).name}:{line} in {frame.f_code.co_qualname}"
        return frames[-1][0] is frame, plain(place, _ATTRIBUTE_MAX)

    def _cause(self, error: BaseException, *, seen: frozenset[int]) -> Fault | None:
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None or id(cause) in seen or len(seen) >= _DEPTH_MAX or self.left <= 0:
            return None
        return self.fault(cause, seen=seen)

    def _group(self, error: BaseException, *, seen: frozenset[int]) -> tuple[Fault, ...]:
        if not isinstance(error, BaseExceptionGroup) or len(seen) >= _DEPTH_MAX:
            return ()
        inner = cast("BaseExceptionGroup[BaseException]", error).exceptions[:_GROUP_MAX]
        return tuple(self.fault(each, seen=seen) for each in inner if self.left > 0)


def _message(error: BaseException) -> str:
    with contextlib.suppress(Exception):
        return plain(str(error), _MESSAGE_MAX)
    return ""


def _attributes(error: BaseException) -> dict[str, object]:
    names = [*_NAMES, *(name for name in vars(error) if not name.startswith("_"))]
    found = {name: _scalar(_get(error, name)) for name in dict.fromkeys(names)}
    return {name: value for name, value in found.items() if value is not None}


def _get(subject: object, name: str) -> object:
    """Read an attribute that may be a property that raises (`httpx.RequestError.request` does)."""
    with contextlib.suppress(Exception):
        return getattr(subject, name, None)
    return None


def _scalar(value: object) -> str | int | float | bool | None:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return plain(str(value), _ATTRIBUTE_MAX)
    if isinstance(value, bool | float):
        return value
    return int(value) if isinstance(value, int) and abs(value) < 2**63 else None


class _Answer(msgspec.Struct, frozen=True):
    """What the other side said, where the exception carries it."""

    attributes: Mapping[str, object] = {}
    headers: Mapping[str, str] = {}
    body: str = ""
    url: str = ""


def _answer_of(error: BaseException) -> _Answer:
    response = _get(error, "response")
    if isinstance(response, Mapping):
        return _aws_answer(cast("Mapping[str, object]", response))
    # urllib's HTTPError is its own response.
    subject = error if response is None else response
    status = _scalar(_get(subject, "status_code")) or _scalar(_get(subject, "status"))
    return _Answer(
        attributes={} if status is None else {"status_code": status},
        headers=_headers(_get(subject, "headers")),
        body=_body(subject),
        url=_url(subject) or _url(_get(error, "request")),
    )


def _aws_answer(response: Mapping[str, object]) -> _Answer:
    """Read botocore's `ClientError.response`."""
    about, said = response.get("ResponseMetadata"), response.get("Error")
    meta, words = _fields(about), _fields(said)
    found = {
        "status_code": _scalar(meta.get("HTTPStatusCode")),
        "code": _scalar(words.get("Code")),
    }
    return _Answer(
        attributes={name: value for name, value in found.items() if value is not None},
        headers=_headers(meta.get("HTTPHeaders")),
        body=plain(str(words.get("Message", "")), _BODY_MAX),
    )


def _fields(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def _headers(headers: object) -> dict[str, str]:
    found: dict[str, str] = {}
    with contextlib.suppress(Exception):
        for name, value in _pairs(headers):
            # A session cookie is a credential that no masker has heard of yet.
            if name.lower() not in {"set-cookie", "authorization"} and len(found) < _HEADERS_MAX:
                found[plain(name.lower(), _ATTRIBUTE_MAX)] = plain(value, _ATTRIBUTE_MAX)
    return found


def _pairs(headers: object) -> Iterator[tuple[str, str]]:
    items = _get(headers, "items")
    if callable(items):
        for name, value in cast("list[tuple[object, object]]", items()):
            yield str(name), str(value)


def _body(subject: object) -> str:
    for name in ("content", "body", "text"):
        value = _get(subject, name)
        if isinstance(value, bytes | str) and value:
            return _decoded(value)
    read = _get(subject, "read")
    # Only urllib's: reading an unread stream of another client could wait or be a coroutine.
    if callable(read) and _get(subject, "fp") is not None:
        with contextlib.suppress(Exception):
            return _decoded(read(_BODY_MAX))
    return ""


def _decoded(value: object) -> str:
    if isinstance(value, bytes):
        return value[:_BODY_MAX].decode("utf-8", "replace")
    return plain(value, _BODY_MAX) if isinstance(value, str) else ""


def _url(subject: object) -> str:
    url = _get(subject, "url")
    with contextlib.suppress(Exception):
        return "" if url is None or callable(url) else plain(str(url), _ATTRIBUTE_MAX * 4)
    return ""
