"""Metrics of a cache for OpenTelemetry; needs the extra ``valkeyctl[otel]``.

::

    cache = CacheService(client, app="shop", observers=[OpenTelemetryObserver()])

Only the API is imported here. What collects and sends is the SDK, which the application
sets up; without it nothing happens.
"""

from __future__ import annotations

from typing import get_args

from valkeyctl import __version__
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
from valkeyctl.errors import MissingError

try:
    from opentelemetry.metrics import MeterProvider, get_meter_provider
except ModuleNotFoundError as error:
    raise MissingError(
        f"the OpenTelemetry observer needs the package {error.name}, which is not installed",
        hint="Install it: pip install 'valkeyctl[otel]'",
    ) from error

__all__ = ["OpenTelemetryObserver"]


class OpenTelemetryObserver:
    """Records what caches do with an OpenTelemetry meter.

    One observer serves any number of services and clients; their numbers are added up,
    and the breaker shown is the one that moved last.

    Args:
        provider: Whose meter; None takes the application's global one.
        namespaces: How many are told by name; later ones are ``other``.
    """

    def __init__(
        self, provider: MeterProvider | None = None, *, namespaces: int = MAX_NAMESPACES
    ) -> None:
        self._labels = NamespaceLabels(namespaces)
        meter = (provider or get_meter_provider()).get_meter("valkeyctl.caching", __version__)
        self._reads = meter.create_counter(
            "valkeyctl.cache.reads",
            unit="{read}",
            description="Reads by outcome: hit, near, stale, miss, collapsed.",
        )
        self._read_bytes = meter.create_histogram(
            "valkeyctl.cache.read.size",
            unit="By",
            description="Bytes of the stored entries that the server sent.",
            explicit_bucket_boundaries_advisory=ENTRY_BYTES,
        )
        self._load_seconds = meter.create_histogram(
            "valkeyctl.cache.load.duration",
            unit="s",
            description="Seconds that loaders took, by why they ran and how they ended.",
            explicit_bucket_boundaries_advisory=LOAD_SECONDS,
        )
        self._writes = meter.create_counter(
            "valkeyctl.cache.writes",
            unit="{write}",
            description="Writes by outcome: stored, refused, too_large, failed.",
        )
        self._write_bytes = meter.create_histogram(
            "valkeyctl.cache.write.size",
            unit="By",
            description="Bytes of the payloads stored, after compression.",
            explicit_bucket_boundaries_advisory=ENTRY_BYTES,
        )
        self._errors = meter.create_counter(
            "valkeyctl.cache.errors",
            unit="{error}",
            description="Reads and writes that went wrong and were swallowed, by kind.",
        )
        self._invalidations = meter.create_histogram(
            "valkeyctl.cache.invalidation.duration",
            unit="s",
            description="Seconds that invalidations took.",
            explicit_bucket_boundaries_advisory=INVALIDATION_SECONDS,
        )
        self._breaker_moves = meter.create_counter(
            "valkeyctl.cache.breaker.transitions",
            unit="{transition}",
            description="Moves of the cache client's breaker, by the state it moved to.",
        )
        self._breaker = meter.create_gauge(
            "valkeyctl.cache.breaker.state",
            unit="1",
            description="1 for the state that the cache client's breaker is in.",
        )
        self._show("closed")  # it starts so, and tells only of changes

    def read(self, namespace: str, outcome: Outcome, size: int) -> None:
        """As `Observer.read`."""
        label = self._labels.label(namespace)
        self._reads.add(1, {"namespace": label, "outcome": outcome})
        if size:
            self._read_bytes.record(size, {"namespace": label})

    def loaded(self, namespace: str, seconds: float, cause: Cause, *, ok: bool) -> None:
        """As `Observer.loaded`."""
        label = self._labels.label(namespace)
        self._load_seconds.record(
            seconds, {"namespace": label, "cause": cause, "result": result_of(ok)}
        )

    def wrote(self, namespace: str, outcome: Written, size: int) -> None:
        """As `Observer.wrote`."""
        label = self._labels.label(namespace)
        self._writes.add(1, {"namespace": label, "outcome": outcome})
        if outcome == "stored":
            self._write_bytes.record(size, {"namespace": label})

    def failed(self, namespace: str, operation: Operation, kind: str) -> None:
        """As `Observer.failed`."""
        label = self._labels.label(namespace)
        self._errors.add(1, {"namespace": label, "operation": operation, "kind": kind})

    def invalidated(self, namespace: str | None, seconds: float, *, ok: bool) -> None:
        """As `Observer.invalidated`."""
        target = "tag" if namespace is None else "namespace"
        self._invalidations.record(seconds, {"target": target, "result": result_of(ok)})

    def breaker(self, state: State) -> None:
        """As `Observer.breaker`."""
        self._breaker_moves.add(1, {"state": state})
        self._show(state)

    def _show(self, state: State) -> None:
        for other in get_args(State):
            self._breaker.set(int(other == state), {"state": other})
