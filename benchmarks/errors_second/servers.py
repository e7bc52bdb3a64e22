"""Loopback servers that the causes fail against: HTTP, TLS, DNS, gRPC, PostgreSQL, Redis."""

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, Self

import dns.flags
import dns.message
import grpc

HOME = Path("/tmp/second")  # noqa: S108 -- a scratch folder of this script, made by it
LIBRARY = HOME / "deb/root/usr/lib/x86_64-linux-gnu"
BINARIES = Path("/usr/lib/postgresql/15/bin")


@dataclass(slots=True)
class Web:
    """An HTTP server that gives the next answer it was told, whatever is asked."""

    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    manner: str = "whole"
    port: int = 0

    @classmethod
    def open(cls, tls: ssl.SSLContext | None = None) -> Self:
        web = cls()
        listening = ThreadingHTTPServer(("127.0.0.1", 0), type("Told", (Told,), {"web": web}))
        if tls:
            listening.socket = tls.wrap_socket(listening.socket, server_side=True)
        web.port = listening.server_address[1]
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        return web

    def says(self, status: int, body: object = "", manner: str = "whole", **headers: str) -> Self:
        self.status, self.manner = status, manner
        self.body = body if isinstance(body, str) else json.dumps(body)
        kind = "text/plain" if isinstance(body, str) else "application/json"
        self.headers = {
            "Content-Type": kind,
            **{name.replace("_", "-"): text for name, text in headers.items()},
        }
        return self

    def at(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path.lstrip('/')}"


class Told(BaseHTTPRequestHandler):
    web: ClassVar[Web]
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        web = self.web
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if web.manner == "silent":
            time.sleep(0.4)
        if web.manner in {"silent", "reset"}:
            self.close_connection = True
            return
        sent = web.body.encode()
        self.send_response(web.status)
        for name, text in web.headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(sent) + (1_000 if web.manner == "cut" else 0)))
        self.end_headers()
        self.wfile.write(sent)
        self.close_connection = web.manner == "cut"

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = answer  # noqa: N815 -- the names http.server calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the signature of the base class
        pass


def certificate() -> ssl.SSLContext:
    cert, key = HOME / "cert.pem", HOME / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
               "-subj", "/CN=localhost"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


@contextlib.contextmanager
def postgres() -> Iterator[int]:
    """Run a fresh PostgreSQL cluster with password logins."""
    folder, port = HOME / "pg", free_port()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.chown(folder, "postgres")
    (HOME / "pgpass").write_text("harbour-master")
    as_postgres = ["runuser", "-u", "postgres", "--"]
    subprocess.run(
        [*as_postgres, BINARIES / "initdb", "-D", folder / "db", "-A", "scram-sha-256", "--pwfile", HOME / "pgpass"],
        check=True, capture_output=True, cwd=folder,
    )  # fmt: skip
    server = subprocess.Popen(
        [*as_postgres, BINARIES / "postgres", "-D", folder / "db", "-p", str(port), "-k", folder, "-c", "fsync=off",
         "-c", "max_connections=12", "-c", "deadlock_timeout=100ms"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip
    try:
        await_port(port)
        time.sleep(1)
        yield port
    finally:
        server.terminate()
        server.wait(20)


@contextlib.contextmanager
def redis() -> Iterator[int]:
    port = free_port()
    server = subprocess.Popen(
        [HOME / "bin" / "redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=HOME,
        env={"LD_LIBRARY_PATH": str(LIBRARY)},
    )  # fmt: skip
    try:
        await_port(port)
        yield port
    finally:
        server.terminate()
        server.wait(20)


@dataclass(slots=True)
class Names:
    """A DNS server that answers everything with one code, or not at all."""

    code: int = 3
    silent: bool = False
    port: int = 0

    @classmethod
    def open(cls) -> Self:
        names = cls()
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        names.port = udp.getsockname()[1]
        threading.Thread(target=names.serve, args=(udp,), daemon=True).start()
        return names

    def serve(self, udp: socket.socket) -> None:
        while True:
            asked, sender = udp.recvfrom(4_096)
            if self.silent:
                continue
            answer = dns.message.make_response(dns.message.from_wire(asked))
            answer.flags |= dns.flags.RA
            answer.set_rcode(self.code)
            udp.sendto(answer.to_wire(), sender)


class Calls:
    """A gRPC server that ends every call with the status it was told."""

    def __init__(self) -> None:
        self.code, self.details = grpc.StatusCode.INTERNAL, ""
        self.server = grpc.server(ThreadPoolExecutor(2))
        generic = grpc.method_handlers_generic_handler(
            "shop.Orders", {"Get": grpc.unary_unary_rpc_method_handler(self.end)}
        )
        self.server.add_generic_rpc_handlers((generic,))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def end(self, _request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(self.code, self.details)
        return b""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def await_port(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(port)
