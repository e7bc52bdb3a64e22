"""A server on loopback that fails as told: HTTP by path, SMTP by mailbox.

Rule 1: a script wins over what a path does by itself; the last step of a script repeats.
Rule 2: every request is in `requests` before it is answered, and every effect in `effects` before its
    answer is lost.
Rule 3: closing leaves no thread, whatever the clients did.
"""

import json
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from types import TracebackType
from typing import BinaryIO, Self

from standpipe.clock import Clock, SystemClock, stamp
from standpipe.testing.faults.fault import JSON, TEXT, ByModel, End, Fault, Moment, Reply
from standpipe.testing.faults.http import (
    BadRequestError,
    Head,
    object_of,
    read_body,
    read_head,
    send,
    wire_of,
)
from standpipe.testing.faults.listener import Listener
from standpipe.testing.faults.record import SAFE, Landed, Play, Record, Seen
from standpipe.testing.faults.routes import OWN, by_model, index, mailbox, steps_of
from standpipe.testing.faults.smtp import Conversation

MAIL = "smtp:"  # before the mailbox, as the path of a script and of a recorded mail
_NO_HEAD = Head("GET", "?", "HTTP/1.1")


class FaultServer:
    """Serve faults for as long as the `with` block lasts; `tell` hears of every request."""

    def __init__(
        self,
        *,
        port: int = 0,
        smtp_port: int = 0,
        clock: Clock | None = None,
        tell: Callable[[Seen], None] | None = None,
    ) -> None:
        self._ports = (port, smtp_port)
        self._clock = clock or SystemClock()
        self._tell = tell
        self._record = Record(self._clock)
        self._closing = threading.Event()
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            http = Listener(self._talk_http, port=self._ports[0])
            opened.callback(http.close)
            smtp = Listener(self._talk_smtp, port=self._ports[1])
            opened.callback(smtp.close)
            self._ports = (http.port, smtp.port)
            self._open = opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._open.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports[0]}"

    @property
    def smtp(self) -> str:
        return f"127.0.0.1:{self._ports[1]}"

    @property
    def credentials(self) -> Mapping[str, str]:
        """Keys and addresses that lead every provider here, by the names of their variables."""
        return {
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "ANTHROPIC_API_KEY": "sk-ant-test",
            "ANTHROPIC_BASE_URL": self.url,
            "OLLAMA_BASE_URL": f"{self.url}/v1",
        }

    @property
    def requests(self) -> tuple[Seen, ...]:
        """Everything that came in, in order."""
        return tuple(self._record.seen)

    @property
    def effects(self) -> tuple[Landed, ...]:
        """Everything that happened, whether or not the caller heard of it."""
        return tuple(self._record.landed)

    def script(self, path: str, *faults: Fault, times: int = 1, then: Fault | None = None) -> None:
        """Answer a path with these faults in order, `times` over, then with `then`.

        `path` is `/orders`, `POST /orders` for one method, or `smtp:ann` for mail to ann@anywhere.
        """
        steps = (*faults * times, *(() if then is None else (then,)))
        if not steps:
            raise ValueError(f"a script of no steps for `{path}`")
        self._record.script((path,), steps)

    def script_together(self, paths: tuple[str, ...], *faults: Fault) -> None:
        """Let several paths go through the same steps, as one."""
        self._record.script(paths, faults)

    def _talk_http(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as reader:
            try:
                while (head := read_head(reader)) and self._answer(head, reader, connection):
                    pass
            except BadRequestError as error:
                self._see("?", "?", {}, b"", str(error))
                refusal = Fault.status(error.status, body=json.dumps({"error": str(error)}))
                self._send(replace(refusal, end=End.HALF_CLOSE), _NO_HEAD, connection)

    def _answer(self, head: Head, reader: BinaryIO, connection: socket.socket) -> bool:
        """Answer one request, and return whether the connection goes on."""
        play = self._due(head)
        if play is None:
            read_body(head, reader, connection)
            return self._send(self._page(head.path), head, connection)
        body = b"" if play.fault.early else read_body(head, reader, connection)
        fault = _chosen(play.fault, body)
        seen = self._see(head.method, head.target, head.headers, body, fault.name)
        if fault.lands:
            fault = self._landed(fault, seen)
        wire = wire_of(fault, head, body, Moment(seen.number, self._clock.now(), play.started))
        return send(wire, connection, self._closing) and head.keeps

    def _due(self, head: Head) -> Play | None:
        """Return the step of a path, unless the path is about the server itself."""
        if play := self._record.next(f"{head.method} {head.path}", head.path):
            return play
        if head.path in OWN:
            return None
        if steps := steps_of(head.target):
            return self._record.next_of(f"built in {head.target}", steps)
        body = json.dumps({"error": {"message": f"no such path: {head.path}", "hint": "GET /"}})
        return Play(Fault.status(404, body=body), self._clock.now())

    def _page(self, path: str) -> Fault:
        """Return what the server says about itself; asking leaves no trace."""
        match path:
            case "/__requests":
                return _listed([{**asdict(one), "at": stamp(one.at)} for one in self.requests])
            case "/__effects":
                return _listed([asdict(one) for one in self.effects])
            case _:
                return _literal(index(), TEXT)

    def _landed(self, fault: Fault, seen: Seen) -> Fault:
        """Let it happen once for each key; whoever only looks is told what happened here."""
        if seen.method in SAFE:
            path = seen.path.partition("?")[0]
            return _listed([asdict(one) for one in self.effects if one.path == path])
        if self._record.land(seen):
            return fault
        said = {"ok": True, "replayed": True, "key": seen.headers.get("idempotency-key", "")}
        return _literal(json.dumps(said), JSON)

    def _talk_smtp(self, connection: socket.socket) -> None:
        Conversation(connection, self._box, self._took).hold()

    def _box(self, name: str) -> Fault:
        play = self._record.next(f"{MAIL}{name}")
        return mailbox(name) if play is None else play.fault

    def _took(self, address: str, message: bytes, fault: Fault) -> None:
        seen = self._see("MAIL", f"{MAIL}{address}", {}, message, fault.name)
        if fault.lands or _accepted(fault):
            self._record.land(seen)

    def _see(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, fault: str
    ) -> Seen:
        seen = self._record.see(method, path, headers=headers, body=body, fault=fault)
        if self._tell is not None:
            self._tell(seen)
        return seen

    def _send(self, fault: Fault, head: Head, connection: socket.socket) -> bool:
        """Send what belongs to no recorded request."""
        now = self._clock.now()
        wire = wire_of(fault, head, b"", Moment(0, now, now))
        return send(wire, connection, self._closing) and head.keeps


def _chosen(fault: Fault, body: bytes) -> Fault:
    if isinstance(fault.reply, ByModel):
        return by_model(str(object_of(body).get("model", "")))
    return fault


def _accepted(fault: Fault) -> bool:
    return isinstance(fault.reply, Reply) and fault.reply.status < 400


def _listed(entries: list[dict[str, object]]) -> Fault:
    return _literal(json.dumps(entries), JSON)


def _literal(body: str, media: str) -> Fault:
    return Fault(name="ok", reply=Reply(200, body, media, template=False))
