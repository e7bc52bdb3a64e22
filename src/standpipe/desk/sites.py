"""What fails where, over all runs of a home: `standpipe failures list`.

Rule 1: a row says no more than the journal's; what only a call can find out (a changed credential,
    changed code) is not guessed.
Rule 2: what a host does to every tool is a row of its own from its second time on; before that the
    row of the tool says it all.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from standpipe.governor.hosts import TOKENS_MAX, Host, may_repeat, seconds_left
from standpipe.governor.sites import Site, may_try, stamp
from standpipe.ids import match
from standpipe.journal.projections import CALLS, HOST_SITES, HOSTS, SITES, CallRow, read_row
from standpipe.journal.refusals import CALL_DAYS_MAX
from standpipe.journal.store import Store

STATES = ("open", "half_open", "counting", "resolved")


class KnownSite(Struct, frozen=True, kw_only=True):
    """One way of failing at one place. Without a `tool` it is what the host does to every tool.

    `count` is since the last resolution, `total` ever. `next_probe_at`: from then on one call is let
    through; `probe` is the action that was. `runs` are those that met it since the last resolution.
    """

    id: str
    tool: str
    host: str
    kind: str
    code: str
    state: str  # one of `STATES`
    count: int
    total: int
    message: str
    first_at: str
    last_at: str
    closed_by: str | None
    closed_at: str | None
    next_probe_at: str | None
    probe: str | None
    question: str | None
    runs: tuple[str, ...]


class KnownHost(Struct, frozen=True, kw_only=True):
    """A host that asked for a pause, or whose budget of repeats is not full; full is 10."""

    host: str
    paused_until: str | None
    retry_tokens: float
    may_repeat: bool


class KnownCall(Struct, frozen=True, kw_only=True):
    """A call that failed by its own arguments: the very same one is refused in other runs until then."""

    action: str
    tool: str
    site: str
    kind: str
    message: str
    at: str
    refused_until: str
    question: str | None


class Overview(Struct, frozen=True, kw_only=True):
    """The shape of `failures list --json`."""

    updated_at: str
    counts: dict[str, int]
    sites: tuple[KnownSite, ...]
    hosts: tuple[KnownHost, ...]
    calls: tuple[KnownCall, ...]


def nothing(*, now: datetime) -> Overview:
    """Return what there is to tell of a home in which nothing ever ran."""
    return _overview((), (), (), now)


async def overview(store: Store, *, now: datetime) -> Overview:
    """Fold the rows of a home: what is open on top, the newest first."""
    here = [row for text in (await store.rows(SITES)).values() if (row := read_row(Site, text))]
    wide = [
        row for text in (await store.rows(HOST_SITES)).values() if (row := read_row(Site, text))
    ]
    hosts = [row for text in (await store.rows(HOSTS)).values() if (row := read_row(Host, text))]
    calls = [row for text in (await store.rows(CALLS)).values() if (row := read_row(CallRow, text))]
    return _overview((*here, *(row for row in wide if row.total > 1)), hosts, calls, now)


def only(found: Overview, typed: str) -> Overview:
    """Keep one site, by the beginning of its id, with its host and the calls that failed there.

    Raises:
        NotFoundError: none, or more than one, begins so.
    """
    name = match(typed, [site.id for site in found.sites], what="failure")
    site = next(site for site in found.sites if site.id == name)
    return replace(
        found,
        counts=_counts([site]),
        sites=(site,),
        hosts=tuple(host for host in found.hosts if host.host == site.host),
        calls=tuple(call for call in found.calls if call.site == name),
    )


def _overview(
    sites: Iterable[Site], hosts: Iterable[Host], calls: Iterable[CallRow], now: datetime
) -> Overview:
    listed = _ordered(sites, now)
    return Overview(
        updated_at=stamp(now),
        counts=_counts(listed),
        sites=tuple(listed),
        hosts=tuple(_hosts(hosts, now)),
        calls=tuple(_calls(calls, now)),
    )


def _ordered(sites: Iterable[Site], now: datetime) -> list[KnownSite]:
    """Leave out what goes on under a newer name, with its counts."""
    rows = list(sites)
    renamed = {alias for row in rows for alias in row.aliases}
    found = [_site(row, now) for row in rows if row.site not in renamed]
    found.sort(key=lambda site: (site.last_at, site.id), reverse=True)
    return sorted(found, key=lambda site: STATES.index(site.state))


def _counts(sites: Iterable[KnownSite]) -> dict[str, int]:
    counted = Counter(site.state for site in sites)
    return {state: counted[state] for state in STATES}


def _site(site: Site, now: datetime) -> KnownSite:
    return KnownSite(
        id=site.site,
        tool=site.tool,
        host=site.host,
        kind=site.kind.value,
        code=site.code,
        state=_state(site, now),
        count=site.count,
        total=site.total,
        message=site.message,
        first_at=site.first_at,
        last_at=site.last_at,
        closed_by=site.resolved_by or None,
        closed_at=site.resolved_at or None,
        next_probe_at=site.until or None,
        probe=site.probe if _is_probed(site, now) else None,
        question=site.blocker or None,
        runs=site.runs,
    )


def _state(site: Site, now: datetime) -> str:
    if site.open:
        return "half_open" if _is_probed(site, now) or may_try(site, now) else "open"
    if site.count:
        return "counting"
    return "half_open" if site.probation else "resolved"


def _is_probed(site: Site, now: datetime) -> bool:
    return bool(site.probe) and now < datetime.fromisoformat(site.probe_until)


def _hosts(hosts: Iterable[Host], now: datetime) -> list[KnownHost]:
    found = list[KnownHost]()
    for host in sorted(hosts, key=lambda row: row.host):
        seconds = seconds_left(host, now)
        if seconds or host.tokens < TOKENS_MAX:
            until = stamp(now + timedelta(seconds=seconds)) if seconds else None
            known = KnownHost(
                host=host.host, paused_until=until, retry_tokens=host.tokens,
                may_repeat=may_repeat(host),
            )  # fmt: skip
            found.append(known)
    return found


def _calls(calls: Iterable[CallRow], now: datetime) -> list[KnownCall]:
    found = list[KnownCall]()
    for call in sorted(calls, key=lambda row: row.at, reverse=True):
        until = datetime.fromisoformat(call.at) + timedelta(days=CALL_DAYS_MAX)
        if call.refused and now < until:
            known = KnownCall(
                action=call.action, tool=call.tool, site=call.site, kind=call.kind,
                message=call.message, at=call.at, refused_until=stamp(until),
                question=call.blocker or None,
            )  # fmt: skip
            found.append(known)
    return found
