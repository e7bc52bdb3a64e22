"""What stands in the way of a call before anybody tries it: known failures, effects in doubt, pauses.

Rule 1: everything here is read from the rows that all runs of a home share; nothing is kept beside them.
Rule 2: a refusal names the question whose answer clears it, and never raises a second one.
Rule 3: an effect that may still be happening holds its twins in every run; one that a living process
    is waiting for is not in doubt.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from msgspec import Struct
from msgspec.structs import replace

from standpipe.actions import Action, Effect
from standpipe.clock import Clock
from standpipe.governor.fingerprint import Fingerprints
from standpipe.governor.hosts import Host, may_repeat, of_tool, seconds_left
from standpipe.governor.sites import Site, is_alias, may_try, seen_next, stamp
from standpipe.ids import HOME, digest
from standpipe.journal.drafts import asked_host, call_digest, twin_digest
from standpipe.journal.entries import Draft, SiteProbed
from standpipe.journal.projections import (
    CALLS,
    FINAL,
    HOST_SITES,
    HOSTS,
    RUNS,
    SITES,
    TOOLS,
    TWINS,
    CallRow,
    Flight,
    RunRow,
    ToolRow,
    TwinRow,
    read_row,
)
from standpipe.journal.store import Seen, Store
from standpipe.outcomes.outcome import Failed, Unknown
from standpipe.policy.situation import Refusal

CALL_DAYS_MAX = 7
_PROBE_SECONDS = 60.0  # beyond the deadline of the tool: an attempt that takes longer is lost
_SHOWN = 300
_NOTHING = ToolRow("")


class View(Struct, frozen=True):
    """What is known before a call: whom it will talk to, where that failed, and for how long to wait.

    `sites` stand with the view they are kept in; `calls` are the digests of those that are refused.
    """

    hosts: tuple[str, ...] = ()
    sites: tuple[tuple[str, Site], ...] = ()
    calls: tuple[str, ...] = ()
    pause_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """Ask the rows of the home about a call.

    alive: whether somebody still works on a run. credentials: which secrets a tool is given for which
    hosts, by name, each as a keyed hash.
    """

    store: Store
    clock: Clock
    alive: Callable[[RunRow], Awaitable[bool]]
    credentials: Callable[[str, Sequence[str]], Mapping[str, str]]

    async def view(self, action: Action) -> View:
        """Look once at what is known of a call's tool and of whom it will talk to."""
        name = action.tool.name
        tool = read_row(ToolRow, await self.store.row(TOOLS, name)) or _NOTHING
        hosts, found, pause = _hosts(action, tool), list[tuple[str, Site]](), 0.0
        for name in tool.sites:
            site = read_row(Site, await self.store.row(SITES, name))
            if site and (not hosts or not site.host or site.host in hosts):
                found.append((SITES, site))
        for name in (*hosts, of_tool(action.tool.name)):
            host = read_row(Host, await self.store.row(HOSTS, name))
            pause = max(pause, seconds_left(host, self.clock.now()))
            for wide in () if host is None else host.sites:
                if site := read_row(Site, await self.store.row(HOST_SITES, wide)):
                    found.append((HOST_SITES, site))
        return View(hosts, tuple(found), tool.calls, pause)

    async def of(self, action: Action, view: View) -> Refusal | None:
        """Return what refuses this call now, if anything does."""
        if action.tool.origin == "agent":
            return None
        return (
            await self._in_doubt(action)
            or self._open_site(action, view)
            or await self._same_call(action, view)
        )

    async def claim(self, action: Action, view: View) -> bool:
        """Take the one attempt that a half-open site allows; return whether it is ours."""
        for name, site in view.sites:
            if site.open and not await self._claimed(name, site, action):
                return False
        return True

    async def is_probe(self, action: Action) -> bool:
        """Whether this call is the one attempt that an open site allows; it is not repeated."""
        view = await self.view(action)
        return any(site.open and site.probe == action.id for _, site in view.sites)

    async def paused(self) -> dict[str, float]:
        """Return every host that nobody of this home may ask now, with the seconds left."""
        now, found = self.clock.now(), dict[str, float]()
        for name, text in (await self.store.rows(HOSTS)).items():
            row = read_row(Host, text)
            if (seconds := seconds_left(row, now)) > 0:
                found[name] = seconds
        return found

    async def may_repeat(self, host: str) -> bool:
        """Whether the retry budget of a host allows another attempt."""
        return not host or may_repeat(read_row(Host, await self.store.row(HOSTS, host)))

    async def seen(
        self,
        tool: str,
        failed: Failed | Unknown,
        prints: Fingerprints,
        host_site: str,
        same_way: int,
    ) -> int:
        """Return how often this has failed since anything resolved it, the failure at hand included."""
        here = read_row(Site, await self.store.row(SITES, prints.site))
        if here is None and isinstance(failed, Failed):
            here = await self._alias(tool, failed, prints.template)
        wide = read_row(Site, await self.store.row(HOST_SITES, host_site)) if host_site else None
        if wide and set(wide.tools) <= {tool}:  # it is this tool's own, until another one meets it
            wide = None
        return max(seen_next(here, same_way), seen_next(wide, same_way))

    async def question(self, site: str, host_site: str = "") -> tuple[str, Seen]:
        """Return the open question about a site, and the rows that say so: nobody is asked a second one."""
        places = [(view, name) for view, name in ((SITES, site), (HOST_SITES, host_site)) if name]
        seen = {place: await self.store.row(*place) for place in places}
        for found in seen.values():
            row = read_row(Site, found)
            if row and row.open and row.blocker:
                return row.blocker, seen
        return "", seen

    def depends(self, action: Action, host: str) -> str:
        """Name what a call to `host` depends on: its manifest, with the source behind it, and its credentials."""
        given = self.credentials(action.tool.name, _listed(host))
        manifest = replace(action.tool, alternates=())  # which of them are left is no change of it
        return _named(manifest.digest, given)

    def host_depends(self, action: Action, host: str) -> str:
        """Name what `host` gets from every tool: its credentials; of a model, the key of its provider."""
        model = action.tool.name if ":" in action.tool.name else ""
        return _named("", self.credentials(model, _listed(host)))

    def secrets(self, action: Action, host: str) -> tuple[str, ...]:
        """Return the names of the credentials a call to `host` was given."""
        return tuple(self.credentials(action.tool.name, _listed(host)))

    def _open_site(self, action: Action, view: View) -> Refusal | None:
        if not view.sites:
            return None
        now = self.clock.now()
        for name, site in view.sites:
            of_whom = self.host_depends if name == HOST_SITES else self.depends
            now_depends = of_whom(action, site.host)
            if not may_try(site, now, depends=now_depends) and site.probe != action.id:
                return Refusal(
                    "open_site", _said(site), site.blocker, site=site.site, kind=site.kind
                )
        return None

    async def _alias(self, tool: str, failed: Failed, shape: str) -> Site | None:
        """Return the site as an earlier version of the fingerprint named it."""
        row = read_row(ToolRow, await self.store.row(TOOLS, tool)) or _NOTHING
        for name in row.sites:
            old = read_row(Site, await self.store.row(SITES, name))
            if old and is_alias(old, tool=tool, outcome=failed, shape=shape):
                return old
        return None

    async def _same_call(self, action: Action, view: View) -> Refusal | None:
        if not view.calls:
            return None
        row = read_row(CallRow, await self.store.row(CALLS, call_digest(action)))
        if row is None or not row.refused or row.action.startswith(f"{action.run}."):
            return None
        expired = row.at < stamp(self.clock.now() - timedelta(days=CALL_DAYS_MAX))
        if expired or row.depends != self.depends(action, row.host):
            return None
        answer = f", or have {row.blocker} answered" if row.blocker else ""
        reason = (
            f"this very call failed in {row.action} and stopped that run ({row.kind}: {_short(row.message)}); "
            f"call it with other arguments{answer}"
        )
        return Refusal("same_call", reason, row.blocker)

    async def _in_doubt(self, action: Action) -> Refusal | None:
        if action.tool.effect is not Effect.ONCE:
            return None
        row = read_row(TwinRow, await self.store.row(TWINS, twin_digest(action)))
        for flight in () if row is None else row.flights:
            if flight.action == action.id:
                continue
            run = read_row(RunRow, await self.store.row(RUNS, flight.run))
            if run and run.status in FINAL:
                return Refusal("in_doubt", _for_good(action, flight, run), asks=True)
            if flight.lost or run is None or await self._is_lost(flight, run):
                return Refusal("in_doubt", _twin(action, flight), flight.blocker)
        return None

    async def _is_lost(self, flight: Flight, run: RunRow) -> bool:
        """Whether nobody is waiting for its end any more."""
        if run.status != "running" or flight.epoch < run.epoch:
            return True
        return not await self.alive(run)

    async def _claimed(self, view: str, site: Site, action: Action) -> bool:
        now = self.clock.now()
        if site.probe == action.id:
            return True
        until = stamp(now + timedelta(seconds=action.tool.timeout_seconds + _PROBE_SECONDS))
        body = SiteProbed(site.site, action.id, until)
        await self.store.post(HOME, [Draft(f"{site.site}#{site.total}#{action.id}#{until}", body)])
        row = read_row(Site, await self.store.row(view, site.site))
        return row is None or not row.open or row.probe == action.id


def _listed(host: str) -> list[str]:
    return [host] if host else []


def _named(manifest: str, given: Mapping[str, str]) -> str:
    said = "|".join(f"{name}={value}" for name, value in sorted(given.items()))
    return digest(f"{manifest}|{said}".encode())[:16]


def _hosts(action: Action, tool: ToolRow) -> tuple[str, ...]:
    """Return whom a call will talk to, as far as anybody can tell before it."""
    if "url" in action.arguments:
        return tuple(filter(None, (asked_host(action.arguments),)))
    return tool.hosts if len(tool.hosts) == 1 else ()  # of several, nobody knows which


def _said(site: Site) -> str:
    what = f"`{site.tool}`" if site.tool else f"{site.host}, whichever tool asks it,"
    times = "once" if site.count <= 1 else f"{site.count} times the same way"
    until = f"somebody answers {site.blocker}" if site.blocker else "its code is changed"
    return f"{what} failed {times} ({site.kind}: {_short(site.message)}) and is not tried again until {until}"


def _twin(action: Action, flight: Flight) -> str:
    settle = f"answer {flight.blocker}" if flight.blocker else f"go on with {flight.run}"
    return (
        f"`{action.tool.name}` to the same place may have happened in {flight.action}, and nobody knows yet; "
        f"{settle} first"
    )


def _for_good(action: Action, flight: Flight, run: RunRow) -> str:
    return (
        f"`{action.tool.name}` to the same place may have happened in {flight.action}; that run is {run.status}, "
        f"so nobody will know"
    )


def _short(message: str) -> str:
    text = " ".join(message.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
