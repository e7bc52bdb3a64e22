"""What one entry changes in the rows kept beside the journal: runs, questions, and what fails where.

Rule 1: each row is written once per entry, in its transaction; nothing here looks at a clock.
Rule 2: attempts of one action below the model are one failure, not many.
"""

from msgspec.structs import replace

from standpipe.governor import hosts, sites
from standpipe.governor.fingerprint import Fingerprints
from standpipe.governor.hosts import Host
from standpipe.governor.recovery import Escalate, Recovery, Refresh, Retry, Stop, Wait
from standpipe.governor.sites import HOST_WIDE, MODEL_CAUSED, Site, host_site
from standpipe.journal.entries import (
    BlockedRaised,
    Body,
    Entry,
    InDoubt,
    Intended,
    ModelFailed,
    ModelResponded,
    Reconciled,
    Settled,
    SiteClosed,
    SiteProbed,
)
from standpipe.journal.projections import (
    CALLS,
    HOST_SITES,
    HOSTS,
    SITES,
    TOOLS,
    TWINS,
    CallRow,
    Flight,
    Look,
    TwinRow,
    Update,
    blocker_rows,
    run_rows,
)
from standpipe.journal.rows import Rows, added, without
from standpipe.journal.waiting import wake
from standpipe.outcomes.outcome import Failed, Kind, Succeeded, Unknown

_OF_ONE_RUN = (Kind.GAVE_UP, Kind.CHECKLIST, Kind.DENIED, Kind.BUDGET)  # no place fails there
_KEPT_MAX = 50  # names an index keeps of each sort, the newest


def project(entry: Entry, look: Look) -> list[Update]:
    """Return the rows that change because of `entry`; `look` reads a row in the same transaction."""
    rows = Rows(look)
    for update in (*run_rows(entry, look), *blocker_rows(entry, look)):
        rows.put(update.view, update.key, update.row)
    wake(entry, rows)
    _fold(entry, rows)
    return list(rows.updates.values())


def _fold(entry: Entry, rows: Rows) -> None:
    _twins(entry, rows)
    match entry.body:
        case Settled() as body:
            _settled(entry, body, rows)
        case ModelFailed(failed=failed) as body:
            _pause(rows, entry, failed, body.recovery)
            if not _is_attempt(body.recovery):
                _count(rows, entry, failed, body, tool=body.model)
        case ModelResponded(model=model):
            _close_sites(rows, model, host=None, by=model, at=entry.at)
        case Reconciled(tool=tool, by=by):
            _doubts_end(rows, tool, by=by, at=entry.at)
        case _:
            _asked(entry, rows)


def _twins(entry: Entry, rows: Rows) -> None:
    """Keep what may be happening: from the intent of a `once` call until somebody knows its end."""
    flight = Flight(entry.action, entry.run, entry.epoch)
    match entry.body:
        case Intended(twin=twin) if twin:
            _flies(rows, twin, flight)
        case Settled(twin=twin, outcome=Unknown()) if twin:  # whoever asked has not seen its end
            _flies(rows, twin, replace(flight, lost=True))
        case InDoubt(twin=twin, blocker=blocker) if twin:
            _flies(rows, twin, replace(flight, lost=True, blocker=blocker))
        case Settled(twin=twin) | Reconciled(twin=twin) if twin:
            _lands(rows, twin, entry.action)
        case _:
            pass


def _asked(entry: Entry, rows: Rows) -> None:
    """Take in what people are asked about a site, and what they say; and who may try it meanwhile."""
    match entry.body:
        case BlockedRaised(site=site) if site:
            _open(rows, site, entry.key, entry.at)
        case SiteProbed(site=site, action=action, until=until):
            for view in (SITES, HOST_SITES):
                if known := rows.read(Site, view, site):
                    rows.put(view, site, sites.probed(known, action, until, entry.at))
        case SiteClosed(site=site, by=by):
            _closed_by_person(rows, site, by, entry)
        case _:
            pass


def _settled(entry: Entry, body: Settled, rows: Rows) -> None:
    _met(rows, body)
    match body.outcome:
        case Failed() as outcome:
            _failed(entry, body, outcome, rows)
        case Unknown() as outcome if body.site:
            _doubted(rows, entry, body, outcome)
        case Succeeded():
            _worked(entry, body, rows)
        case _:
            pass


def _failed(entry: Entry, body: Settled, outcome: Failed, rows: Rows) -> None:
    _pause(rows, entry, outcome, body.recovery)
    if body.attempt > 1:
        for name in _hosts_of(body):
            rows.put(HOSTS, name, hosts.repeated_in_vain(rows.host(name)))
    if body.site and not _is_attempt(body.recovery) and outcome.kind not in _OF_ONE_RUN:
        _count(rows, entry, outcome, body, tool=body.tool)
        _quarantine(rows, entry, body, outcome)
        _refuse_same_call(rows, entry, body, outcome)


def _worked(entry: Entry, body: Settled, rows: Rows) -> None:
    for name in _hosts_of(body):
        if (known := rows.read(Host, HOSTS, name)) and known.tokens < hosts.TOKENS_MAX:
            rows.put(HOSTS, name, hosts.answered(known))
    _close_sites(rows, body.tool, host=_hosts_of(body), by=body.tool, at=entry.at)
    for name in _hosts_of(body):
        _works_for_somebody(rows, name, body.tool, entry.at)
    if body.mends:
        _resolve(rows, body.mends, by=body.tool, at=entry.at)
    tool = rows.tool(body.tool)
    for call in tool.calls:
        if known := rows.read(CallRow, CALLS, call):
            rows.put(CALLS, call, replace(known, refused=False))
    if tool.calls:
        rows.put(TOOLS, body.tool, replace(rows.tool(body.tool), calls=()))


def _works_for_somebody(rows: Rows, name: str, by: str, at: str) -> None:
    """A success at a host proves that it does to nobody in particular what it did to some."""
    host = rows.host(name)
    for wide in host.sites:
        if site := rows.read(Site, HOST_SITES, wide):
            rows.put(HOST_SITES, wide, replace(sites.resolved(site, by, at), tools=()))
    if host.sites:
        rows.put(HOSTS, name, replace(host, sites=()))


def _is_attempt(recovery: object) -> bool:
    return isinstance(recovery, Retry | Wait | Refresh)


def _marks(body: Settled | ModelFailed) -> Fingerprints:
    return Fingerprints(
        instance=body.instance, site=body.site, cause=body.cause, template=body.template
    )


def _hosts_of(body: Settled) -> tuple[str, ...]:
    """Whom a call talked to; where nobody saw it, whom its failure named."""
    return body.hosts or ((body.host,) if body.host else ())


def _met(rows: Rows, body: Settled) -> None:
    """Remember whom a tool talks to."""
    tool = rows.tool(body.tool)
    if fresh := [name for name in body.hosts if name not in tool.hosts]:
        rows.put(TOOLS, body.tool, replace(tool, hosts=(*tool.hosts, *fresh)[-_KEPT_MAX:]))


def _pause(rows: Rows, entry: Entry, failed: Failed, recovery: Recovery) -> None:
    """Remember for everybody what the host asked for; a limiter's own guess holds for all, too."""
    seconds = failed.retry_after_seconds or 0.0
    if failed.kind is Kind.RATE_LIMITED and isinstance(recovery, Wait):
        seconds = max(seconds, recovery.delay_seconds)
    for name in _asked_hosts(entry.body, failed) if seconds > 0 else ():
        rows.put(HOSTS, name, hosts.paused(rows.host(name), entry.at, seconds))


def _asked_hosts(body: Body, failed: Failed) -> tuple[str, ...]:
    """Who asked for a pause: whom the failure names, else whom the tool talked to, else the tool."""
    if failed.host or not isinstance(body, Settled):
        return (failed.host,) if failed.host else ()
    return body.hosts or (hosts.of_tool(body.tool),)


def _count(
    rows: Rows, entry: Entry, failed: Failed, body: Settled | ModelFailed, *, tool: str
) -> None:
    """Count a failure at its site, and at its host where the host does it to everybody."""
    marks, depends, host_depends = _marks(body), body.depends, body.host_depends
    _other_attempts_missed(rows, entry, tool, marks.site)
    known = rows.read(Site, SITES, marks.site) or _alias(rows, tool, failed, marks)
    row = sites.failed(
        known, marks=marks, tool=tool, outcome=failed, at=entry.at, run=entry.run, depends=depends
    )
    rows.put(SITES, marks.site, _again_open(row, entry))
    index = rows.tool(tool)
    rows.put(TOOLS, tool, replace(index, sites=_kept(rows, added(index.sites, marks.site))))
    if failed.host and failed.kind in HOST_WIDE:
        name = host_site(failed.host, marks.cause)
        wide = sites.failed(
            rows.read(Site, HOST_SITES, name),
            marks=Fingerprints(marks.instance, name, marks.cause, marks.template),
            tool="", outcome=failed, at=entry.at, run=entry.run, depends=host_depends,
        )  # fmt: skip
        wide = replace(wide, tools=added(wide.tools, tool))
        rows.put(HOST_SITES, name, _again_open(wide, entry))
        host = rows.host(failed.host)
        rows.put(HOSTS, host.host, replace(host, sites=added(host.sites, name)))


def _doubted(rows: Rows, entry: Entry, body: Settled, outcome: Unknown) -> None:
    """Keep what may have happened among the failures; it refuses its twins, and nothing else."""
    known = rows.read(Site, SITES, body.site)
    doubt = replace(outcome, kind=Kind.IN_DOUBT)
    row = sites.failed(
        known, marks=_marks(body), tool=body.tool, outcome=doubt, at=entry.at, run=entry.run
    )
    rows.put(SITES, body.site, row)
    index = rows.tool(body.tool)
    rows.put(TOOLS, body.tool, replace(index, sites=_kept(rows, added(index.sites, body.site))))


def _doubts_end(rows: Rows, tool: str, *, by: str, at: str) -> None:
    for name in rows.tool(tool).sites:
        known = rows.read(Site, SITES, name)
        if known and known.kind is Kind.IN_DOUBT:
            _resolve(rows, name, by=by, at=at)


def _again_open(site: Site, entry: Entry) -> Site:
    """The one attempt at an open site failed: it stays open, for longer."""
    tried = site.open and site.probe == _tried(entry) and not site.probation
    return sites.opened(site, site.blocker, entry.at) if tried else site


def _other_attempts_missed(rows: Rows, entry: Entry, tool: str, site: str) -> None:
    """An attempt that failed in another way says nothing about the site it was let through for."""
    action = _tried(entry)
    for name in rows.tool(tool).sites:
        known = rows.read(Site, SITES, name)
        if known and name != site and known.probe == action:
            rows.put(SITES, name, sites.missed(known))


def _tried(entry: Entry) -> str:
    """Name what was tried: an action, or the request of a run to its model."""
    return entry.action or f"{entry.run}.{entry.key.partition('#')[0]}"


def _alias(rows: Rows, tool: str, failed: Failed, marks: Fingerprints) -> Site | None:
    """Take over the site an earlier version of the fingerprint gave another name."""
    for name in rows.tool(tool).sites:
        old = rows.read(Site, SITES, name)
        if old and sites.is_alias(old, tool=tool, outcome=failed, shape=marks.template):
            rows.put(SITES, name, replace(sites.resolved(old, marks.site), version=old.version))
            index = rows.tool(tool)
            rows.put(TOOLS, tool, replace(index, sites=without(index.sites, name)))
            return replace(old, site=marks.site, aliases=(*old.aliases, name))
    return None


def _quarantine(rows: Rows, entry: Entry, body: Settled, failed: Failed) -> None:
    """Open the site of what nobody can mend by answering: a tool with a bug, until its source changes."""
    ends = isinstance(body.recovery, Stop) and failed.kind not in MODEL_CAUSED
    if ends and (known := rows.read(Site, SITES, body.site)):
        rows.put(SITES, body.site, sites.opened(known, "", entry.at))


def _refuse_same_call(rows: Rows, entry: Entry, body: Settled, failed: Failed) -> None:
    """What stopped a run by its own arguments is refused with just these in every run."""
    if failed.kind not in MODEL_CAUSED or not isinstance(body.recovery, Escalate | Stop):
        return
    row = CallRow(
        call=body.call, tool=body.tool, site=body.site, action=entry.action, kind=failed.kind,
        message=failed.message, at=entry.at, host=failed.host, depends=body.depends,
    )  # fmt: skip
    rows.put(CALLS, body.call, row)
    index = rows.tool(body.tool)
    rows.put(TOOLS, body.tool, replace(index, calls=added(index.calls, body.call)))


def _close_sites(rows: Rows, tool: str, *, host: tuple[str, ...] | None, by: str, at: str) -> None:
    """Resolve what a success of `tool` resolves; `host`: whom it talked to, None for anybody."""
    for name in rows.tool(tool).sites:
        known = rows.read(Site, SITES, name)
        here = known is not None and (not known.host or not host or known.host in host)
        if known and sites.resolves(known.kind, same_site=here, same_tool=True):
            _resolve(rows, name, by=by, at=at)


def _resolve(rows: Rows, name: str, *, by: str, at: str, probation: bool = False) -> None:
    """Close a site and what its host does to everybody.

    On probation it stays among the unresolved of its tool, so that the next success ends the probation.
    """
    known = rows.read(Site, SITES, name)
    if known is None:
        return
    closed = sites.resolved(known, by, at, probation=probation)
    rows.put(SITES, name, closed if known.count or probation else replace(known, probation=False))
    if not probation:
        index = rows.tool(known.tool)
        rows.put(TOOLS, known.tool, replace(index, sites=without(index.sites, name)))
    if known.host and known.kind in HOST_WIDE:
        wide = host_site(known.host, known.cause)
        if site := rows.read(Site, HOST_SITES, wide):
            mended = sites.resolved(site, by, at, probation=probation)
            ended = replace(site, probation=False)
            rows.put(HOST_SITES, wide, mended if site.count or probation else ended)
            host = rows.host(known.host)
            rows.put(HOSTS, host.host, replace(host, sites=without(host.sites, wide)))


def _open(rows: Rows, name: str, blocker: str, at: str) -> None:
    known = rows.read(Site, SITES, name)
    if known is None:
        return
    rows.put(SITES, name, sites.opened(known, blocker, at))
    for call in rows.tool(known.tool).calls:
        row = rows.read(CallRow, CALLS, call)
        if row and row.site == name and not row.blocker:
            rows.put(CALLS, call, replace(row, blocker=blocker))
    if known.host and known.kind in HOST_WIDE:
        wide = host_site(known.host, known.cause)
        site = rows.read(Site, HOST_SITES, wide)
        if site and len(site.tools) > 1:  # the same happened to another tool
            rows.put(HOST_SITES, wide, sites.opened(site, blocker, at))


def _closed_by_person(rows: Rows, name: str, by: str, entry: Entry) -> None:
    known = rows.read(Site, SITES, name)
    answered = entry.key.rpartition("#")[2]
    if known is None or known.blocker not in ("", answered):
        return  # it is open under another question by now
    _resolve(rows, name, by=by, at=entry.at, probation=True)
    index = rows.tool(known.tool)
    for call in index.calls:
        row = rows.read(CallRow, CALLS, call)
        if row and row.site == name:
            rows.put(CALLS, call, replace(row, refused=False))
            index = replace(rows.tool(known.tool), calls=without(index.calls, call))
            rows.put(TOOLS, known.tool, index)


def _flies(rows: Rows, twin: str, flight: Flight) -> None:
    row = rows.read(TwinRow, TWINS, twin) or TwinRow(twin)
    others = tuple(one for one in row.flights if one.action != flight.action)
    rows.put(TWINS, twin, replace(row, flights=(*others, flight)))


def _lands(rows: Rows, twin: str, action: str) -> None:
    if row := rows.read(TwinRow, TWINS, twin):
        left = tuple(one for one in row.flights if one.action != action)
        rows.put(TWINS, twin, replace(row, flights=left))


def _kept(rows: Rows, names: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out the oldest site that is not open, where there are too many."""
    for name in names[:-_KEPT_MAX]:
        site = rows.read(Site, SITES, name)
        if site is None or not site.open:
            return without(names, name)
    return names
