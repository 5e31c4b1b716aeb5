"""redis-py's own clients, for what this library lacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from valkeyctl.caching.driver.connection import connection_class, connection_options, tls_options
from valkeyctl.endpoint import Endpoint

# What the rest of the library knows them by.
Raw: TypeAlias = Redis | RedisCluster


def build_raw(endpoint: Endpoint, *, size: int, connect_timeout: float) -> Raw:
    """Return a ``redis.asyncio`` client on a pool of its own; of a Cluster, on one per node."""
    if endpoint.topology == "cluster":
        return _cluster(endpoint, size, connect_timeout)
    if endpoint.topology == "sentinel":
        return _sentinel(endpoint, size, connect_timeout)
    pool = BlockingConnectionPool(
        max_connections=size,
        timeout=connect_timeout,
        connection_class=connection_class(endpoint),
        # A vendor's extension: Valkey would count an error for each connection.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **connection_options(endpoint, connect_timeout=connect_timeout),  # type: ignore[arg-type]
    )
    return Redis.from_pool(pool)


class _Primary(Redis):
    """redis-py's client of the primary, which closes those of the sentinels with it."""

    sentinels: Sequence[Redis] = ()

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close all connections."""
        await super().aclose(close_connection_pool)
        for sentinel in self.sentinels:
            await sentinel.aclose()


def _sentinel(endpoint: Endpoint, size: int, connect_timeout: float) -> Redis:
    options = connection_options(endpoint, connect_timeout=connect_timeout)
    for name in ("host", "port"):
        del options[name]
    options["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    options["ssl"] = endpoint.tls
    login = {"username": endpoint.sentinel_username, "password": endpoint.sentinel_password}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        list(endpoint.nodes),
        sentinel_kwargs={**options, **login, "db": 0},
        max_connections=size,
        **options,
    )
    primary: _Primary = sentinel.master_for(endpoint.primary_name or "", redis_class=_Primary)
    primary.sentinels = sentinel.sentinels
    return primary


def _cluster(endpoint: Endpoint, size: int, connect_timeout: float) -> RedisCluster:
    return RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in endpoint.nodes],
        username=endpoint.username,
        password=endpoint.password,
        max_connections=size,
        socket_timeout=None,
        socket_connect_timeout=connect_timeout,
        ssl=endpoint.tls,
        protocol=3,
        retry=Retry(NoBackoff(), 0),
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **(tls_options(endpoint) if endpoint.tls else {}),  # type: ignore[arg-type]
    )
