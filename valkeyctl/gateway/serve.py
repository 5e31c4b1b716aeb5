"""The gateway as a process: one listening socket, until a signal."""

from __future__ import annotations

import logging
import os
import resource
import socket

import uvicorn

from valkeyctl.errors import StartError
from valkeyctl.gateway.app import create_app
from valkeyctl.gateway.journal import open_journal, take_over_logging
from valkeyctl.gateway.settings import GatewaySettings
from valkeyctl.serving import BACKLOG, KEEP_ALIVE, Server, listen

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
    with listen(settings.host, settings.port) as listener:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="on",
            ws="none",
            # Whoever connects is the caller; nothing here trusts a forwarded address.
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE,
            # In whole seconds, and at least one: answers that are ready get out.
            timeout_graceful_shutdown=max(1, round(settings.grace)),
        )
        url = _url(listener)

        def ready() -> None:
            if not settings.simulated and settings.upstream_api_key and not _is_loopback(listener):
                journal.warning("anyone who reaches this address spends the upstream key", url=url)
            journal.info("ready", url=url, pid=os.getpid(), upstream=settings.upstream_base)

        server = Server(config, ready=ready, parent=settings.parent)
        try:
            server.run(sockets=[listener])
        except SystemExit as error:
            # uvicorn's way to say that the lifespan failed; its reason is in the log.
            raise StartError("the gateway did not start", hint="Read the log above") from error
    journal.info("stopped", url=url)


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
