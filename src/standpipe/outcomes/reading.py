"""Read a `Fault` without knowing the library it comes from.

Rule 1: a name counts with the package it comes from: `ConnectionError` means two things in two packages.
Rule 2: the outer exception speaks before its cause, because it is the later one.
Rule 3: what every family asks is read once for each exception, and no text is read beyond its cap.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import cast

import msgspec
from msgspec import Struct

from standpipe.actions import Fault

_SAME = {"httpx2": "httpx", "httpcore2": "httpcore"}  # the successors, under which SDKs raise
DEPTH_MAX = 10
FAULTS_MAX = 50
BASES_MAX = 20
_NAME_CHARACTERS_MAX = 200
BODY_CHARACTERS_MAX = 200_000
TEXT_CHARACTERS_MAX = 4_000
_HOST = re.compile(
    r"^([a-z][a-z0-9+.-]{0,15})://(?:[^/?#@]*@)?(\[[^\]]*\]|[^/?#:]+)(?::(\d{1,5}))?", re.IGNORECASE
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{0,300})", re.IGNORECASE)
_NATURAL = re.compile(r"-?\d{1,10}")


class Link(Struct, frozen=True):
    """One exception of a chain; `names` are its own and those of its bases, `package.Type`."""

    fault: Fault
    names: tuple[str, ...]
    packages: frozenset[str]
    message: str


def chain(fault: Fault) -> list[Link]:
    """List a fault, its causes and the members of its groups, the outermost first."""
    found: list[Link] = []
    _collect(fault, 0, found)
    return found


def capped(text: str, limit: int = TEXT_CHARACTERS_MAX) -> str:
    r"""Return the beginning and the end of a long text: programs say last what went wrong.

    Example:
        >>> capped("abcdefgh", 4)
        'ab\ngh'
    """
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]}\n{text[-half:]}"


def number(fault: Fault, *names: str) -> int | None:
    """Return the first of the named attributes that is a whole number."""
    told = fault.attributes
    for name in names if told else ():
        value = told.get(name)
        if isinstance(value, bool):
            continue
        if isinstance(value, int):
            return value
        if isinstance(value, str) and _NATURAL.fullmatch(value):
            return int(value)
    return None


def word(fault: Fault, *names: str) -> str:
    """Return the first of the named attributes that is a non-empty text."""
    if not fault.attributes:
        return ""
    values = (fault.attributes.get(name) for name in names)
    return next((value for value in values if isinstance(value, str) and value), "")


def headers(fault: Fault) -> Mapping[str, str]:
    """Return the headers of the answer a fault carries, with lower case names."""
    raw = fault.headers or fields(fault.attributes.get("headers"))
    return {name.lower(): str(value) for name, value in raw.items()}


def body(fault: Fault) -> str:
    """Return the body of the answer a fault carries, as text."""
    raw = fault.body or fault.attributes.get("body") or fault.attributes.get("http_body")
    if isinstance(raw, str):
        return raw[:BODY_CHARACTERS_MAX]
    if raw is None:
        return ""
    return msgspec.json.encode(raw).decode()[:BODY_CHARACTERS_MAX]


def json_of(text: str) -> object:
    """Return what a JSON text means, or None."""
    if text[:100].lstrip()[:1] not in ("{", "["):
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None


def fields(value: object) -> Mapping[str, object]:
    """Return a JSON object as such; of anything else nothing."""
    if value is None or isinstance(value, str):  # what it mostly is; asking for a Mapping is slow
        return {}
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def items(value: object) -> Sequence[object]:
    """Return a JSON array as such; of anything else nothing."""
    return cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()


def host_of(url: str) -> str:
    """Return `host` or `host:port` of a URL, spelled as `policy.egress.host_of` spells it.

    What is a URL here came from an exception, so it may be one that nobody would be allowed to ask.

    Example:
        >>> host_of("https://key@api.shop.example:8443/orders")
        'api.shop.example:8443'
        >>> host_of("https://api.shop.example:443/orders")
        'api.shop.example'
    """
    match = _HOST.match(url)
    if match is None:
        return ""
    scheme, host = match[1].lower(), _spelled(match[2].lower())
    port = int(match[3] or 0)
    return f"{host}:{port}" if port and port != _DEFAULT_PORTS.get(scheme) else host


def title_of(page: str) -> str:
    """Return the title of an HTML page, on one line."""
    match = _TITLE.search(page[:BODY_CHARACTERS_MAX])
    return " ".join(match[1].split()) if match else ""


def _spelled(host: str) -> str:
    """Return an IPv6 address in its one short form, any other host as it is."""
    try:
        return f"[{ipaddress.IPv6Address(host[1:-1])}]" if host.startswith("[") else host
    except ValueError:
        return host


def _collect(fault: Fault, depth: int, found: list[Link]) -> None:
    if depth > DEPTH_MAX or len(found) >= FAULTS_MAX:
        return
    called = _called(fault.module, fault.type, fault.bases)
    found.append(Link(fault, called.names, called.packages, capped(fault.message)))
    for inner in (*fault.group, fault.cause):
        if inner is not None:
            _collect(inner, depth + 1, found)


class _Called(Struct, frozen=True):
    names: tuple[str, ...]
    packages: frozenset[str]


@lru_cache(maxsize=256)  # a program raises few types, and raises them often
def _called(module: str, type_: str, bases: tuple[str, ...]) -> _Called:
    """Return the names of an exception and its bases as `package.Type`, nearest first."""
    found = [(_package(module), type_[:_NAME_CHARACTERS_MAX])]
    for name in bases[:BASES_MAX]:
        where, _, kind = name[-_NAME_CHARACTERS_MAX:].rpartition(".")
        found.append((_package(where or "builtins"), kind))
    names = tuple(f"{package}.{kind}" for package, kind in found)
    return _Called(names, frozenset(package for package, _ in found))


def _package(module: str) -> str:
    package = module[:_NAME_CHARACTERS_MAX].partition(".")[0]
    return _SAME.get(package, package)
