"""The HTTP client beneath the SDKs of the providers: it looks at an answer before they do.

A stream of events is read line by line, and of a page, or of an answer that does not stream, no line is
one: the SDKs (openai 3.54, anthropic 2.12) then report an empty stream, and what was said is lost.
"""

from collections.abc import Mapping
from typing import Protocol, TypeVar

STREAMED = "text/event-stream"
_PAGES, _WHOLE = ("text/html", "application/xhtml+xml"), "application/json"

E = TypeVar("E", bound=BaseException)


class PageError(Exception):
    """A page came where an answer of the model was asked for."""

    def __init__(self, page: str) -> None:
        super().__init__("a page instead of an answer")
        self.page = page


class NotStreamedError(Exception):
    """The server answered as a whole, although a stream was asked for."""


class _Asked(Protocol):
    @property
    def headers(self) -> Mapping[str, str]: ...


class _Answer(Protocol):
    """What `httpx` and `httpx2` have in common."""

    @property
    def is_success(self) -> bool: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def request(self) -> _Asked: ...
    @property
    def text(self) -> str: ...
    async def aread(self) -> bytes: ...


async def look_at(answer: _Answer) -> None:
    """Refuse what no SDK can read, as an event hook of the client.

    Raises:
        PageError: it is HTML, so something stands between us and the provider.
        NotStreamedError: it is no stream.
    """
    media = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not answer.is_success:
        return
    if media in _PAGES:
        await answer.aread()
        raise PageError(answer.text)
    if media == _WHOLE and answer.request.headers.get("accept") == STREAMED:
        raise NotStreamedError


def found_in(error: BaseException, kind: type[E]) -> E | None:
    """Return the exception of that kind among `error` and its causes."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, kind):
            return cause
        cause = cause.__cause__
    return None
