"""A server that does to each connection what a test says, byte by byte."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Self

Script = Callable[[socket.socket], None]

# A script that waits for a client that waits for the script must not wait for ever.
_LONGEST = 30.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Scripted:
    """Listens on a loopback port; connection k is served by script k, later ones by the last.

    Attributes:
        seen: How many connections came.
        url: Where it listens.
    """

    def __init__(
        self, *scripts: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.seen = 0
        self._scripts = scripts
        self._tls = tls
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.port = int(self._listener.getsockname()[1])
        name = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{name}:{self.port}"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone would not wake the thread that waits in accept.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        # Before the rest, for it may just have taken one more.
        self._threads[0].join()
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(_LONGEST)
            self._open.append(connection)
            script = self._scripts[min(self.seen, len(self._scripts) - 1)]
            self.seen += 1
            thread = threading.Thread(target=self._serve, args=(connection, script))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, script: Script) -> None:
        # The client hangs up when it has seen enough.
        with contextlib.suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            script(connection)


def request(connection: socket.socket) -> bytes:
    """Return the next request, head and body; empty when the client hung up."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    wanted = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            wanted = int(line.partition(b":")[2])
    pieces = [data]
    missing = wanted - len(body)
    while missing > 0:
        piece = connection.recv(65536)
        pieces.append(piece)
        missing -= len(piece) or missing
    return b"".join(pieces)


def answers(*replies: bytes) -> Script:
    """Return a script that gives one of *replies* to each request, and then hangs up."""

    def script(connection: socket.socket) -> None:
        for reply in replies:
            if not request(connection):
                return
            connection.sendall(reply)
        connection.shutdown(socket.SHUT_RDWR)

    return script


def always(reply: bytes = OK) -> Script:
    """Return a script that gives *reply* to every request until the client hangs up."""

    def script(connection: socket.socket) -> None:
        while request(connection):
            connection.sendall(reply)

    return script


def drip(reply: bytes) -> Script:
    """Return a script that sends *reply* in packets of one byte."""

    def script(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while request(connection):
            for place in range(len(reply)):
                connection.sendall(reply[place : place + 1])

    return script


def reset(connection: socket.socket) -> None:
    """Close *connection* with a RST instead of a FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def silent(connection: socket.socket) -> None:
    """Read requests and never answer."""
    while request(connection):
        pass
