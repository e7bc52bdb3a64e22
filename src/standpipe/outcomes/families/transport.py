"""Connections: what went wrong on the way, and whether anything had been sent by then.

Rule 1: `NOT_SENT` is claimed only where nothing can have left this machine.
Rule 2: a wrapper (`requests.ConnectionError`, `URLError`, `APIConnectionError`) says less than what it wraps.
"""

import errno
import re

from standpipe.outcomes.finding import Finding
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import Link, chain, host_of, number

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
    "requests.MissingSchema": BAD_REQUEST,
    "requests.InvalidSchema": BAD_REQUEST,
    "requests.InvalidURL": BAD_REQUEST,
    "requests.ChunkedEncodingError": CUT,
    "requests.ContentDecodingError": CUT,
    "requests.Timeout": EXPIRED,
    "urllib3.NewConnectionError": NOT_SENT,
    "urllib3.NameResolutionError": NOT_SENT,
    "urllib3.ConnectTimeoutError": NOT_SENT,
    "urllib3.ReadTimeoutError": SLOW,
    "urllib3.ProtocolError": BROKEN,
    "aiohttp.ClientConnectorError": NOT_SENT,
    "aiohttp.ConnectionTimeoutError": NOT_SENT,
    "aiohttp.InvalidURL": BAD_REQUEST,
    "aiohttp.ServerDisconnectedError": BROKEN,
    "aiohttp.ClientPayloadError": CUT,
    "aiohttp.ServerTimeoutError": EXPIRED,
    "aiohttp.ClientOSError": BROKEN,
    "aiohttp.ClientResponseError": BROKEN,  # with a status it is an answer, and `http` has read it
    "aiohttp.ClientConnectionResetError": BROKEN,
    "aiohttp.InvalidUrlClientError": BAD_REQUEST,
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
    "asyncio.IncompleteReadError": CUT,
    "builtins.EOFError": (Kind.TRUNCATED, Phase.UNKNOWN),
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
    "stripe.APIConnectionError": (Kind.SERVER_ERROR, Phase.UNKNOWN),
    "elastic_transport.ConnectionError": (Kind.SERVER_ERROR, Phase.UNKNOWN),
    "redis.ConnectionError": (Kind.SERVER_ERROR, Phase.UNKNOWN),
    "urllib3.MaxRetryError": (Kind.SERVER_ERROR, Phase.UNKNOWN),
    "urllib.URLError": (Kind.SERVER_ERROR, Phase.UNKNOWN),
    "requests.SSLError": (Kind.SERVER_ERROR, Phase.UNKNOWN),
    "urllib3.SSLError": (Kind.SERVER_ERROR, Phase.UNKNOWN),
    "botocore.SSLError": (Kind.SERVER_ERROR, Phase.UNKNOWN),
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
            r"|CERTIFICATE_VERIFY_FAILED|WRONG_VERSION_NUMBER|HANDSHAKE_FAILURE|TLSV1_ALERT|RECORD_LAYER_FAILURE"
            r"|UNSUPPORTED_PROTOCOL|NO_PROTOCOLS_AVAILABLE|[Hh]ostname mismatch|doesn't match|ConnectTimeoutError"
        ),
        NOT_SENT,
    ),
    (re.compile(r"RemoteDisconnected|Connection reset|Connection aborted|Broken pipe"), BROKEN),
    (re.compile(r"\btimed out\b"), EXPIRED),
)
_NETWORKS = frozenset(
    {"httpx", "httpcore", "requests", "urllib", "urllib3", "aiohttp", "http", "ssl", "openai", "anthropic", "stripe",
     "elastic_transport", "redis", "botocore"}
)  # fmt: skip
_TELLS_STATUS = re.compile(r"[45]\d\d, message=(?!['\"]Bad status line)")
# How urllib3 gives up on a server that went on refusing.
_REFUSALS = re.compile(r"too many [45]\d\d error responses")
_INCOMPLETE = re.compile(r"incomplete|complete message body", re.IGNORECASE)


def find(link: Link) -> Finding | None:
    """Read a fault of a network library, or an OSError of the network."""
    if not _NETWORKS.isdisjoint(link.packages):
        if "aiohttp.ContentTypeError" in link.names:
            kind = Kind.HTML if "text/html" in link.message else Kind.SCHEMA
            return _finding(link, (kind, Phase.RECEIVED))
        if "aiohttp.ClientResponseError" in link.names and _TELLS_STATUS.match(link.message):
            return None  # its status was lost on the way, but it opens the sentence
        if link.names[0] in WRAPPERS:
            return _unwrapped(link, WRAPPERS[link.names[0]])
    code = number(link.fault, "errno")
    if code in ERRNOS:
        return _finding(link, ERRNOS[code], code=errno.errorcode[code])
    verdict = next((TYPES[name] for name in link.names if name in TYPES), None)
    if verdict is None:
        return None
    if verdict is BROKEN and _INCOMPLETE.search(link.message):
        verdict = CUT
    return _finding(link, verdict)


def by_errno(number_: int) -> Kind | None:
    """Return what an error number of the network means."""
    verdict = ERRNOS.get(number_)
    return verdict[0] if verdict else None


def _unwrapped(link: Link, otherwise: tuple[Kind, Phase]) -> Finding | None:
    for inner in chain(link.fault)[1:]:
        if (found := find(inner)) is not None:
            return found
    if _REFUSALS.search(link.message):
        return None
    said = (verdict for pattern, verdict in WORDS if pattern.search(link.message))
    return _finding(link, next(said, otherwise))


def _finding(link: Link, verdict: tuple[Kind, Phase], *, code: str = "") -> Finding:
    kind, phase = verdict
    host = host_of(link.fault.url)
    where = f" ({host})" if host and host not in link.message else ""
    return Finding(
        kind=kind,
        message=f"{link.fault.type}: {link.message or _SAID[kind]}{where}",
        code=code or link.fault.type,
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
