"""The agent's own tools: its two ends, its question, its memory, its scope.

Rule 1: they run in the runtime, not in a worker, and pass the same gate as every other call.
Rule 2: their schemas are a contract, written here as they are; no `why` is added.
Rule 3: what the agent writes after it read something untrusted is kept apart, whatever it says.
Rule 4: a call that is made again after a crash finds what it did before, by its origin.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import msgspec

from standpipe.actions import Action, Effect, Integrity, Tool
from standpipe.clock import Clock
from standpipe.journal.entries import Check, Checked, Decided, Draft, Noted, ScopeSet
from standpipe.journal.journal import Journal
from standpipe.journal.views import answers, session_label
from standpipe.memory.brain import Brain
from standpipe.memory.decisions import Decision, Decisions
from standpipe.memory.search import Hit
from standpipe.memory.tasks import Status, Task, TaskFile, Tasks
from standpipe.security.checklist import FAILURES, Checklist

Inner = Callable[[Action], Awaitable[object]]
TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}
LAST_TIME = "Another `done` while the same failures are open ends the run as failed"


class UnfinishedError(Exception):
    """`done` was called and something is still open; `kind` says whether failures are."""

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def _tool(name: str, description: str, required: Mapping[str, object], **more: object) -> Tool:
    schema = {
        "type": "object",
        "properties": {**required, **cast("Mapping[str, object]", more)},
        "required": list(required),
        "additionalProperties": False,
    }
    return Tool(
        name=name,
        effect=Effect.IDEMPOTENT,
        description=description,
        schema=schema,
        origin="agent",
        control=(),
        returns="trusted",
        local=True,
        reversible=True,
        timeout_seconds=600.0 if name == "done" else 30.0,
        expected=() if name == "done" else ("not_found", "bad_input", "conflict"),
        why=False,
    )


TOOLS: tuple[Tool, ...] = (
    _tool(
        "done",
        "End the task. Call it alone, once everything the task asks for has happened. A checklist runs first.",
        {"summary": TEXT, "evidence": TEXTS},
    ),
    _tool(
        "blocked",
        "Stop because only a person can help: what you are blocked on and what you need. Call it alone.",
        {"on": TEXT, "needs": TEXT},
    ),
    _tool("ask_human", "Ask the operator one question; the answer is the result.", {"question": TEXT}),
    _tool("decide", "Record a decision and WHY, so that people and later sessions can follow it.",
          {"what": TEXT, "why": TEXT}, alternatives=TEXTS),
    _tool("scope", "Narrow yourself to the tools this task needs, before reading anything foreign. Once.",
          {"tools": TEXTS, "why": TEXT}),
    _tool("memory_search", "Search the brain: notes, tasks, lessons, decisions.", {"query": TEXT}),
    _tool("memory_read", "Read one file of the brain, by the path a search returned.", {"path": TEXT}),
    _tool("memory_note", "Append a note to the brain; found by search in later sessions.",
          {"title": TEXT, "text": TEXT}),
    _tool("task_update", "Say what is next in a task, or add a task. `id` empty: a new task.",
          {"title": TEXT, "next": TEXT}, id=TEXT),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTools:
    """What stands behind the agent's own tools in one run."""

    journal: Journal
    brain: Brain
    tasks: Tasks
    decisions: Decisions
    checklist: Checklist
    clock: Clock
    mask: Callable[[object], object]

    def inner(self) -> Mapping[str, Inner]:
        """Return the functions by the names of `TOOLS`."""
        return {
            "done": self.done,
            "blocked": self.answer,
            "ask_human": self.answer,
            "decide": self.decide,
            "scope": self.scope,
            "memory_search": self.search,
            "memory_read": self.read,
            "memory_note": self.note,
            "task_update": self.task,
        }

    async def done(self, action: Action) -> object:
        """Run the checklist; refuse the end with what is open."""
        await self.journal.refresh()
        evidence = cast("Sequence[str]", action.arguments["evidence"])
        summary = str(action.arguments["summary"])
        checks = await self.checklist.run(
            self.journal.entries, claim=action.id, summary=summary, evidence=evidence, mask=self.mask
        )  # fmt: skip
        checks = msgspec.convert(self.mask(msgspec.to_builtins(checks)), tuple[Check, ...])
        await self.journal.append(Draft(action.id, Checked(checks)))
        open_checks = [check for check in checks if not check.passed]
        if open_checks:
            raise UnfinishedError(_open(open_checks), kind=_kind(open_checks))
        return "the checklist passed; the task is done"

    async def answer(self, action: Action) -> object:
        """Tell the human's answer; the gate lets this run only once there is one."""
        given = answers(self.journal.entries)
        asked = [
            entry.body.blocker
            for entry in self.journal.story(action.id)
            if isinstance(entry.body, Decided) and entry.body.blocker in given
        ]
        return f"{given[asked[-1]].by} answers: {given[asked[-1]].answer}"

    async def decide(self, action: Action) -> object:
        """Write a decision to journal and brain."""
        what, why = str(action.arguments["what"]), str(action.arguments["why"])
        others = tuple(
            str(one) for one in cast("list[object]", action.arguments.get("alternatives", []))
        )
        await self.journal.append(Draft(action.id, Noted("agent", what, why, others)))
        origin = self._origin(action)
        made = self.decisions.from_action(origin)
        if made is None:
            new = Decision(id="", run=self.journal.run, by="agent", what=what, why=why,
                           alternatives=others, origin=origin)  # fmt: skip
            number = await self.journal.store.number("decision")
            made = self.decisions.add(
                new, number=number, now=self.clock.now(), trusted=self.trusted
            )
        return f"recorded as {made.id}"

    async def scope(self, action: Action) -> object:
        """Narrow the run; only the first call, before anything foreign was read, counts."""
        if not self.trusted:
            raise ValueError("the scope is frozen once something foreign was read")
        tools = tuple(str(name) for name in cast("list[object]", action.arguments["tools"]))
        await self.journal.append(Draft("scope", ScopeSet(tools, str(action.arguments["why"]))))
        return f"only {', '.join(tools)} from here on"

    async def search(self, action: Action) -> object:
        """Search the brain."""
        hits = self.brain.search(str(action.arguments["query"]))
        return [_shown(hit) for hit in hits]

    async def read(self, action: Action) -> object:
        """Read a file of the brain."""
        return self.brain.read(str(action.arguments["path"]))

    async def note(self, action: Action) -> object:
        """Append a note."""
        title, text = str(action.arguments["title"]), str(action.arguments["text"])
        path = f"notes/{_slug(title)}.md"
        written = self.brain.append(
            path, f"## {title}\n\n{text}\n", trusted=self.trusted, origin=self._origin(action)
        )
        return f"noted in {written.path}"

    async def task(self, action: Action) -> object:
        """Change what is next in a task, or add one."""
        title, following = str(action.arguments["title"]), str(action.arguments["next"])
        named = str(action.arguments.get("id", ""))
        if named:
            status = self.tasks.read(named).status
            file = self.tasks.move(named, status, now=self.clock.now(), trusted=self.trusted,
                                   changes={"title": title, "next": following})  # fmt: skip
        else:
            new = Task(id="", title=title, next=following, origin=self._origin(action))
            file = self.tasks.from_action(new.origin) or await self._added(new)
        return f"{file.task.id} is {Status(file.status)}"

    async def _added(self, task: Task) -> TaskFile:
        number = await self.journal.store.number("task")
        return self.tasks.add(task, number=number, now=self.clock.now(), trusted=self.trusted)

    def _origin(self, action: Action) -> str:
        """Name a call for good: a brain that is copied to a new journal meets its id again."""
        proposed = next(iter(self.journal.story(action.id)), None)
        return f"{action.id}@{proposed.at}" if proposed else action.id

    @property
    def trusted(self) -> bool:
        """Whether this session has read nothing foreign so far."""
        label = session_label(self.journal.entries)
        return label.integrity is Integrity.TRUSTED


def _shown(hit: Hit) -> Mapping[str, object]:
    """Foreign text is named, never shown, by a search: reading it is a step of its own."""
    if hit.untrusted:
        return {"path": hit.path, "label": "untrusted"}
    return {"path": hit.path, "title": hit.title, "excerpt": hit.excerpt}


def _slug(title: str) -> str:
    words = "".join(c if c.isalnum() and c.isascii() else " " for c in title.casefold()).split()
    return "-".join(words)[:60] or "note"


def _open(checks: Sequence[Check]) -> str:
    lines = "; ".join(f"{check.name}: {check.evidence}" for check in checks)
    last = f". {LAST_TIME}" if _kind(checks) == "gave_up" else ""
    return f"not done yet: {lines}{last}"


def _kind(checks: Sequence[Check]) -> str:
    """Who says done over an open failure gives up, whatever else is red."""
    return "gave_up" if any(check.name == FAILURES for check in checks) else "checklist"
