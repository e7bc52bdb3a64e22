"""What code does for the brain around a run: the task moves, failures become lessons, STATE is drawn.

Rule 1: everything here can be done again after a kill and then does nothing new.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from standpipe.errors import UsageError
from standpipe.files import read_text
from standpipe.ids import task_id
from standpipe.journal.ending import End
from standpipe.journal.entries import Acceptance, Draft, Entry, LessonRecorded, Settled
from standpipe.journal.projections import RunRow
from standpipe.memory.brain import Brain
from standpipe.memory.lessons import Failure, Lessons, statement
from standpipe.memory.state import PastFailure, PastRun
from standpipe.memory.tasks import Status, Task, TaskFile, Tasks, read_task
from standpipe.outcomes.outcome import Failed, Kind

_FOLDERS: Mapping[str, Status] = {
    "done": Status.DONE,
    "failed": Status.FAILED,
    "cancelled": Status.FAILED,
    "blocked": Status.BLOCKED,
}
_NO_LESSON = {Kind.CHECKLIST, Kind.GAVE_UP, Kind.DENIED, Kind.UNKNOWN_TOOL}
_TASK_BYTES = 256 * 1024
_TITLE = 80
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The runtime's hand in the brain of one home."""

    home: Path

    def task(self, typed: str, *, number: int, now: datetime) -> TaskFile:
        """Return the task a person meant: an id, a file, or the words themselves as a new one.

        Raises:
            NotFoundError: there is no task of this id.
            ConfigError: the task file cannot be read.
        """
        tasks = Tasks(self.home)
        text = typed.strip()
        if text[:2].upper() == "T-" and text[2:].isdecimal():
            return tasks.read(text.upper())
        path = Path(text) if text.endswith(".md") and "\n" not in text else None
        if path and (path.is_file() or (self.home / path).is_file()):
            found = path if path.is_file() else self.home / path
            task = read_task(read_text(found, limit_bytes=_TASK_BYTES), name=str(path))
            return _taken_over(tasks, task, number=number, now=now)
        if not text:
            raise UsageError(
                "the task is empty", hint='say what is to be done: standpipe run "..."'
            )
        first = text.splitlines()[0]
        title = first if len(first) <= _TITLE else f"{first[:_TITLE]}…"
        name = task_id(max(number, tasks.highest_number() + 1))
        return tasks.create(Task(id=name, title=title, goal=text, origin="operator"), now=now)

    def started(self, name: str, *, now: datetime) -> None:
        """A run works on the task: it lies in `open/`."""
        self._move(name, Status.OPEN, now=now, blocked_on="")

    def ended(self, name: str, end: End, *, now: datetime) -> None:
        """Put the task where the end of its run says."""
        status = _FOLDERS.get(end.status)
        if status:
            waits = end.why if status is Status.BLOCKED else ""
            self._move(name, status, now=now, blocked_on=waits)

    def learn(self, entries: Sequence[Entry], *, now: datetime) -> Iterator[Draft]:
        """Write a lesson for every failure that has none yet; yield what the journal says of it."""
        known = {entry.key for entry in entries if isinstance(entry.body, LessonRecorded)}
        lessons = Lessons(self.home)
        for entry in entries:
            match entry.body:
                case Settled(outcome=Failed() as failed) as body if _teaches(entry, known):
                    lesson = lessons.record(
                        Failure(
                            cause=body.cause,
                            tool=body.tool,
                            kind=failed.kind,
                            code=failed.code,
                            site=body.site,
                            run=entry.run,
                        ),
                        now=now,
                    )
                    said = LessonRecorded(lesson.id, statement(lesson), lesson.count, lesson.rung)
                    yield Draft(entry.key, said)
                case _:
                    pass

    def draw_state(self, failures: Sequence[PastFailure], runs: Sequence[RunRow]) -> None:
        """Draw STATE.md for people; boot never reads it."""
        brain = Brain.open(self.home)
        brain.write_state(brain.state(failures=failures, runs=past_runs(runs)))

    def _move(self, name: str, to: Status, *, now: datetime, blocked_on: str) -> None:
        tasks = Tasks(self.home)
        file = tasks.read(name)
        if file.status is not to or file.task.blocked_on != blocked_on:
            tasks.move(name, to, now=now, changes={"blocked_on": blocked_on})


def goal_of(task: Task) -> str:
    """Return the words of a task, as the agent gets them."""
    return task.goal or task.title


def acceptance_of(task: Task) -> tuple[Acceptance, ...]:
    """Return the lines of a task that must hold at its end."""
    return tuple(
        Acceptance(sentence=line) if isinstance(line, str) else Acceptance(run=line.get("run", ""))
        for line in task.acceptance
    )


def past_runs(rows: Sequence[RunRow]) -> list[PastRun]:
    """Return the last runs, newest first."""
    newest = sorted(rows, key=lambda row: row.last_at, reverse=True)[:_SHOWN]
    return [
        PastRun(id=row.id, status=row.status, task=row.task_id, at=row.last_at) for row in newest
    ]


def _taken_over(tasks: Tasks, task: Task, *, number: int, now: datetime) -> TaskFile:
    try:
        return tasks.read(task.id)
    except UsageError:
        new = task.id or task_id(max(number, tasks.highest_number() + 1))
        return tasks.create(replace(task, id=new), now=now)


def _teaches(entry: Entry, known: set[str]) -> bool:
    body = entry.body
    return (
        isinstance(body, Settled)
        and isinstance(body.outcome, Failed)
        and body.outcome.kind not in _NO_LESSON
        and entry.key not in known
    )
