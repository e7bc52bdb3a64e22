"""Where it fails, over all runs of a home: counted, opened, closed.

Rule 1: failures count since the last resolution; attempts below the model are not counted.
Rule 2: an open site refuses the next call of any run, until a person answers, its time has come, or
    what it depends on has changed. Then one attempt is let through, and only one at a time.
Rule 3: what a model causes by its own arguments opens no site for other runs.
Rule 4: what a host does to every tool (a dead credential, nobody there) is counted for the host, too.
"""

from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct

from standpipe.governor.fingerprint import VERSION, Fingerprints, template
from standpipe.ids import digest
from standpipe.outcomes.outcome import Failed, Kind, Unknown

COOLDOWN_SECONDS_FIRST = 30.0
COOLDOWN_SECONDS_MAX = 600.0
OPEN_DAYS_MAX = 7
RUNS_MAX = 20
DEPENDS_MAX = 8
_HEX_DIGITS = 12

TRANSIENT = frozenset(
    {
        Kind.RATE_LIMITED, Kind.OVERLOADED, Kind.SERVER_ERROR, Kind.NOT_SENT, Kind.TIMED_OUT,
        Kind.TRUNCATED, Kind.MODEL_SILENT,
    }
)  # fmt: skip
MODEL_CAUSED = frozenset(
    {
        Kind.NOT_FOUND, Kind.BAD_INPUT, Kind.ERROR_TEXT, Kind.UNKNOWN_TOOL, Kind.DENIED,
        Kind.CHECKLIST, Kind.GAVE_UP, Kind.LOOP, Kind.NO_PROGRESS, Kind.CUT, Kind.BUDGET,
    }
)  # fmt: skip
HOST_WIDE = frozenset({Kind.CREDENTIAL, Kind.FORBIDDEN, Kind.NOT_SENT, Kind.QUOTA})
BY_ANY_ARGUMENTS = frozenset({Kind.NOT_FOUND, Kind.BAD_INPUT, Kind.CONFLICT, Kind.ERROR_TEXT})


class Site(Struct, frozen=True, kw_only=True):
    """One way of failing at one place; a site without a tool is one of a host.

    Times are RFC 3339; `until` is empty while nothing is open. `probe` is the action that may try
    while it is open, until `probe_until`. On `probation` a person has said that it is mended: the
    next failure opens it again, whatever the count.
    """

    site: str
    tool: str
    host: str = ""
    kind: Kind
    code: str = ""
    cause: str = ""
    template: str = ""
    message: str = ""
    version: int = 1
    count: int = 0
    total: int = 0
    first_at: str = ""
    last_at: str = ""
    open: bool = False
    blocker: str = ""
    until: str = ""
    cooldown_seconds: float = 0.0
    retry_after_seconds: float | None = None
    depends: str = ""
    probe: str = ""
    probe_until: str = ""
    probation: bool = False
    tools: tuple[str, ...] = ()  # of a host's site: who has met it
    runs: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    resolved_by: str = ""
    resolved_at: str = ""


def failed(
    before: Site | None, *, marks: Fingerprints, tool: str, outcome: Failed | Unknown, at: str,
    run: str, depends: str = "",
) -> Site:  # fmt: skip
    """Count one more failure; the first after a resolution starts anew."""
    host = outcome.host if isinstance(outcome, Failed) else ""
    site = before or Site(site=marks.site, tool=tool, host=host, kind=outcome.kind)
    anew = site.count == 0
    return msgspec.structs.replace(
        site,
        code=outcome.code if isinstance(outcome, Failed) else "",
        cause=marks.cause,
        template=marks.template,
        message=outcome.message,
        version=VERSION,
        count=site.count + 1,
        total=site.total + 1,
        first_at=at if anew else site.first_at,
        last_at=at,
        retry_after_seconds=outcome.retry_after_seconds if isinstance(outcome, Failed) else None,
        depends=together("" if anew else site.depends, depends),
        runs=(*(known for known in site.runs if known != run), run)[-RUNS_MAX:],
        resolved_by="",
        resolved_at="",
    )


def resolved(site: Site, by: str, at: str = "", *, probation: bool = False) -> Site:
    """Close a site; `by` says what resolved it: a tool that worked, a person, `verify`.

    On probation an open one stays half open: the next call is one attempt, not one of each run.
    """
    half = probation and site.open
    return msgspec.structs.replace(
        site, count=0, open=half, blocker="", until="", cooldown_seconds=0.0, runs=(), probe="",
        probe_until="", probation=probation, resolved_by=by, resolved_at=at,
    )  # fmt: skip


def opened(site: Site, blocker: str, at: str) -> Site:
    """Open a site under the question `blocker`; opening it again doubles its cool-down.

    A kind the model causes only remembers the question: other runs may try with other arguments.
    """
    site = msgspec.structs.replace(site, blocker=blocker, probe="", probe_until="", probation=False)
    if site.kind in MODEL_CAUSED:
        return site
    cooldown = _cooldown(site)
    wait = timedelta(seconds=cooldown) if cooldown else timedelta(days=OPEN_DAYS_MAX)
    until = stamp(datetime.fromisoformat(at) + wait)
    return msgspec.structs.replace(site, open=True, until=until, cooldown_seconds=cooldown)


def probed(site: Site, action: str, until: str, at: str) -> Site:
    """Let one action try an open site; while it does, nobody else may."""
    if site.probe and site.probe != action and site.probe_until > at:
        return site
    return msgspec.structs.replace(site, probe=action, probe_until=until)


def missed(site: Site) -> Site:
    """Take note that the one attempt came to something else; another one may try."""
    return msgspec.structs.replace(site, probe="", probe_until="")


def may_try(site: Site | None, now: datetime, *, depends: str = "") -> bool:
    """Whether a call at this site may be attempted.

    depends: what the call depends on now: the manifest of its tool, the credentials it is given, as
    a digest. The one attempt this allows resolves the site, or opens it again.
    """
    if site is None or not site.open:
        return True
    if site.probe and now < datetime.fromisoformat(site.probe_until):
        return False
    changed = bool(depends and site.depends) and depends not in site.depends.split(",")
    due = bool(site.until) and now >= datetime.fromisoformat(site.until)
    return changed or site.probation or due


def together(*depends: str) -> str:
    """Return all that a failure was met with: nothing has changed while it is one of them.

    A renewed credential is another one for a while; so is that of another process.
    """
    each = [one for listed in depends for one in listed.split(",") if one]
    return ",".join(list(dict.fromkeys(each))[-DEPENDS_MAX:])


def seen_next(site: Site | None, same_way: int) -> int:
    """Return how often a failure here will have been seen with the next one; on probation it is the last."""
    if site is None:
        return 1
    return max(site.count + 1, same_way) if site.probation else site.count + 1


def resolves(kind: Kind, *, same_site: bool, same_tool: bool) -> bool:
    """Whether a later success resolves a failure of `kind`.

    same_site: at the same tool and host. same_tool: of the same tool, with any arguments.
    """
    if kind is Kind.IN_DOUBT:  # only `verify` or a person can know
        return False
    return same_tool if kind in BY_ANY_ARGUMENTS else same_site


def host_site(host: str, cause: str) -> str:
    """Name what a host does to every tool; a cause without a host is nobody's in particular."""
    return digest(f"{host}\x1f{cause}".encode("utf-8", "replace"))[:_HEX_DIGITS]


def is_alias(old: Site, *, tool: str, outcome: Failed, shape: str) -> bool:
    """Whether a site that an earlier version of the fingerprint named is the one that failed now.

    shape: the template of the failure at hand; the old site's is derived again from the message kept
    with it. The code is left out: a later classifier may read another one from the same answer.
    """
    if old.version >= VERSION or old.count == 0:
        return False
    same_place = (old.tool, old.kind, old.host) == (tool, outcome.kind, outcome.host)
    return same_place and shape in (template(old.message, {}), old.template)


def stamp(moment: datetime) -> str:
    """Write a time; `clock.stamp` writes the same, but its module can sleep, which nothing pure may reach."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cooldown(site: Site) -> float:
    if site.kind not in TRANSIENT:
        return 0.0
    doubled = max(COOLDOWN_SECONDS_FIRST, 2 * site.cooldown_seconds)
    return max(min(doubled, COOLDOWN_SECONDS_MAX), site.retry_after_seconds or 0.0)
