"""When the tasks of `[[schedule]]` come back, and which occurrence is to begin now.

Rule 1: an occurrence is named by its planned time, so whoever plans it twice, plans the same run.
Rule 2: what to do follows from the last run of a schedule and the time alone; nothing else is remembered, so a
restart, a second worker and a clock that jumps and comes back all plan the same.
Rule 3: an occurrence that nobody began within `LATE` was missed. One that was planned while the run before it was
still going on overlaps.
Rule 4: `cron` follows the clock on the wall of its zone. A time that the spring skips is taken when the gap is over,
a time that the autumn repeats is taken once; `*` and steps of minutes or hours follow the time that passes.
(Where the clock shifts by half an hour, on Lord Howe, cronsim 2.8 may lose one such step on these two days.)
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo

from standpipe.clock import seconds_of
from standpipe.errors import ConfigError, UsageError
from standpipe.ids import digest
from standpipe.settings import ScheduleSettings, Settings

LATE = timedelta(minutes=1)
EVERY_MIN = timedelta(seconds=1)
PREFIX = "schedule-"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS = 5
_ID_LENGTH = 8
_ID = re.compile(r"[A-Za-z0-9._-]{0,64}")
_LOOK_BACK = tuple(timedelta(days=days) for days in (1 / 24, 1, 32, 366))


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A task that comes back: by `cron` in its zone, or `every` so long, counted from 1970 in UTC."""

    id: str
    task: str
    cron: str = ""
    every: timedelta = timedelta()
    zone: tzinfo = UTC
    overlap: Literal["skip", "queue"] = "skip"
    missed: Literal["skip", "once"] = "skip"
    queue: str = ""
    model: str | None = None

    def caller_id(self, planned: datetime) -> str:
        """Name the run of an occurrence."""
        return f"{PREFIX}{self.id}-{planned.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

    def planned(self, caller_id: str) -> datetime | None:
        """Return the planned time of the run that has this name; None if it is none of ours."""
        prefix = f"{PREFIX}{self.id}-"
        if not caller_id.startswith(prefix):
            return None
        try:
            planned = datetime.strptime(caller_id.removeprefix(prefix), "%Y-%m-%dT%H:%M:%S%z")
        except ValueError:  # a schedule whose id only begins like this one
            return None
        return planned.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Last:
    """The newest run of a schedule; `ended` is None while it is not over, whatever it waits for."""

    planned: datetime
    ended: datetime | None


def due_now(schedule: Schedule, last: Last | None, now: datetime) -> datetime | None:
    """Return the planned time of the occurrence that is to begin now."""
    if last is None:
        return _newest(schedule, now - LATE, now)
    if last.ended is None:
        return None
    if schedule.overlap == "queue":
        waiting = next(occurrences(schedule, last.planned, min(last.ended, now)), None)
        if waiting:
            return waiting
    after = max(last.planned, last.ended)
    return _newest(schedule, after if schedule.missed == "once" else max(after, now - LATE), now)


def occurrences(schedule: Schedule, after: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the planned times behind `after`, up to and with `until`, in UTC."""
    latest = after
    for planned in _planned(schedule, after):
        if planned > until:
            return
        if planned > latest:  # two times inside of a skipped hour become one
            latest = planned
            yield planned


def read_schedules(settings: Settings) -> tuple[Schedule, ...]:
    """Return what `[[schedule]]` says.

    Raises:
        ConfigError: an entry cannot be meant; the message names its line.
    """
    schedules = tuple(_schedule(settings, index) for index in range(len(settings.schedule)))
    for index, one in enumerate(schedules):
        if one.id in {other.id for other in schedules[:index]}:
            raise ConfigError(
                f"{settings.place('schedule', index)}: two schedules have the id `{one.id}`",
                hint="their runs are named by it: give each its own `id`",
            )
    return schedules


def _planned(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    if schedule.cron:
        from cronsim import CronSim  # noqa: PLC0415 -- only schedules need it

        for moment in CronSim(schedule.cron, after.astimezone(schedule.zone)):
            yield moment.astimezone(UTC)
        return
    count = (after - _EPOCH) // schedule.every
    while True:
        count += 1
        yield _EPOCH + count * schedule.every


def _newest(schedule: Schedule, after: datetime, now: datetime) -> datetime | None:
    """Return the last occurrence; looked for near `now` first, for there may be a million of them."""
    for span in _LOOK_BACK:
        if found := tuple(occurrences(schedule, max(after, now - span), now)):
            return found[-1]
    return None


def _schedule(settings: Settings, index: int) -> Schedule:
    said = settings.schedule[index]
    if bool(said.cron) == bool(said.every):
        raise ConfigError(
            f"{settings.place('schedule', index)}: a schedule has either `cron` or `every`",
            hint='cron = "30 7 * * 1-5" with zone = "Europe/Berlin", or every = "15m"',
        )
    if not _ID.fullmatch(said.id):
        raise ConfigError(
            f"{settings.place('schedule', index, 'id')}: `{said.id}` cannot be the id of a schedule",
            hint="letters, digits, `.`, `_` and `-`; its runs are named by it",
        )
    if not said.task.strip():
        raise ConfigError(
            f"{settings.place('schedule', index, 'task')}: a schedule needs a task",
            hint="write what is to be done, or the id of a task file",
        )
    return Schedule(
        id=said.id or _name(said),
        task=said.task,
        cron=_cron(settings, index),
        every=_every(settings, index),
        zone=_zone(settings, index),
        overlap=said.overlap,
        missed=said.missed,
        queue=said.queue,
        model=said.model,
    )


def _name(said: ScheduleSettings) -> str:
    """Name a schedule by what makes it this one."""
    return digest("\0".join((said.task, said.cron or "", said.every or "", said.zone)).encode())[
        :_ID_LENGTH
    ]


def _cron(settings: Settings, index: int) -> str:
    from cronsim import CronSim, CronSimError  # noqa: PLC0415 -- only schedules need it

    cron = settings.schedule[index].cron or ""
    if not cron:
        return ""
    hint = 'minute hour day month weekday: "30 7 * * 1-5" is 7:30 on weekdays'
    place = settings.place("schedule", index, "cron")
    if len(cron.split()) != _FIELDS:
        raise ConfigError(f"{place}: `{cron}` does not have five fields", hint=hint)
    try:
        CronSim(cron, _EPOCH)
    except CronSimError as error:
        raise ConfigError(f"{place}: `{cron}`: {str(error).lower()}", hint=hint) from None
    return cron


def _every(settings: Settings, index: int) -> timedelta:
    every = settings.schedule[index].every or ""
    if not every:
        return timedelta()
    place = settings.place("schedule", index, "every")
    try:
        span = timedelta(seconds=seconds_of(every))
    except UsageError as error:
        raise ConfigError(f"{place}: {error.message}", hint=error.hint) from None
    if span < EVERY_MIN:
        raise ConfigError(f"{place}: `{every}` is too often", hint="once a second at most")
    if settings.schedule[index].zone != "UTC":
        raise ConfigError(
            f"{settings.place('schedule', index, 'zone')}: `zone` means nothing to `every`",
            hint="take it away, or write cron",
        )
    return span


def _zone(settings: Settings, index: int) -> tzinfo:
    zone = settings.schedule[index].zone
    try:
        return UTC if zone == "UTC" else ZoneInfo(zone)
    except (OSError, ValueError, KeyError):  # a folder, no name at all, not found
        raise ConfigError(
            f"{settings.place('schedule', index, 'zone')}: no time zone `{zone}`",
            hint='a name as "Europe/Berlin"; where the system has none: pip install tzdata',
        ) from None
