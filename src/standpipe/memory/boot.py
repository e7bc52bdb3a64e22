"""What a session knows when it starts: the brain, in order of importance, under a budget.

Rule 1: the time this takes depends on what is open, never on history: `done/` is not looked at.
Rule 2: foreign text is never loaded, not even its title; it is counted.
Rule 3: at most three lessons for each task, twelve in all: more memory makes agents worse.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from standpipe.errors import ConfigError, UsageError
from standpipe.files import read_text
from standpipe.ids import natural
from standpipe.memory.decisions import Decision, Decisions
from standpipe.memory.lessons import Lesson, Lessons, statement
from standpipe.memory.pack import BUDGET_TOKENS, Item, Omitted, Pack, Part, fit
from standpipe.memory.tasks import Broken, Status, Task, TaskFile, Tasks
from standpipe.memory.writes import FILE_BYTES

_LESSONS_PER_TASK = 3
_LESSONS_MAX = 12
_DECISIONS_MAX = 10
_GUARDED = {"guard", "script"}  # rungs at which code enforces, so the prompt need not say it
_WORD = re.compile(r"[a-z0-9]{3,}")


def boot(
    home: Path,
    *,
    state: str,
    budget_tokens: int = BUDGET_TOKENS,
    guards: Sequence[str] = (),
    task: Task | None = None,
) -> Pack:
    """Return what a session of this home loads; `task` is the one it is about to work on."""
    brain = home / "brain"
    tasks = Tasks(home).listed(Status.OPEN)
    lessons = Lessons(home).listed()
    decisions = Decisions(home).latest(_DECISIONS_MAX)
    wanted = [one.task for one in _leased_first(tasks.tasks)]
    matched = _matched(lessons.lessons, [task, *wanted] if task else wanted)
    identity, pinned = _people(brain, "IDENTITY.md"), _people(brain, "PINNED.md")
    inbox = _inbox(brain)
    parts = [
        Part("Who you are", 1500, [*_said(identity), *_guards(guards)]),
        Part("Always true", 500, _said(pinned)),
        Part("Messages from people", 500, _said(inbox), newest_last=True),
        Part("Where things stand", 1000, _state_items(state)),
        Part("Open tasks", 2500, [_task_item(one) for one in _leased_first(tasks.tasks)]),
        Part("Lessons", 1200, [_lesson_item(one) for one in matched]),
        Part("Last decisions", 500, [_decision_item(one) for one in decisions.decisions]),
    ]
    broken = [*tasks.broken, *lessons.broken, *decisions.broken]
    missing = [
        *_broken([*broken, *_broken_of(inbox)]),
        *_unmatched(lessons.lessons, matched),
        *_unloaded(brain),
    ]
    return fit(parts, budget_tokens=budget_tokens, omitted=missing)


def _people(brain: Path, name: str) -> list[Item]:
    path = brain / name
    if not path.exists():
        return []
    label = "operator" if name == "IDENTITY.md" else "human"
    read = _read(path, name, label=label, why="people wrote it for every session", required=True)
    if isinstance(read, Broken):  # an agent that does not know who it is does not start
        raise ConfigError(read.message, hint=read.hint)
    return [read]


def _inbox(brain: Path) -> list[Item | Broken]:
    paths = sorted(
        (brain / "inbox").glob("*.md"), key=lambda path: natural(path.name), reverse=True
    )
    return [
        _read(
            path, f"inbox/{path.name}", label="human", why="a message from people", required=False
        )
        for path in paths
    ]


def _read(path: Path, place: str, *, label: str, why: str, required: bool) -> Item | Broken:
    try:
        text = read_text(path, limit_bytes=FILE_BYTES)
    except UsageError as error:
        return Broken(place, error.message, error.hint)
    title = next((line.strip("# ") for line in text.splitlines() if line.strip()), place)
    return Item(path=place, title=title, text=text, label=label, why=why, required=required)


def _said(found: Iterable[Item | Broken]) -> list[Item]:
    return [one for one in found if isinstance(one, Item) and one.text.strip()]


def _broken_of(found: Iterable[Item | Broken]) -> list[Broken]:
    return [one for one in found if isinstance(one, Broken)]


def _guards(guards: Sequence[str]) -> list[Item]:
    if not guards:
        return []
    text = "\n".join(["Enforced by code, whatever you do:", *(f"- {guard}" for guard in guards)])
    why = "active guards"
    return [Item(path="rules", title=why, text=text, label="runtime", why=why, required=True)]


def _state_items(state: str) -> list[Item]:
    """Return each section of the state that says something."""
    sections = re.split(r"(?m)^## ", state)[1:]
    found: list[Item] = []
    for section in sections:
        title, _, text = section.partition("\n")
        if text.strip() != "- none":
            item = Item(
                path=f"STATE.md#{title.strip().replace(' ', '-').lower()}",
                title=title.strip(),
                text=f"{title.strip()}:\n{text.strip()}",
                label="agent",  # `next` and `blocked_on` are the agent's words
                why="what is going on",
            )
            found.append(item)
    return found


def _leased_first(tasks: Sequence[TaskFile]) -> list[TaskFile]:
    return sorted(tasks, key=lambda one: one.task.lease is None)


def _task_item(file: TaskFile) -> Item:
    task = file.task
    label = "human" if task.origin in {"", "operator"} else "agent"  # else the action that added it
    lines = [
        f"{task.id}: {task.title}",
        *([f"goal: {task.goal}"] if task.goal else []),
        *([f"tools: {', '.join(task.tools)}"] if task.tools else []),
        *(f"accepted when: {_acceptance(one)}" for one in task.acceptance),
        *([f"next, as the agent noted: {_quoted(task.next)}"] if task.next else []),
        *([f"attempts: {task.attempts}"] if task.attempts else []),
        file.body.strip(),
    ]
    text = "\n".join(line for line in lines if line)
    why = "open, and held" if task.lease else "open"
    return Item(path=file.path, title=task.title, text=text, label=label, why=why)


def _acceptance(entry: object) -> str:
    return entry if isinstance(entry, str) else _quoted(entry)


def _quoted(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _matched(lessons: Sequence[Lesson], tasks: Sequence[Task]) -> list[Lesson]:
    """Return the lessons for these tasks: by tool, then by words, then by how often."""
    free = [one for one in lessons if one.rung not in _GUARDED]
    chosen: dict[str, Lesson] = {}
    for task in tasks:
        scored = [(score, one) for one in free if (score := _score(one, task))]
        scored.sort(key=lambda pair: (-pair[0], -pair[1].count, pair[1].id))
        chosen.update({one.id: one for _, one in scored[:_LESSONS_PER_TASK]})
    return list(chosen.values())[:_LESSONS_MAX]


def _score(lesson: Lesson, task: Task) -> int:
    """A task that names no tools may use any, so that every lesson may concern it."""
    by_tool = 8 if lesson.tool in task.tools else 0 if task.tools else 1
    words = set(_WORD.findall(f"{task.title} {task.goal} {task.next}".lower()))
    about = _WORD.findall(
        f"{lesson.tool} {lesson.operation} {lesson.kind}".lower().replace("_", " ")
    )
    return by_tool + 2 * len(words.intersection(about))


def _lesson_item(lesson: Lesson) -> Item:
    said = statement(lesson)
    path = f"lessons/{lesson.id}.md"
    return Item(path=path, title=said, text=said, label="runtime", why="matches an open task")


def _decision_item(decision: Decision) -> Item:
    day = decision.at[:10]
    text = f"{decision.id} {day} by {decision.by}: {_quoted(decision.what)} because {_quoted(decision.why)}"
    label = {"human": "human", "runtime": "runtime"}.get(decision.by, "agent")
    path = f"decisions/{decision.at[:7]}/{decision.id}.md"
    return Item(path=path, title=decision.id, text=text, label=label, why="a recent decision")


def _broken(files: Iterable[Broken]) -> Iterator[Omitted]:
    for one in files:
        yield Omitted(one.path, 0, f"broken: {one.message}; {one.hint}")


def _unmatched(lessons: Sequence[Lesson], matched: Sequence[Lesson]) -> Iterator[Omitted]:
    known = {one.id for one in matched}
    for one in lessons:
        if one.id not in known:
            why = "enforced by code" if one.rung in _GUARDED else "matches no open task"
            yield Omitted(f"lessons/{one.id}.md", 0, why)


def _unloaded(brain: Path) -> Iterator[Omitted]:
    """Name notes, which are found by search, and count foreign text, which is never named."""
    for path in sorted((brain / "notes").glob("**/*.md")):
        place = path.relative_to(brain).as_posix()
        yield Omitted(place, path.stat().st_size // 3, "a note: found by memory_search")
    for path in sorted((brain / "untrusted").glob("*")):
        yield Omitted(f"untrusted/{path.name}", 0, "foreign text: never loaded")
