"""Tasks: one Markdown file each; the folder it lies in is its status, and nothing else is.

Rule 1: a move writes the new revision at the destination, then removes the source. A kill between
    the two leaves both; the higher `rev` is the task.
Rule 2: a file that cannot be read is listed as broken, never dropped, and stops nobody.
Rule 3: free text from a session that read untrusted text goes to `untrusted/`; the field refers to it.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

import msgspec
from msgspec import Struct

from standpipe.clock import stamp
from standpipe.errors import ConfigError, NotFoundError, UsageError
from standpipe.files import (
    Located,
    convert,
    dump_front_matter,
    fsync_folder,
    line_of,
    load_front_matter,
    read_text,
)
from standpipe.ids import natural, task_id
from standpipe.memory.writes import FILE_BYTES, keep_conflict, locked, put, vouched

_SETTLED_NS = (
    1_000_000_000  # younger files may change again within the same tick of the disk's clock
)
_REMEMBERED = 4_096


class Status(StrEnum):
    """Where a task stands; in the order in which equal copies are believed."""

    BLOCKED = "blocked"
    OPEN = "open"
    FAILED = "failed"
    DONE = "done"


class Lease(Struct, frozen=True, forbid_unknown_fields=True):
    """Who works on a task; the fence only rises."""

    holder: str
    fence: int = 0
    expires: str = ""


class Task(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The front matter of a task. `acceptance` holds sentences, and `{run: COMMAND}`."""

    id: str
    rev: int = 1
    title: str
    goal: str = ""
    tools: tuple[str, ...] = ()
    acceptance: tuple[str | Mapping[str, str], ...] = ()
    next: str = ""
    blocked_on: str = ""
    attempts: int = 0
    last_fingerprint: str = ""
    lease: Lease | None = None
    origin: str = ""
    created: str = ""
    updated: str = ""


class TaskFile(Struct, frozen=True):
    """A task and where it lies; `path` is relative to the brain."""

    task: Task
    status: Status
    path: str
    body: str


class Broken(Struct, frozen=True):
    """A file of the brain that cannot be read, and why."""

    path: str
    message: str
    hint: str


class TaskList(Struct, frozen=True):
    """What a folder of tasks holds."""

    tasks: tuple[TaskFile, ...]
    broken: tuple[Broken, ...]


_HINTS = {
    "status": "the directory is the status: move the file to open/, blocked/, done/ or failed/"
}
_BY_MONTH = {Status.DONE, Status.FAILED}
GOAL_MAX = 8_000  # characters
_FREE_TEXT = {"title": 400, "goal": GOAL_MAX, "next": 1_000, "blocked_on": 1_000}  # characters


class Tasks:
    """The folder `brain/tasks` of one home."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._brain = home / "brain"

    def create(
        self, task: Task, *, body: str = "", now: datetime, trusted: bool = True
    ) -> TaskFile:
        """Add an open task.

        Raises:
            UsageError: there is a task of this id.
        """
        with locked(self._home, f"tasks/{task.id}"):
            if any(True for _ in self._copies(task.id)):
                raise UsageError(f"task `{task.id}` exists", hint="take the next number")
            new = self._vouched(task, trusted=trusted)
            new = msgspec.structs.replace(new, rev=1, created=stamp(now), updated=stamp(now))
            kept = vouched(self._brain, body, trusted=trusted)
            return self._write(new, Status.OPEN, kept, now)

    def add(
        self, task: Task, *, number: int, body: str = "", now: datetime, trusted: bool = True
    ) -> TaskFile:
        """Add an open task under `number`, or under the next one that a copied brain leaves free."""
        with locked(self._home, "tasks"):
            free = max(number, self.highest_number() + 1)
            named = msgspec.structs.replace(task, id=task_id(free))
            return self.create(named, body=body, now=now, trusted=trusted)

    def from_action(self, origin: str) -> TaskFile | None:
        """Return the task that an action has added already."""
        for path in (path for status in Status for path in self._files(status)):
            with suppress(UsageError):
                text = read_text(path, limit_bytes=FILE_BYTES)
                if origin in text and self._load(path).task.origin == origin:
                    return self.read(path.stem)
        return None

    def read(self, task_id: str) -> TaskFile:
        """Return a task, wherever it lies.

        Raises:
            NotFoundError: there is none of this id.
            ConfigError: its file cannot be read.
        """
        copies = [self._load(path) for path in self._copies(task_id)]
        if not copies:
            raise NotFoundError(f"no task `{task_id}`", hint="`standpipe status` lists the tasks")
        return _believed(copies)[0]

    def listed(self, *statuses: Status) -> TaskList:
        """Return the tasks of these statuses (default: open and blocked) in order of their ids."""
        wanted = statuses or (Status.OPEN, Status.BLOCKED)
        found: dict[str, list[TaskFile]] = {}
        broken: list[Broken] = []
        for path in [path for status in wanted for path in self._files(status)]:
            try:
                one = self._load(path)
            except UsageError as error:
                broken.append(Broken(self._relative(path), error.message, error.hint))
            else:
                found.setdefault(one.task.id, []).append(one)
        tasks = [_believed(copies)[0] for copies in found.values()]
        return TaskList(
            tuple(sorted(tasks, key=lambda one: natural(one.task.id))),
            tuple(sorted(broken, key=lambda one: one.path)),
        )

    def move(
        self,
        task_id: str,
        to: Status,
        *,
        now: datetime,
        trusted: bool = True,
        changes: Mapping[str, object] | None = None,
    ) -> TaskFile:
        """Give a task another status, and other fields with it; the same status only changes fields.

        Raises:
            NotFoundError: there is no such task.
            ConfigError: its file, or what it would become, cannot be read.
        """
        with locked(self._home, f"tasks/{task_id}"):
            current = self.settle_copies(task_id, now)
            changed = _changed(current.task, changes or {})
            new = msgspec.structs.replace(
                self._vouched_changes(changed, changes or {}, trusted=trusted),
                rev=current.task.rev + 1,
                updated=stamp(now),
            )
            moved = self._write(new, to, current.body, now, beside=current)
            if moved.path != current.path:
                source = self._brain / current.path
                source.unlink(missing_ok=True)
                fsync_folder(source.parent)
            return moved

    def settle_copies(self, task_id: str, now: datetime) -> TaskFile:
        """Return the task after removing what a killed move left; held by the lock of the task."""
        copies = [self._load(path) for path in self._copies(task_id)]
        if not copies:
            raise NotFoundError(f"no task `{task_id}`", hint="`standpipe status` lists the tasks")
        best, *others = _believed(copies)
        for other in others:
            path = self._brain / other.path
            if other.task.rev == best.task.rev and (other.task, other.body) != (
                best.task,
                best.body,
            ):
                ours, theirs = self._text(best.path), self._text(other.path)
                keep_conflict(self._brain, path, ours, theirs, now)
            path.unlink()
            fsync_folder(path.parent)
        return best

    def highest_number(self) -> int:
        """Return the highest number in use, so that a copied brain never gives one out twice."""
        stems = [path.stem for path in (self._brain / "tasks").glob("**/T-*.md")]
        return max((int(stem[2:]) for stem in stems if stem[2:].isdecimal()), default=0)

    def _vouched(self, task: Task, *, trusted: bool) -> Task:
        fields = {name: getattr(task, name) for name in _FREE_TEXT}
        return self._vouched_changes(task, fields, trusted=trusted)

    def _vouched_changes(self, task: Task, changes: Iterable[str], *, trusted: bool) -> Task:
        kept: dict[str, str] = {}
        for name in _FREE_TEXT.keys() & set(changes):
            text = vouched(self._brain, getattr(task, name), trusted=trusted)
            longest = _FREE_TEXT[name]
            kept[name] = text if len(text) <= longest else f"{text[: longest - 3]}..."
        return msgspec.structs.replace(task, **kept)

    def _write(
        self,
        task: Task,
        status: Status,
        body: str,
        now: datetime,
        *,
        beside: TaskFile | None = None,
    ) -> TaskFile:
        folder = Path("tasks") / status
        if beside is not None and beside.status == status:
            folder = Path(beside.path).parent
        elif status in _BY_MONTH:
            folder /= f"{now:%Y-%m}"
        path = folder / f"{task.id}.md"
        text = dump_front_matter(_values(task), body)
        load_front_matter(
            text, name=f"brain/{path.as_posix()}"
        )  # what cannot be read is not written
        put(self._brain / path, text)
        return TaskFile(task, status, path.as_posix(), body)

    def _load(self, path: Path) -> TaskFile:
        """Read a task; a file that has not changed for a while is not parsed again."""
        with suppress(OSError):  # `_parsed` says what is wrong with it
            found = path.stat()
            if time.time_ns() - found.st_mtime_ns > _SETTLED_NS:
                state = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
                return _parsed_once(self._brain, path, state)
        return _parsed(self._brain, path)

    def _text(self, path: str) -> str:
        return read_text(self._brain / path, limit_bytes=FILE_BYTES)

    def _copies(self, task_id: str) -> Iterator[Path]:
        if not _is_file_name(task_id):
            raise NotFoundError(f"no task `{task_id}`", hint="task ids look like `T-7`")
        for status in Status:
            folders = [self._brain / "tasks" / status]
            if status in _BY_MONTH and folders[0].is_dir():
                folders.extend(sorted(one for one in folders[0].iterdir() if one.is_dir()))
            yield from (path for each in folders if (path := each / f"{task_id}.md").is_file())

    def _files(self, status: Status) -> Iterator[Path]:
        folder = self._brain / "tasks" / status
        pattern = "**/*.md" if status in _BY_MONTH else "*.md"
        yield from sorted(path for path in folder.glob(pattern) if path.is_file())

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._brain).as_posix()


@lru_cache(maxsize=_REMEMBERED)
def _parsed_once(brain: Path, path: Path, state: tuple[int, ...]) -> TaskFile:
    del state  # another one is another file
    return _parsed(brain, path)


def _parsed(brain: Path, path: Path) -> TaskFile:
    name = f"brain/{path.relative_to(brain).as_posix()}"
    head = load_front_matter(read_text(path, limit_bytes=FILE_BYTES), name=name)
    task = _task_in(head.located, name)
    if task.id != path.stem:
        line = head.lines.get(("id",), 1)
        hint = "the name of the file and its `id` are the same: correct one of them"
        raise ConfigError(f"{name}:{line}: this file says it is `{task.id}`", hint=hint)
    status = Status(path.relative_to(brain / "tasks").parts[0])
    return TaskFile(task, status, path.relative_to(brain).as_posix(), head.body)


def read_task(text: str, *, name: str) -> TaskFile:
    """Return the task that `text` holds (a file outside the brain); its `id` may be left out."""
    head = load_front_matter(text, name=name)
    located = Located({"id": "", **head.values}, head.lines)
    return TaskFile(_task_in(located, name), Status.OPEN, name, head.body)


def _task_in(located: Located, name: str) -> Task:
    task = convert(located, Task, name=name, hints=_HINTS, scalars_as_text=True)
    for number, one in enumerate(task.acceptance):
        if not (
            one.strip() if isinstance(one, str) else set(one) == {"run"} and one["run"].strip()
        ):
            line = line_of(located.lines, ("acceptance", number))
            hint = "write a sentence, or `- run: COMMAND`"
            raise ConfigError(f"{name}:{line}: nobody can tell whether this is accepted", hint=hint)
    return task


def _believed(copies: list[TaskFile]) -> list[TaskFile]:
    """Order copies of one task, the true one first: the newest; of equals the one less finished."""
    order = list(Status)
    return sorted(copies, key=lambda one: (-one.task.rev, order.index(one.status)))


def _changed(task: Task, changes: Mapping[str, object]) -> Task:
    fixed = {"id", "rev", "created", "updated"} & changes.keys()
    if fixed:
        raise UsageError(
            f"`{min(fixed)}` of task `{task.id}` is kept by the runtime",
            hint="change title, goal, next, blocked_on, acceptance, tools or the lease",
        )
    values = {**_values(task), **changes}
    return convert(Located(values, {}), Task, name=task.id, hints=_HINTS, scalars_as_text=True)


def _values(task: Task) -> Mapping[str, object]:
    values = msgspec.to_builtins(task)
    return {"id": task.id, "rev": task.rev, **values}


def _is_file_name(task_id: str) -> bool:
    return task_id not in {"", ".", ".."} and "/" not in task_id and "\0" not in task_id
