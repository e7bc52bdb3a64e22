"""What code does for the brain around a run: the task moves, failures become lessons, STATE is drawn.

Rule 1: everything here can be done again after a kill and then does nothing new.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from standpipe.errors import ConfigError, NotFoundError, UsageError
from standpipe.files import read_text
from standpipe.governor.recovery import Refresh, Retry, Wait
from standpipe.governor.sites import Site
from standpipe.journal.ending import End
from standpipe.journal.entries import Acceptance, Draft, Entry, LessonRecorded, Settled
from standpipe.journal.projections import RUNS, SITES, RunRow, read_row
from standpipe.journal.store import Store
from standpipe.memory.brain import Brain
from standpipe.memory.lessons import Failure, Lessons, statement
from standpipe.memory.pack import BUDGET_TOKENS, Pack
from standpipe.memory.state import PastFailure, PastRun
from standpipe.memory.tasks import GOAL_MAX, Status, Task, TaskFile, Tasks, read_task
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
_OPERATOR = "operator"
_PATH_MAX = 1_000
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The runtime's hand in the brain of one home."""

    home: Path

    def prepare(self) -> None:
        """Make the folder git does not keep when it is empty.

        Raises:
            ConfigError: this version cannot read the brain, or a file lies where the folder belongs.
        """
        Brain.open(self.home)
        try:
            (self.home / "workspace").mkdir(exist_ok=True)
        except FileExistsError:
            hint = "move it away, and try again"
            raise ConfigError("`workspace` is a file, not a folder", hint=hint) from None

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
        if path := _file_named(text, self.home):
            outside = read_task(read_text(path, limit_bytes=_TASK_BYTES), name=text)
            return _taken_over(tasks, outside, number=number, now=now)
        _check_words(text)
        first = text.splitlines()[0]
        title = first if len(first) <= _TITLE else f"{first[:_TITLE]}…"
        new = Task(id="", title=title, goal=text, origin=_OPERATOR)
        return tasks.add(new, number=number, now=now)

    def left_behind(self, goal: str, taken: Collection[str]) -> TaskFile | None:
        """Return the open task of these words that no run has `taken`: its process was killed before."""
        for file in Tasks(self.home).listed(Status.OPEN).tasks:
            if (
                file.task.goal == goal
                and file.task.origin == _OPERATOR
                and file.task.id not in taken
            ):
                return file
        return None

    def goal_meant(self, typed: str) -> str:
        """Return what a task asks for, without making anything of the words a person typed."""
        text = typed.strip()
        if text[:2].upper() == "T-" and text[2:].isdecimal():
            return goal_of(Tasks(self.home).read(text.upper()).task)
        if path := _file_named(text, self.home):
            return goal_of(read_task(read_text(path, limit_bytes=_TASK_BYTES), name=text).task)
        return text

    def withdraw(self, name: str, instead: str, *, now: datetime) -> None:
        """Put away a task that was made of words which another run has made one of already."""
        end = End("cancelled", f"it is the same as {instead}")
        self.ended(name, end, now=now, trusted=True)

    def started(self, name: str, *, now: datetime) -> None:
        """A run works on the task: it lies in `open/`."""
        self._move(name, Status.OPEN, now=now, blocked_on="", trusted=True)

    def ended(self, name: str, end: End, *, now: datetime, trusted: bool) -> None:
        """Put the task where the end of its run says."""
        status = _FOLDERS.get(end.status)
        if status:
            waits = end.why if status is Status.BLOCKED else ""
            self._move(name, status, now=now, blocked_on=waits, trusted=trusted)

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
                            evidence=f"{entry.key}@{entry.at}",  # a copied brain meets the key again
                        ),
                        now=now,
                    )
                    said = LessonRecorded(lesson.id, statement(lesson), lesson.count, lesson.rung)
                    yield Draft(entry.key, said)
                case _:
                    pass

    async def pack(
        self, store: Store | None, *, budget_tokens: int = BUDGET_TOKENS, task: Task | None = None,
        but: str = "",
    ) -> Pack:  # fmt: skip
        """Return what a session loads; `but` is the run that asks and is not told of itself."""
        failures, runs = await _past(store, but=but)
        brain = Brain.open(self.home)
        return brain.boot(budget_tokens, failures=failures, runs=runs, task=task)

    async def draw_state(self, store: Store) -> None:
        """Draw STATE.md for people; boot never reads it."""
        failures, runs = await _past(store)
        brain = Brain.open(self.home)
        brain.write_state(brain.state(failures=failures, runs=runs))

    def _move(
        self, name: str, to: Status, *, now: datetime, blocked_on: str, trusted: bool
    ) -> None:
        tasks = Tasks(self.home)
        file = tasks.read(name)
        if file.status is not to or file.task.blocked_on != blocked_on:
            tasks.move(name, to, now=now, trusted=trusted, changes={"blocked_on": blocked_on})


def goal_of(task: Task) -> str:
    """Return the words of a task, as the agent gets them."""
    return task.goal or task.title


def acceptance_of(task: Task) -> tuple[Acceptance, ...]:
    """Return the lines of a task that must hold at its end."""
    return tuple(
        Acceptance(sentence=line) if isinstance(line, str) else Acceptance(run=line.get("run", ""))
        for line in task.acceptance
    )


async def _past(store: Store | None, *, but: str = "") -> tuple[list[PastFailure], list[PastRun]]:
    """Return the failures that still count and the last runs, newest first."""
    if store is None:
        return [], []
    sites = [row for text in (await store.rows(SITES)).values() if (row := read_row(Site, text))]
    rows = [row for text in (await store.rows(RUNS)).values() if (row := read_row(RunRow, text))]
    failures = sorted((site for site in sites if site.count), key=_last, reverse=True)[:_SHOWN]
    runs = sorted((row for row in rows if row.id != but), key=_ended, reverse=True)[:_SHOWN]
    return (
        [PastFailure(tool=f.tool, kind=f.kind, count=f.count, at=f.last_at) for f in failures],
        [PastRun(id=r.id, status=r.status, task=r.task_id, at=r.last_at) for r in runs],
    )


def _last(site: Site) -> str:
    return site.last_at


def _ended(row: RunRow) -> str:
    return row.last_at


def _file_named(text: str, home: Path) -> Path | None:
    """Return the task file that `text` names, from here or from the home.

    Raises:
        NotFoundError: it is one word that ends in `.md`, which is a file, and there is none.
    """
    if not text.endswith(".md") or "\n" in text or "\0" in text or len(text) > _PATH_MAX:
        return None
    for path in (Path(text), home / text):
        if path.exists():
            return path
    if len(text.split()) == 1:
        hint = "check the spelling, or say in a sentence what is to be done"
        raise NotFoundError(f"no task file `{text}`", hint=hint)
    return None


def _check_words(text: str) -> None:
    """Refuse what no agent could work on.

    Raises:
        UsageError: it is empty, larger than a task may be, or no text.
    """
    if not text.strip():
        hint = 'say what is to be done: standpipe run "..."'
        raise UsageError("the task is empty", hint=hint)
    if len(text) > GOAL_MAX:  # more than its file keeps
        what = f"the task has {len(text):,} characters, at most {GOAL_MAX:,} fit"
        hint = "put the text into a file in workspace/ and name it in the task"
        raise UsageError(what, hint=hint)
    if "\0" in text:
        raise UsageError("the task holds a NUL character", hint="give it as plain text")


def _taken_over(tasks: Tasks, outside: TaskFile, *, number: int, now: datetime) -> TaskFile:
    """Copy a task file into the brain; the same file again is the same task."""
    task = outside.task
    _check_words(goal_of(task))
    try:
        known = tasks.read(task.id)
    except NotFoundError:
        if task.id:
            return tasks.create(task, body=outside.body, now=now)
        return tasks.add(task, number=number, body=outside.body, now=now)
    if (_asks(known), known.body) != (_asks(outside), outside.body):
        hint = f"give `{outside.path}` another `id`, or change `brain/{known.path}`"
        raise UsageError(f"task `{task.id}` exists, and asks for something else", hint=hint)
    return known


def _asks(file: TaskFile) -> tuple[object, ...]:
    return file.task.title, file.task.goal, file.task.tools, file.task.acceptance


def _teaches(entry: Entry, known: set[str]) -> bool:
    body = entry.body
    return (
        isinstance(body, Settled)
        and isinstance(body.outcome, Failed)
        and body.outcome.kind not in _NO_LESSON
        and not isinstance(body.recovery, Retry | Wait | Refresh)  # an attempt, not yet a failure
        and entry.key not in known
    )
