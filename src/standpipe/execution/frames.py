"""What the runtime and its workers say to each other: JSON records, each with its length in front.

Rule 1: `Init` is the first frame and the only one that carries the home; it is answered by `Hello` or `Broken`.
Rule 2: then one `Request` at a time, each answered by `Returned` or `Raised`. Before its answer comes a
    `Reached` for every host the tool connects to, so that it is known of a call that has no answer too.
"""

import asyncio
import socket
import struct
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from standpipe.actions import Raised, Returned, Tool

RESULT_BYTES_MAX = 8 * 1024 * 1024
FRAME_BYTES_MAX = 32 * 1024 * 1024  # requests and manifests; results are held to the lower limit
_LENGTH = struct.Struct(">I")


class Source(Struct, frozen=True):
    """The text of tools.py as it was when the pool started: every worker runs the same code."""

    path: str
    text: str


class Init(Struct, frozen=True, kw_only=True, tag="init"):
    home: str
    workspace: str
    settings: Mapping[str, object] = {}
    secrets: Mapping[str, str] = {}
    modules: tuple[str, ...] = ()
    source: Source | None = None


class Request(Struct, frozen=True, kw_only=True, tag="request"):
    op: str  # call | verify | refresh
    tool: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")
    key: str = ""
    secrets: Mapping[str, str] = {}  # renewed since `Init`
    paused: Mapping[str, float] = {}  # hosts to leave alone, and for how many seconds


class Hello(Struct, frozen=True, tag="hello"):
    tools: tuple[Tool, ...]


class Broken(Struct, frozen=True, tag="broken"):
    """The tools cannot be loaded."""

    file: str
    line: int
    message: str
    hint: str = ""


class Reached(Struct, frozen=True, tag="reached"):
    """The tool is about to connect to this host."""

    host: str


Reply = Hello | Broken | Reached | Returned | Raised

_replies = msgspec.json.Decoder(Reply)
_requests = msgspec.json.Decoder(Init | Request)


class FrameTooLargeError(ValueError):
    """A message is longer than the other side would take."""


def encode(message: Init | Request | Reply, *, bytes_max: int = FRAME_BYTES_MAX) -> bytes:
    """Return the frame of a message.

    Raises:
        FrameTooLargeError: it is longer than `bytes_max`.
        ValueError: it holds something JSON has no words for.
    """
    try:
        body = msgspec.json.encode(message)
    except (TypeError, OverflowError, msgspec.MsgspecError) as error:
        raise ValueError(str(error)) from error
    if len(body) > bytes_max:
        raise FrameTooLargeError(f"{len(body)} bytes, at most {bytes_max} are taken")
    return _LENGTH.pack(len(body)) + body


async def read_reply(stream: asyncio.StreamReader) -> Reply:
    """Read one reply of a worker.

    Raises:
        asyncio.IncompleteReadError: the worker is gone.
        ValueError: this is no reply.
    """
    (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
    if length > FRAME_BYTES_MAX:
        raise ValueError(f"a reply of {length} bytes")
    return _replies.decode(await stream.readexactly(length))


def read_request(channel: socket.socket) -> Init | Request | None:
    """Wait for one message of the runtime; None when it has closed the channel."""
    header = _receive(channel, _LENGTH.size)
    if header is None:
        return None
    body = _receive(channel, _LENGTH.unpack(header)[0])
    return None if body is None else _requests.decode(body)


def _receive(channel: socket.socket, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        part = channel.recv(min(size - len(parts), 1024 * 1024))
        if not part:
            return None
        parts += part
    return bytes(parts)
