"""What the gateway counts, for Prometheus.

Labels are namespaces, results, routes and statuses: never a key, a user or a prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

CacheResult = Literal["hit", "miss", "collapsed", "bypass", "error"]

# From a hit on the same machine (under 1 ms) to the slowest answer of a model.
_SECONDS = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0,
)  # fmt: skip


class Metrics:
    """The numbers of one gateway, in a registry of its own.

    Args:
        origin_calls: Reads the origin's own count, so that there is only one.
        breaker_state: Reads the state of the cache client's breaker.
        breaker_states: Every value that *breaker_state* may return.
    """

    def __init__(
        self,
        *,
        origin_calls: Callable[[], int],
        breaker_state: Callable[[], str],
        breaker_states: tuple[str, ...],
    ) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Live(origin_calls, breaker_state, breaker_states))
        cache = Counter(
            "valkeyctl_cache_requests",
            "Chat requests by what the cache did: hit, miss (asked the origin), collapsed "
            "(shared another request's origin call), bypass (not looked up), error (no answer).",
            ("namespace", "result"),
            registry=self.registry,
        )
        # Bound here, so that every result is on the page from the start, as zero.
        self._cache = {result: cache.labels("response", result) for result in get_args(CacheResult)}
        self._origin_seconds = Histogram(
            "valkeyctl_origin_seconds",
            "Seconds until the origin's whole answer, or the end of its stream.",
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._request_seconds = Histogram(
            "valkeyctl_request_seconds",
            "Seconds until the gateway's whole answer.",
            ("route", "status"),
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._bound: dict[tuple[str, int], Histogram] = {}

    def cache(self, result: CacheResult) -> None:
        """Count one chat request."""
        self._cache[result].inc()

    def origin(self, seconds: float) -> None:
        """Record one call of the origin, answered or not."""
        self._origin_seconds.observe(seconds)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Record one request; *route* is a path of ours, never the caller's text."""
        bound = self._bound.get((route, status))
        if bound is None:
            bound = self._request_seconds.labels(route, str(status))
            self._bound[route, status] = bound
        bound.observe(seconds)

    def page(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics page and its content type, in the format that *accept* asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class _Live(Collector):
    """Reads numbers that others count at the moment of a scrape."""

    def __init__(
        self,
        origin_calls: Callable[[], int],
        breaker_state: Callable[[], str],
        breaker_states: tuple[str, ...],
    ) -> None:
        self._origin_calls = origin_calls
        self._breaker_state = breaker_state
        self._breaker_states = breaker_states

    def collect(self) -> Iterable[Metric]:
        """Yield the origin's calls and the breaker's state."""
        yield CounterMetricFamily(
            "valkeyctl_origin_calls",
            "Requests that the origin was given, streams included.",
            value=self._origin_calls(),
        )
        breaker = GaugeMetricFamily(
            "valkeyctl_breaker_state",
            "1 for the state that the cache client's breaker is in.",
            labels=("state",),
        )
        current = self._breaker_state()
        for state in self._breaker_states:
            breaker.add_metric((state,), float(state == current))
        yield breaker
