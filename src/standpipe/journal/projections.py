"""Rows kept beside the entries, so that nobody folds a whole home to ask a small question.

Rule 1: a row is a pure fold of entries, written in the transaction of the append; it can be rebuilt.
Rule 2: what a row says is never more than what the entries say.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from standpipe.errors import BrokenJournalError
from standpipe.governor.hosts import Host
from standpipe.governor.recovery import Recovery, Refresh, Retry, Wait
from standpipe.governor.sites import Site
from standpipe.journal.entries import (
    AnswerGiven,
    BlockedRaised,
    Entry,
    Intended,
    ModelFailed,
    ModelResponded,
    Proposed,
    Reconciled,
    RunCreated,
    RunEnded,
    RunLost,
    SegmentEnded,
    SegmentStarted,
    Settled,
)
from standpipe.outcomes.outcome import Failed, Succeeded, Unknown

RUNS, BLOCKERS, SITES, TOOLS, CALLS, TWINS = "run", "blocker", "site", "tool", "call", "twin"
HOSTS, HOST_SITES = "wait", "host_site"  # `wait` is what the first version called the rows of hosts
FINAL = frozenset({"done", "failed", "cancelled"})  # statuses nobody goes on from
_SHOWN = 200


class RunRow(Struct, frozen=True, kw_only=True):
    """One line of `standpipe status`."""

    id: str
    agent: str
    task: str
    model: str
    started_at: str
    task_id: str = ""
    caller_id: str = ""
    status: str = "running"
    summary: str = ""
    ended_at: str = ""
    last_at: str = ""
    pid: int = 0
    process_started: str = ""
    epoch: int = 0
    model_calls: int = 0
    actions: int = 0
    cost_usd: float | None = None
    doing: str = ""
    doing_since: str = ""
    trouble: str = ""  # the last failure nothing has overcome yet
    waits_for: tuple[str, ...] = ()  # the questions of a blocked run, its own or those of others
    worker: str = ""
    queue: str = ""
    priority: int = 0
    wake_at: str = (
        ""  # from then on anybody may go on with it; empty while a person or a process has it
    )


class BlockerRow(Struct, frozen=True, kw_only=True):
    """One line of `standpipe inbox`; `answer` is None while it waits."""

    id: str
    run: str
    kind: str
    ask: str
    why: str
    raised_at: str
    action: str = ""
    tool: str = ""
    default: str = "park"
    expires_at: str = ""
    setting: str = ""
    choices: tuple[str, ...] = ()
    site: str = ""
    answer: str | None = None
    by: str = ""
    answered_at: str = ""
    waiters: tuple[str, ...] = ()  # the runs that wait for the answer


class ToolRow(Struct, frozen=True):
    """What is unresolved about a tool: its sites, the calls that are refused, whom it talked to."""

    tool: str
    sites: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


class CallRow(Struct, frozen=True, kw_only=True):
    """A call that failed by its own arguments until its run stopped: made again it would do the same."""

    call: str
    tool: str
    site: str
    action: str
    kind: str
    message: str
    at: str
    host: str = ""
    depends: str = ""
    blocker: str = ""
    refused: bool = True


class Flight(Struct, frozen=True, omit_defaults=True):
    """A `once` call between its intent and its outcome. `lost`: nobody will see its end any more."""

    action: str
    run: str
    epoch: int
    lost: bool = False
    blocker: str = ""


class TwinRow(Struct, frozen=True):
    """The calls of one tool to one place that may still be happening."""

    twin: str
    flights: tuple[Flight, ...] = ()


Row = RunRow | BlockerRow | ToolRow | CallRow | TwinRow | Host | Site
Look = Callable[[str, str], bytes | None]
R = TypeVar("R", RunRow, BlockerRow, ToolRow, CallRow, TwinRow, Host, Site)


class Update(Struct, frozen=True):
    """A row to be written in place of what stands there."""

    view: str
    key: str
    row: Row


def read_row(kind: type[R], found: bytes | None) -> R | None:
    """Read a row of a projection, if there is one.

    Raises:
        BrokenJournalError: what is kept there is no such row.
    """
    try:
        return None if found is None else msgspec.json.decode(found, type=kind)
    except msgspec.DecodeError as error:
        raise BrokenJournalError(
            f"a row of the journal's {kind.__name__} cannot be read: {error}",
            hint="restore `.standpipe/journal.db` from a backup",
        ) from error


def run_rows(entry: Entry, look: Look) -> list[Update]:
    """Return the row of the run an entry is about, as it stands after it."""
    match entry.body:
        case RunCreated() as body:
            row = RunRow(
                id=entry.run,
                agent=body.agent,
                task=body.task,
                task_id=body.task_id,
                caller_id=body.caller_id,
                model=body.model,
                started_at=entry.at,
                status="queued" if body.queue else "running",
                queue=body.queue,
                priority=body.priority,
                wake_at=(body.wake_at or entry.at) if body.queue else "",
            )
        case _:
            known = read_row(RunRow, look(RUNS, entry.run))
            if known is None:  # the stream of the home belongs to no run
                return []
            row = _run_after(known, entry)
    return [Update(RUNS, entry.run, replace(row, last_at=entry.at))]


def _run_after(row: RunRow, entry: Entry) -> RunRow:
    match entry.body:
        case SegmentStarted(worker=worker, pid=pid, process_started=started):
            return replace(
                row, status="running", worker=worker, pid=pid, process_started=started,
                epoch=entry.epoch, doing="", wake_at="",
            )  # fmt: skip
        case SegmentEnded(ended="yielded", why=why):
            return replace(row, status="yielded", summary=why, doing="")
        case SegmentEnded(ended=ended, why=why, waits_for=asked) if ended == "blocked":
            return replace(row, status="blocked", summary=why, doing="", waits_for=asked)
        case RunEnded(status=status, summary=summary):
            return replace(
                row, status=status, summary=summary, ended_at=entry.at, doing="", trouble=""
            )
        case RunLost(cause=cause):
            return replace(row, status="lost", summary=cause)
        case _:
            return _run_at_work(row, entry)


def _run_at_work(row: RunRow, entry: Entry) -> RunRow:
    match entry.body:
        case ModelResponded(cost_usd=cost, model=model):
            total = row.cost_usd if cost is None else (row.cost_usd or 0.0) + cost
            row = replace(row, model_calls=row.model_calls + 1, cost_usd=total)
            return _over_it(row, model)
        case Proposed(tool=tool):
            return replace(row, actions=row.actions + 1, doing=tool, doing_since=entry.at)
        case Intended(tool=tool) if tool:
            return replace(row, doing=tool, doing_since=entry.at)
        case Settled(outcome=Failed() | Unknown() as outcome, tool=tool, recovery=recovery):
            return replace(row, doing="", trouble=_trouble(tool, outcome, recovery))
        case ModelFailed(failed=failed, model=model, recovery=recovery):
            return replace(row, trouble=_trouble(model, failed, recovery))
        case Settled(outcome=Succeeded(), tool=tool):
            return _over_it(replace(row, doing=""), tool)
        case Settled() | Reconciled():
            return replace(row, doing="")
        case _:
            return row


def _over_it(row: RunRow, name: str) -> RunRow:
    """What works again is no trouble any more."""
    return replace(row, trouble="") if row.trouble.startswith(f"{name}: ") else row


def _trouble(name: str, outcome: Failed | Unknown, recovery: Recovery) -> str:
    match recovery:
        case Retry(delay_seconds=delay) | Wait(delay_seconds=delay):
            then = f"tried again in {delay:.1f} s" if delay else "tried again"
        case Refresh():
            then = "its credential is renewed"
        case _:
            then = str(recovery.__struct_config__.tag)
    message = " ".join(outcome.message.split())
    shown = message if len(message) <= _SHOWN else f"{message[:_SHOWN]}…"
    return f"{name}: {outcome.kind}: {shown}; {then}"


def blocker_rows(entry: Entry, look: Look) -> list[Update]:
    """Return the row of the question an entry raises or answers."""
    match entry.body:
        case BlockedRaised() as body:
            row = BlockerRow(
                id=entry.key,
                run=entry.run,
                kind=body.kind,
                ask=body.ask,
                why=body.why,
                raised_at=entry.at,
                action=body.action,
                tool=body.tool,
                default=body.default,
                expires_at=body.expires_at,
                setting=body.setting,
                choices=body.choices,
                site=body.site,
            )
        case AnswerGiven(answer=answer, by=by):
            known = read_row(BlockerRow, look(BLOCKERS, entry.key))
            if known is None or known.answer is not None:
                return []
            row = replace(known, answer=answer, by=by, answered_at=entry.at)
        case _:
            return []
    return [Update(BLOCKERS, row.id, row)]
