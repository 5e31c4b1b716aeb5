"""The gateway as a process: one listening socket, until a signal."""

from __future__ import annotations

import errno
import logging
import os
import resource
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from valkeyctl.errors import PortTakenError, StartError
from valkeyctl.gateway.app import create_app
from valkeyctl.gateway.journal import open_journal, take_over_logging
from valkeyctl.gateway.settings import GatewaySettings

# Arrivals that may wait for the event loop; the kernel cuts it to net.core.somaxconn.
_BACKLOG = 8192
# Longer than any client library keeps an idle connection, so that it is the client
# that closes it, and never sends a request into a connection we are closing.
_KEEP_ALIVE = 75
_OPEN_FILES = 65_536


def serve(settings: GatewaySettings) -> None:
    """Run the gateway until SIGTERM or SIGINT, then finish what runs and return.

    When it listens, one line with ``"event": "ready"`` and the ``url`` goes to stderr.
    After the signal no new connection is taken and running requests have
    ``settings.grace`` seconds, rounded and at least 1; a second SIGINT ends them at once.

    Raises:
        PortTakenError: Another process listens on the port.
        StartError: The address cannot be listened on, or the application did not start.
        InvalidKeyError: ``settings.app`` cannot be part of a key.
    """
    journal = open_journal(settings.log_level)
    take_over_logging(journal, settings.log_level)
    _allow_many_connections()
    app = create_app(settings, journal=journal)
    with _listen(settings.host, settings.port) as listener:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="on",
            ws="none",
            # Whoever connects is the caller; nothing here trusts a forwarded address.
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE,
            # In whole seconds, and at least one: answers that are ready get out.
            timeout_graceful_shutdown=max(1, round(settings.grace)),
        )
        url = _url(listener)

        def ready() -> None:
            if not settings.simulated and settings.upstream_api_key and not _is_loopback(listener):
                journal.warning("anyone who reaches this address spends the upstream key", url=url)
            journal.info("ready", url=url, pid=os.getpid(), upstream=settings.upstream_base)

        server = _Server(config, ready=ready, parent=settings.parent)
        try:
            server.run(sockets=[listener])
        except SystemExit as error:
            # uvicorn's way to say that the lifespan failed; its reason is in the log.
            raise StartError("the gateway did not start", hint="Read the log above") from error
    journal.info("stopped", url=url)


class _Server(uvicorn.Server):
    """uvicorn, saying when it listens and returning after a signal."""

    def __init__(
        self, config: uvicorn.Config, *, ready: Callable[[], None], parent: int | None
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._parent = parent

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        # uvicorn asks ten times a second. A parent that was killed cannot end us.
        if self._parent is not None and os.getppid() != self._parent:
            self.should_exit = True
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's
        # Not passed on to _captured_signals: uvicorn raises those again after its
        # shutdown, and a server that was asked to stop and did has not failed.
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket bound to the first address of *host*.

    Bound here and not by uvicorn, which ends the process with a status of its own.
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
        listener.listen(_BACKLOG)
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


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_loopback(listener: socket.socket) -> bool:
    host = str(listener.getsockname()[0])
    return host == "::1" or host.startswith("127.")


def _allow_many_connections() -> None:
    """Raise the soft limit on open files: many systems start a process with 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS refuses more than kern.maxfilesperproc
            logging.getLogger(__name__).warning("open files stay limited to %d", soft)
