"""The counts of one namespace."""

from __future__ import annotations

from tests.caching.test_observer import Recording
from valkeyctl.caching.stats import CacheStats, Tally


def test_every_read_is_counted_once_and_hit_ratio_is_the_share_that_the_cache_answered() -> None:
    """Near and stale answers spared the origin as much as a hit."""
    tally = Tally()

    for outcome, size in (("hit", 100), ("near", 0), ("stale", 50), ("miss", 0)):
        tally.read(outcome, size)  # type: ignore[arg-type]
    tally.read("collapsed")
    stats = tally.frozen()

    assert (stats.hits, stats.near_hits, stats.stale_served) == (1, 1, 1)
    assert (stats.misses, stats.collapsed) == (1, 1)
    assert stats.hit_ratio == 3 / 5
    assert stats.bytes_read == 150


def test_loads_are_counted_with_their_time_failures_included() -> None:
    """The mean is that of all loads, since a failed one costs the origin too."""
    tally = Tally()

    tally.loaded(0.5, "miss", ok=True)
    tally.loaded(1.5, "early", ok=True)
    tally.loaded(1.0, "stale", ok=False)
    stats = tally.frozen()

    assert (stats.loads, stats.load_failures, stats.early_refreshes) == (3, 1, 1)
    assert (stats.load_seconds, stats.mean_load_seconds) == (3.0, 1.0)


def test_writes_are_counted_by_how_they_ended() -> None:
    """Only what was stored adds bytes; what failed is counted by its kind."""
    tally = Tally()

    tally.wrote("stored", 10)
    tally.wrote("refused", 20)
    tally.wrote("too_large", 40)
    tally.wrote("failed", 80)
    tally.failed("write", "deadline")
    tally.failed("read", "corrupt")
    stats = tally.frozen()

    assert (stats.writes, stats.refused_writes, stats.bytes_written) == (1, 1, 10)
    assert stats.errors == {"too_large": 1, "deadline": 1}
    assert stats.corrupt_dropped == 1


def test_a_tally_passes_on_what_it_counts() -> None:
    """With the namespace it counts for."""
    first, second = Recording(), Recording()
    tally = Tally("context", (first, second))

    tally.read("miss")
    tally.loaded(0.1, "miss", ok=True)
    tally.wrote("stored", 5)
    tally.failed("write", "server")

    assert first.events == second.events
    assert first.events == [
        ("read", "context", "miss", 0),
        ("loaded", "context", 0.1, "miss", True),
        ("wrote", "context", "stored", 5),
        ("failed", "context", "write", "server"),
    ]


def test_stats_without_any_event_divide_by_nothing() -> None:
    """A namespace that was only asked about."""
    empty = CacheStats()

    assert (empty.hit_ratio, empty.mean_load_seconds) == (0.0, 0.0)
    assert Tally().frozen() == empty
