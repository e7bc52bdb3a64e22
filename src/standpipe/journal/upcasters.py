"""Old shapes of entries, read as if they had been written today.

Rule 1: an entry is never rewritten; its old shape is brought up each time it is read.
Rule 2: an upcaster makes one step, from a version to the next, on plain data; the steps are chained.
Rule 3: a new version of a kind is a line in `VERSIONS` and its step in `UPCASTERS`; a test holds them together.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

Plain: TypeAlias = Mapping[str, object]
Upcaster: TypeAlias = Callable[[Plain], Plain]

VERSIONS: Mapping[str, int] = {}  # kinds whose shape has moved on; every other kind is at 1
UPCASTERS: Mapping[
    str, Mapping[int, Upcaster]
] = {}  # kind -> the version it starts from -> the step


def version_of(kind: str) -> int:
    """Return the version in which a kind is written now."""
    return VERSIONS.get(kind, 1)


def upcast(
    kind: str,
    v: int,
    data: Plain,
    *,
    steps: Mapping[str, Mapping[int, Upcaster]] = UPCASTERS,
    now: int | None = None,
) -> Plain:
    """Return the body of an entry of version `v` in the shape of today.

    Raises:
        KeyError: there is no step from one of the versions in between.
    """
    for version in range(v, version_of(kind) if now is None else now):
        data = steps[kind][version](data)
    return data
