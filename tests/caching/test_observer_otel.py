"""What OpenTelemetry collects of a cache."""

from __future__ import annotations

import subprocess
import sys

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    InMemoryMetricReader,
    NumberDataPoint,
)

from valkeyctl.caching.observer import Observer
from valkeyctl.caching.observers.otel import OpenTelemetryObserver

Labels = frozenset[tuple[str, object]]


def collected(reader: InMemoryMetricReader) -> dict[tuple[str, Labels], float]:
    """Return each series' value, or the count and sum of a histogram, by name and attributes."""
    data = reader.get_metrics_data()
    assert data is not None
    found: dict[tuple[str, Labels], float] = {}
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    labels = frozenset((point.attributes or {}).items())
                    if isinstance(point, HistogramDataPoint):
                        found[f"{metric.name} count", labels] = point.count
                        found[f"{metric.name} sum", labels] = point.sum
                        found[f"{metric.name} bounds", labels] = len(point.explicit_bounds)
                    elif isinstance(point, NumberDataPoint):
                        found[metric.name, labels] = point.value
    return found


def labels(**values: object) -> Labels:
    return frozenset(values.items())


def test_each_event_is_recorded_with_attributes_from_small_sets() -> None:
    """The same facts as for Prometheus, under OpenTelemetry's kind of names."""
    reader = InMemoryMetricReader()
    observer: Observer = OpenTelemetryObserver(MeterProvider([reader]))

    observer.read("context", "hit", 1000)
    observer.read("context", "collapsed", 0)
    observer.loaded("context", 0.25, "stale", ok=False)
    observer.wrote("context", "stored", 900)
    observer.wrote("context", "too_large", 90_000)
    observer.failed("context", "write", "server")
    observer.invalidated("context", 0.5, ok=True)
    observer.breaker("open")
    found = collected(reader)

    cache = "valkeyctl.cache"
    assert found[f"{cache}.reads", labels(namespace="context", outcome="hit")] == 1
    assert found[f"{cache}.reads", labels(namespace="context", outcome="collapsed")] == 1
    assert found[f"{cache}.read.size count", labels(namespace="context")] == 1
    assert found[f"{cache}.read.size sum", labels(namespace="context")] == 1000
    failed_load = labels(namespace="context", cause="stale", result="failed")
    assert found[f"{cache}.load.duration sum", failed_load] == 0.25
    assert found[f"{cache}.load.duration bounds", failed_load] == 17
    assert found[f"{cache}.writes", labels(namespace="context", outcome="too_large")] == 1
    assert found[f"{cache}.write.size sum", labels(namespace="context")] == 900
    errors = labels(namespace="context", operation="write", kind="server")
    assert found[f"{cache}.errors", errors] == 1
    invalidated = labels(target="namespace", result="ok")
    assert found[f"{cache}.invalidation.duration sum", invalidated] == 0.5
    assert found[f"{cache}.breaker.transitions", labels(state="open")] == 1
    assert found[f"{cache}.breaker.state", labels(state="open")] == 1
    assert found[f"{cache}.breaker.state", labels(state="closed")] == 0


def test_namespaces_beyond_the_bound_are_told_as_other() -> None:
    """As for Prometheus."""
    reader = InMemoryMetricReader()
    observer = OpenTelemetryObserver(MeterProvider([reader]), namespaces=1)

    observer.read("context", "hit", 1)
    observer.read("user-1", "hit", 1)
    observer.read("user-2", "hit", 1)
    found = collected(reader)

    assert found["valkeyctl.cache.reads", labels(namespace="other", outcome="hit")] == 2
    assert not [name for name, kind in found if any("user" in str(value) for _, value in kind)]


def test_without_an_sdk_nothing_happens() -> None:
    """The API's own provider swallows all; the application decides whether to collect."""
    observer = OpenTelemetryObserver()

    observer.read("context", "hit", 1)
    observer.breaker("open")


def test_without_the_package_the_extra_is_named() -> None:
    """One sentence instead of an ImportError about a name inside."""
    code = """
import sys
sys.modules["opentelemetry"] = None
from valkeyctl.errors import MissingError
try:
    import valkeyctl.caching.observers.otel
except MissingError as error:
    print(error, error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "opentelemetry" in done.stdout
    assert "pip install 'valkeyctl[otel]'" in done.stdout
