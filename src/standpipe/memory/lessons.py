"""Lessons: one file per cause, written by code after a failure, from bounded fields only.

Rule 1: no text of an error, and no text of a model, ever stands in a statement.
Rule 2: a name that is too long or has odd characters is replaced by a short hash of it.
Rule 3: a lesson file that cannot be read is put aside, and counting starts anew: nothing is lost.
Rule 4: a failure counts once, however often it is recorded: `evidence` says which ones did.
"""

import re
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from standpipe.clock import stamp
from standpipe.errors import UsageError
from standpipe.files import convert, dump_front_matter, load_front_matter, read_text
from standpipe.ids import digest
from standpipe.memory.tasks import Broken
from standpipe.memory.writes import FILE_BYTES, keep_conflict, locked, put

_RUNS_MAX = 20
_EVIDENCE_MAX = 100
_BOUNDED = re.compile(r"[A-Za-z0-9_.-]{1,40}")


class Lesson(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The front matter of a lesson."""

    id: str
    fingerprint: str
    tool: str
    operation: str = ""
    kind: str
    code: str = ""
    site: str = ""
    count: int = 1
    runs: tuple[str, ...] = ()
    first_at: str = ""
    last_at: str = ""
    helpful: int = 0
    harmful: int = 0
    evidence: tuple[str, ...] = ()
    rung: str = "lesson"
    retired_why: str = ""


class Failure(Struct, frozen=True, kw_only=True):
    """What is known of one failure; every field is an id, a name or a code."""

    cause: str  # the cause fingerprint
    tool: str
    kind: str
    code: str = ""
    site: str = ""
    run: str = ""
    evidence: str = ""  # the entry that tells of it, and when; no text of anybody


class LessonList(Struct, frozen=True):
    """What the folder of lessons holds."""

    lessons: tuple[Lesson, ...]
    broken: tuple[Broken, ...]


class Lessons:
    """The folder `brain/lessons` of one home."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._brain = home / "brain"

    def record(self, failure: Failure, *, now: datetime) -> Lesson:
        """Count one more failure of this cause; the first one makes the lesson."""
        name = f"L-{_bounded(failure.cause)[:40]}"
        path = self._brain / "lessons" / f"{name}.md"
        with locked(self._home, f"lessons/{name}"):
            known, note = self._known(path, now)
            if known and failure.evidence and failure.evidence in known.evidence:
                return known
            lesson = _again(known, failure, now) if known else _first(name, failure, now)
            body = f"{statement(lesson)}\n{note}"
            put(path, dump_front_matter(msgspec.to_builtins(lesson), body))
        return lesson

    def listed(self) -> LessonList:
        """Return the lessons that are not retired, in order of their names."""
        lessons: list[Lesson] = []
        broken: list[Broken] = []
        for path in sorted((self._brain / "lessons").glob("L-*.md")):
            try:
                lessons.append(_load(path)[0])
            except UsageError as error:
                broken.append(Broken(f"lessons/{path.name}", error.message, error.hint))
        return LessonList(tuple(lessons), tuple(broken))

    def _known(self, path: Path, now: datetime) -> tuple[Lesson | None, str]:
        if not path.exists():
            return None, ""
        try:
            return _load(path)
        except UsageError:
            text = path.read_bytes()[:FILE_BYTES].decode("utf-8", "replace")
            keep_conflict(self._brain, path, "", text, now)
            return None, ""


def statement(lesson: Lesson) -> str:
    """Say in one sentence what was learned.

    Example:
        >>> statement(Lesson(id="L-1", fingerprint="1", tool="http_get", kind="forbidden", code="403"))
        '`http_get` failed with forbidden (403), once'
    """
    code = f" ({lesson.code})" if lesson.code else ""
    first, last = lesson.first_at[:10], lesson.last_at[:10]
    if lesson.count == 1:
        return f"`{lesson.tool}` failed with {lesson.kind}{code}, once{f' on {first}' if first else ''}"
    when = f" on {first}" if first == last else f" between {first} and {last}"
    return f"`{lesson.tool}` failed with {lesson.kind}{code}, {lesson.count} times{when if first else ''}"


def _first(name: str, failure: Failure, now: datetime) -> Lesson:
    return Lesson(
        id=name,
        fingerprint=name[2:],
        tool=_bounded(failure.tool),
        kind=_bounded(failure.kind),
        code=_bounded(failure.code),
        site=_bounded(failure.site),
        runs=tuple(filter(None, [_bounded(failure.run)])),
        first_at=stamp(now),
        last_at=stamp(now),
        evidence=tuple(filter(None, [failure.evidence])),
    )


def _again(known: Lesson, failure: Failure, now: datetime) -> Lesson:
    runs = [run for run in known.runs if run != failure.run] + [_bounded(failure.run)]
    return msgspec.structs.replace(
        known,
        count=known.count + 1,
        runs=tuple(filter(None, runs))[-_RUNS_MAX:],
        last_at=stamp(now),
        evidence=tuple(filter(None, (*known.evidence, failure.evidence)))[-_EVIDENCE_MAX:],
    )


def _bounded(text: str) -> str:
    """Return a name as it is, or a hash of what could be a sentence."""
    return text if not text or _BOUNDED.fullmatch(text) else f"hash-{digest(text.encode())[:8]}"


def _load(path: Path) -> tuple[Lesson, str]:
    """Return a lesson, and what people wrote below its statement."""
    name = f"brain/lessons/{path.name}"
    head = load_front_matter(read_text(path, limit_bytes=FILE_BYTES), name=name)
    lesson = convert(head.located, Lesson, name=name, scalars_as_text=True)
    return lesson, head.body.partition("\n")[2]
