"""An ASGI application as a process: one listening socket, until a signal."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from valkeyctl.errors import PortTakenError, StartError

# Arrivals that may wait for the event loop; the kernel cuts it to net.core.somaxconn.
BACKLOG = 8192
# Longer than any client library keeps an idle connection, so that it is the client
# that closes it, and never sends a request into a connection we are closing.
KEEP_ALIVE = 75


class Server(uvicorn.Server):
    """uvicorn, saying when it listens, ending with its parent, and returning after a signal.

    Args:
        config: uvicorn's own.
        parent: Process id to live with; None lives on.
        ready: Called once it listens.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        parent: int | None,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._parent = parent

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, and say so."""
        await super().startup(sockets=sockets)
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Ask, ten times a second, whether to stop; a parent that was killed cannot end us."""
        if self._parent is not None and os.getppid() != self._parent:
            self.should_exit = True
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's
        """Stop after a signal; a second SIGINT stops at once."""
        # Not passed on to _captured_signals: uvicorn raises those again after its
        # shutdown, and a server that was asked to stop and did has not failed.
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on the first address of *host*.

    Bound here and not by uvicorn, which ends the process with a status of its own.

    Raises:
        PortTakenError: Another process listens on the port.
        StartError: The address cannot be listened on.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise StartError(
            f"cannot listen on {host}: {error.strerror or error}",
            hint="Give an address of this machine, such as 127.0.0.1",
        ) from error
    listener = socket.socket(family, kind, protocol)
    try:
        # Without it a port in TIME_WAIT after a restart would look taken.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Now, so that two gateways started at once do not both believe they have it.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(
                f"port {port} on {host} is taken by another process",
                hint="End that process, or choose another one: --port",
            ) from error
        raise StartError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            hint="Give an address of this machine and a port that you may open",
        ) from error
    return listener
