"""redis-py's own objects, built from an Endpoint."""

from __future__ import annotations

import asyncio
from typing import cast

from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from valkeyctl.caching.deadline import Deadline
from valkeyctl.caching.driver.errors import mapped
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import DeadlineError, UnreachableError
from valkeyctl.units import format_duration


def connection_options(endpoint: Endpoint, *, connect_timeout: float) -> dict[str, object]:
    """Return the keyword arguments of a redis-py connection to *endpoint*.

    No retry and no read timeout: the caller's deadline covers the whole call, and
    redis-py's defaults would try ten times behind its back.
    """
    options: dict[str, object] = {
        "host": endpoint.host,
        "port": endpoint.port,
        "db": endpoint.db,
        "username": endpoint.username,
        "password": endpoint.password,
        "protocol": 3,
        "socket_timeout": None,
        "socket_connect_timeout": connect_timeout,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,
    }
    if endpoint.tls and endpoint.ca_file:
        options["ssl_ca_certs"] = str(endpoint.ca_file)
    return options


def connection_class(endpoint: Endpoint) -> type[Connection]:
    """Return redis-py's class for plain text or TLS."""
    return SSLConnection if endpoint.tls else Connection


def build_connection(endpoint: Endpoint, *, connect_timeout: float) -> Connection:
    """Return a connection to *endpoint* that is not yet made."""
    options = connection_options(endpoint, connect_timeout=connect_timeout)
    return connection_class(endpoint)(**options)  # type: ignore[arg-type]


async def dial(
    endpoint: Endpoint, protocol: asyncio.Protocol, *, connect_timeout: float
) -> asyncio.StreamWriter:
    """Connect, log in with RESP3, and give the connection to *protocol*.

    Its ``connection_made`` is not called. Use the transport of what is returned and
    keep that, because it closes the transport in its finaliser.

    Raises:
        UnreachableError: Nothing listens there, or it does not speak RESP.
        DeadlineError: It took longer than *connect_timeout* seconds.
        AuthError, TlsError: It does not let us in.
    """
    connection = build_connection(endpoint, connect_timeout=connect_timeout)
    try:
        await _connected(connection, endpoint, connect_timeout)
    except BaseException:
        # Half way, such as before the log-in.
        await connection.disconnect(nowait=True)
        raise
    # There is no public word for it.
    writer = cast("asyncio.StreamWriter", connection._writer)
    # So that redis-py does not close, in its finaliser, what is not its own from here on.
    connection._reader = connection._writer = None
    writer.transport.set_protocol(protocol)
    if writer.transport.is_closing():
        raise UnreachableError(f"the connection to {endpoint.address} broke at once")
    return writer


async def _connected(connection: Connection, endpoint: Endpoint, connect_timeout: float) -> None:
    try:
        with Deadline(connect_timeout):
            await connection.connect()  # type: ignore[no-untyped-call]
    except TimeoutError as error:
        raise DeadlineError(
            f"no connection to {endpoint.address} within {format_duration(connect_timeout)}",
            hint="Check that the port speaks TLS" if endpoint.tls else None,
        ) from error
    except (RedisError, OSError) as error:
        raise mapped(error, endpoint, connecting=True) from error
