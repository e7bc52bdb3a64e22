"""Which hosts a call turns to, and which it has to leave alone for now.

Rule 1: the interpreter itself says who is looked up and connected to (`sys.addaudithook`), so it holds for
    every library that goes through Python's sockets. Programs that a tool starts are not seen.
Rule 2: a connection that is kept open from an earlier call is not seen either; `execution/pool.py` therefore
    gives a call no worker that has been where it must not go.
Rule 3: `host:port` pauses that port, `host` all ports of the host.
"""

import ipaddress
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import cast

HOSTS_MAX = 32  # told of one call
NO_PAUSES: Mapping[str, float] = MappingProxyType({})
_EVENTS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.connect"})
_DEFAULT_PORTS = (80, 443)  # what a URL leaves out
_ANY_PORT = 0
_SERVICES = {"http": 80, "https": 443}


class HostPausedError(Exception):
    """The host has said when it wants the next request, and that time has not come.

    `phase` is `not_sent` only if this process has not been connected to anything yet: then nothing of
    what the tool wanted has left this machine.
    """

    def __init__(self, host: str, seconds: float, *, phase: str = "not_sent") -> None:
        super().__init__(f"`{host}` wants no request for another {seconds:.1f} s; none was sent")
        self.host = host
        self.retry_after_seconds = seconds
        self.phase = phase


class Watch:
    """The audit hook of a worker. One call at a time, but any thread of it may connect."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._calling = False
        self._connected = False  # to anything, since this process began
        self._paused: dict[str, float] = {}  # until when, by the monotonic clock
        self._named: dict[int, list[str]] = {}  # the names that were looked up for a port
        self._told: set[str] = set()

    @contextmanager
    def call(self, paused: Mapping[str, float]) -> Generator[None]:
        """Hold the pauses and tell the hosts for as long as a call takes."""
        now = time.monotonic()
        with self._lock:
            self._paused = {_plain(name): now + seconds for name, seconds in paused.items()}
            self._named, self._told, self._calling = {}, set(), True
        try:
            yield
        finally:
            with self._lock:  # from here on the channel belongs to the answer
                self._calling = False

    def hear(self, event: str, arguments: tuple[object, ...]) -> None:
        """Take an event of the interpreter.

        Raises:
            HostPausedError: it is about a host that wants to be left alone.
        """
        if event not in _EVENTS:
            return
        if event != "socket.connect":
            self._looked_up(arguments)
        elif isinstance(address := arguments[1], tuple):  # a path is a socket of this machine
            self._connects(cast("tuple[object, ...]", address))

    def _looked_up(self, arguments: tuple[object, ...]) -> None:
        host, port = _text(arguments[0]), _number(arguments[1] if len(arguments) > 1 else None)
        if not host:  # an address to listen at
            return
        self._refuse_paused(host, port)
        if self._calling:
            self._named.setdefault(port, []).append(spelled(host, port))

    def _connects(self, address: tuple[object, ...]) -> None:
        host, port = _text(address[0]), _number(address[1] if len(address) > 1 else None)
        if not host:  # no address of the internet
            return
        self._refuse_paused(host, port)
        self._connected = True
        if not self._calling or os.getpid() != self._process:  # a fork has no say on the channel
            return
        names = self._named.get(port) or self._named.get(_ANY_PORT) or [spelled(host, port)]
        with self._lock:
            for name in names:
                if self._calling and name not in self._told and len(self._told) < HOSTS_MAX:
                    self._told.add(name)
                    self._tell(name)

    def _refuse_paused(self, host: str, port: int) -> None:
        for name in (f"{host}:{port}", host) if self._paused else ():
            left = self._paused.get(name, 0.0) - time.monotonic()
            if left > 0:
                phase = "sent" if self._connected else "not_sent"
                raise HostPausedError(spelled(host, port), left, phase=phase)


def spelled(host: str, port: int) -> str:
    """Spell a host as `outcomes.reading.host_of` does: the default ports of the web are left out.

    Example:
        >>> spelled("api.example.com", 443), spelled("[::1]", 8080)
        ('api.example.com', '[::1]:8080')
    """
    return host if port in (_ANY_PORT, *_DEFAULT_PORTS) else f"{host}:{port}"


def touches(hosts: Iterable[str], paused: Mapping[str, float]) -> bool:
    """Whether one of the hosts is paused.

    Example:
        >>> touches({"api.example.com:8443"}, {"api.example.com": 3.0})
        True
    """
    return any(name in paused or _bare(name) in paused for name in hosts)


def _bare(name: str) -> str:
    host, _, port = name.rpartition(":")
    return host if port.isdecimal() else name


def _text(host: object) -> str:
    if isinstance(host, bytes | bytearray):
        host = host.decode("ascii", "replace")
    return _plain(host) if isinstance(host, str) else ""


def _plain(host: str) -> str:
    """Return the one spelling of a host: small letters, ASCII, IPv6 short and in brackets."""
    host = host.lower().rstrip(".")
    if not host.isascii():
        try:
            return host.encode("idna").decode()
        except UnicodeError:
            return host
    if host.count(":") > 1 and "[" not in host:
        try:
            return f"[{ipaddress.IPv6Address(host.partition('%')[0])}]"
        except ValueError:
            return host
    return host


def _number(port: object) -> int:
    if isinstance(port, bytes):
        port = port.decode("ascii", "replace")
    if isinstance(port, str):
        return int(port) if port.isdecimal() else _SERVICES.get(port, _ANY_PORT)
    return port if isinstance(port, int) else _ANY_PORT
