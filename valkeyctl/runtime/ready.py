"""Whether a server takes commands yet, asked through the published address.

A TCP connect proves nothing: a container's port is held open by podman before the
server listens, and while it is paused or cut off.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from typing import Literal

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import StartError

Answer = Literal["ready", "loading", "silent"]

_PING = b"*1\r\n$4\r\nPING\r\n"
_PING_TIMEOUT = 0.5
_LONGEST_ANSWER = 1024  # bytes; whatever says more in one line is no server of ours
# A server that says it is loading its data is alive; a dataset of some 100 GB takes this long.
LOADING_PATIENCE = 600.0


def ask(endpoint: Endpoint, timeout: float = _PING_TIMEOUT) -> Answer:
    """Return what the server at *endpoint* says to a PING within *timeout* seconds.

    A server that asks for a password (``-NOAUTH``) is ready: it listens and answers.
    """
    try:
        with socket.create_connection((endpoint.host, endpoint.port), timeout=timeout) as plain:
            if not endpoint.tls:
                return _ping(plain)
            # No name and no CA are checked here: nothing secret is sent, and whether
            # clients can trust the certificate is for `health` to say.
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            with context.wrap_socket(plain) as secured:
                return _ping(secured)
    except OSError:
        return "silent"


def wait_until_ready(
    endpoint: Endpoint,
    *,
    patience: float,
    check: Callable[[], None],
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Return the seconds until *endpoint* was ready.

    Args:
        endpoint: The published address.
        patience: Seconds to wait for a server that says nothing; one that says it
            loads its data is given LOADING_PATIENCE.
        check: Called between two questions; raises when waiting has become pointless.
        clock: Source of time, in seconds.

    Raises:
        StartError: It was not ready in time.
    """
    began = clock()
    pause = 0.005
    loading = False
    while True:
        answer = ask(endpoint)
        waited = clock() - began
        if answer == "ready":
            return waited
        check()
        loading = loading or answer == "loading"
        if waited > (LOADING_PATIENCE if loading else patience):
            what = "still loads its data" if loading else "does not answer PING"
            raise StartError(f"the server at {endpoint.address} {what} after {waited:.1f} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def _ping(connection: socket.socket) -> Answer:
    connection.sendall(_PING)
    reply = b""
    while b"\n" not in reply and len(reply) < _LONGEST_ANSWER:
        part = connection.recv(256)
        if not part:
            return "silent"
        reply += part
    if reply.startswith((b"+PONG", b"-NOAUTH")):
        return "ready"
    return "loading" if reply.startswith(b"-LOADING") else "silent"
