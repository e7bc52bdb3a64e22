"""A model provider on loopback that answers as told: OpenAI chat completions and Anthropic messages.

Both whole and as a stream, as the request asks; behind it is the fault server, with one row of steps for
both dialects.

Rule 1: the path decides the dialect, a step decides the answer; after the last step it repeats, so a
    client that asks again is seen asking again.
Rule 2: every request is recorded before it is answered, without its keys.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, assert_never

from standpipe.clock import Clock
from standpipe.testing.faults.dialects import (
    CHAT,
    MESSAGES,
    TROUBLES,
    Answer,
    Refusal,
    ToolCall,
    Trouble,
)
from standpipe.testing.faults.fault import HTML, Break, Fault
from standpipe.testing.faults.http import object_of
from standpipe.testing.faults.server import FaultServer

__all__ = [
    "CHAT", "MESSAGES", "TROUBLES", "Answer", "Broken", "Hang", "Page", "ProviderServer", "Received",
    "Refusal", "Step", "ToolCall", "Trouble",
]  # fmt: skip
PAGE = "<!DOCTYPE html><html><head><title>Bad gateway</title></head><body>nginx</body></html>"


@dataclass(frozen=True, slots=True)
class Page:
    """Something between us and the provider answers with HTML."""

    html: str = PAGE
    status: int = 200


@dataclass(frozen=True, slots=True)
class Hang:
    """The request is taken and never answered, until the server closes."""


@dataclass(frozen=True, slots=True)
class Broken:
    """An answer that begins and does not end: an error event, silence, a cut or a reset after half of it."""

    answer: Answer
    by: Break = "error"


Step = Answer | Trouble | Page | Hang | Broken


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came in."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, object]
    at_seconds: float  # of the clock's monotonic time


class ProviderServer:
    """Serve `steps` on a free port of loopback for as long as the `with` block lasts."""

    def __init__(self, steps: Sequence[Step], *, clock: Clock | None = None) -> None:
        self._server = FaultServer(clock=clock)
        self._server.script_together((CHAT, MESSAGES), *(_fault(step) for step in steps))

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def credentials(self) -> Mapping[str, str]:
        """Keys and addresses that lead every provider here, as `build_model` takes them."""
        return self._server.credentials

    @property
    def requests(self) -> list[Received]:
        return [
            Received(seen.path, seen.headers, object_of(seen.body.encode()), seen.at_seconds)
            for seen in self._server.requests
        ]

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.__exit__(kind, error, trace)


def _fault(step: Step) -> Fault:
    match step:
        case Answer() | Trouble():
            return Fault.model(step)
        case Broken(answer, by):
            return Fault.model(answer, breaks=by)
        case Page(html, status):
            return Fault.status(status, body=html, media=HTML)
        case Hang():
            return Fault.silence()
        case _:
            assert_never(step)
