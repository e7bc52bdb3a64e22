"""`python -m standpipe.testing.faults --port 0`: the fault server as a command.

Rule 1: the addresses come first, then one line for each request, all on stdout.
Rule 2: SIGINT and SIGTERM end it with 0; what was typed wrong is exit 2, one line and a hint.
"""

import signal
import sys
import threading
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NoReturn

from standpipe.clock import stamp
from standpipe.testing.faults.record import Seen
from standpipe.testing.faults.server import FaultServer

_PORT_MAX = 65_535
_SHOWN_MAX = 200


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal comes."""
    typed = _typed(arguments)
    over = threading.Event()

    def stop(number: int, frame: object) -> None:
        del number, frame
        over.set()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    lines = _Lines(over)
    with ExitStack() as opened:
        server = FaultServer(port=typed.port, smtp_port=typed.smtp_port, tell=lines.tell)
        try:
            opened.enter_context(server)
        except OSError as error:
            ports = f"`{typed.port}` (http) and `{typed.smtp_port}` (smtp)"
            _refuse(f"cannot listen on ports {ports}: {error.strerror}", "0 takes any free port")
        lines.say(f"http {server.url}")
        lines.say(f"smtp {server.smtp}")
        over.wait()
    return 0


class _Typed(Namespace):
    port: int
    smtp_port: int


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _refuse(message, "for example `--port 0`; `--help` lists the options")


class _Lines:
    """Standard output, from many threads; when nobody reads it any more, it is over."""

    def __init__(self, over: threading.Event) -> None:
        self._over = over
        self._lock = threading.Lock()

    def tell(self, seen: Seen) -> None:
        path = "".join(one if one.isprintable() else "?" for one in seen.path[:_SHOWN_MAX])
        self.say(f"{stamp(seen.at)} {seen.method} {path} {seen.body_bytes} bytes: {seen.fault}")

    def say(self, line: str) -> None:
        try:
            with self._lock:
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
        except (OSError, ValueError):
            self._over.set()


def _typed(arguments: Sequence[str] | None) -> _Typed:
    parser = _Parser(prog="python -m standpipe.testing.faults", description="A server that fails.")
    parser.add_argument("--port", type=_port, default=0, help="of HTTP; 0 is any free one")
    parser.add_argument("--smtp-port", type=_port, default=0, help="of SMTP; 0 is any free one")
    return parser.parse_args(arguments, namespace=_Typed())


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text[:6]) <= _PORT_MAX:
        return int(text)
    raise ArgumentTypeError(f"`{text}` is no port (0 to {_PORT_MAX})")


def _refuse(message: str, hint: str) -> NoReturn:
    sys.stderr.write(f"error: {message}\nhint: {hint}\n")
    raise SystemExit(2)


if __name__ == "__main__":
    sys.exit(main())
