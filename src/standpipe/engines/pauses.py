"""A bad run never stops a worker: it is left alone, longer each time, and the others go on."""

from standpipe.clock import Clock
from standpipe.engines.port import Work
from standpipe.errors import FencedError, GivenBackError, OwnedError

OWNED_SECONDS = 0.5  # until somebody else's run is looked at again: he may have died
PAUSE_SECONDS_MAX = 300.0


class Pauses:
    """The runs that one worker leaves alone for a while; kept in memory, a new worker tries at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._failed: dict[str, int] = {}

    def __len__(self) -> int:
        now = self._clock.monotonic()
        self._until = {run: until for run, until in self._until.items() if until > now}
        return len(self._until)

    def __contains__(self, run: str) -> bool:
        return self._until.get(run, 0.0) > self._clock.monotonic()

    async def attempt(self, work: Work, run: str) -> None:
        """Work on a run, and leave it alone for a while if that fails."""
        try:
            await work(run)
        except (OwnedError, FencedError, GivenBackError):
            self._pause(run, OWNED_SECONDS)
        except Exception:  # noqa: BLE001 -- whoever made the work has told it; the others go on
            self._failed[run] = self._failed.get(run, 0) + 1
            self._pause(run, min(2.0 ** (self._failed[run] - 1), PAUSE_SECONDS_MAX))
        else:
            self._failed.pop(run, None)

    def _pause(self, run: str, seconds: float) -> None:
        self._until[run] = self._clock.monotonic() + seconds
