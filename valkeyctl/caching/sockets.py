"""A blocking dial to one server, plain or by TLS; what comes back no longer blocks."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import DeadlineError, TlsError, UnreachableError
from valkeyctl.units import format_duration

if TYPE_CHECKING:
    import ssl

_DIAGNOSIS = 1.0  # seconds that asking why may take, at most
_DAY = 86400


@dataclass(frozen=True)
class Encryption:
    """How a connection is encrypted.

    Attributes:
        protocol: Such as ``TLSv1.3``.
        days_left: Until the server's certificate expires, with their fraction.
    """

    protocol: str
    days_left: float


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


def would_block(error: OSError) -> bool:
    """Say whether *error* only means "not now"; TLS has words of its own for it."""
    return isinstance(error, BlockingIOError) or type(error).__name__ in {
        "SSLWantReadError",
        "SSLWantWriteError",
    }


def encryption_of(connection: socket.socket | None) -> Encryption | None:
    """Return how *connection*, which `connect` has made, is encrypted; None when it is not."""
    if connection is None or type(connection) is socket.socket:
        return None
    import ssl

    if not isinstance(connection, ssl.SSLSocket):
        return None
    certificate = connection.getpeercert() or {}
    until = ssl.cert_time_to_seconds(str(certificate.get("notAfter")))
    return Encryption(connection.version() or "", (until - time.time()) / _DAY)


def diagnose(endpoint: Endpoint, timeout: float) -> TlsError | None:
    """Return what about TLS made the server end a connection at once; None for other reasons.

    It asks on a connection of its own, and says nothing there. A server that wants a
    client certificate tells so after the handshake, and its word is lost when the first
    command is already on its way; one that speaks TLS resets a plain connection.
    """
    import ssl

    from valkeyctl.caching.tlsfault import tls_failure

    bound = min(timeout, _DIAGNOSIS)
    try:
        with (
            socket.create_connection((endpoint.host, endpoint.port), timeout=bound) as plain,
            endpoint.secure(plain, verify=endpoint.tls) as secured,
        ):
            if endpoint.tls:
                secured.recv(1)
    except ssl.SSLError as error:
        return tls_failure(endpoint, error) if endpoint.tls else None
    except OSError:
        return None
    if endpoint.tls:
        return None
    return TlsError(
        f"{endpoint.address} speaks TLS, and was asked in plain text",
        hint="Write the URL with rediss://",
    )


def _secured(connection: socket.socket, endpoint: Endpoint, timeout: float) -> ssl.SSLSocket:
    from valkeyctl.caching.tlsfault import tls_failure  # ssl is slow, and most are plain

    try:
        return endpoint.secure(connection)
    except TimeoutError as error:
        connection.close()
        raise DeadlineError(
            f"no TLS handshake from {endpoint.address} after {format_duration(timeout)}",
            hint="Check that the port speaks TLS",
        ) from error
    except OSError as error:  # ssl.SSLError is one
        connection.close()
        raise tls_failure(endpoint, error) from error
    except TlsError:
        connection.close()
        raise
