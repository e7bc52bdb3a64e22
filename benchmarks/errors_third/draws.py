"""Values that vary from call to call, and the programs and servers they meet.

Rule 1: what a cause draws is an argument of the call and is recorded as such.
Rule 2: what a server makes up by itself (`draw.unseen`) is not.
Rule 3: half of the names carry digits, half do not; a few are not ASCII or hold a space.
"""

import functools
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Self

HOME = Path("/tmp/third")  # noqa: S108 -- a scratch folder of this script, made by it
WORK = HOME / "work"
ROOT = HOME / "root"
TREES = (
    "alder", "birch", "cedar", "cypress", "elm", "hazel", "hemlock", "larch", "linden", "magnolia",
    "oak", "poplar", "rowan", "spruce", "sycamore", "willow", "yew", "aspen", "ash", "acacia",
)  # fmt: skip
THINGS = (
    "invoice", "parcel", "booking", "customer", "ledger", "branch", "coupon", "driver", "warehouse", "ticket",
    "budget", "supplier", "contract", "newsletter", "student", "report", "device", "session", "basket", "survey",
)  # fmt: skip
PLAIN_FOLDERS = (
    "/srv/missing",
    "/var/spool/none",
    "/home/clerk/files",
    "/opt/agents/in",
    "data",
    "../shared/out",
)
ENDINGS = ("txt", "csv", "json", "log", "xml", "md", "dat", "conf")


@dataclass(slots=True)
class Draw:
    random: Random
    args: list[str] = field(default_factory=list)

    @property
    def unseen(self) -> "Draw":
        """Draw from the same dice without recording: the server's own values."""
        return Draw(self.random)

    def note(self, value: str) -> str:
        self.args.append(value)
        return value

    def choice(self, *among: str) -> str:
        return self.note(self.random.choice(among))

    def word(self) -> str:
        return self.choice(*TREES, *THINGS)

    def ident(self) -> str:
        """A name that is an identifier in SQL, Python, Ruby, PHP, Lua and Tcl."""
        tree, thing, number = self._parts()
        return self.choice(thing, f"{thing}_{tree}", f"{thing}{number % 90 + 1}", f"{tree}{thing.title()}",
                           f"{thing}_{number}", f"get_{thing}_by_{tree}_{number % 10}")  # fmt: skip

    def klass(self) -> str:
        tree, thing, number = self._parts()
        return self.choice(f"{tree.title()}{thing.title()}", thing.title(), f"{thing.title()}V{number % 9 + 1}",
                           f"{tree.title()}{thing.title()}{number % 100}")  # fmt: skip

    def name(self) -> str:
        """A name as people give them to files, topics, repositories and hosts' paths."""
        tree, thing, number = self._parts()
        return self.choice(thing, f"{tree}-{thing}", f"{thing}-{number}", f"{thing}_{tree}", f"{tree}.{thing}.{number % 20}",
                           f"{thing.title()}{number % 3000}", f"{number % 31 + 1}-{tree}-{thing}")  # fmt: skip

    def odd(self) -> str:
        """A name, and once in a while one that is not ASCII or holds a space."""
        tree, thing, number = self._parts()
        if number % 6 == 0:
            return self.choice(
                f"{thing} {tree}", f"Büro {tree}", f"{thing}-größe", f"{thing} (copy {number % 9})"
            )
        return self.name()

    def number(self, low: int = 100, high: int = 999_999) -> int:
        return int(self.note(str(self.random.randrange(low, high))))

    def hexes(self, length: int = 24) -> str:
        return self.note("".join(self.random.choices("0123456789abcdef", k=length)))

    def uuid(self) -> str:
        made = "".join(self.random.choices("0123456789abcdef", k=32))
        return self.note(f"{made[:8]}-{made[8:12]}-4{made[13:16]}-b{made[17:20]}-{made[20:]}")

    def day(self) -> str:
        year, month, day = (
            self.random.randrange(*span) for span in ((2018, 2028), (1, 13), (1, 29))
        )
        return self.note(f"{year}-{month:02}-{day:02}")

    def folder(self) -> str:
        """A folder that does not exist."""
        return self.note(f"{self.random.choice((*PLAIN_FOLDERS, str(WORK)))}/{self.name()}")

    def path(self, ending: str = "") -> str:
        """A file that does not exist."""
        return self.note(f"{self.folder()}/{self.odd()}.{ending or self.random.choice(ENDINGS)}")

    def host(self) -> str:
        tree, thing, number = self._parts()
        return self.choice(f"{thing}.{tree}.invalid", f"{tree}.invalid", f"{thing}{number % 30}.prod.{tree}.invalid",
                           f"{tree}-{thing}.invalid")  # fmt: skip

    def port(self) -> int:
        """A loopback port on which nobody listens."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(self.note(str(probe.getsockname()[1])))

    def _parts(self) -> tuple[str, str, int]:
        return (
            self.random.choice(TREES),
            self.random.choice(THINGS),
            self.random.randrange(1, 99_999),
        )


class ToolError(Exception):
    """Plain text, as a tool that runs a program returns it."""


@dataclass(frozen=True, slots=True)
class Cause:
    label: str
    kinds: tuple[str, ...] | None
    provoke: Callable[[Draw], object]


def causes(
    kinds: tuple[str, ...] | str | None, **provokes: Callable[[Draw], object]
) -> list[Cause]:
    """Name causes that share their acceptable kinds."""
    accepted = (kinds,) if isinstance(kinds, str) else kinds
    return [Cause(label, accepted, provoke) for label, provoke in provokes.items()]


@functools.cache
def environment() -> dict[str, str]:
    """Point the unpacked Debian programs at their libraries and scripts."""
    libraries = {str(found.parent) for found in (ROOT / "usr/lib").rglob("*.so*")}
    plain = sorted(
        folder
        for folder in libraries
        if not any(word in folder for word in ("ruby", "php", "python"))
    )
    return {
        "PATH": f"{os.environ['PATH']}:{ROOT}/usr/bin:{ROOT}/usr/sbin:{ROOT}/usr/lib/p7zip", "LANG": "C.UTF-8",
        "LD_LIBRARY_PATH": ":".join(plain), "HOME": str(HOME / "home"), "PYTHONPATH": "",
        "RUBYLIB": ":".join(f"{ROOT}/usr/lib/{part}" for part in ("ruby/3.1.0", "x86_64-linux-gnu/ruby/3.1.0", "ruby/vendor_ruby")),
    }  # fmt: skip


def command(*words: str, given: str = "", **more: str) -> None:
    """Run a program; what it says on stderr and its exit code are the message."""
    done = subprocess.run(words, input=given, capture_output=True, text=True, check=False, timeout=60, cwd=WORK,
                          errors="replace", env={**environment(), **more})  # fmt: skip
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        raise ToolError(f"{said}\n(exit code {done.returncode})")


def runs(template: str) -> Callable[[Draw], None]:
    """Return a cause: a command line whose {words} are draws, as `{path}` or `{number}`."""

    def provoke(draw: Draw) -> None:
        command(*(filled(word, draw) for word in template.split()))

    return provoke


def filled(template: str, draw: Draw) -> str:
    """Replace each {word} by a draw of that name."""
    before, brace, rest = template.partition("{")
    if not brace:
        return template
    name, _, after = rest.partition("}")
    return f"{before}{getattr(draw, name)()}{filled(after, draw)}"


def script(draw: Draw, ending: str, template: str) -> str:
    """Write a script with draws in place of <words> and return its path."""
    place = WORK / f"{draw.name()}.{ending}"
    text = template.replace("{", "\0").replace("}", "\1").replace("<", "{").replace(">", "}")
    lead = ("<?php" if ending == "php" else "") + "\n" * draw.random.randrange(1, 6)
    place.write_text(lead + filled(text, draw).replace("\0", "{").replace("\1", "}"))
    return draw.note(str(place))


@dataclass(slots=True)
class Web:
    """An HTTP server that gives the next answer it was told, whatever is asked."""

    port: int = 0
    status: int = 200
    kind: str = "application/json"
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls) -> Self:
        web = cls()

        class Told(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(web.status)
                for name, value in {
                    **web.headers,
                    "Content-Type": web.kind,
                    "Content-Length": str(len(web.body)),
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(web.body)

            do_POST = do_PUT = do_DELETE = do_HEAD = do_LIST = do_GET  # noqa: N815 -- named by http.server

            def log_message(self, *_words: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Told)
        web.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return web

    def says(
        self, status: int, body: object, kind: str = "application/json", **headers: str
    ) -> Self:
        self.status, self.kind = status, kind
        self.body = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self
