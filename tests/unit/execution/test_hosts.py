import socket
from collections.abc import Mapping

import pytest

from standpipe.execution.hosts import HOSTS_MAX, HostPausedError, Watch, touches
from standpipe.outcomes.reading import host_of

PAUSED = {"api.example.com": 60.0, "127.0.0.1:8080": 60.0, "[::1]:80": 60.0, "past.example": -1.0}


class Call:
    """A watch during one call, and what it told."""

    def __init__(self, paused: Mapping[str, float]) -> None:
        self.told: list[str] = []
        self.watch = Watch(self.told.append)
        self.paused = paused

    def look_up(self, host: object, port: object) -> None:
        with self.watch.call(self.paused):
            self.watch.hear("socket.getaddrinfo", (host, port, 0, 0, 0))

    def connect(self, *address: object) -> None:
        with self.watch.call(self.paused):
            self.watch.hear("socket.connect", (socket.socket, address))


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("api.example.com", 443),
        ("API.Example.com.", "https"),
        (b"api.example.com", "8443"),
        ("api.example.com", None),
        ("127.0.0.1", 8080),
        ("::1", 80),
        ("0:0:0:0:0:0:0:1", 80),
    ],
)
def test_a_paused_host_is_refused_however_it_is_spelled(host: object, port: object) -> None:
    with pytest.raises(HostPausedError) as refused:
        Call(PAUSED).look_up(host, port)
    assert 59 < refused.value.retry_after_seconds <= 60
    assert refused.value.phase == "not_sent"


@pytest.mark.parametrize(
    ("host", "port"),
    [("127.0.0.1", 8081), ("www.example.com", 443), ("past.example", 443), (None, 80), ("", 0)],
)
def test_other_hosts_other_ports_and_pauses_that_have_passed_stop_nothing(
    host: object, port: object
) -> None:
    Call(PAUSED).look_up(host, port)


def test_an_address_that_nobody_looked_up_is_refused_too() -> None:
    with pytest.raises(HostPausedError):
        Call(PAUSED).connect("127.0.0.1", 8080)


@pytest.mark.parametrize(
    "address", ["/run/docker.sock", b"\0abstract", (3, 4), (0,), ("127.0.0.1",)]
)
def test_sockets_that_are_not_of_the_internet_are_left_alone(address: object) -> None:
    call = Call(PAUSED)
    with call.watch.call(PAUSED):
        call.watch.hear("socket.connect", (socket.socket, address))
        call.watch.hear("socket.bind", (socket.socket, ("127.0.0.1", 8080)))


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://api.example.com/orders", "api.example.com", 443),
        ("http://api.example.com:80/", "api.example.com", 80),
        ("https://api.example.com:8443/", "API.example.com", 8443),
        ("http://127.0.0.1:8080/", "127.0.0.1", 8080),
        ("http://[::1]:8080/", "::1", 8080),
    ],
)
def test_hosts_are_told_as_a_failure_spells_them(url: str, host: str, port: int) -> None:
    call = Call({})
    with call.watch.call({}):
        call.watch.hear("socket.getaddrinfo", (host, port, 0, 0, 0))
        assert call.told == []  # looking up is not talking
        call.watch.hear("socket.connect", (socket.socket, ("192.0.2.1", port)))
        call.watch.hear("socket.connect", (socket.socket, ("192.0.2.1", port)))
    assert call.told == [host_of(url)]


def test_an_address_nobody_looked_up_is_told_as_it_is() -> None:
    call = Call({})
    call.connect("192.0.2.1", 443)
    call.connect("::1", 8080, 0, 0)
    assert call.told == ["192.0.2.1", "[::1]:8080"]


def test_a_host_is_told_to_the_call_that_turned_to_it_and_at_most_so_many() -> None:
    call = Call({})
    call.watch.hear("socket.connect", (socket.socket, ("192.0.2.1", 1)))  # between two calls
    assert call.told == []
    with call.watch.call({}):
        for number in range(HOSTS_MAX + 5):
            call.watch.hear("socket.connect", (socket.socket, ("192.0.2.1", 1000 + number)))
    assert len(call.told) == HOSTS_MAX


def test_what_comes_after_a_connection_is_not_called_unsent() -> None:
    call = Call(PAUSED)
    call.connect("192.0.2.1", 443)
    with pytest.raises(HostPausedError) as refused:
        call.look_up("api.example.com", 443)
    assert refused.value.phase == "sent"


def test_names_that_are_not_ascii_are_met_in_both_forms() -> None:
    for host in ("bücher.example", "xn--bcher-kva.example"):
        with pytest.raises(HostPausedError):
            Call({"bücher.example": 5.0}).look_up(host, 443)


def test_a_worker_that_has_been_there_is_known() -> None:
    assert touches(["127.0.0.1:8080"], PAUSED)
    assert touches(["api.example.com:8443"], PAUSED)
    assert not touches(["127.0.0.1:8081", "[::1]:8080", "localhost"], PAUSED)
