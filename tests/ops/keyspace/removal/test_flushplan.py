"""A plan says exactly what a flush would remove, and changes nothing."""

from __future__ import annotations

import pytest

from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import RefusedError
from valkeyctl.ops.keyspace.removal.flushplan import plan_flush
from valkeyctl.ops.keyspace.removal.selection import Selection

SPACE = Selection("a", namespace="n")


def test_a_plan_counts_and_changes_nothing(endpoint: Endpoint, wire: Wire) -> None:
    """Exact number and bytes, five samples, and every key still there."""
    wire.pipeline(("SET", f"a:n:{number}", "v" * 100) for number in range(3_000))
    wire.pipeline(("SET", name, "v") for name in ("a:nn:1", "a:~load:n:1", "b:n:1"))
    truth = sum(int(str(wire.call("MEMORY", "USAGE", f"a:n:{n}"))) for n in range(3_000))

    plan = plan_flush(endpoint, SPACE)

    assert (plan.app, plan.namespace, plan.tag, plan.pattern) == ("a", "n", None, None)
    assert (plan.keys, len(plan.sample), plan.memory_bytes) == (3_000, 5, truth)
    assert all(name.startswith("a:n:") for name in plan.sample)
    assert wire.call("DBSIZE") == 3_003


def test_a_plan_spans_the_lives(endpoint: Endpoint, wire: Wire) -> None:
    """From the first that expires to the last, and how many never do."""
    wire.pipeline(("SET", f"a:n:{ttl}", "v", "EX", ttl) for ttl in (100, 2_000, 50_000))
    wire.call("SET", "a:n:for-ever", "v")
    # So many that they come in several pages.
    wire.pipeline(("SET", f"a:n:{number}x", "v", "EX", 3_000) for number in range(2_000))

    plan = plan_flush(endpoint, SPACE)

    assert plan.ttl_min_s == pytest.approx(100, abs=5)
    assert plan.ttl_max_s == pytest.approx(50_000, abs=5)
    assert plan.without_expiry == 1


def test_a_plan_of_nothing_is_empty(endpoint: Endpoint) -> None:
    """A namespace without keys has nothing to flush."""
    plan = plan_flush(endpoint, SPACE)

    assert (plan.keys, plan.sample, plan.memory_bytes) == (0, (), 0)
    assert (plan.ttl_min_s, plan.ttl_max_s, plan.without_expiry) == (None, None, 0)


def test_a_plan_shows_hostile_keys_safely(endpoint: Endpoint, wire: Wire) -> None:
    """The sample goes to a terminal, before a question about deleting."""
    wire.call("SET", b"a:n:\x1b[2J\n", "v")

    assert plan_flush(endpoint, SPACE).sample == ("a:n:\\x1b[2J\\x0a",)


async def test_a_plan_of_a_tag_finds_its_entries(
    client: ValkeyClient, endpoint: Endpoint, wire: Wire
) -> None:
    """By their headers, in every namespace; what only looks like one is left."""
    cache = CacheService(client, app="a", budget=5.0)
    await cache.set("n", "with", "v", ttl=300, tags=["t"])
    await cache.set("m", "with", "v", ttl=300, tags=["s", "t", "u"])
    await cache.set("n", "without", "v", ttl=300, tags=["tt"])
    wire.call("HSET", "a:n:hash", "t", "t")
    memory = sum(int(str(wire.call("MEMORY", "USAGE", f"a:{ns}:with"))) for ns in "nm")

    plan = plan_flush(endpoint, Selection("a", tag="t"))

    assert (plan.tag, plan.keys, plan.sample) == ("t", 2, ("a:m:with", "a:n:with"))
    assert plan.memory_bytes == memory
    assert plan.ttl_max_s is not None
    assert 200 < plan.ttl_max_s <= 300


def test_a_plan_of_a_pattern_is_of_whole_keys(endpoint: Endpoint, wire: Wire) -> None:
    """Control keys are not in it when they are not named."""
    wire.pipeline(("SET", name, "v") for name in ("a:n:1", "a:n:12", "a:m:1", "a:~version:n"))

    plan = plan_flush(endpoint, Selection("a", pattern=b"a:*1"))
    control = plan_flush(endpoint, Selection("a", pattern=b"a:~*"))

    assert (plan.pattern, plan.sample) == ("a:*1", ("a:m:1", "a:n:1"))
    assert control.sample == ("a:~version:n",)


def test_more_than_the_guard_allows_is_refused(endpoint: Endpoint, wire: Wire) -> None:
    """Before anything is touched; as many as it allows are not."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(11))

    with pytest.raises(RefusedError, match="more than 10 keys"):
        plan_flush(endpoint, SPACE, max_keys=10)

    assert plan_flush(endpoint, SPACE, max_keys=11).keys == 11


def test_progress_rises_to_the_end(endpoint: Endpoint, wire: Wire) -> None:
    """The walk is told as it goes."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(5_000))
    steps: list[tuple[float, int]] = []

    plan_flush(endpoint, SPACE, progress=lambda share, keys: steps.append((share, keys)))

    assert steps == sorted(steps)
    assert steps[-1] == (1.0, 5_000)
