"""Whether the published port can be had, and who has it."""

from __future__ import annotations

import errno
import socket

import psutil

from valkeyctl.errors import PortTakenError, StartError

# What to do about a server that has ended, and somebody else listens in its place.
PORT_HINT = "End that process, and deploy again: clients reach it instead"
_CONNECT_TIMEOUT = 0.5


def require_free_port(host: str, port: int) -> None:
    """Prove that a server could listen on *host*:*port* now.

    Raises:
        PortTakenError: Something listens there; the message names it where the
            system tells us.
        StartError: The address is not of this machine, or the port is not allowed.
    """
    try:
        families = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise StartError(
            f"cannot listen on {host}: {error.strerror or error}",
            hint="Write an address of this machine in publish, such as 127.0.0.1:6379",
        ) from error
    # The first address is the one that a server told to bind a name takes.
    family, kind, protocol, _, address = families[0]
    with socket.socket(family, kind, protocol) as probe:
        # Without it, a port in TIME_WAIT after a restart would look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTakenError(
                    f"port {port} on {host} is taken by {holder(port)}",
                    hint="End that process, or write another port in publish",
                ) from error
            raise StartError(
                f"cannot listen on {host}:{port}: {error.strerror or error}",
                hint="Write another address in publish, such as 127.0.0.1:6379",
            ) from error


def taken_by(host: str, port: int) -> str:
    """Return who listens on *host*:*port*, such as ``nginx (pid 4711)``; empty when nobody does."""
    try:
        socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT).close()
    except OSError:
        return ""
    return holder(port)


def holder(port: int) -> str:
    """Return who listens on *port*, such as ``nginx (pid 4711)``."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:  # macOS shows other users' sockets to root only
        connections = []
    for connection in connections:
        local = connection.laddr
        if connection.status == psutil.CONN_LISTEN and local and local.port == port:
            if connection.pid is None:
                break
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                return f"pid {connection.pid}"
    return "another process"
