"""redis-py's own objects, built from an Endpoint."""

from __future__ import annotations

from typing import TypeAlias

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from valkeyctl.endpoint import Endpoint

# What the driver calls its client; the rest of the library knows it by this name only.
Raw: TypeAlias = Redis


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


def build_raw(endpoint: Endpoint, *, size: int, connect_timeout: float) -> Raw:
    """Return a ``redis.asyncio`` client of its own blocking pool, for commands that we lack."""
    pool = BlockingConnectionPool(
        max_connections=size,
        timeout=connect_timeout,
        connection_class=connection_class(endpoint),
        # A vendor's extension: Valkey would count an error for each connection.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **connection_options(endpoint, connect_timeout=connect_timeout),  # type: ignore[arg-type]
    )
    return Redis.from_pool(pool)
