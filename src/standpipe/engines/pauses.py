"""A bad run never stops a worker: it is left alone, longer each time, and the others go on.

Rule 1: who fails waits 1 s, 2 s, 4 s, up to five minutes; whose run is somebody else's looks again soon.
Rule 2: a run that waits for a time and is due again at once waits too: its clock is not the one that says what is due.
"""

from standpipe.clock import Clock
from standpipe.engines.port import Work
from standpipe.errors import FencedError, GivenBackError, OwnedError
from standpipe.journal.projections import RUNS, RunRow, read_row
from standpipe.journal.store import Store

OWNED_SECONDS = 0.5  # until somebody else's run is looked at again: he may have died
PAUSE_SECONDS_MAX = 300.0
AT_ONCE_SECONDS = 1.0
AGAIN_SECONDS_MAX = 30.0  # an answer to the run waits for this too


class Pauses:
    """The runs that one worker leaves alone for a while; kept in memory, a new worker tries at once.

    rest_seconds: after what went well.
    """

    def __init__(self, clock: Clock, store: Store, *, rest_seconds: float = 0.0) -> None:
        self._clock = clock
        self._store = store
        self._rest_seconds = rest_seconds
        self._until: dict[str, float] = {}
        self._failed: dict[str, int] = {}
        self._waited: dict[str, tuple[int, float]] = {}  # how often at once, and when it may again

    def __len__(self) -> int:
        now = self._clock.monotonic()
        self._until = {run: until for run, until in self._until.items() if until > now}
        return len(self._until)

    def __contains__(self, run: str) -> bool:
        return self._until.get(run, 0.0) > self._clock.monotonic()

    async def attempt(self, work: Work, run: str) -> None:
        """Work on a run, and leave it alone for a while if that fails or leads nowhere."""
        begun = self._clock.monotonic()
        try:
            await work(run)
            waits = await self._waits(run)
        except (OwnedError, FencedError, GivenBackError):
            self._pause(run, OWNED_SECONDS)
        except Exception:  # noqa: BLE001 -- whoever made the work has told it; the others go on
            self._failed[run] = self._failed.get(run, 0) + 1
            self._pause(run, min(_doubled(self._failed[run]), PAUSE_SECONDS_MAX))
        else:
            self._failed.pop(run, None)
            self._pause(run, max(self._again(run, begun, waits=waits), self._rest_seconds))

    async def _waits(self, run: str) -> bool:
        """Whether a run is blocked until a time."""
        row = read_row(RunRow, await self._store.row(RUNS, run))
        return bool(row and row.status == "blocked" and row.wake_at)

    def _again(self, run: str, begun: float, *, waits: bool) -> float:
        """Return how long a run is left alone that was due as soon as it could be, and then only waits again."""
        times, due = self._waited.pop(run, (-1, begun))
        if not waits:
            return 0.0
        times = times + 1 if begun - due <= AT_ONCE_SECONDS else 0
        seconds = min(_doubled(times), AGAIN_SECONDS_MAX) if times else 0.0
        self._waited[run] = times, self._clock.monotonic() + max(seconds, self._rest_seconds)
        return seconds

    def _pause(self, run: str, seconds: float) -> None:
        self._until[run] = self._clock.monotonic() + seconds


def _doubled(times: int) -> float:
    """Return 1 s for the first time, then 2 s, 4 s and so on."""
    return 2.0 ** min(times - 1, 10)
