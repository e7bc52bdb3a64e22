"""Does this run have to end, and as what? Asked before every request to the model.

Rule 1: `done` is true only where `done(...)` succeeded, which means that the checklist passed.
Rule 2: a stop beats a question, and a question beats the budget.
"""

from collections.abc import Sequence
from typing import cast

from msgspec import Struct

from standpipe.journal.entries import Draft, Entry, Proposed, RunEnded, SegmentEnded, Settled
from standpipe.journal.views import cancelled, open_blockers, pointed_at, stopped
from standpipe.outcomes.outcome import Succeeded

FINAL = frozenset({"done", "failed", "cancelled"})


class End(Struct, frozen=True, omit_defaults=True):
    """How a segment ends. `status`: done, failed, cancelled end the run; blocked only pauses it."""

    status: str
    why: str
    summary: str = ""
    evidence: tuple[str, ...] = ()


def must_end(entries: Sequence[Entry], *, over_budget: str | None = None) -> End | None:
    """Return the end that the journal demands, if it demands one."""
    if who := cancelled(entries):
        return End("cancelled", f"{who} cancelled it")
    if end := _done(entries):
        return end
    if why := stopped(entries):
        return End("failed", why)
    waiting = open_blockers(entries)
    if waiting:
        first = next(iter(waiting.values()))
        more = f" (and {len(waiting) - 1} more)" if len(waiting) > 1 else ""
        return End("blocked", f"{first.ask}{more}")
    if elsewhere := pointed_at(entries):
        return End("blocked", f"waits for the answer to {', '.join(sorted(set(elsewhere)))}")
    if over_budget:
        return End("failed", over_budget)
    return None


def closing(end: End, *, run: str, epoch: int) -> list[Draft]:
    """Say how a segment ended, and the run with it unless it only waits."""
    said = [Draft(str(epoch), SegmentEnded(end.status, end.why))]
    if end.status in FINAL:
        summary = end.summary or end.why
        said.append(Draft(run, RunEnded(end.status, summary, evidence=end.evidence, why=end.why)))
    return said


def _done(entries: Sequence[Entry]) -> End | None:
    claims: dict[str, Proposed] = {}
    for entry in entries:
        match entry.body:
            case Proposed(tool="done") as body:
                claims[entry.action] = body
            case Settled(tool="done", outcome=Succeeded()):
                arguments = claims[entry.action].arguments
                return End(
                    "done",
                    "",
                    summary=str(arguments.get("summary", "")),
                    evidence=_texts(arguments.get("evidence")),
                )
            case _:
                pass
    return None


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, list | tuple):
        return tuple(str(item) for item in cast("Sequence[object]", value))
    return (str(value),) if value else ()
