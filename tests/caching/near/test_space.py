"""What is held is bounded by bytes, and what is read often stays."""

from __future__ import annotations

import gc
import itertools
import random
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable

import pytest

from tests.caching.near.test_held import standing_cache
from valkeyctl.caching.codec import Value
from valkeyctl.caching.near import MISS
from valkeyctl.caching.near.held import AS_IS
from valkeyctl.caching.near.space import _TAG_BYTES, Entry, Space

NESTED_VALUE: dict[str, Value] = {"id": 42, "usage": {"in": 12, "out": 34}, "text": "x" * 900}


def entry(id: str, cost: int = 1, tags: tuple[bytes, ...] = ()) -> Entry:  # noqa: A002
    return Entry(id, AS_IS, id, expires=1.0, cost=cost, tags=tags)


@pytest.mark.parametrize(
    ("make", "tags"),
    [
        (lambda n: {**NESTED_VALUE, "id": n + 10**6}, ()),
        (lambda n: f"{n:0100}", ()),
        (lambda n: b"%0100d" % n, (b"models",)),
        (lambda n: {f"key-{n}-{i}": f"value-{n}-{i}" for i in range(20)}, ()),
        (lambda n: [n + i / 7 for i in range(100)], ()),
        (lambda n: f"{n:0100}", ("one",)),
        (lambda _: None, ()),
    ],
)
def test_what_an_entry_is_said_to_cost_is_what_it_takes(
    make: Callable[[int], Value], tags: tuple[bytes | str, ...]
) -> None:
    """Within a fifth of what Python's allocator says, so the bound is a bound on memory."""
    count = 3000
    near, keys = standing_cache()
    token = near.begin()
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for n in range(count):
            id = f"entry-number-{n}"  # noqa: A001
            words = tuple(b"tag-%d" % n if tag == "one" else tag for tag in tags)
            near.put(token, "m", id, make(n), place=keys.place("m", id), ttl=60, tags=words)  # type: ignore[arg-type]
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    stats = near.stats()
    assert stats.entries == count
    assert 0.8 <= stats.bytes / (after - before) <= 1.25


def test_all_namespaces_together_stay_below_the_bound() -> None:
    """The largest one gives way; an entry that takes too much of it is not held at all."""
    near, keys = standing_cache(max_bytes=100_000)
    token = near.begin()
    for n in range(2000):
        near.put(token, "m", f"{n}", "x" * 200, place=keys.place("m", f"{n}"), ttl=60)
        assert near.stats().bytes <= 100_000

    big = keys.place("m", "big")
    assert not near.put(token, "m", "big", "x" * 20_000, place=big, ttl=60)
    assert not near.put(token, "m", "big", "x", place=big, ttl=60, size=20_000)

    stats = near.stats()
    assert 150 <= stats.entries <= 250
    assert stats.evictions == 2000 - stats.entries
    assert near.get("m", "big") is MISS


def test_what_was_read_stays_when_others_leave() -> None:
    """A scan of entries that are read once does not push out one that is read twice."""
    space = Space(max_age=1.0)
    space.put(entry("favourite"))
    for n in range(1000):
        space.entries["favourite"].read = True
        space.put(entry(f"scan-{n}"))
        while space.cost > 10:
            space.evict()

    assert "favourite" in space.entries
    assert len(space.entries) == 10


def test_it_holds_the_right_entries_more_often_than_lru() -> None:
    """On a skewed load with entries that are read once, at 1 %, 5 % and 10 % of all."""
    rng = random.Random(1)
    weights = list(itertools.accumulate(1 / (rank + 1) ** 0.9 for rank in range(5000)))
    often = rng.choices(range(5000), cum_weights=weights, k=40_000)
    load = [id if rng.random() < 0.7 else 10_000 + n for n, id in enumerate(often)]  # noqa: A001

    for capacity in (50, 250, 500):
        space, lru = Space(max_age=1.0), OrderedDict[str, None]()
        hits = lru_hits = 0
        for number in load:
            id = str(number)  # noqa: A001
            held = space.entries.get(id)
            if held is not None:
                held.read = True
                hits += 1
            else:
                space.put(entry(id))
                while space.cost > capacity:
                    space.evict()
            if id in lru:
                lru_hits += 1
                lru.move_to_end(id)
            else:
                lru[id] = None
                if len(lru) > capacity:
                    lru.popitem(last=False)
        assert hits > lru_hits * 1.05


def test_what_was_removed_does_not_pile_up_in_the_queues() -> None:
    """Entries that are dropped and put again for ever take the memory of one."""
    space = Space(max_age=1.0)
    for _ in range(10_000):
        space.put(entry("x", cost=7, tags=(b"a", b"b")))
        space.drop("x")
    space.put(entry("x", cost=7))
    space.put(entry("x", cost=9))

    assert space.cost == 9
    assert len(space._probation) + len(space._main) < 200
    assert not space._tagged
    space.evict()
    assert (space.cost, space.entries) == (0, {})


def test_counts_and_costs_survive_any_order_of_events() -> None:
    """The cost is always that of the entries that are there, and eviction always ends."""
    rng = random.Random(7)
    space = Space(max_age=1.0)
    for _ in range(5_000):
        event = rng.random()
        id = str(rng.randrange(200))  # noqa: A001
        if event < 0.5:
            tags = tuple({b"%d" % rng.randrange(5) for _ in range(rng.randrange(3))})
            space.put(entry(id, cost=rng.randrange(1, 50), tags=tags))
        elif event < 0.7 and id in space.entries:
            space.entries[id].read = True
        elif event < 0.8:
            space.drop(id)
        elif event < 0.82:
            space.drop_tag(b"%d" % rng.randrange(5))
        elif event < 0.825:
            space.clear()
        elif space.entries:
            space.evict()
        tagged = {tag for held in space.entries.values() for tag in held.tags}
        costs = sum(held.cost for held in space.entries.values())
        assert space.cost == costs + _TAG_BYTES * len(tagged)
        queued = [*space._probation, *space._main]
        assert sum(held.gone for held in queued) == space._gone
        assert sum(not held.gone for held in queued) == len(space.entries)
        waiting = [held for held in space._probation if not held.gone]
        assert space._probation_bytes == sum(held.cost for held in waiting)
        assert tagged == space._tagged.keys()
