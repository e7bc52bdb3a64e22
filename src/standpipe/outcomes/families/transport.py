"""Connections: what went wrong on the way, and whether anything had been sent by then.

Rule 1: `NOT_SENT` is claimed only where nothing can have left this machine.
Rule 2: a wrapper (`requests.ConnectionError`, `URLError`, `APIConnectionError`) says less than what it wraps.
"""

import errno
import re
from itertools import islice

from standpipe.actions import Fault
from standpipe.outcomes.finding import Finding
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import called, chain, host_of, number

NOT_SENT = (Kind.NOT_SENT, Phase.NOT_SENT)
BAD_REQUEST = (Kind.BAD_INPUT, Phase.NOT_SENT)
SLOW = (Kind.TIMED_OUT, Phase.SENT)
EXPIRED = (Kind.TIMED_OUT, Phase.UNKNOWN)
BROKEN = (Kind.SERVER_ERROR, Phase.SENT)
CUT = (Kind.TRUNCATED, Phase.RECEIVED)

TYPES = {
    "httpx.ConnectError": NOT_SENT,
    "httpx.ConnectTimeout": NOT_SENT,
    "httpx.PoolTimeout": NOT_SENT,
    "httpx.ProxyError": NOT_SENT,
    "httpx.UnsupportedProtocol": BAD_REQUEST,
    "httpx.InvalidURL": BAD_REQUEST,
    "httpx.LocalProtocolError": BAD_REQUEST,
    "httpx.ReadTimeout": SLOW,
    "httpx.WriteTimeout": SLOW,
    "httpx.WriteError": BROKEN,
    "httpx.ReadError": BROKEN,
    "httpx.RemoteProtocolError": BROKEN,
    "httpx.NetworkError": BROKEN,
    "httpx.DecodingError": CUT,
    "httpx.TimeoutException": EXPIRED,
    "httpcore.ConnectError": NOT_SENT,
    "httpcore.ConnectTimeout": NOT_SENT,
    "httpcore.PoolTimeout": NOT_SENT,
    "httpcore.ReadTimeout": SLOW,
    "httpcore.ReadError": BROKEN,
    "httpcore.RemoteProtocolError": BROKEN,
    "requests.ConnectTimeout": NOT_SENT,
    "requests.ReadTimeout": SLOW,
    "requests.ProxyError": NOT_SENT,
    "requests.SSLError": NOT_SENT,
    "requests.MissingSchema": BAD_REQUEST,
    "requests.InvalidSchema": BAD_REQUEST,
    "requests.InvalidURL": BAD_REQUEST,
    "requests.ChunkedEncodingError": CUT,
    "requests.ContentDecodingError": CUT,
    "requests.Timeout": EXPIRED,
    "urllib3.NewConnectionError": NOT_SENT,
    "urllib3.NameResolutionError": NOT_SENT,
    "urllib3.ConnectTimeoutError": NOT_SENT,
    "urllib3.SSLError": NOT_SENT,
    "urllib3.ReadTimeoutError": SLOW,
    "urllib3.ProtocolError": BROKEN,
    "aiohttp.ClientConnectorError": NOT_SENT,
    "aiohttp.ConnectionTimeoutError": NOT_SENT,
    "aiohttp.InvalidURL": BAD_REQUEST,
    "aiohttp.ServerDisconnectedError": BROKEN,
    "aiohttp.ClientPayloadError": CUT,
    "aiohttp.ServerTimeoutError": EXPIRED,
    "aiohttp.ClientOSError": BROKEN,
    "http.RemoteDisconnected": BROKEN,
    "http.IncompleteRead": CUT,
    "http.BadStatusLine": BROKEN,
    "http.CannotSendRequest": BAD_REQUEST,
    "http.InvalidURL": BAD_REQUEST,
    "socket.gaierror": NOT_SENT,
    "builtins.gaierror": NOT_SENT,
    "builtins.ConnectionRefusedError": NOT_SENT,
    "ssl.SSLCertVerificationError": NOT_SENT,
    "builtins.ConnectionResetError": BROKEN,
    "builtins.ConnectionAbortedError": BROKEN,
    "builtins.BrokenPipeError": BROKEN,
    "builtins.TimeoutError": EXPIRED,
    "socket.timeout": EXPIRED,
    "asyncio.TimeoutError": EXPIRED,
    "concurrent.TimeoutError": EXPIRED,
    "subprocess.TimeoutExpired": EXPIRED,
    "anthropic.APITimeoutError": EXPIRED,
    "openai.APITimeoutError": EXPIRED,
}
WRAPPERS = {
    "openai.APIConnectionError": (Kind.SERVER_ERROR, Phase.UNKNOWN),
    "anthropic.APIConnectionError": (Kind.SERVER_ERROR, Phase.UNKNOWN),
    "openai.APITimeoutError": EXPIRED,
    "anthropic.APITimeoutError": EXPIRED,
    "requests.ConnectionError": (Kind.SERVER_ERROR, Phase.UNKNOWN),
    "urllib3.MaxRetryError": (Kind.SERVER_ERROR, Phase.UNKNOWN),
    "urllib.URLError": (Kind.SERVER_ERROR, Phase.UNKNOWN),
    "ssl.SSLError": (Kind.SERVER_ERROR, Phase.UNKNOWN),
}
ERRNOS = {
    errno.ECONNREFUSED: NOT_SENT,
    errno.ENETUNREACH: NOT_SENT,
    errno.EHOSTUNREACH: NOT_SENT,
    errno.ENETDOWN: NOT_SENT,
    errno.EADDRNOTAVAIL: NOT_SENT,
    errno.ECONNRESET: BROKEN,
    errno.ECONNABORTED: BROKEN,
    errno.EPIPE: BROKEN,
    errno.ETIMEDOUT: EXPIRED,
}
# How a wrapper tells what it wraps, when that did not come along.
WORDS = (
    (
        re.compile(
            r"NewConnectionError|NameResolutionError|Failed to (?:resolve|establish a new connection)"
            r"|Name or service not known|nodename nor servname|Temporary failure in name resolution"
            r"|No address associated with hostname|getaddrinfo failed|Connection refused"
            r"|CERTIFICATE_VERIFY_FAILED|WRONG_VERSION_NUMBER|HANDSHAKE_FAILURE|ConnectTimeoutError"
        ),
        NOT_SENT,
    ),
    (re.compile(r"RemoteDisconnected|Connection reset|Connection aborted|Broken pipe"), BROKEN),
    (re.compile(r"\btimed out\b"), EXPIRED),
)
_INCOMPLETE = re.compile(r"incomplete|complete message body", re.IGNORECASE)


def find(fault: Fault) -> Finding | None:
    """Read a fault of a network library, or an OSError of the network."""
    names = list(called(fault))
    if "aiohttp.ContentTypeError" in names:
        kind = Kind.HTML if "text/html" in fault.message else Kind.SCHEMA
        return _finding(fault, (kind, Phase.RECEIVED))
    wrapper = next((WRAPPERS[name] for name in names[:1] if name in WRAPPERS), None)
    if wrapper is not None:
        return _unwrapped(fault, wrapper)
    code = number(fault, "errno")
    if code in ERRNOS:
        return _finding(fault, ERRNOS[code], code=errno.errorcode[code])
    verdict = next((TYPES[name] for name in names if name in TYPES), None)
    if verdict is None:
        return None
    if verdict is BROKEN and _INCOMPLETE.search(fault.message):
        verdict = CUT
    return _finding(fault, verdict)


def _unwrapped(fault: Fault, otherwise: tuple[Kind, Phase]) -> Finding:
    for inner in islice(chain(fault), 1, None):
        if (found := find(inner)) is not None:
            return found
    said = (verdict for pattern, verdict in WORDS if pattern.search(fault.message))
    return _finding(fault, next(said, otherwise))


def _finding(fault: Fault, verdict: tuple[Kind, Phase], *, code: str = "") -> Finding:
    kind, phase = verdict
    host = host_of(fault.url)
    where = f" ({host})" if host and host not in fault.message else ""
    return Finding(
        kind=kind,
        message=f"{fault.type}: {fault.message or _SAID[kind]}{where}",
        code=code or fault.type,
        phase=phase,
        host=host,
    )


_SAID = {
    Kind.NOT_SENT: "no connection was made",
    Kind.TIMED_OUT: "no answer in time",
    Kind.SERVER_ERROR: "the connection broke",
    Kind.TRUNCATED: "the answer was cut off",
    Kind.BAD_INPUT: "the request could not be made",
    Kind.HTML: "a page came instead of data",
    Kind.SCHEMA: "the answer is of another type",
}
