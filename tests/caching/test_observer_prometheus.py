"""What Prometheus scrapes of a cache."""

from __future__ import annotations

import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from valkeyctl.caching.observer import Observer
from valkeyctl.caching.observers.prometheus import PrometheusObserver
from valkeyctl.errors import UsageError


def page(registry: CollectorRegistry) -> list[str]:
    """Return the lines of a scrape, without comments and without the time of creation."""
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if not line.startswith("#") and "_created" not in line]


def test_each_event_is_a_sample_with_labels_from_small_sets() -> None:
    """Reads, loads, writes, errors, invalidations and the breaker."""
    registry = CollectorRegistry()
    observer: Observer = PrometheusObserver(registry)

    observer.read("context", "hit", 1000)
    observer.read("context", "hit", 1000)
    observer.read("context", "near", 0)
    observer.loaded("context", 0.2, "early", ok=True)
    observer.wrote("context", "stored", 900)
    observer.wrote("context", "refused", 900)
    observer.failed("context", "read", "deadline")
    observer.invalidated("context", 0.0004, ok=True)
    observer.invalidated(None, 0.5, ok=False)
    observer.breaker("open")
    lines = page(registry)

    for expected in (
        'valkeyctl_cache_reads_total{namespace="context",outcome="hit"} 2.0',
        'valkeyctl_cache_reads_total{namespace="context",outcome="near"} 1.0',
        'valkeyctl_cache_read_size_bytes_count{namespace="context"} 2.0',
        'valkeyctl_cache_read_size_bytes_sum{namespace="context"} 2000.0',
        'valkeyctl_cache_read_size_bytes_bucket{le="256.0",namespace="context"} 0.0',
        'valkeyctl_cache_read_size_bytes_bucket{le="1024.0",namespace="context"} 2.0',
        'valkeyctl_cache_load_seconds_sum{cause="early",namespace="context",result="ok"} 0.2',
        'valkeyctl_cache_writes_total{namespace="context",outcome="stored"} 1.0',
        'valkeyctl_cache_writes_total{namespace="context",outcome="refused"} 1.0',
        'valkeyctl_cache_write_size_bytes_sum{namespace="context"} 900.0',
        'valkeyctl_cache_errors_total{kind="deadline",namespace="context",operation="read"} 1.0',
        'valkeyctl_cache_invalidation_seconds_count{result="ok",target="namespace"} 1.0',
        'valkeyctl_cache_invalidation_seconds_count{result="failed",target="tag"} 1.0',
        'valkeyctl_cache_breaker_transitions_total{state="open"} 1.0',
        'valkeyctl_cache_breaker_state{state="open"} 1.0',
        'valkeyctl_cache_breaker_state{state="closed"} 0.0',
    ):
        assert expected in lines


def test_a_breaker_that_never_moved_is_shown_closed() -> None:
    """An alert on the state needs a sample from the start."""
    registry = CollectorRegistry()

    PrometheusObserver(registry)

    assert 'valkeyctl_cache_breaker_state{state="closed"} 1.0' in page(registry)
    assert 'valkeyctl_cache_breaker_transitions_total{state="open"} 0.0' in page(registry)


def test_namespaces_beyond_the_bound_share_one_label() -> None:
    """A namespace per user neither fills Prometheus nor tells it the users."""
    registry = CollectorRegistry()
    observer = PrometheusObserver(registry, namespaces=2)

    for number in range(100):
        observer.read(f"user-{number}", "hit", 10)
        observer.read(f"user-{number}", "miss", 0)
        observer.wrote(f"user-{number}", "stored", 10)
        observer.failed(f"user-{number}", "read", "server")
        observer.loaded(f"user-{number}", 0.1, "miss", ok=True)
    lines = page(registry)

    assert 'valkeyctl_cache_reads_total{namespace="user-1",outcome="hit"} 1.0' in lines
    assert 'valkeyctl_cache_reads_total{namespace="other",outcome="hit"} 98.0' in lines
    assert 'valkeyctl_cache_read_size_bytes_count{namespace="other"} 98.0' in lines
    assert 'valkeyctl_cache_writes_total{namespace="other",outcome="stored"} 98.0' in lines
    assert not [line for line in lines if "user-2" in line]


def test_a_registry_takes_one_observer() -> None:
    """Told with what to do instead, not as a ValueError about time series."""
    registry = CollectorRegistry()
    PrometheusObserver(registry)

    with pytest.raises(UsageError, match="already"):
        PrometheusObserver(registry)


def test_without_the_package_the_extra_is_named() -> None:
    """One sentence instead of an ImportError about a name inside."""
    code = """
import sys
sys.modules["prometheus_client"] = None
from valkeyctl.errors import MissingError
try:
    import valkeyctl.caching.observers.prometheus
except MissingError as error:
    print(error, error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "prometheus_client" in done.stdout
    assert "pip install 'valkeyctl[gateway]'" in done.stdout


def test_the_library_does_not_import_what_only_adapters_need() -> None:
    """A library user without the extras pays nothing for them."""
    code = """
import sys
import valkeyctl.caching
valkeyctl.caching.CacheService
assert not [name for name in sys.modules if "prometheus" in name or "caching.observers" in name]
"""
    subprocess.run([sys.executable, "-c", code], check=True)
