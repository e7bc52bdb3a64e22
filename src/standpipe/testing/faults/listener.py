"""A port of loopback, a thread for each connection, and an end that leaves none of them.

Rule 1: closing shuts every open connection first, so that no thread waits for a client.
Rule 2: a client that goes away is no error of ours.
"""

import socket
import struct
import threading
from collections.abc import Callable
from socketserver import BaseRequestHandler, ThreadingTCPServer

from standpipe.testing.faults.fault import End

Talk = Callable[[socket.socket], None]
_RST = struct.pack("ii", 1, 0)  # linger for 0 seconds: close sends a reset


class Listener:
    """Call `talk` with each connection to a port, in a thread of its own."""

    def __init__(self, talk: Talk, *, port: int = 0) -> None:
        self._server = _Server(talk, port)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="fault-server"
        )
        self._thread.start()

    def close(self) -> None:
        """End every connection and wait for its thread."""
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()


def finish(connection: socket.socket, end: End) -> None:
    """Do to a connection what stands at the end of a fault."""
    match end:
        case End.RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
            connection.close()
        case End.HALF_CLOSE:
            connection.shutdown(socket.SHUT_WR)
            _drain(connection)
        case End.SILENCE:
            _drain(connection)
        case End.KEEP | End.CLOSE:
            """The listener closes it when the talk is over."""


def _drain(connection: socket.socket) -> None:
    """Read until the other side goes, or the listener closes."""
    while connection.recv(65_536):
        pass


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = False  # closing waits for them
    request_queue_size = 128

    def __init__(self, talk: Talk, port: int) -> None:
        self.talk = talk
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Connection)

    def process_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: object) -> None:
        assert isinstance(request, socket.socket)
        super().shutdown_request(request)
        with self._lock:
            self._open.discard(request)

    def hang_up(self) -> None:
        """Wake every thread that waits for its client."""
        with self._lock:
            left = tuple(self._open)
        for connection in left:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it went by itself


class _Connection(BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Server)
        connection: socket.socket = self.request
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.server.talk(connection)
        except OSError:
            return  # the client, or the whole server, went first
