import base64
import json
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from standpipe.actions import Effect, Raised, Tool
from standpipe.execution.faults import fault_of
from standpipe.execution.tools import Surroundings, keep_secrets, settle_in
from standpipe.outcomes.classify import judge
from standpipe.outcomes.outcome import Failed, Phase
from standpipe.tools import http
from standpipe.tools.addresses import EgressRefused, is_public
from standpipe.tools.http import Ask, Credential, HttpFailure, Wire, follow, http_get, http_send

PROBES = json.loads((Path(__file__).parents[2] / "golden/probes.json").read_text())
TOKEN = "token-8f3a-of-the-shop"  # noqa: S105 -- made up, and that is the test


@dataclass
class Site:
    """A real server, and what it was asked."""

    server: ThreadingHTTPServer
    asked: list[str] = field(default_factory=list[str])

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length).decode()
        self.site.asked.append(f"{self.command} {self.path} {body}".strip())
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        getattr(self, f"answer_{parts.path.strip('/')}", self.answer_none)(query)

    do_POST = do_PUT = do_GET  # noqa: N815 -- the names the standard library calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- their name
        pass

    def say(self, status: int, body: bytes, media: str, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def answer_json(self, query: dict[str, str]) -> None:
        self.say(200, b'{"id": 1}', "application/json")

    def answer_page(self, query: dict[str, str]) -> None:
        self.say(200, "<p>grün</p>".encode("latin-1"), "text/html; charset=iso-8859-1")

    def answer_broken(self, query: dict[str, str]) -> None:
        self.say(200, b'{"id": ', "application/json")

    def answer_echo(self, query: dict[str, str]) -> None:
        said = {"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}
        self.say(200, json.dumps(said).encode(), "application/json")

    def answer_fail(self, query: dict[str, str]) -> None:
        body = f"no, {self.headers.get('authorization')} {self.path} {'x' * 9000}".encode()
        self.say(int(query["status"]), body, "text/plain", Retry_After="7")

    def answer_go(self, query: dict[str, str]) -> None:
        self.say(int(query["status"]), b"", "text/plain", Location=query["to"])

    def answer_again(self, query: dict[str, str]) -> None:
        self.say(302, b"", "text/plain", Location="/again")

    def answer_big(self, query: dict[str, str]) -> None:
        self.say(200, b'"' + b"x" * 300 + b'"', "application/json")

    def answer_none(self, query: dict[str, str]) -> None:
        self.say(404, b"", "text/plain")


@pytest.fixture
def open_site() -> Generator[Callable[[], Site]]:
    sites: list[Site] = []

    def start() -> Site:
        handler = type("SiteHandler", (Handler,), {})
        site = Site(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        handler.site = site
        threading.Thread(target=site.server.serve_forever, args=(0.005,), daemon=True).start()
        sites.append(site)
        return site

    yield start
    for site in sites:
        site.server.shutdown()
        site.server.server_close()


@pytest.fixture
def site(open_site: Callable[[], Site]) -> Site:
    site = open_site()
    allow(f"127.0.0.1:{site.port}")
    return site


def allow(*hosts: str, **secrets: dict[str, object]) -> None:
    settings = {"egress": {"allow": list(hosts)}, "secrets": secrets}
    settle_in(Surroundings(home="/", workspace="/", settings=settings))


def secret(*hosts: str, **template: str) -> dict[str, object]:
    return {"hosts": list(hosts), "value": TOKEN, **template}


async def test_json_comes_back_parsed_and_a_page_as_text(site: Site) -> None:
    assert await http_get(site.url("/json")) == {
        "status": 200,
        "content_type": "application/json",
        "body": {"id": 1},
    }
    assert (await http_get(site.url("/page")))["body"] == "<p>grün</p>"
    assert (await http_get(site.url("/broken")))["body"] == '{"id": '


async def test_a_body_is_sent_as_json_or_as_it_is(site: Site) -> None:
    await http_send("post", site.url("/json"), {"a": "ü"})
    await http_send("PUT", site.url("/json"), "plain")
    assert site.asked == ['POST /json {"a":"ü"}', "PUT /json plain"]
    with pytest.raises(ValueError, match="http_get reads"):
        await http_send("GET", site.url("/json"), None)


@pytest.mark.parametrize("probe", PROBES["http"], ids=range(len(PROBES["http"])))
async def test_no_probe_url_reaches_anything(
    probe: str, site: Site, open_site: Callable[[], Site]
) -> None:
    inner = open_site()
    url = probe.replace("{P}", str(site.port)).replace("{I}", str(inner.port))
    if "redirect-to" in probe:
        url = site.url(f"/go?status=302&to={inner.url('/json')}")
    with pytest.raises(EgressRefused):
        await http_get(url)
    assert inner.asked == []


async def test_a_refusal_names_the_line_that_would_allow_it(site: Site) -> None:
    with pytest.raises(EgressRefused) as refused:
        await http_get("https://api.example.com:8443/x")
    assert (
        refused.value.hint
        == 'add "api.example.com:8443" to `allow` under [egress] in standpipe.toml'
    )
    allow("example.com")
    with pytest.raises(EgressRefused, match="use https"):
        await http_get("http://example.com/")


@pytest.mark.parametrize(
    "answers", [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["::ffff:127.0.0.1"]]
)
async def test_a_public_name_with_one_private_address_is_refused(answers: list[str]) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return answers

    with pytest.raises(EgressRefused, match="public internet"):
        await follow(Ask("GET", "https://shop.example/"), Wire(("shop.example",), resolve=resolve))


async def test_the_address_that_was_checked_is_the_one_connected_to() -> None:
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    seen: list[httpx.Request] = []

    async def resolve(host: str, port: int) -> list[str]:
        return next(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, text="fine")

    wire = Wire(("shop.example",), resolve=resolve, transport=httpx.MockTransport(answer))
    await follow(Ask("GET", "https://shop.example/a?b=c"), wire)
    (request,) = seen
    assert str(request.url) == "https://93.184.216.34/a?b=c"
    assert request.headers["host"] == "shop.example"
    assert request.extensions["sni_hostname"] == "shop.example"
    with pytest.raises(EgressRefused):
        await follow(Ask("GET", "https://shop.example/"), wire)
    assert len(seen) == 1


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "2606:2800:220:1::1"]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "93.184.216.34":
            raise httpx.ConnectError("refused")
        return httpx.Response(200, text=request.url.host)

    wire = Wire(("shop.example",), resolve=resolve, transport=httpx.MockTransport(answer))
    assert (await follow(Ask("GET", "https://shop.example/"), wire)).text == "2606:2800:220:1::1"


async def test_localhost_means_this_machine_when_it_is_listed(site: Site) -> None:
    allow(f"localhost:{site.port}")
    assert (await http_get(site.url("/json", host="localhost")))["status"] == 200


@pytest.mark.parametrize("status", [401, 404, 429, 500])
async def test_an_error_answer_carries_what_a_judge_needs(site: Site, status: int) -> None:
    with pytest.raises(HttpFailure, match=f"answered {status}: no") as failed:
        await http_get(site.url(f"/fail?status={status}"))
    assert failed.value.status_code == status
    assert failed.value.headers["retry-after"] == "7"
    assert failed.value.url == site.url(f"/fail?status={status}")
    assert len(failed.value.body) == 4096


async def test_a_refused_connection_says_what_was_asked(open_site: Callable[[], Site]) -> None:
    gone = open_site()
    gone.server.shutdown()
    gone.server.server_close()
    allow(f"127.0.0.1:{gone.port}", SHOP=secret(f"127.0.0.1:{gone.port}", query="key={}"))
    with pytest.raises(httpx.ConnectError, match=r"GET http://127\.0\.0\.1") as failed:
        await http_get(gone.url("/x?y=1"))
    assert TOKEN not in f"{failed.value} {failed.value.request.url} {failed.value.request.headers}"


@pytest.mark.parametrize(
    ("template", "place"),
    [
        ({"header": "Authorization: Bearer {}"}, "authorization"),
        ({"basic": "shop:{}"}, "authorization"),
        ({"query": "key={}"}, ""),
    ],
)
async def test_a_credential_is_sent_and_never_shown(
    site: Site, template: dict[str, str], place: str
) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, text=f"{request.url} {dict(request.headers)}")

    here = f"127.0.0.1:{site.port}"
    credential = Credential(name="SHOP", hosts=(here,), value=TOKEN, **template)
    wire = Wire((here,), (credential,), transport=httpx.MockTransport(answer))
    told = await follow(Ask("GET", site.url("/echo?x=1")), wire)
    sent = seen[0].headers[place] if place else str(seen[0].url)
    assert TOKEN in sent or base64.b64encode(f"shop:{TOKEN}".encode()).decode() in sent
    allow(here, SHOP=secret(here, **template))
    with pytest.raises(HttpFailure) as failed:
        await http_get(site.url("/fail?status=500"))
    shown = f"{told.text} {await http_get(site.url('/echo'))} {failed.value} {vars(failed.value)}"
    assert TOKEN not in shown
    assert base64.b64encode(f"shop:{TOKEN}".encode()).decode() not in shown
    assert "[secret SHOP]" in told.text


async def test_a_credential_goes_to_its_own_host_only(site: Site) -> None:
    allow(
        f"127.0.0.1:{site.port}", SHOP=secret("api.example.com", header="Authorization: Bearer {}")
    )
    assert "authorization" not in str(await http_get(site.url("/echo")))


async def test_a_redirect_to_another_origin_carries_no_credential(
    site: Site, open_site: Callable[[], Site]
) -> None:
    other = open_site()
    hosts = (f"127.0.0.1:{site.port}", f"127.0.0.1:{other.port}")
    allow(*hosts, SHOP=secret(*hosts, header="X-Token: {}"))
    kept = await http_get(site.url("/go?status=302&to=/echo"))
    assert "x-token" in str(kept)
    away = await http_get(site.url(f"/go?status=302&to={other.url('/echo')}"))
    assert "x-token" not in str(away)
    back = other.url(f"/go?status=302%26to={site.url('/echo')}")
    assert "x-token" not in str(await http_get(site.url(f"/go?status=302&to={back}")))


async def test_the_sixth_redirect_is_one_too_many(site: Site) -> None:
    with pytest.raises(HttpFailure, match="the redirect number 6"):
        await http_get(site.url("/again"))
    assert len(site.asked) == 6


async def test_a_sent_request_is_not_repeated_by_a_redirect(site: Site) -> None:
    assert (await http_send("POST", site.url("/go?status=303&to=/json"), "x"))["body"] == {"id": 1}
    assert site.asked == ["POST /go?status=303&to=/json x", "GET /json"]


async def test_what_fails_after_a_sent_request_does_not_look_unsent(site: Site) -> None:
    for to in ("https://login.example/", "/fail?status=401", "http://127.0.0.1:1/"):
        with pytest.raises(
            HttpFailure, match="answered 303 and what it points to failed"
        ) as failed:
            await http_send("POST", site.url(f"/go?status=303&to={to}"), "x")
        assert failed.value.status_code == 303


async def test_a_body_is_sent_again_to_the_same_origin_only(
    site: Site, open_site: Callable[[], Site]
) -> None:
    other = open_site()
    allow(f"127.0.0.1:{site.port}", f"127.0.0.1:{other.port}")
    await http_send("POST", site.url("/go?status=307&to=/json"), "x")
    assert site.asked[-1] == "POST /json x"
    with pytest.raises(EgressRefused, match="another origin"):
        await http_send("POST", site.url(f"/go?status=308&to={other.url('/json')}"), "x")
    assert other.asked == []


async def test_a_long_answer_is_cut_and_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "BODY_BYTES_MAX", 100)
    told = await http_get(site.url("/big"))
    assert len(str(told["body"])) == 100
    assert told["truncated"] == "this is the first 100 bytes"


async def test_bytes_that_are_not_text_are_counted_not_shown() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=b"\0\1\2"))

    async def resolve(host: str, port: int) -> list[str]:
        return ["93.184.216.34"]

    wire = Wire(("a.example",), resolve=resolve, transport=transport)
    assert (
        await follow(Ask("GET", "https://a.example/"), wire)
    ).text == "[3 bytes that are not text]"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "100.64.0.1", "169.254.169.254", "224.0.0.1", "::", "::1", "fd00::1",
     "fe80::1%eth0", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::a00:1", "2001::1"],
)  # fmt: skip
def test_an_address_that_is_not_public_is_told(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:2800:220:1::1", "2002:5db8:d822::", "64:ff9b::5db8:d822"]
)
def test_a_public_address_is_told(address: str) -> None:
    assert is_public(address)


async def test_a_renewed_credential_is_used_from_the_next_request_on(site: Site) -> None:
    host = f"127.0.0.1:{site.port}"
    allow(host, SHOP=secret(host, query="key={}"))
    keep_secrets({"SHOP": "a-newer-token-0002"})
    try:
        await http_get(site.url("/json"))
    finally:
        keep_secrets({"SHOP": ""})
    assert "key=a-newer-token-0002" in site.asked[-1]


@pytest.mark.parametrize(
    ("method", "url"), [("POST", "https://elsewhere.example/"), ("GET", "https://shop.example/")]
)
async def test_a_request_that_is_refused_here_is_not_in_doubt(
    method: str, url: str, tmp_path: Path
) -> None:
    settle_in(Surroundings(home=str(tmp_path), workspace=str(tmp_path)))
    with pytest.raises((EgressRefused, ValueError)) as refused:
        await http_send(method, url)
    outcome = judge(Tool(name="http_send", effect=Effect.ONCE), Raised(fault_of(refused.value)))
    assert isinstance(outcome, Failed)
    assert outcome.phase is Phase.NOT_SENT
