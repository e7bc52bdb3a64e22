"""May this URL be reached? Text only: no name is resolved and nothing is sent here.

Rule 1: a URL has one reading; what two clients could read differently is refused.
Rule 2: https to a listed host; plain http only to a listed loopback address.
Rule 3: what is not listed is refused. `host` means its default port, `host:port` that port.
"""

import ipaddress
import re
from collections.abc import Iterable

from msgspec import Struct

DEFAULT_PORTS = {"http": 80, "https": 443}

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>[/?][^#]*)?(?:#.*)?",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC = re.compile(
    r"[0-9]+|0x[0-9a-f]*"
)  # such a last label makes the host an IPv4 address (WHATWG)
_ENCODED_CONTROL = re.compile(r"%(?:[01][0-9a-f]|7f)", re.IGNORECASE)


class Place(Struct, frozen=True):
    """Where a URL leads. An IPv6 host keeps its brackets; `target` is path and query."""

    scheme: str
    host: str
    port: int
    target: str = "/"

    @property
    def origin(self) -> str:
        """Scheme, host and port, the default port left out."""
        suffix = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{suffix}"


def host_allowed(url: str, allow: Iterable[str]) -> str | None:
    """Return why `url` may not be reached, or None if it may.

    Example:
        >>> host_allowed("https://api.example.com/orders", ["api.example.com"])
        >>> host_allowed("https://api.example.com:8443/", ["api.example.com"])
        '`api.example.com:8443` is not listed in [egress]'
    """
    try:
        place = read_url(url)
    except ValueError as error:
        return str(error)
    if not listed(place, allow):
        return f"`{listing(place)}` is not listed in [egress]"
    if place.scheme == "http" and not is_loopback(place.host):
        return f"plain http to `{place.host}` is refused, only https leaves this machine"
    return None


def read_url(url: str) -> Place:
    """Read a URL strictly.

    Raises:
        ValueError: it is not plain http(s), or could be read in two ways.

    Example:
        >>> read_url("http://127.0.0.1:8080/x?y=1#z")
        Place(scheme='http', host='127.0.0.1', port=8080, target='/x?y=1')
    """
    _refuse_odd_text(url)
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError("the URL is not of the form https://host[:port]/path")
    scheme = found["scheme"].lower()
    port = int(found["port"] or DEFAULT_PORTS[scheme])
    if not 0 < port < 65536:  # noqa: PLR2004 -- the range of ports
        raise ValueError(f"the URL names port {port}, which does not exist")
    target = found["target"] or "/"
    return Place(
        scheme, _host(found["host"].lower()), port, target if target[0] == "/" else f"/{target}"
    )


def listed(place: Place, entries: Iterable[str]) -> bool:
    """Whether an entry `host` or `host:port` means exactly this place."""
    names = {f"{place.host}:{place.port}"}
    if place.port == DEFAULT_PORTS[place.scheme]:
        names.add(place.host)
    return any(entry.strip().lower() in names for entry in entries)


def listing(place: Place) -> str:
    """Spell a place as an entry of a list."""
    return place.origin.partition("://")[2]


def host_of(url: str) -> str | None:
    """Return `host` or `host:port` of a URL, as `[egress]` spells it; None if it is no plain URL.

    Example:
        >>> host_of("https://api.example.com/orders")
        'api.example.com'
    """
    try:
        return listing(read_url(url))
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether the host is this machine by its very spelling."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _refuse_odd_text(url: str) -> None:
    if not all("!" <= character <= "~" for character in url):
        raise ValueError("the URL holds a blank, control or non-ASCII character; percent-encode it")
    if "\\" in url:
        raise ValueError("the URL holds a backslash, which clients read in different ways")
    if _ENCODED_CONTROL.search(url):
        raise ValueError("the URL holds an encoded control character")
    authority = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]
    if "@" in authority:
        raise ValueError("the URL holds a user name or password before its host")


def _host(host: str) -> str:
    if host.startswith("["):
        return _ipv6(host[1:-1])
    labels = host.split(".")
    if _NUMERIC.fullmatch(labels[-1]):
        return _ipv4(host)
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):  # noqa: PLR2004 -- RFC 1035
        raise ValueError(f"the URL names `{host}`, which is not a host name")
    return host


def _ipv4(host: str) -> str:
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        raise ValueError(f"the URL spells the address `{host}` in an unusual way") from None


def _ipv6(host: str) -> str:
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        raise ValueError(f"the URL names `[{host}]`, which is not an address") from None
    if address.ipv4_mapped is not None:
        raise ValueError(f"the URL hides an IPv4 address in `[{host}]`")
    return f"[{address}]"
