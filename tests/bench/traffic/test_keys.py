"""Keys drawn at random: as popular as their law says, whatever their number."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from statistics import NormalDist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valkeyctl.bench.traffic.keys import KeyPicker
from valkeyctl.bench.traffic.scenario import Keys

DRAWS = 60_000


def zipf(count: int, exponent: float) -> list[float]:
    """Return the shares that Zipf's law gives to ranks from 1 to *count*."""
    weights = [rank**-exponent for rank in range(1, count + 1)]
    return [weight / sum(weights) for weight in weights]


def drawn(keys: Keys, *, seed: int = 1, draws: int = DRAWS) -> list[int]:
    """Return so many keys."""
    rng, picker = random.Random(seed), KeyPicker(keys)
    return [picker.draw(rng, index) for index in range(draws)]


def surprise(found: Counter[int], shares: list[float], draws: int) -> float:
    """Return in how many standard deviations chi-square lies above its mean.

    Keys that are expected less than five times are put together, as the test needs it.
    """
    chi, cells, rest_found, rest_wanted = 0.0, 0, 0, 0.0
    for key, share in enumerate(shares):
        wanted = share * draws
        if wanted < 5:
            rest_found, rest_wanted = rest_found + found[key], rest_wanted + wanted
            continue
        chi += (found[key] - wanted) ** 2 / wanted
        cells += 1
    if rest_wanted >= 5:
        chi += (rest_found - rest_wanted) ** 2 / rest_wanted
        cells += 1
    freedom = cells - 1
    # Wilson and Hilferty (1931): the cube root of chi-square is nearly normal.
    spread = 2 / (9 * freedom)
    return float(((chi / freedom) ** (1 / 3) - (1 - spread)) / spread**0.5)


LIMIT = NormalDist().inv_cdf(1 - 1e-4)


@pytest.mark.parametrize("exponent", [0.0, 0.3, 0.8, 0.999, 1.0, 1.001, 1.1, 2.0, 4.0])
@pytest.mark.parametrize("count", [2, 10, 1000])
def test_zipf_draws_each_rank_as_often_as_it_must(count: int, exponent: float) -> None:
    """Rank k in proportion to 1 / k**exponent: chi-square over all ranks, seeded."""
    found = Counter(drawn(Keys(count, "zipf", exponent)))

    assert set(found) <= set(range(count))
    assert surprise(found, zipf(count, exponent), DRAWS) < LIMIT


def test_a_wrong_law_is_found_out() -> None:
    """The test above can fail: an exponent that is off by a tenth is far beyond its limit."""
    found = Counter(drawn(Keys(1000, "zipf", 1.1)))

    assert surprise(found, zipf(1000, 1.0), DRAWS) > 5 * LIMIT


def test_uniform_keys_are_equally_popular() -> None:
    """All of them, chi-square."""
    found = Counter(drawn(Keys(500, "uniform")))

    assert surprise(found, [1 / 500] * 500, DRAWS) < LIMIT


@pytest.mark.parametrize(("hot", "share"), [(0.1, 0.9), (0.5, 0.2)])
def test_a_hot_set_gets_its_share(hot: float, share: float) -> None:
    """Such as a tenth of the keys nine tenths of the requests, alike within each part."""
    found = Counter(drawn(Keys(1000, "hot-set", hot_keys=hot, hot_requests=share)))

    many = round(1000 * hot)
    shares = [share / many] * many + [(1 - share) / (1000 - many)] * (1000 - many)
    assert surprise(found, shares, DRAWS) < LIMIT


def test_a_hot_set_of_all_keys_is_uniform() -> None:
    """There is no cold key that could get the rest."""
    found = drawn(Keys(10, "hot-set", hot_keys=1.0, hot_requests=0.5), draws=2000)

    assert set(found) == set(range(10))


def test_one_hit_wonders_come_once_and_are_beyond_the_count() -> None:
    """A share of the requests, each for a key of its own."""
    found = drawn(Keys(100, "uniform", once=0.3), draws=20_000)

    beyond = [key for key in found if key >= 100]
    assert len(beyond) == len(set(beyond))
    assert len(beyond) / 20_000 == pytest.approx(0.3, abs=0.02)
    assert set(drawn(Keys(5, once=1.0), draws=50)) == set(range(5, 55))


@settings(max_examples=60)
@given(
    count=st.integers(1, 10**9),
    exponent=st.floats(0, 10),
    popularity=st.sampled_from(["zipf", "uniform", "hot-set"]),
    seed=st.integers(0, 2**32),
)
def test_every_key_is_one_of_them(count: int, exponent: float, popularity: str, seed: int) -> None:
    """Whatever the law, and at both ends of what chance can give."""
    keys = Keys(count, popularity, exponent)  # type: ignore[arg-type]
    picker = KeyPicker(keys)

    class Ends(random.Random):
        def random(self) -> float:
            return super().random() if seed % 3 else [0.0, 1 - 2**-53][self.getrandbits(1)]

    rng = Ends(seed)
    assert all(0 <= picker.draw(rng, index) < count for index in range(50))


def test_a_billion_keys_take_no_memory() -> None:
    """There is no table of them."""
    tracemalloc.start()
    try:
        found = drawn(Keys(10**9, "zipf", 0.9), draws=2000)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(set(found)) > 1000
    assert most < 2**20
