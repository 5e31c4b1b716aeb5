"""Metrics of a cache for Prometheus; needs the extra ``valkeyctl[gateway]``.

::

    observer = PrometheusObserver(REGISTRY)
    cache = CacheService(client, app="shop", observers=[observer])
"""

from __future__ import annotations

from typing import get_args

from valkeyctl.caching.breaker import State
from valkeyctl.caching.observer import Cause, Operation, Outcome, Written
from valkeyctl.caching.observers.dimensions import (
    ENTRY_BYTES,
    INVALIDATION_SECONDS,
    LOAD_SECONDS,
    MAX_NAMESPACES,
    NamespaceLabels,
    result_of,
)
from valkeyctl.errors import MissingError, UsageError

try:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
except ModuleNotFoundError as error:
    raise MissingError(
        f"the Prometheus observer needs the package {error.name}, which is not installed",
        hint="Install it: pip install 'valkeyctl[gateway]'",
    ) from error

__all__ = ["PrometheusObserver"]


class PrometheusObserver:
    """Counts what caches do, in a registry of yours.

    One observer serves any number of services and clients; their numbers are added up,
    and the breaker shown is the one that moved last.

    Args:
        registry: Where the metrics are registered.
        namespaces: How many get a label of their own; later ones share ``other``.

    Raises:
        UsageError: The registry has these metrics already.
    """

    def __init__(self, registry: CollectorRegistry, *, namespaces: int = MAX_NAMESPACES) -> None:
        self._labels = NamespaceLabels(namespaces)
        try:
            self._reads = Counter(
                "valkeyctl_cache_reads",
                "Reads by outcome: hit, near (from this process), stale (past its freshness), "
                "miss, collapsed (answered by another caller's load).",
                ("namespace", "outcome"),
                registry=registry,
            )
        except ValueError as error:
            raise UsageError(
                "the registry has the metrics of a Prometheus observer already",
                hint="Make one observer and give it to every CacheService",
            ) from error
        self._read_bytes = Histogram(
            "valkeyctl_cache_read_size_bytes",
            "Bytes of the stored entries that the server sent.",
            ("namespace",),
            registry=registry,
            buckets=ENTRY_BYTES,
        )
        self._load_seconds = Histogram(
            "valkeyctl_cache_load_seconds",
            "Seconds that loaders took, by why they ran (miss, forced, stale, early) and "
            "how they ended (ok, failed).",
            ("namespace", "cause", "result"),
            registry=registry,
            buckets=LOAD_SECONDS,
        )
        self._writes = Counter(
            "valkeyctl_cache_writes",
            "Writes by outcome: stored, refused (an invalidation came while the value was "
            "loaded), too_large, failed.",
            ("namespace", "outcome"),
            registry=registry,
        )
        self._write_bytes = Histogram(
            "valkeyctl_cache_write_size_bytes",
            "Bytes of the payloads stored, after compression.",
            ("namespace",),
            registry=registry,
            buckets=ENTRY_BYTES,
        )
        self._errors = Counter(
            "valkeyctl_cache_errors",
            "Reads and writes that went wrong and were swallowed, by kind.",
            ("namespace", "operation", "kind"),
            registry=registry,
        )
        self._invalidations = Histogram(
            "valkeyctl_cache_invalidation_seconds",
            "Seconds that invalidations took, by what was invalidated (namespace, tag) and "
            "how they ended (ok, failed).",
            ("target", "result"),
            registry=registry,
            buckets=INVALIDATION_SECONDS,
        )
        self._breaker_moves = Counter(
            "valkeyctl_cache_breaker_transitions",
            "Moves of the cache client's breaker, by the state it moved to.",
            ("state",),
            registry=registry,
        )
        self._breaker = Gauge(
            "valkeyctl_cache_breaker_state",
            "1 for the state that the cache client's breaker is in.",
            ("state",),
            registry=registry,
        )
        # A breaker starts closed and tells only of changes. The moves are made here so
        # that the first one is seen as an increase.
        for state in get_args(State):
            self._breaker_moves.labels(state)
            self._breaker.labels(state).set(state == "closed")
        # A look-up in labels() takes a lock and builds a tuple of strings; these do not.
        self._bound_reads: dict[tuple[str, Outcome], Counter] = {}
        self._bound_sizes: dict[str, Histogram] = {}

    def read(self, namespace: str, outcome: Outcome, size: int) -> None:
        """As `Observer.read`."""
        bound = self._bound_reads.get((namespace, outcome))
        if bound is None:
            bound = self._bind_read(namespace, outcome)
        bound.inc()
        if size:
            sizes = self._bound_sizes.get(namespace)
            if sizes is None:
                sizes = self._read_bytes.labels(self._labels.label(namespace))
            sizes.observe(size)

    def loaded(self, namespace: str, seconds: float, cause: Cause, *, ok: bool) -> None:
        """As `Observer.loaded`."""
        label = self._labels.label(namespace)
        self._load_seconds.labels(label, cause, result_of(ok)).observe(seconds)

    def wrote(self, namespace: str, outcome: Written, size: int) -> None:
        """As `Observer.wrote`."""
        label = self._labels.label(namespace)
        self._writes.labels(label, outcome).inc()
        if outcome == "stored":
            self._write_bytes.labels(label).observe(size)

    def failed(self, namespace: str, operation: Operation, kind: str) -> None:
        """As `Observer.failed`."""
        self._errors.labels(self._labels.label(namespace), operation, kind).inc()

    def invalidated(self, namespace: str | None, seconds: float, *, ok: bool) -> None:
        """As `Observer.invalidated`."""
        target = "tag" if namespace is None else "namespace"
        self._invalidations.labels(target, result_of(ok)).observe(seconds)

    def breaker(self, state: State) -> None:
        """As `Observer.breaker`."""
        self._breaker_moves.labels(state).inc()
        for other in get_args(State):
            self._breaker.labels(other).set(other == state)

    def _bind_read(self, namespace: str, outcome: Outcome) -> Counter:
        label = self._labels.label(namespace)
        bound = self._reads.labels(label, outcome)
        if label == namespace:  # only these are few
            self._bound_reads[namespace, outcome] = bound
            self._bound_sizes[namespace] = self._read_bytes.labels(label)
        return bound
