"""What all tools and runs of a home know of one host: when it may be asked again, and how often repeated.

Rule 1: a pause that the host asked for holds for everybody, whoever it was told.
Rule 2: repeats have a budget (gRPC A6): a failed one costs a token, a success earns a tenth of one, and
    below half of them nothing is repeated. A host that is down is not hammered by all who need it.
"""

from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

TOKENS_MAX = 10.0
TOKENS_MIN = 5.0  # repeats only above this
_EARNED = 0.1


class Host(Struct, frozen=True):
    """One host. `from_at` and `delay_seconds` are the pause it last asked for; `sites` what it does to everybody."""

    host: str
    from_at: str = ""
    delay_seconds: float = 0.0
    tokens: float = TOKENS_MAX
    sites: tuple[str, ...] = ()


def of_tool(name: str) -> str:
    """Name the place a tool talks to where nobody can see which host that is."""
    return f"tool {name}"


def paused(host: Host, at: str, seconds: float) -> Host:
    """Remember a pause; one that ends earlier than the one we know of changes nothing."""
    if seconds <= seconds_left(host, datetime.fromisoformat(at)):
        return host
    return replace(host, from_at=at, delay_seconds=seconds)


def seconds_left(host: Host | None, now: datetime) -> float:
    """Return for how long the host is not to be asked."""
    if host is None or not host.from_at:
        return 0.0
    until = datetime.fromisoformat(host.from_at) + timedelta(seconds=host.delay_seconds)
    return min(host.delay_seconds, max(0.0, (until - now).total_seconds()))  # clocks are set back


def repeated_in_vain(host: Host) -> Host:
    return replace(host, tokens=max(0.0, host.tokens - 1.0))


def answered(host: Host) -> Host:
    return replace(host, tokens=min(TOKENS_MAX, round(host.tokens + _EARNED, 1)))


def may_repeat(host: Host | None) -> bool:
    """Whether anything may be sent to this host a second time."""
    return host is None or host.tokens > TOKENS_MIN
