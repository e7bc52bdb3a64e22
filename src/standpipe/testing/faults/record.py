"""What came in, what landed, and which step of which script comes next.

Rule 1: every method may be called from any thread.
Rule 2: a request is recorded before it is answered, and without its keys.
"""

import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from standpipe.clock import Clock
from standpipe.testing.faults.fault import Fault

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # methods that change nothing
SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-goog-api-key"}
)
_SECRET_QUERY = re.compile(
    r"(?i)(?<=[?&])((?:api[_-]?|access[_-]?)?(?:key|token)|signature|sig)=[^&]*"
)


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it came in; `fault` names what it was answered with."""

    number: int
    method: str
    path: str
    at_seconds: float  # of the clock's monotonic time
    at: datetime
    headers: Mapping[str, str]
    body: str
    body_bytes: int
    fault: str


@dataclass(frozen=True, slots=True)
class Landed:
    """One effect that happened, whether or not the caller heard of it."""

    method: str
    path: str
    body: str
    key: str  # its Idempotency-Key
    at_seconds: float


@dataclass(frozen=True, slots=True)
class Play:
    """The step that is due, and when its path began to be answered so."""

    fault: Fault
    started: datetime


@dataclass(slots=True)
class Script:
    """The steps of one path; the last one repeats."""

    steps: tuple[Fault, ...]
    place: int = 0
    held: tuple[float, datetime] | None = None  # since when the step at `place` is held

    def next(self, at_seconds: float, now: datetime) -> Play:
        fault = self.steps[min(self.place, len(self.steps) - 1)]
        if self.held is not None:
            since, started = self.held
            if at_seconds - since < fault.holds_seconds:
                return Play(fault, started)
            self.held = None
            self.place += 1
            return self.next(at_seconds, now)
        if fault.holds_seconds:
            self.held = (at_seconds, now)
        else:
            self.place += 1
        return Play(fault, now)


@dataclass(slots=True)
class Record:
    """The memory of one server."""

    clock: Clock
    seen: list[Seen] = field(default_factory=list[Seen])
    landed: list[Landed] = field(default_factory=list[Landed])
    _scripts: dict[str, Script] = field(default_factory=dict[str, Script])
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def script(self, keys: Iterable[str], steps: tuple[Fault, ...]) -> None:
        """Give paths their steps, which they share."""
        with self._lock:
            shared = Script(steps)
            self._scripts.update(dict.fromkeys(keys, shared))

    def next(self, *keys: str) -> Play | None:
        """Return the due step of the first of these that has a script, and count it."""
        with self._lock:
            script = next((self._scripts[key] for key in keys if key in self._scripts), None)
            return script and script.next(self.clock.monotonic(), self.clock.now())

    def next_of(self, key: str, steps: tuple[Fault, ...]) -> Play:
        """Return the due step of a path that has its own steps, and count it."""
        with self._lock:
            script = self._scripts.setdefault(key, Script(steps))
            return script.next(self.clock.monotonic(), self.clock.now())

    def see(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes, fault: str
    ) -> Seen:
        """Write down a request."""
        with self._lock:
            seen = Seen(
                number=len(self.seen) + 1,
                method=method,
                path=_SECRET_QUERY.sub(r"\1=-", path),
                at_seconds=self.clock.monotonic(),
                at=self.clock.now(),
                headers={name: one for name, one in headers.items() if name not in SECRET_HEADERS},
                body=body.decode("utf-8", "replace"),
                body_bytes=len(body),
                fault=fault,
            )
            self.seen.append(seen)
            return seen

    def land(self, seen: Seen) -> bool:
        """Write down an effect; say whether it is new, which one with a known key is not."""
        key = seen.headers.get("idempotency-key", "")
        with self._lock:
            path = seen.path.partition("?")[0]
            if key and any(one.key == key and one.path == path for one in self.landed):
                return False
            self.landed.append(Landed(seen.method, path, seen.body, key, seen.at_seconds))
            return True
