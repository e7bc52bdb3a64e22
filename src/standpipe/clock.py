"""Time, as a thing you are given."""

import asyncio
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from standpipe.errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_SPAN = re.compile(r"([0-9]{1,6}(?:[.][0-9]{1,3})?)([smhd])")


class Clock(Protocol):
    def now(self) -> datetime: ...  # aware, UTC; for people and entries, never for order
    def monotonic(self) -> float: ...  # seconds; for deadlines
    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class AnchoredClock(SystemClock):
    """The clock of somebody else, a database, kept in step; between two looks at it nothing jumps."""

    def __init__(self) -> None:
        self.anchor(datetime.now(UTC))

    def anchor(self, now: datetime) -> None:
        """Take over what the other one says."""
        self._now, self._ticks = now, time.monotonic()

    def now(self) -> datetime:
        return self._now + timedelta(seconds=time.monotonic() - self._ticks)


def steadily(clock: Clock) -> Callable[[], datetime]:
    """Return what tells the time from now on as it passes: a clock that is set meanwhile changes nothing."""
    began, ticks = clock.now(), clock.monotonic()
    return lambda: began + timedelta(seconds=clock.monotonic() - ticks)


def stamp(moment: datetime) -> str:
    """Write a moment as RFC 3339 in UTC with milliseconds.

    Example:
        >>> stamp(datetime(2026, 11, 22, 7, 0, tzinfo=UTC))
        '2026-11-22T07:00:00.000Z'
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """Read a moment written by `stamp`.

    Example:
        >>> stamp(moment("2026-11-22T07:00:00.000Z"))
        '2026-11-22T07:00:00.000Z'
    """
    return datetime.fromisoformat(text)


def seconds_of(span: str) -> float:
    """Read a span of time as people write it.

    Raises:
        UsageError: it is none.

    Example:
        >>> seconds_of("2h")
        7200.0
    """
    found = _SPAN.fullmatch(span.strip())
    if not found:
        raise UsageError(f"`{span}` is no span of time", hint="30s, 5m, 2h or 1d")
    return float(found[1]) * _UNITS[found[2]]
