"""What was done about a failure below the model, in words.

Rule 1: it is told from what followed, never from what was meant: a repeat counts once its attempt is
    on disk, so a run that was killed in the middle claims nothing.
"""

from collections.abc import Sequence

from standpipe.governor.recovery import Alternate, Recovery, Refresh, Retry, Wait
from standpipe.ids import alternate_id
from standpipe.journal.entries import (
    CredentialRefreshed,
    Entry,
    Intended,
    ModelFailed,
    ModelResponded,
    Settled,
)

_SHOWN = 120


def tried(met: Sequence[Entry], entries: Sequence[Entry]) -> tuple[str, ...]:
    """Say what was done about the failures `met`: repeats, waiting, a refresh, other tools."""
    done = [_recovery(entry) for entry in met if _followed(entry, entries)]
    repeats = [one for one in done if isinstance(one, Retry | Wait)]
    seconds = sum(one.delay_seconds for one in repeats)
    refresh = any(isinstance(one, Refresh) for one in done)
    rejected = _not_refreshed(met, entries) if refresh else ""
    others = dict.fromkeys(one.tool for one in done if isinstance(one, Alternate))
    said = (
        f"retried {times(len(repeats))}" if repeats else "",
        f"waited {seconds:.1f} s" if seconds else "",
        "refreshed the credential" if refresh and not rejected else "",
        f"could not refresh the credential ({rejected})" if rejected else "",
        *(f"tried `{tool}`" for tool in others),
    )
    return tuple(filter(None, said))


def times(number: int) -> str:
    """Say how often.

    Example:
        >>> times(2)
        'twice'
    """
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def _not_refreshed(met: Sequence[Entry], entries: Sequence[Entry]) -> str:
    """Return why the credential of a failing tool could not be renewed, if that was tried."""
    tools = {entry.body.tool for entry in met if isinstance(entry.body, Settled)}
    for entry in reversed(entries):
        match entry.body:
            case CredentialRefreshed(tool=tool, failed=failed) if tool in tools:
                return " ".join(failed.split())[:_SHOWN]
            case _:
                pass
    return ""


def _recovery(entry: Entry) -> Recovery | None:
    return entry.body.recovery if isinstance(entry.body, Settled | ModelFailed) else None


def _followed(entry: Entry, entries: Sequence[Entry]) -> bool:
    """Return whether the journal shows that what was chosen did begin."""
    later = (other for other in entries if other.seq > entry.seq)
    match entry.body:
        case Settled(recovery=Alternate()):
            instead = alternate_id(entry.action)
            return any(other.action == instead for other in later)
        case Settled(recovery=Retry() | Wait() | Refresh()):
            return any(
                isinstance(other.body, Intended) and other.action == entry.action for other in later
            )
        case ModelFailed(number=number):
            return any(
                isinstance(other.body, ModelFailed | ModelResponded) and other.body.number == number
                for other in later
            )
        case _:
            return False
