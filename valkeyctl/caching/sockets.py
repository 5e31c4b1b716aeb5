"""A blocking dial to one server, plain or by TLS; what comes back no longer blocks."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import DeadlineError, TlsError, UnreachableError
from valkeyctl.units import format_duration

if TYPE_CHECKING:
    import ssl


def connect(endpoint: Endpoint, timeout: float) -> socket.socket:
    """Return a socket to *endpoint*, whose reads and writes do not wait.

    Args:
        endpoint: One server.
        timeout: Seconds that each step may take.

    Raises:
        UnreachableError: Nothing listens there.
        DeadlineError: It was silent for longer than the timeout.
        TlsError: The handshake failed.
    """
    try:
        # As bytes where it is ASCII: text goes through Python's IDNA codec, whose import takes
        # longer than connecting, and which refuses some names by a UnicodeError.
        host = endpoint.host.encode() if endpoint.host.isascii() else endpoint.host
        connection = socket.create_connection((host, endpoint.port), timeout=timeout)  # type: ignore[arg-type]  # getaddrinfo takes both
    except TimeoutError as error:
        raise silent(endpoint, timeout) from error
    except OSError as error:
        raise UnreachableError(
            f"cannot connect to {endpoint.address}: {error.strerror or error}"
        ) from error
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if endpoint.tls:
        connection = _secured(connection, endpoint, timeout)
    connection.setblocking(False)
    return connection


def silent(endpoint: Endpoint, timeout: float) -> DeadlineError:
    """Return the failure of a server that says nothing for *timeout* seconds."""
    return DeadlineError(f"no answer from {endpoint.address} after {format_duration(timeout)}")


def _secured(connection: socket.socket, endpoint: Endpoint, timeout: float) -> ssl.SSLSocket:
    import ssl  # slow, and most connections are plain

    try:
        context = ssl.create_default_context(
            cafile=str(endpoint.ca_file) if endpoint.ca_file else None
        )
        return context.wrap_socket(connection, server_hostname=endpoint.host)
    except ssl.SSLError as error:
        connection.close()
        raise TlsError(
            f"the TLS handshake with {endpoint.address} failed: {error.reason or error}",
            hint="Check that the port speaks TLS and that ca_file signed its certificate",
        ) from error
    except TimeoutError as error:
        connection.close()
        raise DeadlineError(
            f"no TLS handshake from {endpoint.address} after {format_duration(timeout)}",
            hint="Check that the port speaks TLS",
        ) from error
    except OSError as error:
        connection.close()
        raise TlsError(
            f"the TLS handshake with {endpoint.address} failed: {error.strerror or error}",
            hint="Check that the port speaks TLS and that ca_file can be read",
        ) from error
