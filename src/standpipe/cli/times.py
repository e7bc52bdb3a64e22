"""The times people type: `--at` and `--delay`."""

import re
from datetime import datetime, timedelta, tzinfo

from standpipe.clock import seconds_of
from standpipe.errors import UsageError

_OF_THE_DAY = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_LATE = timedelta(minutes=1)  # a time that a script computed a moment ago is meant as now


def wake_at(
    at: str | None, delay: str | None, *, now: datetime, zone: tzinfo | None = None
) -> datetime:
    """Return when something is to begin; a time of the day is one of `zone`, or of this machine.

    Raises:
        UsageError: it is no time, or over.
    """
    if at is None:
        return now + timedelta(seconds=seconds_of(delay)) if delay is not None else now
    return _next(at, now, zone) if _OF_THE_DAY.fullmatch(at) else _moment(at, now)


def _next(at: str, now: datetime, zone: tzinfo | None) -> datetime:
    """Return the next time the clock on the wall shows this: today or tomorrow."""
    hour, minute = map(int, at.split(":"))
    today = now.astimezone(zone).replace(
        hour=hour, minute=minute, second=0, microsecond=0, tzinfo=None
    )
    for naive in (today, today + timedelta(days=1)):  # of which the zone may have another offset
        moment = naive.replace(tzinfo=zone) if zone else naive.astimezone()
        if moment > now:
            break
    return moment


def _moment(at: str, now: datetime) -> datetime:
    hint = "2026-11-23T07:30:00+01:00, or 07:30 for the next time the clock shows it"
    if not _RFC_3339.fullmatch(at):
        raise UsageError(f"`{at}` is no time", hint=hint)
    try:
        moment = datetime.fromisoformat(at.upper())
    except ValueError:
        raise UsageError(f"`{at}` is no time", hint=hint) from None
    if moment < now - _LATE:
        raise UsageError(f"`{at}` is over", hint="without --at it begins at once")
    return moment
