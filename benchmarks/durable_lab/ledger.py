"""The world outside: a server that counts which effect landed how often, and from which process.

Rule 1: what arrives lands at once; the answer is late, so that a kill meets a request on its way.
Rule 2: a look asked after an effect arrived sees it: one loop serves both, in the order they come.
Rule 3: the ledger is never killed: what it says is what happened.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

LATE_SECONDS_MAX = 0.15
LOOK_SECONDS = 0.05
BUSY_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Landed:
    """One effect: its order, the key it came with, who sent it, and when."""

    order: str
    kind: str
    key: str
    pid: int
    at: float


@dataclass(slots=True)
class Ledger:
    """Serve on loopback; `arrived` is told order and sender of each request before and after it lands."""

    seed: int
    arrived: Callable[[str, int], None] = lambda _order, _pid: None
    landed: dict[str, list[Landed]] = field(default_factory=dict[str, list[Landed]])
    url: str = ""
    busy_url: str = (
        ""  # another host to the runtime: who is busy there is asked nothing, all others are
    )
    _turned_away: set[str] = field(default_factory=set[str])
    _servers: list[asyncio.Server] = field(default_factory=list[asyncio.Server])
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 -- chance, no secret

    async def open(self) -> None:
        self.url, self.busy_url = [await self._listen() for _ in range(2)]

    async def _listen(self) -> str:
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self._servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        for server in self._servers:
            server.close()
            await server.wait_closed()

    def effects(self, order: str) -> list[Landed]:
        """Return what landed for an order; a provider that honours keys does a key once."""
        return self.landed.get(order, [])

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, path, _ = head.split(" ", 2)
            size = next(
                (int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length")),
                0,
            )  # fmt: skip
            body = await reader.readexactly(size)
            status, text = await self._answer(method, path.lstrip("/"), body)
            more = f"Retry-After: {BUSY_SECONDS}\r\n" if status == "429 Too Many Requests" else ""
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\n{more}"
                f"Content-Type: application/json\r\nConnection: close\r\n\r\n{text}".encode()
            )
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # its process was killed: that is what this is for
        finally:
            writer.close()

    async def _answer(self, method: str, path: str, body: bytes) -> tuple[str, str]:
        kind, _, order = path.partition("/")
        if method == "GET":
            await asyncio.sleep(LOOK_SECONDS)
            return "200 OK", json.dumps(bool(self.effects(order)))
        said = json.loads(body)
        self.arrived(order, said["pid"])
        if kind == "busy" and order not in self._turned_away:
            self._turned_away.add(order)
            return "429 Too Many Requests", '{"error": "too many requests"}'
        self._land(Landed(order, kind, said["key"], said["pid"], time.time()))
        await asyncio.sleep(self._random.uniform(0, LATE_SECONDS_MAX))
        self.arrived(order, said["pid"])
        return "200 OK", json.dumps({"receipt": order})

    def _land(self, one: Landed) -> None:
        known = self.landed.setdefault(one.order, [])
        if not (one.key and any(one.key == other.key for other in known)):
            known.append(one)
