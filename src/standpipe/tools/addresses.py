"""Which addresses a host has, and whether we may connect to them."""

import ipaddress
import socket
from collections.abc import Awaitable, Callable

from standpipe.execution.tools import NotAllowedError
from standpipe.policy.egress import is_loopback


class EgressRefused(NotAllowedError):  # noqa: N818 -- a refusal, not a failure
    """This request was not sent, because of where it would go."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(f"{message}\nhint: {hint}")
        self.hint = hint
        self.phase = "not_sent"


Resolve = Callable[[str, int], Awaitable[list[str]]]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


async def resolve_by_system(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    import anyio  # noqa: PLC0415 -- loads with the first request

    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def reachable(host: str, port: int, resolve: Resolve) -> list[str]:
    """Return the addresses of a listed host, all of them checked.

    Raises:
        httpx.ConnectError: it has none.
        EgressRefused: one of them is not public (or, for this machine, not this machine).
    """
    import httpx  # noqa: PLC0415 -- loads with the first request

    try:
        addresses = await resolve(host.strip("[]"), port)
    except socket.gaierror as error:
        raise httpx.ConnectError(f"cannot resolve `{host}`: {error.strerror}") from error
    for address in addresses:
        if is_loopback(address) if is_loopback(host) else is_public(address):
            continue
        raise EgressRefused(
            f"`{host}` resolves to `{address}`, which is no address of the public internet",
            hint="only a loopback address can be listed under [egress] as it is, with its port",
        )
    return addresses


def is_public(text: str) -> bool:
    """Whether an address, and an IPv4 address packed into it, is on the public internet.

    Example:
        >>> is_public("93.184.216.34"), is_public("64:ff9b::7f00:1")
        (True, False)
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    if not address.is_global or address.is_multicast:
        return False
    packed = _packed(address)
    return packed is None or is_public(str(packed))


def _packed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.version == 4:  # noqa: PLR2004 -- IPv4
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour or address.ipv4_mapped
