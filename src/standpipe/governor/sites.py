"""Where it fails, over all runs of a home: counted, opened, closed.

Rule 1: failures count since the last resolution; attempts below the model are not counted.
Rule 2: an open site refuses the next call of any run, until a person answers, its time has come, or
    what it depends on has changed. Then one attempt is let through.
Rule 3: what a model causes by its own arguments opens no site for other runs.
"""

from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct

from standpipe.governor.fingerprint import Fingerprints
from standpipe.outcomes.outcome import Failed, Kind, Unknown

COOLDOWN_SECONDS_FIRST = 30.0
COOLDOWN_SECONDS_MAX = 600.0
OPEN_DAYS_MAX = 7
RUNS_MAX = 20

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
BY_ANY_ARGUMENTS = frozenset({Kind.NOT_FOUND, Kind.BAD_INPUT, Kind.CONFLICT, Kind.ERROR_TEXT})


class Site(Struct, frozen=True, kw_only=True):
    """One way of failing at one place. Times are RFC 3339; `until` is empty while nothing is open."""

    site: str
    tool: str
    host: str = ""
    kind: Kind
    code: str = ""
    template: str = ""
    message: str = ""
    count: int = 0
    first_at: str = ""
    last_at: str = ""
    open: bool = False
    blocker: str = ""
    until: str = ""
    cooldown_seconds: float = 0.0
    runs: tuple[str, ...] = ()
    resolved_by: str = ""


def failed(
    before: Site | None,
    *,
    marks: Fingerprints,
    tool: str,
    outcome: Failed | Unknown,
    at: str,
    run: str,
) -> Site:
    """Count one more failure; the first after a resolution starts anew."""
    counted = before is not None and before.count > 0
    fresh = Site(
        site=marks.site,
        tool=tool,
        host=outcome.host if isinstance(outcome, Failed) else "",
        kind=outcome.kind,
        code=outcome.code if isinstance(outcome, Failed) else "",
        template=marks.template,
        message=outcome.message,
        count=1,
        first_at=at,
        last_at=at,
        runs=(run,),
    )
    if before is None or not counted:
        return fresh
    return msgspec.structs.replace(
        before,
        message=outcome.message,
        count=before.count + 1,
        last_at=at,
        runs=(*(known for known in before.runs if known != run), run)[-RUNS_MAX:],
    )


def resolved(site: Site, by: str) -> Site:
    """Close a site; `by` says what resolved it: an action, a person, `verify`."""
    return msgspec.structs.replace(
        site,
        count=0,
        open=False,
        blocker="",
        until="",
        cooldown_seconds=0.0,
        runs=(),
        resolved_by=by,
    )


def opened(
    site: Site, blocker: str, now_text: str, *, retry_after_seconds: float | None = None
) -> Site:
    """Open a site under the question `blocker`; opening it again doubles its cool-down.

    A kind the model causes only remembers the question: other runs may try with other arguments.
    """
    if site.kind in MODEL_CAUSED:
        return msgspec.structs.replace(site, blocker=blocker)
    cooldown = _cooldown(site, retry_after_seconds)
    wait = timedelta(seconds=cooldown) if cooldown else timedelta(days=OPEN_DAYS_MAX)
    until = datetime.fromisoformat(now_text) + wait
    return msgspec.structs.replace(
        site, open=True, blocker=blocker, until=_stamp(until), cooldown_seconds=cooldown
    )


def may_try(site: Site | None, now: datetime, *, changed: bool = False) -> bool:
    """Whether a call at this site may be attempted.

    changed: the credential, the tool's source or its manifest is not what it was when it failed.
    The one attempt this allows resolves the site, or opens it again.
    """
    if site is None or not site.open or changed:
        return True
    return bool(site.until) and now >= datetime.fromisoformat(site.until)


def resolves(kind: Kind, *, same_site: bool, same_tool: bool) -> bool:
    """Whether a later success resolves a failure of `kind`.

    same_site: at the same tool and host. same_tool: of the same tool, with any arguments.
    """
    if kind is Kind.IN_DOUBT:  # only `verify` or a person can know
        return False
    return same_tool if kind in BY_ANY_ARGUMENTS else same_site


def _cooldown(site: Site, retry_after_seconds: float | None) -> float:
    if site.kind not in TRANSIENT:
        return 0.0
    doubled = max(COOLDOWN_SECONDS_FIRST, 2 * site.cooldown_seconds)
    return max(min(doubled, COOLDOWN_SECONDS_MAX), retry_after_seconds or 0.0)


def _stamp(moment: datetime) -> str:
    # `clock.stamp` writes the same, but its module can sleep, which a pure package must not reach.
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
