"""HTTP as bytes: requests read with care, answers written with none.

Rule 1: whatever a client sends, reading ends: with a request, with `BadRequestError`, or with the
    end of the connection.
Rule 2: what goes out is made first, as pieces, and only then spoiled and sent.
"""

import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.message import Message
from http import HTTPStatus
from http.client import HTTPException, parse_headers
from typing import BinaryIO, cast

from standpipe.outcomes.outcome import Kind
from standpipe.testing.faults.dialects import (
    CHAT,
    MESSAGES,
    STREAM,
    Trouble,
    error_event,
    spoken,
)
from standpipe.testing.faults.fault import End, Fault, Moment, Reply, Turn, fill, http_date
from standpipe.testing.faults.listener import finish

LINE_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 16 * 1024 * 1024
_BODILESS = frozenset({204, 304})
_CHUNK_END = b"0\r\n\r\n"
_STATUSES = frozenset(status.value for status in HTTPStatus)
_ENDS: Mapping[str | None, End] = {
    "silence": End.SILENCE,
    "cut": End.CLOSE,
    "reset": End.RESET,
}


class BadRequestError(Exception):
    """Bytes that are no request we take; the status says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the body of a request; header names are lower case."""

    method: str
    target: str
    version: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def keeps(self) -> bool:
        return self.version == "HTTP/1.1" and self.headers.get("connection", "").lower() != "close"


@dataclass(frozen=True, slots=True)
class Wire:
    """What goes over the wire."""

    head: bytes
    pieces: tuple[bytes, ...] = ()
    end: End = End.KEEP
    pause_seconds: float = 0.0


def read_head(reader: BinaryIO) -> Head | None:
    """Read up to the empty line; nothing is there when the client has gone."""
    line = reader.readline(LINE_BYTES_MAX)
    if line in (b"\r\n", b"\n"):  # RFC 9112 2.2: one empty line before a request is borne
        line = reader.readline(LINE_BYTES_MAX)
    if not line:
        return None
    words = line.decode("latin-1").split()
    if not line.endswith(b"\n") or len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequestError(400, "no request line")
    try:
        headers: Message = parse_headers(reader)
    except HTTPException as error:
        raise BadRequestError(431, f"headers: {type(error).__name__}") from error
    named = {name.lower(): str(value) for name, value in headers.items()}
    return Head(words[0].upper(), words[1], words[2], named)


def read_body(head: Head, reader: BinaryIO, connection: socket.socket) -> bytes:
    """Read the body, by its length or in chunks."""
    if head.headers.get("expect", "").lower() == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" in head.headers.get("transfer-encoding", "").lower():
        return _read_chunks(reader)
    return _read(reader, _number(head.headers.get("content-length", "0"), 10))


def object_of(body: bytes) -> Mapping[str, object]:
    """Read a body as a JSON object; anything else is an empty one."""
    try:
        found: object = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return cast("Mapping[str, object]", found) if isinstance(found, dict) else {}


def wire_of(fault: Fault, head: Head, body: bytes, moment: Moment) -> Wire:
    """Make the bytes of a fault."""
    match fault.reply:
        case Reply() as reply:
            return _plain(fault, reply, head, moment)
        case Turn() as turn:
            return _provider(fault, turn, head, body, moment)
        case _:
            return Wire(b"", end=fault.end)


def send(wire: Wire, connection: socket.socket, closing: threading.Event) -> bool:
    """Send it, end as it says, and return whether the connection is of further use."""
    connection.sendall(wire.head)
    for piece in wire.pieces:
        if wire.pause_seconds and closing.wait(wire.pause_seconds):
            return False
        connection.sendall(piece)
    finish(connection, wire.end)
    return wire.end is End.KEEP


def _read_chunks(reader: BinaryIO) -> bytes:
    body = b""
    while size := _number(reader.readline(LINE_BYTES_MAX).partition(b";")[0].decode("latin-1"), 16):
        body += _read(reader, size)
        reader.readline(LINE_BYTES_MAX)
        if len(body) > BODY_BYTES_MAX:
            raise BadRequestError(413, "the body is too large")
    while reader.readline(LINE_BYTES_MAX) not in (b"\r\n", b"\n", b""):
        pass
    return body


def _number(text: str, radix: int) -> int:
    digits = text.strip()
    if not digits.isascii() or not digits.isalnum():
        raise BadRequestError(400, "no length")
    try:
        number = int(digits, radix)
    except ValueError as error:
        raise BadRequestError(400, "no length") from error
    if number > BODY_BYTES_MAX:
        raise BadRequestError(413, "the body is too large")
    return number


def _read(reader: BinaryIO, size: int) -> bytes:
    body = reader.read(size)
    if len(body) < size:
        raise BadRequestError(400, "the body is shorter than it says")
    return body


def _plain(fault: Fault, reply: Reply, head: Head, moment: Moment) -> Wire:
    text = fill(reply.body, moment) if reply.template else reply.body
    content = text.encode("utf-8", "replace")
    if reply.status in _BODILESS:
        content = b""
    headers = {name: fill(value, moment) for name, value in reply.headers.items()}
    length = max(len(content) + fault.length_error, 0)
    # Who answers with the body unread must let it come in, or its reset overtakes the answer.
    end = End.HALF_CLOSE if fault.early and fault.end is End.KEEP else fault.end
    opening = _opening(
        reply.status,
        {"content-type": reply.media, "content-length": str(length), **headers},
        moment,
        closes=end is not End.KEEP or not head.keeps,
    )
    if head.method == "HEAD":
        content = b""
    kept = content[: min(int(len(content) * fault.kept_share), length)]
    pieces = tuple(bytes([one]) for one in kept) if fault.pause_seconds else (kept,)
    return Wire(opening, pieces, end, fault.pause_seconds)


def _provider(fault: Fault, turn: Turn, head: Head, body: bytes, moment: Moment) -> Wire:
    path = MESSAGES if head.path.endswith("/messages") else CHAT
    said = spoken(path, turn.step, object_of(body), moment.number)
    end = _ENDS.get(turn.breaks, End.KEEP)
    if said.media == STREAM:
        pieces = _broken(said.pieces, turn, error_event(path, moment.number))
        return _stream(pieces, end, head, moment)
    if end in (End.SILENCE, End.RESET):
        return Wire(b"", end=end)
    if turn.breaks == "error":
        said = spoken(path, Trouble(Kind.OVERLOADED), {}, moment.number)
    reply = Reply(said.status, said.pieces[0], said.media, said.headers, template=False)
    share = 0.5 if end is End.CLOSE else 1.0
    return _plain(replace(fault, end=end, kept_share=share), reply, head, moment)


def _broken(events: tuple[str, ...], turn: Turn, error: str) -> tuple[str, ...]:
    """Return what is sent of a stream: all of it, or its first half, with an error event or not."""
    if turn.breaks is None:
        return events
    half = events[: max(len(events) // 2, 1)]
    return (*half, error) if turn.breaks == "error" else half


def _stream(events: tuple[str, ...], end: End, head: Head, moment: Moment) -> Wire:
    """Send each event as a chunk of its own; a stream that is cut lacks the last, empty one."""
    chunked = head.version == "HTTP/1.1"
    coding = {"transfer-encoding": "chunked"} if chunked else {}
    closes = end is not End.KEEP or not head.keeps
    opening = _opening(200, {"content-type": STREAM, **coding}, moment, closes=closes)
    pieces = tuple(event.encode("utf-8", "replace") for event in events)
    if chunked:
        pieces = tuple(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        pieces = (*pieces, _CHUNK_END) if end is End.KEEP else pieces
    return Wire(opening, pieces, end if chunked or end is not End.KEEP else End.CLOSE)


def _opening(status: int, headers: Mapping[str, str], moment: Moment, *, closes: bool) -> bytes:
    reason = HTTPStatus(status).phrase if status in _STATUSES else "Unknown"
    shown = {"date": http_date(moment.now), "server": "fault-server", **headers}
    if closes:
        shown["connection"] = "close"
    lines = [f"{name}: {' '.join(value.split())}" for name, value in shown.items()]
    head = "\r\n".join([f"HTTP/1.1 {status} {reason}", *lines, "", ""])
    return head.encode("latin-1", "replace")
