import http.client
import socket
import urllib.error
from collections.abc import Callable

import httpx
import pytest

from standpipe.actions import Fault, Raised, Tool
from standpipe.outcomes import reading
from standpipe.outcomes.classify import classify, judge
from standpipe.outcomes.outcome import Failed, Kind, Phase, Unknown
from standpipe.policy import egress

Make = Callable[..., Tool]
Convert = Callable[[BaseException], Fault]


def refused() -> ConnectionRefusedError:
    return ConnectionRefusedError(111, "Connection refused")


CASES: list[tuple[BaseException, Kind, Phase]] = [
    (httpx.ConnectError("[Errno 111] Connection refused"), Kind.NOT_SENT, Phase.NOT_SENT),
    (httpx.ConnectTimeout("timed out"), Kind.NOT_SENT, Phase.NOT_SENT),
    (httpx.PoolTimeout(""), Kind.NOT_SENT, Phase.NOT_SENT),
    (httpx.UnsupportedProtocol("no http"), Kind.BAD_INPUT, Phase.NOT_SENT),
    (httpx.ReadTimeout(""), Kind.TIMED_OUT, Phase.SENT),
    (httpx.WriteError(""), Kind.SERVER_ERROR, Phase.SENT),
    (httpx.RemoteProtocolError("Server disconnected"), Kind.SERVER_ERROR, Phase.SENT),
    (httpx.RemoteProtocolError("peer closed without complete message body"), Kind.TRUNCATED, Phase.RECEIVED),
    (urllib.error.URLError(refused()), Kind.NOT_SENT, Phase.NOT_SENT),
    (urllib.error.URLError(socket.gaierror(-2, "Name or service not known")), Kind.NOT_SENT, Phase.NOT_SENT),
    (urllib.error.URLError(TimeoutError("timed out")), Kind.TIMED_OUT, Phase.UNKNOWN),
    (http.client.RemoteDisconnected("no response"), Kind.SERVER_ERROR, Phase.SENT),
    (http.client.IncompleteRead(b"12", 9), Kind.TRUNCATED, Phase.RECEIVED),
    (refused(), Kind.NOT_SENT, Phase.NOT_SENT),
    (socket.gaierror(-2, "Name or service not known"), Kind.NOT_SENT, Phase.NOT_SENT),
    (ConnectionResetError(104, "Connection reset by peer"), Kind.SERVER_ERROR, Phase.SENT),
    (OSError(113, "No route to host"), Kind.NOT_SENT, Phase.NOT_SENT),
    (TimeoutError(), Kind.TIMED_OUT, Phase.UNKNOWN),
]  # fmt: skip


@pytest.mark.parametrize(("error", "kind", "phase"), CASES, ids=lambda value: repr(value)[:60])
def test_the_phase_says_whether_anything_was_sent(
    error: BaseException, kind: Kind, phase: Phase, tool: Make, as_fault: Convert
) -> None:
    failed = classify(tool(), as_fault(error))
    assert (failed.kind, failed.phase) == (kind, phase)


@pytest.mark.parametrize(("error", "kind", "phase"), CASES, ids=lambda value: repr(value)[:60])
def test_only_what_was_not_sent_is_a_failure_of_a_once_effect(
    error: BaseException, kind: Kind, phase: Phase, tool: Make, as_fault: Convert
) -> None:
    outcome = judge(tool("once"), Raised(as_fault(error)))
    assert isinstance(outcome, Failed if phase is Phase.NOT_SENT else Unknown)


@pytest.mark.parametrize(
    ("name", "message", "kind", "phase"),
    [
        ("ConnectTimeout", "", Kind.NOT_SENT, Phase.NOT_SENT),
        ("MissingSchema", "no scheme", Kind.BAD_INPUT, Phase.NOT_SENT),
        ("ReadTimeout", "", Kind.TIMED_OUT, Phase.SENT),
        ("ChunkedEncodingError", "", Kind.TRUNCATED, Phase.RECEIVED),
        (
            "ConnectionError",
            "Max retries (NewConnectionError('..'))",
            Kind.NOT_SENT,
            Phase.NOT_SENT,
        ),
        ("ConnectionError", "('aborted', RemoteDisconnected())", Kind.SERVER_ERROR, Phase.SENT),
        ("ConnectionError", "?", Kind.SERVER_ERROR, Phase.UNKNOWN),
    ],
)
def test_one_outer_class_of_requests_means_three_things(
    name: str, message: str, kind: Kind, phase: Phase, tool: Make
) -> None:
    fault = Fault(type=name, module="requests.exceptions", message=message)
    failed = classify(tool(), fault)
    assert (failed.kind, failed.phase) == (kind, phase)


def test_a_wrapper_says_what_it_wraps(tool: Make) -> None:
    inner = Fault(type="NewConnectionError", module="urllib3.exceptions", message="")
    middle = Fault(type="MaxRetryError", module="urllib3.exceptions", message="", cause=inner)
    outer = Fault(type="ConnectionError", module="requests.exceptions", message="?", cause=middle)
    assert classify(tool(), outer).phase is Phase.NOT_SENT


def test_a_group_proves_only_what_its_weakest_member_proves(tool: Make, as_fault: Convert) -> None:
    both = ExceptionGroup("two sends", [refused(), httpx.ReadTimeout("")])
    neither = ExceptionGroup("two sends", [refused(), refused()])
    assert isinstance(judge(tool("once"), Raised(as_fault(both))), Unknown)
    assert isinstance(judge(tool("once"), Raised(as_fault(neither))), Failed)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://api.shop.example/orders", "api.shop.example"),
        ("https://API.shop.example:8443/orders?a=b:1", "api.shop.example:8443"),
        ("https://api.shop.example:443/orders", "api.shop.example"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://127.0.0.1:80/", "127.0.0.1"),
        ("https://shop.example:80/", "shop.example:80"),
        ("http://[0:0::1]:8080/", "[::1]:8080"),
    ],
)
def test_what_failed_and_what_is_asked_next_spell_a_host_the_same_way(url: str, host: str) -> None:
    assert reading.host_of(url) == host
    assert egress.host_of(url) == host


@pytest.mark.parametrize("status", [429, None])
def test_a_failure_names_the_port_it_happened_at(status: int | None, tool: Make) -> None:
    url = "https://api.shop.example:8443/orders"
    attributes: dict[str, object] = {} if status is None else {"status_code": status}
    fault = Fault("ConnectError", "refused", module="httpx", attributes=attributes, url=url)
    assert classify(tool(), fault).host == "api.shop.example:8443"


@pytest.mark.parametrize(
    ("message", "phase"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", Phase.NOT_SENT),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", Phase.NOT_SENT),
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert", Phase.UNKNOWN),
        ("[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC] bad record mac", Phase.UNKNOWN),
    ],
)
@pytest.mark.parametrize("name", ["requests.exceptions", "urllib3.exceptions", "ssl"])
def test_tls_fails_before_anything_is_sent_only_in_the_handshake(
    name: str, message: str, phase: Phase, tool: Make
) -> None:
    assert classify(tool(), Fault("SSLError", message, name)).phase is phase
