"""The play of a server: what it keeps, what it evicts, what expires."""

from __future__ import annotations

import random
from collections import OrderedDict

import pytest

from valkeyctl.bench.sweep.entrymemory import EntryMemory
from valkeyctl.bench.sweep.eviction import Server, count_hits
from valkeyctl.errors import UsageError

MEMORY = EntryMemory("9.1", "libc")
SIZE = 1000


def room_for(entries: int) -> int:
    """Return the room in which so many entries of `SIZE` fit."""
    return entries * SIZE + 3 * MEMORY.table_bytes(entries)


def play(keys: list[int], entries: int, times: list[float] | None = None, **server: object) -> int:
    """Return the hits of *keys* on a server with room for so many entries."""
    sizes = [SIZE] * (max(keys) + 1)
    made = Server(**server)  # type: ignore[arg-type]  # named as its fields
    return count_hits(keys, sizes, times, room_for(entries), MEMORY, made)


def test_with_room_for_all_only_first_accesses_miss() -> None:
    """Nothing is evicted that need not be."""
    keys = [n % 50 for n in range(1000)]

    assert play(keys, 60) == 950


def test_a_loop_that_does_not_fit_defeats_lru() -> None:
    """The textbook case: each key is evicted just before it is asked for again."""
    keys = [n % 200 for n in range(4000)]

    assert play(keys, 100, samples=64) < 0.1 * len(keys)


def test_a_sampled_lru_is_nearly_an_exact_one() -> None:
    """By its pool of good candidates; eviction by chance would be three points behind."""
    rng = random.Random(3)
    keys = [min(int(rng.paretovariate(0.7)), 3000) for _ in range(20_000)]
    exact: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for key in keys:
        hits += key in exact
        exact[key] = None
        exact.move_to_end(key)
        if len(exact) > 100:
            exact.popitem(last=False)

    assert play(keys, 100) == pytest.approx(hits, abs=0.01 * len(keys))


def test_lfu_keeps_what_is_asked_for_often_through_a_scan() -> None:
    """Keys asked for once push out the popular ones of LRU, not those of LFU."""
    rng = random.Random(1)
    keys = [rng.randrange(50) if rng.random() < 0.3 else 50 + n for n in range(8000)]
    times = [n / 1000 for n in range(len(keys))]

    lru = play(keys, 100, times, policy="allkeys-lru")
    lfu = play(keys, 100, times, policy="allkeys-lfu")

    assert lfu > 1.3 * lru


def test_volatile_ttl_evicts_the_oldest_entry_whatever_its_use() -> None:
    """All live equally long, so what expires first was stored first."""
    rng = random.Random(1)
    keys = [rng.choice([0, rng.randrange(300)]) for _ in range(6000)]

    assert play(keys, 100, policy="volatile-ttl") < play(keys, 100, policy="allkeys-lru")


def test_an_entry_is_a_hit_until_its_ttl_is_over() -> None:
    """A hit does not prolong its life; a miss begins a new one."""
    times = [0.0, 4.0, 9.0, 10.0, 19.0, 20.5]

    #        miss hit  hit  miss  hit   miss
    assert play([0] * 6, 10, times, ttl=10.0) == 3


def test_within_one_second_of_the_clock_eviction_is_by_chance() -> None:
    """Idle time is known in whole seconds, so fast traffic has a worse LRU."""
    rng = random.Random(2)
    keys = [min(int(rng.paretovariate(0.8)), 2000) for _ in range(20_000)]
    fast = [n / 20_000 for n in range(len(keys))]

    assert play(keys, 60, fast) < play(keys, 60) - 200


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"policy": "noeviction"}, "the policy is 'noeviction'"),
        ({"samples": 0}, "samples is 0"),
        ({"ttl": 0.0}, "the TTL is 0.0 s"),
    ],
)
def test_a_server_that_cannot_be_meant_is_refused(fields: dict[str, object], message: str) -> None:
    """With what may be given."""
    with pytest.raises(UsageError, match=message):
        Server(**fields)  # type: ignore[arg-type]  # wrong on purpose


def test_a_ttl_needs_times() -> None:
    """Without them nobody knows what has expired."""
    with pytest.raises(UsageError, match="when the accesses happen"):
        play([0, 0], 10, ttl=1.0)
