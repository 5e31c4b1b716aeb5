"""What a gateway is started with."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UsageError

UPSTREAM_KEY_VARIABLE = "VALKEYCTL_UPSTREAM_API_KEY"
SIMULATED = "simulated"


LOG_LEVELS = ("debug", "info", "warning", "error")


def _key_from_environment() -> str | None:
    return os.environ.get(UPSTREAM_KEY_VARIABLE) or None


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """Everything that decides how a gateway behaves; times in seconds, sizes in bytes.

    Attributes:
        host: Address to listen on. Whoever reaches it can spend the upstream key.
        port: TCP port; 0 takes a free one, which the readiness line names.
        cache: The server that holds answers; it may evict and may be away.
        state: The server for what must not be evicted (sessions, limits); None is *cache*.
        app: First part of every key.
        upstream: Base URL of an OpenAI-compatible provider, or ``simulated``. A URL
            without a path gets ``/v1``.
        upstream_api_key: Sent to the provider instead of the caller's credential. Read
            from VALKEYCTL_UPSTREAM_API_KEY only, shown by neither ``repr`` nor a log.
        response_ttl: How long an answer may be served from the cache.
        cache_budget: Longest wait for the cache in one call; then the call is a miss.
            The wait includes the gateway's own queueing, so a load test that wants every
            repeat to hit raises it.
        seed: Decides the latencies of the simulated origin.
        speedup: Divides the latencies of the simulated origin.
        connect_timeout: For the connection to the provider.
        upstream_timeout: For a whole answer of the provider; of a stream, for the
            longest silence in it.
        upstream_connections: Most calls to the provider at one time; more of them wait.
        body_timeout: For the caller to send its whole request.
        grace: How long running requests may go on after SIGTERM.
        max_body_bytes: Largest request.
        max_reply_bytes: Largest answer of the provider that is not a stream.
        parent: Process id to live with: when it is no longer our parent, the gateway
            stops as after SIGTERM; None lives on.
        log_level: Least severe line that is written to stderr; each request is ``info``.

    Raises:
        UsageError: A value that cannot be meant.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    cache: Endpoint = field(default_factory=Endpoint)
    state: Endpoint | None = None
    app: str = "default"
    upstream: str = SIMULATED
    upstream_api_key: str | None = field(
        default_factory=_key_from_environment, init=False, repr=False
    )
    response_ttl: float = 3600.0
    cache_budget: float = 0.025
    seed: int = 0
    speedup: float = 1.0
    connect_timeout: float = 5.0
    upstream_timeout: float = 600.0
    upstream_connections: int = 1000
    body_timeout: float = 30.0
    grace: float = 30.0
    max_body_bytes: int = 10 * 2**20
    max_reply_bytes: int = 32 * 2**20
    parent: int | None = None
    log_level: str = "info"

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(
                f"{self.port} is not a port", hint="Give a number from 0 to 65535; 0 takes any"
            )
        for name in (
            "response_ttl",
            "cache_budget",
            "speedup",
            "connect_timeout",
            "upstream_timeout",
            "upstream_connections",
            "body_timeout",
            "max_body_bytes",
            "max_reply_bytes",
        ):
            value: float = getattr(self, name)
            # Written so that NaN, which compares false with everything, is refused too.
            if not 0 < value < float("inf"):
                raise UsageError(f"{name} is {value}", hint="Give a number above zero")
        if not 0 <= self.grace < float("inf"):
            raise UsageError(f"grace is {self.grace}", hint="Give zero or more seconds")
        if self.log_level not in LOG_LEVELS:
            raise UsageError(
                f"log_level is {self.log_level!r}", hint=f"Give one of {', '.join(LOG_LEVELS)}"
            )
        if self.upstream != SIMULATED:
            _check_url(self.upstream)

    @property
    def simulated(self) -> bool:
        """Whether answers are made up here instead of bought from a provider."""
        return self.upstream == SIMULATED

    @property
    def upstream_base(self) -> str:
        """The provider's base URL without a slash at its end; ``simulated`` as it is."""
        if self.simulated:
            return SIMULATED
        base = self.upstream.rstrip("/")
        return base if urlsplit(base).path else f"{base}/v1"

    @property
    def state_endpoint(self) -> Endpoint:
        """Where state is kept that no server may evict."""
        return self.state or self.cache


def _check_url(url: str) -> None:
    """Refuse what is no base URL; the message never repeats it, as it may hold a secret."""
    hint = "Write it as https://host[:port][/path], or 'simulated'"
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"the upstream URL cannot be read: {error}", hint=hint) from error
    if parts.scheme not in {"http", "https"} or not host:
        raise UsageError("the upstream URL is not an http or https address", hint=hint)
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "the upstream URL holds a user or password",
            hint=f"Set the key in the environment variable {UPSTREAM_KEY_VARIABLE}",
        )
    if parts.query or parts.fragment:
        raise UsageError("the upstream URL has a query or fragment", hint=hint)
