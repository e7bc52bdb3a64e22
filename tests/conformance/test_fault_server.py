"""The fault server does what it says, as real clients see it, and leaves nothing behind."""

import json
import signal
import smtplib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, IncompleteRead, RemoteDisconnected

import anthropic
import httpx
import httpx2
import openai
import pytest

from standpipe.testing import FakeClock
from standpipe.testing.faults import Answer, End, Fault, FaultServer, ToolCall
from standpipe.testing.faults.__main__ import main
from standpipe.testing.faults.fault import FORMS, Break, Form
from standpipe.testing.faults.routes import MODELS, ROUTES

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
WEB = httpx.Client(trust_env=False)  # one for all: making one loads every certificate
NO_WAIT, ANSWER = 0.2, 30.0  # seconds a client waits: for what does not come, and for what does
SILENT = {"/silence", "/effect", "/half-close"}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


def until(condition: Callable[[], object]) -> None:
    """Wait for a thread of the server: a client may give up before the server came to its request."""
    for _ in range(3000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("the server never came to it")


def body_of(server: FaultServer, path: str) -> dict[str, object]:
    return WEB.get(server.url + path).json()


def test_steps_come_in_order_and_the_last_one_repeats(server: FaultServer) -> None:
    server.script("/orders", Fault.status(500), Fault.status(503), then=Fault.ok())
    assert [WEB.get(f"{server.url}/orders").status_code for _ in range(4)] == [500, 503, 200, 200]


def test_a_path_that_flaps_fails_so_often_and_then_works(server: FaultServer) -> None:
    server.script("/orders", Fault.status(503), times=2, then=Fault.ok())
    assert [WEB.get(f"{server.url}/orders").status_code for _ in range(3)] == [503, 503, 200]
    assert [WEB.get(f"{server.url}/flap/1").status_code for _ in range(2)] == [503, 200]
    assert WEB.get(f"{server.url}/flap/1?test=b").status_code == 503


def test_a_script_may_be_for_one_method_only(server: FaultServer) -> None:
    server.script("POST /orders", Fault.status(409))
    server.script("/orders", Fault.ok())
    assert WEB.post(f"{server.url}/orders").status_code == 409
    assert WEB.get(f"{server.url}/orders").status_code == 200


def test_a_script_without_steps_is_refused(server: FaultServer) -> None:
    with pytest.raises(ValueError, match="/orders"):
        server.script("/orders")


def test_no_two_answers_are_the_same_text(server: FaultServer) -> None:
    server.script(
        "/x", Fault.status(401, body='{"id": "{uuid}", "n": {n}, "at": "{now}", "a": {}}')
    )
    first, second = (WEB.get(f"{server.url}/x").json() for _ in range(2))
    assert first["id"] != second["id"]
    assert (first["n"], second["n"], first["a"]) == (1, 2, {})
    assert first["at"].endswith("Z")


def test_every_request_is_recorded_with_its_time_and_without_its_keys(server: FaultServer) -> None:
    headers = {"Authorization": "Bearer s3cret", "X-Api-Key": "s3cret", "X-Trace": "t1"}
    WEB.post(f"{server.url}/ok?page=2&api_key=s3cret&x=1", headers=headers, content=b"abc")
    WEB.get(f"{server.url}/ok")
    first, second = server.requests
    assert (first.method, first.path) == ("POST", "/ok?page=2&api_key=-&x=1")
    assert (first.body, first.body_bytes, first.headers["x-trace"]) == ("abc", 3, "t1")
    assert "s3cret" not in repr(first)
    assert first.at_seconds <= second.at_seconds
    assert first.at <= second.at
    assert [one["path"] for one in WEB.get(f"{server.url}/__requests").json()] == [
        first.path,
        "/ok",
    ]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_retry_after_says_when(form: Form) -> None:
    clock = FakeClock()
    with FaultServer(clock=clock) as server:
        server.script("/x", Fault.retry_after(form, 3), then=Fault.ok())
        assert _asked_seconds(WEB.get(f"{server.url}/x"), clock) == 3
        clock.advance(2)
        early = WEB.get(f"{server.url}/x")
        assert (early.status_code, _asked_seconds(early, clock)) == (429, 1)
        clock.advance(1)
        assert WEB.get(f"{server.url}/x").status_code == 200


def _asked_seconds(answer: httpx.Response, clock: FakeClock) -> float:
    if (wait := answer.headers.get("retry-after")) is None:
        if milliseconds := answer.headers.get("retry-after-ms"):
            return float(milliseconds) / 1000
        if reset := answer.headers.get("x-ratelimit-reset"):
            seconds = float(reset)
            return seconds - clock.now().timestamp() if seconds > 1e9 else seconds
        return float(answer.json()["error"]["details"][0]["retryDelay"].removesuffix("s"))
    if wait.replace(".", "").isdigit():
        return float(wait)
    sent, until = (
        parsedate_to_datetime(text).replace(tzinfo=None) for text in (answer.headers["date"], wait)
    )
    return (until - sent).total_seconds()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_every_path_in_the_index_is_answered_by_a_fault(server: FaultServer, route: object) -> None:
    assert isinstance(route, type(ROUTES[0]))
    path = route.path.replace("CODE", "418").replace("TIMES", "1").replace("FORM", "date")
    path = path.replace("SECONDS", "3")
    assert route.path in WEB.get(server.url).text
    wait = NO_WAIT if path in SILENT else ANSWER
    try:
        with WEB.stream("POST", server.url + path, timeout=wait) as answer:
            status = answer.status_code
    except httpx.TransportError:
        status = 0
    until(lambda: server.requests)
    (seen,) = server.requests
    assert (seen.path, status == 404) == (path, False)


def test_an_unknown_path_is_404_and_says_where_to_look(server: FaultServer) -> None:
    answer = WEB.get(f"{server.url}/retry-after/nonsense/3")
    assert (answer.status_code, answer.json()["error"]["hint"]) == (404, "GET /")


def test_what_only_looks_like_an_answer_looks_like_one(server: FaultServer) -> None:
    login, bot, html = (WEB.get(f"{server.url}/{name}") for name in ("login", "bot", "html"))
    assert (login.status_code, 'type="password"' in login.text) == (200, True)
    assert (bot.status_code, "Just a moment" in bot.text) == (200, True)
    assert (html.status_code, html.headers["content-type"].startswith("text/html")) == (200, True)
    with pytest.raises(json.JSONDecodeError):
        body_of(server, "/wrong-type")
    assert body_of(server, "/graphql-error")["errors"]
    assert body_of(server, "/ok-false")["ok"] is False
    problem = WEB.get(f"{server.url}/problem")
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json()["status"] == problem.status_code == 422


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/cut", IncompleteRead),
        ("/wrong-length", IncompleteRead),
        ("/reset", ConnectionResetError),
        ("/reset-early", ConnectionError),  # or a broken pipe, where the client still writes
        ("/half-close", RemoteDisconnected),
        ("/silence", TimeoutError),
        ("/effect", TimeoutError),
    ],
)
def test_a_connection_breaks_the_way_it_was_told(
    server: FaultServer, path: str, expected: type[Exception]
) -> None:
    wait = NO_WAIT if expected is TimeoutError else ANSWER
    client = HTTPConnection("127.0.0.1", httpx.URL(server.url).port, timeout=wait)
    with pytest.raises(expected):
        _exchange(client, path)
    client.close()
    until(lambda: server.requests)
    assert [seen.path for seen in server.requests] == [path]


def _exchange(client: HTTPConnection, path: str) -> bytes:
    client.request("POST", path, body=b"x" * 1000)
    return client.getresponse().read()


def test_a_length_that_is_too_small_cuts_the_text_and_nobody_notices(server: FaultServer) -> None:
    answer = WEB.get(f"{server.url}/wrong-length?by=-5")
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_a_reset_before_the_body_is_read_records_no_body(server: FaultServer) -> None:
    with pytest.raises(httpx.TransportError):
        WEB.post(f"{server.url}/reset-early", content=b"x" * 1000)
    assert server.requests[0].body_bytes == 0


def test_a_status_may_come_before_the_body_was_read(server: FaultServer) -> None:
    server.script("/upload", Fault.status(413, early=True))
    assert WEB.post(f"{server.url}/upload", content=b"x" * 1000).status_code == 413


def test_slow_bytes_arrive_one_by_one_and_whole(server: FaultServer) -> None:
    server.script("/x", Fault.slow('{"a": 1}', pause_seconds=0.001))
    assert body_of(server, "/x") == {"a": 1}


def test_an_effect_lands_although_its_answer_is_lost(server: FaultServer) -> None:
    with pytest.raises(httpx.ReadTimeout):
        WEB.post(f"{server.url}/effect", content=b"pay 5", timeout=NO_WAIT)
    until(lambda: server.effects)
    (landed,) = server.effects
    assert (landed.path, landed.body) == ("/effect", "pay 5")
    assert [one["body"] for one in WEB.get(f"{server.url}/effect").json()] == ["pay 5"]
    assert WEB.get(f"{server.url}/__effects").json()[0]["path"] == "/effect"
    assert len(server.effects) == 1


def test_the_same_idempotency_key_lands_once_and_is_answered(server: FaultServer) -> None:
    server.script("/pay", Fault.effect(end=End.RESET))
    with pytest.raises(httpx.TransportError):
        WEB.post(f"{server.url}/pay", headers={"Idempotency-Key": "k1"})
    again = WEB.post(f"{server.url}/pay", headers={"Idempotency-Key": "k1"})
    assert (again.status_code, again.json()["replayed"], len(server.effects)) == (200, True, 1)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"POST /ok HTTP/1.1\r\nContent-Length: minus one\r\n\r\n",
        b"POST /ok HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\n",
        b"POST /ok HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X-A: 1\r\n" * 200 + b"\r\n",
    ],
    ids=["tls", "one word", "length", "huge length", "chunk", "long line", "many headers"],
)
def test_garbage_is_refused_and_the_next_request_is_answered(
    server: FaultServer, garbage: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port or 0)) as client:
        client.sendall(garbage)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(12).startswith(b"HTTP/1.1 4")
    assert WEB.get(f"{server.url}/ok").status_code == 200


def test_a_body_in_chunks_is_read(server: FaultServer) -> None:
    WEB.post(f"{server.url}/ok", content=iter([b"ab", b"c"]))
    assert server.requests[0].body == "abc"


@pytest.mark.parametrize(
    ("breaks", "expected"),
    [
        ("error", openai.APIError),
        ("silence", openai.APITimeoutError),
        ("cut", openai.APIConnectionError),
        ("reset", openai.APIConnectionError),
    ],
)
def test_an_openai_stream_breaks_the_way_it_was_told(
    server: FaultServer, breaks: Break, expected: type[Exception]
) -> None:
    server.script(CHAT, Fault.model(Answer("It works."), breaks=breaks))
    with pytest.raises(expected) as caught:
        _stream_openai(server, "gpt-test", NO_WAIT if breaks == "silence" else ANSWER)
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("breaks", "expected"),
    [
        ("error", anthropic.APIStatusError),
        ("silence", httpx2.ReadTimeout),
        ("cut", httpx2.RemoteProtocolError),
        ("reset", httpx2.ReadError),
    ],
)
def test_an_anthropic_stream_breaks_the_way_it_was_told(
    server: FaultServer, breaks: Break, expected: type[Exception]
) -> None:
    server.script(MESSAGES, Fault.model(Answer("It works."), breaks=breaks))
    with pytest.raises(expected):
        _stream_anthropic(server, "claude-test", NO_WAIT if breaks == "silence" else ANSWER)


@pytest.mark.parametrize(
    "answer",
    [
        Answer("Looking.", (ToolCall("read_file", {"path": "a"}), ToolCall("done", {}))),
        Answer("I cannot.", stop="refusal"),
        Answer(calls=(ToolCall("write_file", '{"path": "a'),), stop="length"),
    ],
    ids=["calls", "refusal", "cut"],
)
def test_whole_and_streamed_answers_say_the_same(server: FaultServer, answer: Answer) -> None:
    server.script_together((CHAT, MESSAGES), Fault.model(answer))
    assert _whole_openai(server) == _stream_openai(server, "m")
    assert _stream_anthropic(server, "m")["stop"] == _whole_anthropic(server)


@pytest.mark.parametrize("name", MODELS)
def test_the_name_of_the_model_picks_its_trouble(server: FaultServer, name: str) -> None:
    asked = json.dumps({"model": name, "messages": [], "stream": True})
    try:
        wait = NO_WAIT if name == "silence" else ANSWER
        answer = WEB.post(server.url + CHAT, content=asked, timeout=wait)
        good = answer.status_code == 200 and '"finish_reason": "stop"' in answer.text
    except httpx.TransportError:
        good = False
    assert not good


def _openai(server: FaultServer, timeout: float = ANSWER) -> openai.OpenAI:
    return openai.OpenAI(api_key="k", base_url=f"{server.url}/v1", max_retries=0, timeout=timeout)


def _anthropic(server: FaultServer, timeout: float = ANSWER) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="k", base_url=server.url, max_retries=0, timeout=timeout)


def _whole_openai(server: FaultServer) -> dict[str, object]:
    with _openai(server) as client:
        said = client.chat.completions.create(model="m", messages=[])
    (choice,) = said.choices
    calls = [
        (call.function.name, call.function.arguments)
        for call in choice.message.tool_calls or ()
        if call.type == "function"
    ]
    return {"text": choice.message.content or "", "calls": calls, "stop": choice.finish_reason}


def _stream_openai(server: FaultServer, model: str, timeout: float = ANSWER) -> dict[str, object]:
    text, stop, calls = "", "", list[tuple[str, str]]()
    with _openai(server, timeout) as client:
        for chunk in client.chat.completions.create(model=model, messages=[], stream=True):
            for choice in chunk.choices:
                text += choice.delta.content or ""
                stop = choice.finish_reason or stop
                for call in choice.delta.tool_calls or ():
                    assert call.function
                    calls.append((call.function.name or "", call.function.arguments or ""))
    return {"text": text, "calls": calls, "stop": stop}


def _whole_anthropic(server: FaultServer) -> str | None:
    with _anthropic(server) as client:
        return client.messages.create(model="m", messages=[], max_tokens=9).stop_reason


def _stream_anthropic(
    server: FaultServer, model: str, timeout: float = ANSWER
) -> dict[str, object]:
    stop: str | None = None
    with (
        _anthropic(server, timeout) as client,
        client.messages.create(model=model, messages=[], max_tokens=9, stream=True) as events,
    ):
        for event in events:
            if event.type == "message_delta":
                stop = event.delta.stop_reason
    return {"stop": stop}


def mail(server: FaultServer, to: str, timeout: float = ANSWER) -> None:
    host, _, port = server.smtp.partition(":")
    with smtplib.SMTP(host, int(port), timeout=timeout) as client:
        client.sendmail("a@example.com", [to], b"Subject: hi\r\n\r\n.dot\r\n")


def test_a_mail_lands_with_its_text(server: FaultServer) -> None:
    mail(server, "ann@example.com")
    (landed,) = server.effects
    assert (landed.method, landed.path) == ("MAIL", "smtp:ann@example.com")
    assert landed.body == "Subject: hi\r\n\r\n.dot\r\n"


@pytest.mark.parametrize(
    ("box", "expected", "landed"),
    [
        ("550", smtplib.SMTPRecipientsRefused, 0),
        ("data-554", smtplib.SMTPDataError, 0),
        ("silence", smtplib.SMTPServerDisconnected, 1),
        ("silence-early", smtplib.SMTPServerDisconnected, 0),
        ("reset", smtplib.SMTPServerDisconnected, 1),
        ("reset-early", smtplib.SMTPServerDisconnected, 0),
    ],
)
def test_a_mailbox_fails_the_way_it_is_called(
    server: FaultServer, box: str, expected: type[Exception], landed: int
) -> None:
    with pytest.raises(expected):
        mail(server, f"{box}@example.com", timeout=5 * NO_WAIT if "silence" in box else ANSWER)
    until(lambda: server.requests and len(server.effects) >= landed)
    assert len(server.effects) == landed
    assert [seen.path for seen in server.requests] == [f"smtp:{box}@example.com"]


def test_a_mailbox_can_be_scripted(server: FaultServer) -> None:
    server.script("smtp:ann", Fault.status(451), then=Fault.ok())
    with pytest.raises(smtplib.SMTPDataError):
        mail(server, "ann@example.com")
    mail(server, "ann@example.com")
    assert len(server.effects) == 1


def test_a_user_named_after_a_refusal_cannot_log_in(server: FaultServer) -> None:
    host, _, port = server.smtp.partition(":")
    with smtplib.SMTP(host, int(port), timeout=ANSWER) as client:
        client.login("ann", "secret")
    with (
        smtplib.SMTP(host, int(port), timeout=ANSWER) as client,
        pytest.raises(smtplib.SMTPAuthenticationError),
    ):
        client.login("535", "secret")
    assert "secret" not in repr(server.requests)


def test_closing_leaves_no_thread_whatever_the_clients_do() -> None:
    before = set(threading.enumerate())
    clients: list[socket.socket] = []
    with FaultServer() as server:
        server.script("/slow", Fault.slow("x" * 1000, pause_seconds=5))
        for opening in (
            b"",
            b"GET /sil",
            b"GET /silence HTTP/1.1\r\n\r\n",
            b"GET /half-close HTTP/1.1\r\n\r\n",
            b"POST /effect HTTP/1.1\r\nContent-Length: 99\r\n\r\nbut no more",
            b"GET /slow HTTP/1.1\r\n\r\n",
        ):
            client = socket.create_connection(("127.0.0.1", httpx.URL(server.url).port or 0))
            client.sendall(opening)
            clients.append(client)
        host, _, port = server.smtp.partition(":")
        clients.append(socket.create_connection((host, int(port))))
        WEB.get(f"{server.url}/ok")
    assert set(threading.enumerate()) <= before
    for client in clients:
        client.close()


def test_a_port_that_is_taken_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    with FaultServer() as server:
        taken = int(server.smtp.rpartition(":")[2])
        held = set(threading.enumerate())
        with pytest.raises(OSError, match="in use"), FaultServer(smtp_port=taken):
            pass
        assert set(threading.enumerate()) == held
    assert set(threading.enumerate()) <= before


def test_the_fixture_is_found_by_its_name() -> None:
    from standpipe.testing.faults import fault_server  # noqa: PLC0415 -- a module attribute made on demand

    assert "fault_server" in repr(fault_server)


def test_importing_the_test_tools_loads_no_server() -> None:
    code = "import sys, standpipe.testing; sys.exit('socketserver' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_tells_its_addresses_and_every_request_and_ends_at_a_signal(
    number: signal.Signals,
) -> None:
    command = [sys.executable, "-m", "standpipe.testing.faults", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().removeprefix("http ").strip()
        assert process.stdout.readline().startswith("smtp 127.0.0.1:")
        with pytest.raises(httpx.ReadTimeout):
            WEB.post(f"{url}/effect", content=b"abc", timeout=NO_WAIT)
        line = process.stdout.readline()
        process.send_signal(number)
        assert process.wait(30) == 0
    assert line.endswith("Z POST /effect 3 bytes: effect\n")


@pytest.mark.parametrize("port", ["x", "-1", "70000", "1.5", ""])
def test_a_bad_port_is_one_line_and_a_hint(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--port", port])
    told = capsys.readouterr().err.splitlines()
    assert (caught.value.code, len(told)) == (2, 2)
    assert told[0].startswith("error: ")
    assert told[1].startswith("hint: ")


def test_a_taken_port_is_one_line_and_a_hint(
    server: FaultServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", _no_signal)
    with pytest.raises(SystemExit) as caught:
        main(["--port", server.url.rpartition(":")[2]])
    assert (caught.value.code, len(capsys.readouterr().err.splitlines())) == (2, 2)


def _no_signal(number: int, handler: object) -> None:
    """Leave the signals of the test runner alone."""
