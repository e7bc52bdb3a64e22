"""No request goes to a host that wants to be left alone, whichever library a tool uses."""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Generator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from standpipe.actions import Action, Done, Effect, Expired, Fault, Raised, Returned, Tool
from standpipe.clock import SystemClock
from standpipe.execution.executor import Executor
from standpipe.execution.pool import Home, Pool

TOOLS = '''
import asyncio, http.client, os, socket, threading, time, urllib.request

import httpx

from standpipe.execution.tools import tool

KEPT = {}


@tool(effect="read")
def by_urllib(url: str) -> str:
    """Get a page."""
    with urllib.request.urlopen(url) as answer:
        return answer.read().decode()


@tool(effect="read")
def by_httpx(url: str) -> str:
    """Get a page."""
    return httpx.get(url).text


@tool(effect="read")
async def by_async_httpx(url: str) -> str:
    """Get a page."""
    async with httpx.AsyncClient() as client:
        return (await client.get(url)).text


@tool(effect="read")
async def by_asyncio(url: str) -> str:
    """Get a page."""
    place = httpx.URL(url)
    reader, writer = await asyncio.open_connection(place.host, place.port)
    writer.write(b"GET / HTTP/1.0\\r\\n\\r\\n")
    text = await reader.read()
    writer.close()
    return text.decode()


@tool(effect="read")
def in_a_thread(url: str) -> str:
    """Get a page."""
    found = []

    def get() -> None:
        try:
            found.append(httpx.get(url).text)
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=get)
    thread.start()
    thread.join()
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


@tool(effect="read")
def by_a_kept_connection(url: str) -> str:
    """Get a page."""
    place = httpx.URL(url)
    kept = KEPT.setdefault(url, http.client.HTTPConnection(place.host, place.port))
    kept.request("GET", "/")
    return kept.getresponse().read().decode()


@tool(effect="once")
def pay(first: str, then: str) -> str:
    """Tell one service, then another."""
    return by_urllib(first) + by_urllib(then)


@tool(effect="read")
def connect_and_hang(url: str) -> str:
    """Ask and never come back."""
    by_urllib(url)
    time.sleep(60)


@tool(effect="read")
def process() -> int:
    """Say which process this is."""
    return os.getpid()
'''
CLIENTS = ["by_urllib", "by_httpx", "by_async_httpx", "by_asyncio", "in_a_thread"]


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name in the library
        pass


@pytest.fixture
def shops() -> Generator[list[tuple[str, type[Shop]]]]:
    """Two services: their URLs, and what counts their requests."""
    found: list[tuple[str, type[Shop]]] = []
    servers: list[ThreadingHTTPServer] = []
    for name in ("First", "Second"):
        kind = type(name, (Shop,), {})
        server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        found.append((f"http://127.0.0.1:{server.server_address[1]}/", kind))
    yield found
    for server in servers:
        server.shutdown()
        server.server_close()


class Bench:
    def __init__(self, home: Path) -> None:
        (home / "workspace").mkdir()
        (home / "tools.py").write_text(TOOLS)
        about = Home(
            home=home,
            workspace=home / "workspace",
            environment={"PATH": os.defpath},
            tools_py=home / "tools.py",
        )
        self.executor = Executor(clock=SystemClock(), home=Pool(about, grace_seconds=0.3))
        self.tools: dict[str, Tool] = {}

    async def call(
        self,
        name: str,
        *,
        paused: Mapping[str, float] | None = None,
        within: float = 30.0,
        **arguments: object,
    ) -> Done:
        tool = msgspec.structs.replace(self.tools[name], timeout_seconds=within)
        action = Action(id="r1.1.1", tool=tool, arguments=arguments)
        return await self.executor.attempt(action, key="k", paused=paused or {})


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncGenerator[Bench]:
    made = Bench(tmp_path)
    made.tools = {tool.name: tool for tool in await made.executor.start()}
    yield made
    await made.executor.close()


def place(url: str) -> str:
    return url.removeprefix("http://").removesuffix("/")


def refusal(done: Done) -> Fault:
    """Return the refusal, wherever the client has put it."""
    assert isinstance(done.result, Raised)
    left = [done.result.fault]
    while left:
        fault = left.pop()
        if fault.type == "HostPausedError":
            return fault
        left += [*fault.group, *([fault.cause] if fault.cause else [])]
    pytest.fail(f"no refusal in {done.result}")


Shops = list[tuple[str, type[Shop]]]


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_paused_host_gets_no_request_and_another_one_does(
    name: str, bench: Bench, shops: Shops
) -> None:
    (closed, first), (opened, second) = shops
    paused = {place(closed): 60.0}
    fault = refusal(await bench.call(name, paused=paused, url=closed))
    assert fault.module == "standpipe.execution.hosts"
    assert (fault.attributes["host"], fault.attributes["phase"]) == (place(closed), "not_sent")
    seconds = fault.attributes["retry_after_seconds"]
    assert isinstance(seconds, float)
    assert 0 < seconds <= 60
    done = await bench.call(name, paused=paused, url=opened)
    assert isinstance(done.result, Returned)
    assert done.hosts == (place(opened),)
    assert (first.asked, second.asked) == (0, 1)


async def test_after_its_pause_a_host_is_asked_again(bench: Bench, shops: Shops) -> None:
    url, shop = shops[0]
    refusal(await bench.call("by_urllib", paused={place(url): 60.0}, url=url))
    assert (await bench.call("by_urllib", url=url)).result == Returned("ok")
    assert shop.asked == 1


async def test_a_name_is_refused_before_it_is_looked_up(bench: Bench, shops: Shops) -> None:
    url = shops[0][0].replace("127.0.0.1", "localhost")
    fault = refusal(await bench.call("by_httpx", paused={"localhost": 60.0}, url=url))
    assert fault.attributes["host"] == place(url)


async def test_a_connection_that_was_kept_open_is_no_way_round_a_pause(
    bench: Bench, shops: Shops
) -> None:
    (url, shop), (other, _) = shops
    for _ in range(2):
        assert (await bench.call("by_a_kept_connection", url=url)).result == Returned("ok")
    warm = (await bench.call("process")).result
    elsewhere = await bench.call("process", paused={place(other): 60.0})
    assert elsewhere.result == warm  # whoever may go there keeps the warm worker
    refusal(await bench.call("by_a_kept_connection", paused={place(url): 60.0}, url=url))
    assert shop.asked == 2


async def test_an_effect_that_had_begun_elsewhere_is_not_called_unsent(
    bench: Bench, shops: Shops
) -> None:
    (opened, first), (closed, second) = shops
    assert bench.tools["pay"].effect is Effect.ONCE
    paused = {place(closed): 60.0}
    await bench.call("by_urllib", url=opened)  # the worker is warm, and knows the way
    at_once = refusal(await bench.call("pay", paused=paused, first=closed, then=opened))
    assert at_once.attributes["phase"] == "not_sent"
    later = refusal(await bench.call("pay", paused=paused, first=opened, then=closed))
    assert later.attributes["phase"] == "sent"
    assert (first.asked, second.asked) == (2, 0)


async def test_the_hosts_of_a_call_without_an_answer_are_known(bench: Bench, shops: Shops) -> None:
    done = await bench.call("connect_and_hang", within=2.0, url=shops[0][0])
    assert done.result == Expired(2.0)
    assert done.hosts == (place(shops[0][0]),)


async def test_hosts_are_told_of_the_call_that_asked_them(bench: Bench, shops: Shops) -> None:
    assert (await bench.call("process")).hosts == ()
    both = asyncio.gather(*(bench.call("by_httpx", url=url) for url, _ in shops))
    assert [done.hosts for done in await both] == [(place(url),) for url, _ in shops]
    assert (await bench.call("process")).hosts == ()
