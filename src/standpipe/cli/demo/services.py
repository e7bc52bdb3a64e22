"""The shop's HTTP API on loopback: real answers, and the four ways such a thing fails.

    GET  /orders/N           429 with Retry-After the first time, then the order
    GET  /labels/N           401 until the token was renewed with POST /token
    GET  /tracking/P         200, and a login page instead of data;  /mirror/tracking/P works
    GET  /prices             no answer, ever;                        /cache/prices works
    POST /refunds            books a refund; `refunds` counts them

Rule 1: it listens on a free port of 127.0.0.1 only.
Rule 2: once it is closed, none of its threads is left, whatever its clients did.
"""

import json
import re
import secrets
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

from msgspec import Struct

LOGIN_PAGE = """<!doctype html><html><head><title>Sign in</title></head><body><h1>Sign in</h1>
<form action="/login" method="post"><input name="user"><input type="password" name="password">
<button>Log in</button></form></body></html>"""
_SILENCE_SECONDS = 5.0  # a client that connects and says nothing
_BODY_BYTES_MAX = 64 * 1024


class Answer(Struct, frozen=True):
    """What the shop says: a status, a text, its media type."""

    status: int
    text: str
    media: str = "application/json"
    headers: Mapping[str, str] = {}


Route = tuple[str, str, Callable[[str, str, str], Answer | None]]  # method, path, reply


class Shop:
    """The state behind the API. `token` is the one that is valid now; the agent starts with an older one."""

    def __init__(self) -> None:
        self.expired_token = secrets.token_urlsafe(24)
        self.token = secrets.token_urlsafe(24)
        self.refunds: list[Mapping[str, object]] = []
        self.closing = threading.Event()
        self._asked: set[str] = set()
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, token: str, body: str) -> Answer | None:
        """Answer one request; None is silence until the shop closes."""
        for verb, pattern, reply in self._routes():
            found = re.fullmatch(pattern, path)
            if verb == method and found:
                with self._lock:
                    return reply(found.group(found.lastindex or 0), token, body)
        return _json(404, {"error": "not found", "path": path})

    def _routes(self) -> Iterator[Route]:
        yield "GET", r"/orders/(\d+)", self._order
        yield "GET", r"/labels/(\d+)", self._label
        yield "POST", r"/token", self._renew
        yield "GET", r"/tracking/([\w-]+)", _login
        yield "GET", r"/mirror/tracking/([\w-]+)", _tracking
        yield "GET", r"/prices", _silence
        yield "GET", r"/cache/prices", _prices
        yield "POST", r"/refunds", self._refund

    def _order(self, number: str, _token: str, _body: str) -> Answer:
        if number not in self._asked:
            self._asked.add(number)
            said = json.dumps({"error": "too many requests"})
            return Answer(429, said, headers={"Retry-After": "1"})
        return _json(200, {"order": int(number), "status": "packed", "leaves": "tomorrow"})

    def _label(self, number: str, token: str, _body: str) -> Answer:
        if token != self.token:
            return _json(401, {"error": "token expired"})
        return _json(200, {"order": int(number), "label": f"L-{number}", "carrier": "post"})

    def _renew(self, _path: str, token: str, _body: str) -> Answer:
        if token not in {self.expired_token, self.token}:
            return _json(403, {"error": "unknown client"})
        return _json(200, {"token": self.token})

    def _refund(self, _path: str, _token: str, body: str) -> Answer:
        self.refunds.append(json.loads(body))
        return _json(201, {"receipt": f"R-{len(self.refunds)}"})


@contextmanager
def listening(shop: Shop) -> Generator[str]:
    """Serve the shop and yield its address."""
    server = _Server(shop)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        shop.closing.set()
        server.shutdown()
        server.server_close()  # waits for the threads of all requests
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        super().__init__(("127.0.0.1", 0), _Request)

    def server_bind(self) -> None:
        TCPServer.server_bind(
            self
        )  # HTTPServer would ask the resolver who we are, which can take long
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that was killed is no error of the shop."""


class _Request(BaseHTTPRequestHandler):
    timeout = _SILENCE_SECONDS

    def do_GET(self) -> None:
        self._reply("")

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self._reply(self.rfile.read(min(length, _BODY_BYTES_MAX)).decode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name in the standard library
        """Keep quiet; the journal tells what was asked."""

    def _reply(self, body: str) -> None:
        server = self.server
        if not isinstance(server, _Server):
            return
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        answer = server.shop.answer(self.command, self.path, token, body)
        if answer is None:
            server.shop.closing.wait()
            return
        content = answer.text.encode()
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Type": answer.media}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _login(_path: str, _token: str, _body: str) -> Answer:
    return Answer(200, LOGIN_PAGE, "text/html")


def _silence(_path: str, _token: str, _body: str) -> None:
    """Give no answer."""


def _tracking(parcel: str, _token: str, _body: str) -> Answer:
    return _json(200, {"parcel": parcel, "status": "in delivery", "town": "Graz"})


def _prices(_path: str, _token: str, _body: str) -> Answer:
    return _json(200, {"lamp": 18.5, "desk": 240, "chair": 95})


def _json(status: int, value: object) -> Answer:
    return Answer(status, json.dumps(value))
