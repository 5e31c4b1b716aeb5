"""Counting which ids are hot: in bounded memory, with a known error, at a small cost."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.caching.moving import MovingClock
from valkeyctl.caching.heat import HALF_LIFE, Heat, HotId
from valkeyctl.errors import UsageError


def test_the_hottest_ids_come_first() -> None:
    """With their counts; equals by name."""
    heat = Heat(10)
    for id in ["b", "a", "c", "c", "b", "c"]:  # noqa: A001
        heat.add(id)

    assert heat.top(2) == [HotId("c", 3), HotId("b", 2)]
    assert [hot.id for hot in heat.top(10)] == ["c", "b", "a"]
    assert heat.error == 0


@settings(max_examples=60)
@given(
    seed=st.integers(),
    number=st.integers(0, 6000),
    distinct=st.integers(1, 2000),
    capacity=st.integers(1, 8),
    takes=st.sets(st.integers(0, 6000), max_size=4),
)
def test_a_count_is_never_too_high_and_too_low_by_at_most_the_error(
    seed: int, number: int, distinct: int, capacity: int, takes: set[int]
) -> None:
    """Whatever is read, and however often the counts are taken; the error has its bound."""
    rng = random.Random(seed)
    reads = [str(int(rng.paretovariate(0.5)) % distinct) for _ in range(number)]
    heat = Heat(capacity, clock=MovingClock())
    for at, read in enumerate(reads):
        heat.add(read)
        if at in takes:
            heat.take()
    counted = {hot.id: hot.reads for hot in heat.top(10**6)}

    for id, true in Counter(reads).items():  # noqa: A001
        assert true - heat.error <= counted.get(id, 0) <= true
    assert heat.error <= len(reads) / (capacity + 1)


def test_a_hot_id_is_found_among_many_cold_ones() -> None:
    """What has more than its share of the reads is always there, in bounded memory."""
    rng = random.Random(1)
    heat = Heat(100)
    for number in range(200_000):
        heat.add(f"hot-{number % 20}" if rng.random() < 0.3 else f"cold-{rng.random()}")

    top = heat.top(20)

    assert {hot.id for hot in top} == {f"hot-{n}" for n in range(20)}
    assert heat.error < 200_000 / 101
    assert len(heat.top(10**6)) <= 9 * 100


def test_what_is_taken_is_what_came_since() -> None:
    """And goes on to count here."""
    heat = Heat(10)
    heat.add("a")

    assert heat.take() == {"a": 1}
    heat.add("b")
    assert heat.take() == {"b": 1}
    assert heat.take() == {}
    assert {hot.id for hot in heat.top(10)} == {"a", "b"}


def test_older_reads_count_less() -> None:
    """Half after a half-life."""
    clock = MovingClock()
    heat = Heat(10, clock=clock)
    clock.move(HALF_LIFE)
    for _ in range(8):
        heat.add("old")
    heat.take()
    clock.move(2 * HALF_LIFE)
    for _ in range(3):
        heat.add("new")

    assert heat.top(2) == [HotId("new", 3), HotId("old", 2)]


@pytest.mark.parametrize("capacity", [0, -1, 10_001])
def test_the_capacity_has_its_bounds(capacity: int) -> None:
    """It is memory, and work of the server when it is saved."""
    with pytest.raises(UsageError, match="1 to 10000"):
        Heat(capacity)
