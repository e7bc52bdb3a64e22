"""SMTP as lines: the mailbox of the first recipient says what happens.

Rule 1: an early fault happens at the recipient, where nothing was taken yet; any other after the last
    dot of the message, where only an answer below 400 means that we have it.
Rule 2: a user name that is a fault of its own is refused with it: `535` cannot log in.
"""

import base64
import binascii
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from standpipe.testing.faults.fault import End, Fault, Reply
from standpipe.testing.faults.listener import finish

LINE_BYTES_MAX = 64 * 1024
MESSAGE_BYTES_MAX = 16 * 1024 * 1024
Pick = Callable[[str], Fault]  # by mailbox
Took = Callable[[str, bytes, Fault], None]  # address, message, what it was answered with


@dataclass(slots=True)
class Conversation:
    """One client, from greeting to goodbye."""

    connection: socket.socket
    pick: Pick
    took: Took
    to: str = ""
    fault: Fault | None = None
    _reader: BinaryIO = field(init=False)

    def hold(self) -> None:
        """Answer until one side goes."""
        with self.connection.makefile("rb") as self._reader:
            self._say(220, "fault-server ESMTP")
            goes_on = True
            while goes_on and (line := self._reader.readline(LINE_BYTES_MAX)):
                verb, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
                goes_on = self._answer(verb.upper(), rest)

    def _answer(self, verb: str, rest: str) -> bool:
        match verb:
            case "EHLO":
                self._say(250, "fault-server", "AUTH PLAIN LOGIN", "SMTPUTF8", "8BITMIME")
            case "MAIL" | "RSET":
                self.to, self.fault = "", None
                self._say(250, "ok")
            case "HELO" | "NOOP":
                self._say(250, "ok")
            case "AUTH":
                self._log_in(rest)
            case "RCPT":
                return self._address(rest)
            case "DATA":
                return self._take()
            case "QUIT":
                self._say(221, "bye")
                return False
            case _:
                self._say(502, "no such command")
        return True

    def _log_in(self, rest: str) -> None:
        method, _, initial = rest.partition(" ")
        if method.upper() == "LOGIN":
            user = _decoded(initial or self._asked("VXNlcm5hbWU6"))
            self._asked("UGFzc3dvcmQ6")
        else:
            user = _decoded(initial or self._asked("")).partition("\0")[2].partition("\0")[0]
        fault = self.pick(user)
        if fault.early and isinstance(fault.reply, Reply):
            self._say(fault.reply.status, "authentication failed")
        else:
            self._say(235, "welcome")

    def _address(self, rest: str) -> bool:
        address = rest.partition(":")[2].strip().partition(" ")[0].strip("<>")
        fault = self.pick(address.partition("@")[0])
        if fault.early:
            self.took(address, b"", fault)
            return self._end(fault, f"<{address}> is refused")
        self.to, self.fault = self.to or address, self.fault or fault
        self._say(250, "ok")
        return True

    def _take(self) -> bool:
        if self.fault is None:
            self._say(503, "no recipient")
            return True
        self._say(354, "end with a dot")
        message, fault = self._message(), self.fault
        if message is None:
            return False
        self.took(self.to, message, fault)
        self.to, self.fault = "", None
        return self._end(fault, "message")

    def _message(self) -> bytes | None:
        """Read up to the dot; a client that goes before it has sent nothing."""
        lines: list[bytes] = []
        size = 0
        while line := self._reader.readline(LINE_BYTES_MAX):
            if line in (b".\r\n", b".\n"):
                return b"".join(lines)
            size += len(line)
            if size <= MESSAGE_BYTES_MAX:
                lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        return None

    def _end(self, fault: Fault, what: str) -> bool:
        if isinstance(fault.reply, Reply):
            status = fault.reply.status
            self._say(status if status >= 400 else 250, what)
        finish(self.connection, fault.end)
        return fault.end is End.KEEP

    def _asked(self, challenge: str) -> str:
        self._say(334, challenge)
        return self._reader.readline(LINE_BYTES_MAX).decode("utf-8", "replace").strip()

    def _say(self, code: int, *lines: str) -> None:
        parts = [f"{code}-{line}\r\n" for line in lines[:-1]]
        self.connection.sendall("".join([*parts, f"{code} {lines[-1]}\r\n"]).encode())


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""
