"""The failures of a run as its report lists them: the open ones, and what was overcome.

Rule 1: what was overcome below the model stands here too, so that trouble is seen while it is small.
Rule 2: the words of the other side cannot say that a failure was overcome; only our own marks do.
"""

from collections.abc import Sequence

from msgspec import Struct

from standpipe.desk.phrases import once_said
from standpipe.journal.causes import helps
from standpipe.journal.entries import Entry
from standpipe.journal.failures import Failure as Met, failures

TRIED = "; done about it: "
HELPS = "; what helps: "
OVERCOME = "; overcome: "
_MARKS = (TRIED, HELPS, OVERCOME)


class Failure(Struct, frozen=True, kw_only=True):
    """One way of failing the run met.

    `count` is how many calls failed so. `why` ends in what was tried, and in what helps or, if anything
    did, what overcame it.
    """

    id: str
    tool: str
    kind: str
    fingerprint: str
    count: int
    message: str
    first_at: str
    last_at: str
    recovery: str
    why: str

    @property
    def overcome(self) -> bool:
        return OVERCOME in self.why

    def marked(self, mark: str) -> str:
        """Return what `why` says behind one of its marks."""
        said = self.why.partition(mark)[2]
        for other in _MARKS:
            said = said.partition(other)[0]
        return said


def met(entries: Sequence[Entry]) -> list[Failure]:
    """Return what failed, what is still open first."""
    run = entries[0].run
    told = [_told(f"{run}.f{number}", one) for number, one in enumerate(failures(entries), 1)]
    return sorted(told, key=lambda failure: failure.overcome)


def _told(name: str, failure: Met) -> Failure:
    return Failure(
        id=name,
        tool=failure.tool,
        kind=str(failure.kind),
        fingerprint=failure.site,
        count=failure.count,
        message=failure.message,
        first_at=failure.first_at,
        last_at=failure.last_at,
        recovery=failure.recovery.capitalize(),
        why=_why(failure),
    )


def _why(failure: Met) -> str:
    why = once_said(failure.why)
    for mark in _MARKS:
        why = why.replace(mark, mark.replace(";", ","))
    tried = f"{TRIED}{', '.join(failure.tried)}" if failure.tried else ""
    end = f"{HELPS}{helps(failure.kind)}" if failure.open else f"{OVERCOME}{failure.overcome_by}"
    return f"{why}{tried}{end}"
