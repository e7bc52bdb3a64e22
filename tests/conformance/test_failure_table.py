"""The table of failures, row by row, from real libraries against real servers.

No exception here is made by hand. Each row says what a library meets, the kind it is, how far the request
got, what is done first for a call that may be repeated, and whether a `once` call is then in doubt.
"""

import asyncio
import ftplib
import http.client
import imaplib
import importlib
import json
import os
import poplib
import smtplib
import socket
import sqlite3
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pydantic
import pytest

from standpipe.actions import Effect, Raised, Result, Returned, Tool
from standpipe.execution.faults import fault_of
from standpipe.governor.recovery import (
    Escalate,
    Recovery,
    Refresh,
    Retry,
    Return,
    Stop,
    Wait,
    recover,
)
from standpipe.outcomes.classify import classify, judge
from standpipe.outcomes.outcome import Failed, Kind, Outcome, Phase, Unknown
from standpipe.testing.fakes import FakeClock
from standpipe.testing.faults import Fault, FaultServer
from standpipe.testing.faults.fault import FORMS, Form

WEB = httpx.Client(trust_env=False)  # one for all: making one loads every certificate
SILENT, ANSWER = 0.2, 30.0  # seconds: for what does not come, and for what does
NOT_SENT, SENT, RECEIVED, PARSED, UNKNOWN = (
    Phase.NOT_SENT, Phase.SENT, Phase.RECEIVED, Phase.PARSED, Phase.UNKNOWN
)  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@dataclass(frozen=True)
class Row:
    """What one failure must come to."""

    kind: Kind
    first: type[Recovery]  # read and idempotent, at the first attempt
    once: type[Recovery] | None = None  # None: the same; Escalate and `doubt`: nobody repeats it
    doubt: bool = False
    phases: tuple[Phase, ...] = (PARSED,)


def doubtful(kind: Kind, first: type[Recovery], *phases: Phase) -> Row:
    return Row(kind, first, Escalate, doubt=True, phases=phases or tuple(Phase))


def raised(call: Callable[[], object], *, own_file: str = "") -> Raised:
    """Return what a worker would hand over."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 -- whatever a library raises
        return Raised(fault_of(error, own_file=own_file))
    pytest.fail("nothing was raised")


def assert_comes_to(row: Row, result: Result, *, local: bool = False) -> None:
    """Hold a row against what each effect comes to."""
    for effect in Effect:
        tool = Tool(name="call", effect=effect, local=local)
        outcome = judge(tool, result)
        recovery = first_recovery(outcome, tool)
        if effect is Effect.ONCE and row.doubt:
            assert isinstance(outcome, Unknown), outcome
            assert isinstance(recovery, Escalate), recovery
            continue
        assert isinstance(outcome, Failed), outcome
        assert outcome.kind is row.kind, outcome
        assert outcome.phase in row.phases, outcome
        expected = row.once if effect is Effect.ONCE and row.once else row.first
        assert isinstance(recovery, expected), (effect, recovery)
        assert outcome.message
        assert recovery.why


def first_recovery(outcome: Outcome, tool: Tool) -> Recovery:
    return recover(outcome, tool=tool, attempt=1, seen=1, refreshed=False, jitter=0.5)


# --- clients of HTTP -----------------------------------------------------------------------------


def by_httpx(url: str, seconds: float) -> object:
    return WEB.post(url, content=b"{}", timeout=seconds).raise_for_status()


def by_urllib(url: str, seconds: float) -> object:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, data=b"{}", timeout=seconds) as answer:
        return answer.read()


def by_requests(url: str, seconds: float) -> object:
    requests = library("requests")
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(url, data=b"{}", timeout=seconds)
        return answer.raise_for_status()


def by_aiohttp(url: str, seconds: float) -> object:
    aiohttp = library("aiohttp")

    async def post() -> object:
        limit = aiohttp.ClientTimeout(total=seconds)
        async with (
            aiohttp.ClientSession(timeout=limit, raise_for_status=True) as session,
            session.post(url, data=b"{}") as answer,
        ):
            return await answer.read()

    return asyncio.run(post())


def library(name: str) -> Any:
    return pytest.importorskip(
        name, reason=f"`{name}` is not installed: its exceptions go untested"
    )


Client = Callable[[str, float], object]
CLIENTS: dict[str, Client] = {
    "httpx": by_httpx, "urllib": by_urllib, "requests": by_requests, "aiohttp": by_aiohttp,
}  # fmt: skip
BODILESS = {"aiohttp"}  # its exception for a status does not carry the body

STATUSES: dict[int, Row] = {
    400: Row(Kind.BAD_INPUT, Return),
    401: Row(Kind.CREDENTIAL, Escalate),
    402: Row(Kind.QUOTA, Escalate),
    403: Row(Kind.FORBIDDEN, Escalate),
    404: Row(Kind.NOT_FOUND, Return),
    405: Row(Kind.BAD_INPUT, Return),
    408: doubtful(Kind.SERVER_ERROR, Retry),
    409: Row(Kind.CONFLICT, Return),
    410: Row(Kind.NOT_FOUND, Return),
    412: Row(Kind.CONFLICT, Return),
    413: Row(Kind.BAD_INPUT, Return),
    415: Row(Kind.BAD_INPUT, Return),
    422: Row(Kind.BAD_INPUT, Return),
    429: Row(Kind.RATE_LIMITED, Wait),
    500: doubtful(Kind.SERVER_ERROR, Retry),
    502: doubtful(Kind.SERVER_ERROR, Retry),
    503: doubtful(Kind.OVERLOADED, Wait),
    504: doubtful(Kind.SERVER_ERROR, Retry),
    529: doubtful(Kind.OVERLOADED, Wait),
}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_status_means_the_same_from_every_client(
    server: FaultServer, client: str, status: int
) -> None:
    url = f"{server.url}/status/{status}"
    assert_comes_to(STATUSES[status], raised(lambda: CLIENTS[client](url, ANSWER)))


def error(**fields: object) -> str:
    return json.dumps({"error": fields})


# The status says one thing, headers or body another.
TELLING: dict[str, tuple[Fault, Row]] = {
    "403 with a wait": (Fault.status(403, retry_after=2), Row(Kind.RATE_LIMITED, Wait)),
    "403 with nothing remaining": (
        Fault.status(403, headers={"x-ratelimit-remaining": "0"}),
        Row(Kind.RATE_LIMITED, Wait),
    ),
    "403 secondary limit": (
        Fault.status(403, body='{"message": "You have exceeded a secondary rate limit"}'),
        Row(Kind.RATE_LIMITED, Wait),
    ),
    "429 that is a quota": (
        Fault.status(429, body=error(code="insufficient_quota", message="check your plan")),
        Row(Kind.QUOTA, Escalate),
    ),
    "429 for the day": (
        Fault.status(429, body=error(status="RESOURCE_EXHAUSTED", message="Daily limit reached")),
        Row(Kind.QUOTA, Escalate),
    ),
    "400 that is a quota": (
        Fault.status(400, body=error(message="Your credit balance is too low")),
        Row(Kind.QUOTA, Escalate),
    ),
    "400 that is an expired token": (
        Fault.status(400, body='{"__type": "ExpiredTokenException", "message": "it has expired"}'),
        Row(Kind.CREDENTIAL, Escalate),
    ),
    "400 that is a limit": (
        Fault.status(400, body='{"__type": "ThrottlingException", "message": "Rate exceeded"}'),
        Row(Kind.RATE_LIMITED, Wait),
    ),
    "400 that is too long": (
        Fault.status(400, body=error(code="context_length_exceeded", message="too long")),
        Row(Kind.CONTEXT_OVERFLOW, Return),
    ),
    "503 SlowDown": (
        Fault.status(503, body="<Error><Code>SlowDown</Code></Error>", media="application/xml"),
        doubtful(Kind.OVERLOADED, Wait),
    ),
    "502 as a page": (
        Fault.html("502 Bad Gateway", status=502),
        doubtful(Kind.SERVER_ERROR, Retry),
    ),
    "409 about a key in flight": (
        Fault.status(409, body=error(code="idempotency_key_in_use", message="still in flight")),
        doubtful(Kind.CONFLICT, Return),
    ),
}


@pytest.mark.parametrize("name", TELLING)
@pytest.mark.parametrize("client", [name for name in CLIENTS if name not in BODILESS])
def test_headers_and_body_speak_before_the_status(
    server: FaultServer, client: str, name: str
) -> None:
    fault, row = TELLING[name]
    server.script("/telling", fault)
    assert_comes_to(row, raised(lambda: CLIENTS[client](f"{server.url}/telling", ANSWER)))


def test_a_rejected_credential_that_can_be_renewed_is_renewed_once(server: FaultServer) -> None:
    result = raised(lambda: by_httpx(f"{server.url}/status/401", ANSWER))
    for effect in Effect:
        tool = Tool(name="call", effect=effect, refresh="renew")
        outcome = judge(tool, result)
        assert isinstance(first_recovery(outcome, tool), Refresh)
        again = recover(outcome, tool=tool, attempt=2, seen=1, refreshed=True, jitter=0.5)
        assert isinstance(again, Escalate)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("client", [name for name in CLIENTS if name not in BODILESS])
def test_the_wait_a_server_asks_for_is_never_cut_short(client: str, form: Form) -> None:
    with FaultServer(clock=FakeClock()) as frozen:
        frozen.script("/limited", Fault.retry_after(form, 3))
        result = raised(lambda: CLIENTS[client](f"{frozen.url}/limited", ANSWER))
    failed = judge(Tool(name="call", effect=Effect.READ), result)
    assert isinstance(failed, Failed)
    # A date and an epoch are measured by the `Date` of the answer, whose resolution is a second.
    assert failed.retry_after_seconds in (3, 4)


# --- what happens to a connection ----------------------------------------------------------------

LOST = (SENT, RECEIVED, UNKNOWN)
BREAKS: dict[str, Row] = {
    "/reset": doubtful(Kind.SERVER_ERROR, Retry, *LOST),
    "/half-close": doubtful(Kind.SERVER_ERROR, Retry, *LOST),
    "/cut": doubtful(Kind.TRUNCATED, Retry, *LOST),
    "/wrong-length": doubtful(Kind.TRUNCATED, Retry, *LOST),
    "/silence": doubtful(Kind.TIMED_OUT, Retry, *LOST),
}
NEVER_SENT = Row(Kind.NOT_SENT, Retry, Retry, phases=(NOT_SENT,))


@pytest.mark.parametrize("path", BREAKS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_connection_that_breaks_after_the_request_leaves_a_once_call_in_doubt(
    server: FaultServer, client: str, path: str
) -> None:
    seconds = SILENT if path == "/silence" else ANSWER
    assert_comes_to(BREAKS[path], raised(lambda: CLIENTS[client](server.url + path, seconds)))


@contextmanager
def nobody() -> Generator[str]:
    """Yield an address that refuses: bound, so that nobody else takes it, and not listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_connection_that_is_refused_was_never_sent(client: str) -> None:
    with nobody() as url:
        assert_comes_to(NEVER_SENT, raised(lambda: CLIENTS[client](url, ANSWER)))


@pytest.mark.parametrize("client", CLIENTS)
def test_a_name_that_nobody_has_was_never_sent(client: str) -> None:
    assert_comes_to(
        NEVER_SENT, raised(lambda: CLIENTS[client]("http://no-such-host.invalid/", ANSWER))
    )


@pytest.mark.parametrize("client", CLIENTS)
def test_a_handshake_that_fails_was_never_sent(server: FaultServer, client: str) -> None:
    url = server.url.replace("http:", "https:")
    assert_comes_to(NEVER_SENT, raised(lambda: CLIENTS[client](url, ANSWER)))


def test_a_pool_without_a_free_connection_sent_nothing(server: FaultServer) -> None:
    limits = httpx.Limits(max_connections=1)
    timeout = httpx.Timeout(ANSWER, pool=SILENT)
    with (
        httpx.Client(limits=limits, timeout=timeout, trust_env=False) as client,
        client.stream("GET", f"{server.url}/slow"),
    ):
        assert_comes_to(NEVER_SENT, raised(lambda: client.get(f"{server.url}/ok")))


@pytest.mark.parametrize("path", ["/reset", "/half-close", "/cut", "/silence"])
def test_the_standard_client_of_http_loses_an_answer_the_same_way(
    server: FaultServer, path: str
) -> None:
    def ask() -> object:
        seconds = SILENT if path == "/silence" else ANSWER
        client = http.client.HTTPConnection("127.0.0.1", httpx.URL(server.url).port, seconds)
        with ExitStack() as closing:
            closing.callback(client.close)
            client.request("POST", path, body=b"{}")
            return client.getresponse().read()

    assert_comes_to(BREAKS[path], raised(ask))


def test_of_several_failures_the_one_that_proves_least_decides(server: FaultServer) -> None:
    async def both(*urls: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            asked = (client.post(url) for url in urls)
            ended = await asyncio.gather(*asked, return_exceptions=True)
        raise BaseExceptionGroup("both", [one for one in ended if isinstance(one, BaseException)])

    with nobody() as url:
        result = raised(lambda: asyncio.run(both(url, f"{server.url}/reset")))
    assert isinstance(judge(Tool(name="call"), result), Unknown)
    assert isinstance(judge(Tool(name="call", effect=Effect.READ), result), Failed)


# --- results that only look like success ----------------------------------------------------------

LOOKS: dict[str, Row] = {
    "/login": Row(Kind.LOGIN_PAGE, Escalate, phases=tuple(Phase)),
    "/bot": Row(Kind.BOT_CHECK, Escalate, phases=tuple(Phase)),
    "/html": Row(Kind.HTML, Retry, phases=tuple(Phase)),  # its title reads like a 502
    "/graphql-error": Row(Kind.SERVER_ERROR, Retry, phases=tuple(Phase)),
    "/invalid-auth": Row(Kind.CREDENTIAL, Escalate, phases=tuple(Phase)),
    "/ratelimited": Row(Kind.RATE_LIMITED, Wait, phases=tuple(Phase)),
    "/words": Row(Kind.ERROR_TEXT, Return, phases=tuple(Phase)),
    "/problem": Row(Kind.BAD_INPUT, Return, phases=tuple(Phase)),
    "/wrong-length?by=-5": Row(Kind.TRUNCATED, Retry, phases=tuple(Phase)),
}


@pytest.mark.parametrize("path", LOOKS)
def test_what_only_looks_like_an_answer_is_a_failure(server: FaultServer, path: str) -> None:
    server.script("/invalid-auth", Fault.ok_false("invalid_auth"))
    server.script("/ratelimited", Fault.ok_false("ratelimited"))
    server.script("/words", Fault.ok("Error: the printer is on fire", media="text/plain"))
    text = WEB.get(server.url + path).text
    for effect in (Effect.READ, Effect.IDEMPOTENT):
        tool = Tool(name="call", effect=effect)
        outcome = judge(tool, Returned(text))
        assert isinstance(outcome, Failed)
        assert outcome.kind is LOOKS[path].kind
        assert isinstance(first_recovery(outcome, tool), LOOKS[path].first)
    pay = Tool(name="call", effect=Effect.ONCE)
    outcome = judge(pay, Returned(text))
    repeated = isinstance(first_recovery(outcome, pay), Retry | Wait | Refresh)
    assert not repeated or (isinstance(outcome, Failed) and outcome.phase is PARSED)


# --- providers -----------------------------------------------------------------------------------

MODELS: dict[str, tuple[Kind, type[Recovery]]] = {
    "credential": (Kind.CREDENTIAL, Escalate),
    "quota": (Kind.QUOTA, Escalate),
    "rate_limited": (Kind.RATE_LIMITED, Wait),
    "overloaded": (Kind.OVERLOADED, Wait),
    "server_error": (Kind.SERVER_ERROR, Retry),
    "context_overflow": (Kind.CONTEXT_OVERFLOW, Return),
    "error-event": (Kind.OVERLOADED, Wait),
    "silence": (Kind.TIMED_OUT, Retry),
    "reset": (Kind.SERVER_ERROR, Retry),
    "broken": (Kind.TRUNCATED, Retry),
    "html": (Kind.SERVER_ERROR, Retry),
}


def by_openai(url: str, model: str, *, stream: bool, seconds: float) -> object:
    with openai.OpenAI(api_key="k", base_url=f"{url}/v1", max_retries=0, timeout=seconds) as client:
        said = client.chat.completions.create(model=model, messages=[], stream=stream)
        return list(said) if isinstance(said, openai.Stream) else said


def by_anthropic(url: str, model: str, *, stream: bool, seconds: float) -> object:
    with anthropic.Anthropic(api_key="k", base_url=url, max_retries=0, timeout=seconds) as client:
        said = client.messages.create(model=model, messages=[], max_tokens=9, stream=stream)
        return list(said) if isinstance(said, anthropic.Stream) else said


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", [by_openai, by_anthropic], ids=["openai", "anthropic"])
def test_a_provider_fails_the_same_way_whole_and_in_a_stream(
    server: FaultServer, client: Callable[..., object], stream: bool, model: str
) -> None:
    seconds = SILENT if model == "silence" else ANSWER
    result = raised(lambda: client(server.url, model, stream=stream, seconds=seconds))
    ask = Tool(name="model", effect=Effect.READ)
    failed = classify(ask, result.fault)
    kind, first = MODELS[model]
    if (client, stream, model) == (by_openai, True, "error-event"):
        kind, first = (
            Kind.SERVER_ERROR,
            Retry,
        )  # its code says no more, and a code goes before words
    assert failed.kind is kind, failed
    assert isinstance(first_recovery(failed, ask), first)


# --- a cloud -------------------------------------------------------------------------------------

CLOUD: dict[str, Row] = {
    "ExpiredTokenException": Row(Kind.CREDENTIAL, Escalate),
    "AccessDeniedException": Row(Kind.FORBIDDEN, Escalate),
    "ThrottlingException": Row(Kind.RATE_LIMITED, Wait),
    "ProvisionedThroughputExceededException": Row(Kind.RATE_LIMITED, Wait),
    "ResourceNotFoundException": Row(Kind.NOT_FOUND, Return),
    "ConditionalCheckFailedException": Row(Kind.CONFLICT, Return),
    "ValidationException": Row(Kind.BAD_INPUT, Return),
}


def by_botocore(url: str, seconds: float) -> object:
    session = library("botocore.session").get_session()
    config = library("botocore.config").Config(
        retries={"total_max_attempts": 1}, read_timeout=seconds, connect_timeout=seconds
    )
    client = session.create_client(
        "dynamodb", region_name="eu-west-1", endpoint_url=url, config=config,
        aws_access_key_id="k", aws_secret_access_key="s",  # noqa: S106 -- any will do
    )  # fmt: skip
    return client.list_tables()


@pytest.mark.parametrize("code", CLOUD)
def test_a_cloud_says_no_by_its_code(server: FaultServer, code: str) -> None:
    body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "no"})
    server.script("POST /", Fault.status(400, body=body, media="application/x-amz-json-1.0"))
    assert_comes_to(CLOUD[code], raised(lambda: by_botocore(server.url, ANSWER)))


def test_a_cloud_that_does_not_answer_may_have_done_it(server: FaultServer) -> None:
    server.script("POST /", Fault.silence())
    assert_comes_to(BREAKS["/silence"], raised(lambda: by_botocore(server.url, SILENT)))
    with nobody() as url:
        assert_comes_to(NEVER_SENT, raised(lambda: by_botocore(url, ANSWER)))


# --- mail ----------------------------------------------------------------------------------------

MAILBOXES: dict[str, Row] = {
    "550": Row(Kind.BAD_INPUT, Return),
    "data-554": Row(Kind.BAD_INPUT, Return),
    "reset": doubtful(Kind.SERVER_ERROR, Retry, *LOST),
}


def by_smtp(address: str, box: str, user: str = "") -> None:
    host, _, port = address.partition(":")
    seconds = 5 * SILENT if "silence" in box else ANSWER
    with smtplib.SMTP(host, int(port), timeout=seconds) as client:
        if user:
            client.login(user, "secret")
        client.sendmail("a@example.com", [f"{box}@example.com"], b"Subject: hi\r\n\r\nhi\r\n")


@pytest.mark.parametrize("box", MAILBOXES)
def test_a_mail_fails_by_what_its_server_said(server: FaultServer, box: str) -> None:
    assert_comes_to(MAILBOXES[box], raised(lambda: by_smtp(server.smtp, box)))


def test_a_mail_whose_last_answer_never_came_may_have_been_sent(server: FaultServer) -> None:
    before = len(server.effects)
    result = raised(lambda: by_smtp(server.smtp, "silence"))
    outcome = judge(Tool(name="call"), result)
    assert isinstance(outcome, Unknown)
    assert isinstance(first_recovery(outcome, Tool(name="call")), Escalate)
    assert len(server.effects) == before + 1


def test_a_mail_server_that_rejects_the_login_rejects_a_credential(server: FaultServer) -> None:
    assert_comes_to(
        Row(Kind.CREDENTIAL, Escalate), raised(lambda: by_smtp(server.smtp, "ann", user="535"))
    )


def test_a_mail_server_that_is_not_there_got_nothing() -> None:
    with nobody() as url:
        assert_comes_to(
            NEVER_SENT, raised(lambda: by_smtp(url.removeprefix("http://").strip("/"), "ann"))
        )


# --- other protocols, each against a server of a few lines -----------------------------------------


@contextmanager
def saying(*lines: str) -> Generator[int]:
    """Serve one client: the first line as greeting, then one for each line that comes in.

    `{tag}` is the first word of the line that is answered.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(ANSWER)  # a client that never comes must not keep the thread

        def talk() -> None:
            connection, _ = listening.accept()
            connection.settimeout(ANSWER)
            with connection, connection.makefile("rwb") as stream:
                tag = ""
                for line in lines:
                    stream.write(line.replace("{tag}", tag).encode() + b"\r\n")
                    stream.flush()
                    tag = stream.readline().decode().partition(" ")[0]

        thread = threading.Thread(target=talk)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            thread.join(ANSWER)


def test_ftp_says_no_by_its_code() -> None:
    def ask(port: int) -> None:
        with ftplib.FTP(timeout=ANSWER) as client:  # noqa: S321 -- its exceptions are what this is about
            client.connect("127.0.0.1", port)
            client.login("ann", "secret")
            client.size("gone.txt")

    with saying("220 hi", "331 password", "530 no", "221 bye") as port:
        assert_comes_to(Row(Kind.CREDENTIAL, Escalate), raised(lambda: ask(port)))
    with saying("220 hi", "331 password", "230 in", "200 ok", "550 gone.txt: No such file", "221 bye") as port:  # fmt: skip
        assert_comes_to(Row(Kind.NOT_FOUND, Return), raised(lambda: ask(port)))


def by_pop(port: int) -> None:
    client = poplib.POP3("127.0.0.1", port, timeout=ANSWER)
    with ExitStack() as closing:
        closing.callback(client.close)
        client.user("ann")
        client.pass_("secret")


def by_imap(port: int) -> None:
    client = imaplib.IMAP4("127.0.0.1", port, timeout=ANSWER)
    with ExitStack() as closing:
        closing.callback(client.shutdown)
        client.login("ann", "secret")


POP = ("+OK hi", "+OK", "-ERR [AUTH] no")
IMAP = (
    "* OK hi",
    "* CAPABILITY IMAP4rev1\r\n{tag} OK done",
    "{tag} NO [AUTHENTICATIONFAILED] no",
)


@pytest.mark.parametrize(
    ("call", "lines"), [(by_pop, POP), (by_imap, IMAP)], ids=["poplib", "imaplib"]
)
def test_a_mailbox_that_rejects_the_login_rejects_a_credential(
    call: Callable[[int], None], lines: tuple[str, ...]
) -> None:
    with saying(*lines) as port:
        result = raised(lambda: call(port))
    for effect in Effect:
        tool = Tool(name="call", effect=effect)
        outcome = judge(tool, result)
        assert isinstance(outcome, Failed | Unknown)
        assert outcome.kind is Kind.CREDENTIAL
        assert isinstance(first_recovery(outcome, tool), Escalate)


# --- databases -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("INSERT INTO payroll VALUES (1, 'a')", Row(Kind.CONFLICT, Return)),
        ("INSERT INTO payroll VALUES (2, NULL)", Row(Kind.BAD_INPUT, Return)),
        ("SELECT * FROM salaries", Row(Kind.NOT_FOUND, Return)),
        ("SELECT wage FROM payroll", Row(Kind.BAD_INPUT, Return)),
        ("SELEC 1", Row(Kind.BAD_INPUT, Return)),
    ],
    ids=["unique", "not null", "no table", "no column", "syntax"],
)
def test_sqlite_says_no_by_its_error_name(statement: str, row: Row) -> None:
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE payroll (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        database.execute("INSERT INTO payroll VALUES (1, 'a')")
        assert_comes_to(row, raised(lambda: database.execute(statement)))
    database.close()


# --- this machine --------------------------------------------------------------------------------


def run(*words: str, timeout: float | None = None) -> object:
    return subprocess.run(words, check=True, capture_output=True, timeout=timeout)


def shell(code: str) -> tuple[str, ...]:
    return ("sh", "-c", code)


@pytest.mark.parametrize(
    ("call", "row"),
    [
        (lambda: run(*shell("no-such-command-here")), Row(Kind.ENVIRONMENT, Return)),
        (lambda: run(*shell("exit 126")), Row(Kind.ENVIRONMENT, Escalate)),
        (lambda: run(*shell("kill -9 $$")), doubtful(Kind.ENVIRONMENT, Escalate)),
        (lambda: run("no-such-command-here"), Row(Kind.NOT_FOUND, Return, phases=tuple(Phase))),
        (lambda: run("sleep", "60", timeout=0.05), doubtful(Kind.TIMED_OUT, Retry)),
        (lambda: Path("/no/such/file").read_text(), Row(Kind.NOT_FOUND, Return, phases=tuple(Phase))),
        (lambda: importlib.import_module("no_such_module"), Row(Kind.ENVIRONMENT, Return, phases=tuple(Phase))),
    ],
    ids=["127", "126", "oom", "no command", "timeout", "no file", "no module"],
)  # fmt: skip
def test_this_machine_says_no_by_its_own_codes(call: Callable[[], object], row: Row) -> None:
    result = raised(call)
    tool = Tool(name="call", effect=Effect.READ)
    failed = judge(tool, result)
    assert isinstance(failed, Failed)
    assert failed.kind is row.kind, failed
    assert isinstance(first_recovery(failed, tool), row.first)
    assert isinstance(judge(Tool(name="call"), result), Unknown) or not row.doubt


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_without_room_needs_a_person() -> None:
    def fill() -> None:
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")

    row = Row(Kind.ENVIRONMENT, Escalate, phases=tuple(Phase))
    assert_comes_to(row, raised(fill), local=True)


def test_a_process_without_files_left_needs_a_person() -> None:
    resource = pytest.importorskip("resource", reason="this system has no limits of processes")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as lowest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest.fileno(), hard))
        try:
            result = raised(lambda: os.open(os.devnull, os.O_RDONLY))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert_comes_to(Row(Kind.ENVIRONMENT, Escalate, phases=tuple(Phase)), result, local=True)


# --- the tool's own code -------------------------------------------------------------------------

BUGS: dict[str, Callable[[], object]] = {
    "TypeError": lambda: len(3),  # pyright: ignore[reportArgumentType]
    "KeyError": lambda: dict[str, int]()["total"],
    "IndexError": lambda: list[int]().pop(),
    "AttributeError": lambda: getattr(3, "total"),  # noqa: B009 -- a type checker would object
    "ZeroDivisionError": lambda: 1 // 0,
}


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_of_the_tool_stops_the_run(name: str) -> None:
    result = raised(BUGS[name], own_file=__file__)
    for effect in (Effect.READ, Effect.IDEMPOTENT):
        tool = Tool(name="call", effect=effect)
        failed = judge(tool, result)
        assert isinstance(failed, Failed)
        assert failed.kind is Kind.TOOL_BUG
        assert isinstance(first_recovery(failed, tool), Stop)
    assert isinstance(judge(Tool(name="call"), result), Unknown)


class Order(pydantic.BaseModel):
    id: int
    total: float


def test_data_that_does_not_fit_is_drift_and_not_a_bug(server: FaultServer) -> None:
    text = WEB.get(f"{server.url}/ok").text
    result = raised(lambda: Order.model_validate_json(text), own_file=__file__)
    failed = judge(Tool(name="call", effect=Effect.READ), result)
    assert isinstance(failed, Failed)
    assert failed.kind in {Kind.SCHEMA, Kind.BAD_INPUT}


def test_json_that_ends_inside_a_value_is_cut_and_other_text_does_not_fit(
    server: FaultServer,
) -> None:
    tool = Tool(name="call", effect=Effect.READ)
    found: list[Kind] = []
    for path in ("/wrong-length?by=-5", "/wrong-type"):
        answer = WEB.get(server.url + path)
        failed = judge(tool, raised(answer.json, own_file=__file__))
        assert isinstance(failed, Failed)
        found.append(failed.kind)
    assert found == [Kind.TRUNCATED, Kind.SCHEMA]
