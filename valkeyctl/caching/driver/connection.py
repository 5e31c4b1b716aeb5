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
from valkeyctl.caching.sockets import diagnose
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
    if endpoint.tls:
        options.update(tls_options(endpoint))
        # An empty passphrase: OpenSSL would ask for one at the terminal.
        options["ssl_password"] = ""
    return options


def tls_options(endpoint: Endpoint) -> dict[str, str]:
    """Return the keyword arguments that name the CA and the client's certificate."""
    files = {
        "ssl_ca_certs": endpoint.ca_file,
        "ssl_certfile": endpoint.cert_file,
        "ssl_keyfile": endpoint.key_file,
    }
    return {name: str(file) for name, file in files.items() if file is not None}


def connection_class(endpoint: Endpoint) -> type[Connection]:
    """Return redis-py's class for plain text or TLS."""
    return SSLConnection if endpoint.tls else Connection


class _Abrupt(Connection):
    """Ends without a farewell where it cannot be made.

    The farewell of TLS takes half a minute where the server hangs, and outlives the loop.
    """

    async def disconnect(
        self,
        nowait: bool = False,  # noqa: ARG002 - redis-py's own
        error: Exception | None = None,
        failure_count: int | None = None,
        health_check_failed: bool = False,
    ) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        await super().disconnect(True, error, failure_count, health_check_failed)


class _AbruptTls(_Abrupt, SSLConnection):
    """Likewise, by TLS."""


def build_connection(endpoint: Endpoint, *, connect_timeout: float) -> Connection:
    """Return a connection to *endpoint* that is not yet made."""
    options = connection_options(endpoint, connect_timeout=connect_timeout)
    return (_AbruptTls if endpoint.tls else _Abrupt)(**options)  # type: ignore[arg-type]


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
        failure = mapped(error, endpoint, connecting=True)
        # Not a deadline, which is used up.
        if endpoint.tls and type(failure) is UnreachableError:
            # It may have refused our certificate, or the lack of one, which no repetition cures.
            told = await asyncio.to_thread(diagnose, endpoint, connect_timeout)
            raise (told or failure) from error
        raise failure from error
