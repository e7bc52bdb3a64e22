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
from standpipe.governor.fingerprint import Fingerprints
from standpipe.governor.recovery import Refresh, Retry, Wait
from standpipe.governor.sites import Site, failed, opened, resolved, resolves
from standpipe.journal.entries import (
    AnswerGiven,
    BlockedRaised,
    Entry,
    ModelResponded,
    Proposed,
    Reconciled,
    RunCreated,
    RunEnded,
    RunLost,
    SegmentEnded,
    SegmentStarted,
    Settled,
    SiteClosed,
)
from standpipe.outcomes.outcome import Failed, Succeeded

RUNS, BLOCKERS, SITES, WAITS, TOOLS = "run", "blocker", "site", "wait", "tool"


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


class WaitRow(Struct, frozen=True):
    """Nobody of this home asks this host before `until`."""

    host: str
    from_at: str
    delay_seconds: float


class ToolRow(Struct, frozen=True):
    """The sites of a tool that nothing has resolved yet."""

    tool: str
    sites: tuple[str, ...]


Row = RunRow | BlockerRow | WaitRow | ToolRow | Site
Look = Callable[[str, str], bytes | None]
R = TypeVar("R", RunRow, BlockerRow, WaitRow, ToolRow, Site)


class Update(Struct, frozen=True):
    """A row to be written in place of what stands there."""

    view: str
    key: str
    row: Row


def project(entry: Entry, look: Look) -> list[Update]:
    """Return the rows that change because of `entry`; `look` reads a row in the same transaction."""
    updates = [*_run(entry, look), *_blocker(entry, look), *_site(entry, look)]
    match entry.body:
        case Settled(recovery=Wait(delay_seconds=delay), host=host) if host:
            updates.append(Update(WAITS, host, WaitRow(host, entry.at, delay)))
        case _:
            pass
    return updates


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


def _run(entry: Entry, look: Look) -> list[Update]:
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
            )
        case _:
            known = read_row(RunRow, look(RUNS, entry.run))
            if known is None:  # the stream of the home belongs to no run
                return []
            row = _run_after(known, entry)
    return [Update(RUNS, entry.run, replace(row, last_at=entry.at))]


def _run_after(row: RunRow, entry: Entry) -> RunRow:
    match entry.body:
        case SegmentStarted(pid=pid, process_started=started):
            return replace(
                row, status="running", pid=pid, process_started=started, epoch=entry.epoch, doing=""
            )
        case SegmentEnded(ended=ended, why=why) if ended == "blocked":
            return replace(row, status="blocked", summary=why, doing="")
        case RunEnded(status=status, summary=summary):
            return replace(row, status=status, summary=summary, ended_at=entry.at, doing="")
        case RunLost(cause=cause):
            return replace(row, status="lost", summary=cause)
        case ModelResponded(cost_usd=cost):
            total = row.cost_usd if cost is None else (row.cost_usd or 0.0) + cost
            return replace(row, model_calls=row.model_calls + 1, cost_usd=total)
        case Proposed(tool=tool):
            return replace(row, actions=row.actions + 1, doing=tool)
        case Settled() | Reconciled():
            return replace(row, doing="")
        case _:
            return row


def _blocker(entry: Entry, look: Look) -> list[Update]:
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


def _site(entry: Entry, look: Look) -> list[Update]:
    match entry.body:
        case Settled(outcome=Failed() as outcome) as body if body.site and _counts(body):
            known = read_row(Site, look(SITES, body.site))
            marks = Fingerprints(
                instance=body.instance, site=body.site, cause=body.cause, template=body.template
            )
            row = failed(
                known, marks=marks, tool=body.tool, outcome=outcome, at=entry.at, run=entry.run
            )
            return [Update(SITES, row.site, row), *_index(row, look, unresolved=True)]
        case Settled(outcome=Succeeded()) as body:
            return _resolved_by_success(body, look)
        case BlockedRaised(site=site) if site and (known := read_row(Site, look(SITES, site))):
            return [Update(SITES, site, opened(known, entry.key, entry.at))]
        case SiteClosed(site=site, by=by) if known := read_row(Site, look(SITES, site)):
            return [
                Update(SITES, site, resolved(known, by)),
                *_index(known, look, unresolved=False),
            ]
        case _:
            return []


def _counts(body: Settled) -> bool:
    """Attempts of one action below the model are one failure, not many."""
    return not isinstance(body.recovery, Retry | Wait | Refresh)


def _resolved_by_success(body: Settled, look: Look) -> list[Update]:
    updates: list[Update] = []
    index = read_row(ToolRow, look(TOOLS, body.tool))
    for site in () if index is None else index.sites:
        known = read_row(Site, look(SITES, site))
        same_site = known is not None and known.host == body.host
        if known and resolves(known.kind, same_site=same_site, same_tool=True):
            updates.append(Update(SITES, site, resolved(known, body.tool)))
    if index and updates:
        left = tuple(site for site in index.sites if all(u.key != site for u in updates))
        updates.append(Update(TOOLS, index.tool, ToolRow(index.tool, left)))
    return updates


def _index(site: Site, look: Look, *, unresolved: bool) -> list[Update]:
    index = read_row(ToolRow, look(TOOLS, site.tool)) or ToolRow(site.tool, ())
    others = tuple(name for name in index.sites if name != site.site)
    sites = (*others, site.site) if unresolved else others
    return [Update(TOOLS, site.tool, ToolRow(site.tool, sites))] if sites != index.sites else []
