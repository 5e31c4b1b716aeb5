"""Sums over keys: quantiles close to the truth, memory that does not grow."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valkeyctl.ops.keyspace.counting.tally import Cells, Ledger, magnitudes

NUMBERS = st.integers(0, 10**12)


@given(st.lists(NUMBERS, min_size=1, max_size=200))
def test_quantiles_are_within_their_promise(pttls: list[int]) -> None:
    """Within 0.4 % of the nearest rank, and the ends close to the real ones."""
    ledger = Ledger()

    ledger.add([0] * len(pttls), [1] * len(pttls), pttls)

    spread = ledger.tallies()[0].ttl
    ordered = sorted(pttls)
    assert spread is not None
    assert 0.99 * ordered[0] - 1 <= spread.min * 1000 <= ordered[0] + 1
    assert spread.max * 1000 == pytest.approx(ordered[-1], rel=0.005, abs=1)
    for q, found in ((0.5, spread.p50), (0.9, spread.p90), (0.99, spread.p99)):
        truth = ordered[math.ceil(q * len(ordered)) - 1]
        assert found * 1000 == pytest.approx(truth, rel=0.005, abs=1)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), NUMBERS, st.one_of(st.just(-1), NUMBERS)),
        min_size=1,
        max_size=100,
    ),
    st.integers(1, 50),
)
def test_pages_of_any_size_give_the_same_sums(keys: list[tuple[int, int, int]], page: int) -> None:
    """Keys, bytes and keys without expiry are exact, by group."""
    ledger = Ledger()

    for at in range(0, len(keys), page):
        groups, memory, pttl = zip(*keys[at : at + page], strict=True)
        ledger.add(groups, memory, pttl)

    tallies = ledger.tallies()
    assert set(tallies) == {group for group, _, _ in keys}
    for group, tally in tallies.items():
        mine = [(size, life) for other, size, life in keys if other == group]
        assert tally.keys == len(mine)
        assert tally.memory == sum(size for size, _ in mine)
        assert tally.without_expiry == sum(life < 0 for _, life in mine)
        assert tally.size.max == max(size for size, _ in mine)
        assert (tally.ttl is None) == (tally.without_expiry == tally.keys)


def test_a_new_largest_key_is_told() -> None:
    """Once per group and page, at the place of the largest."""
    ledger = Ledger()

    assert ledger.add([0, 1, 0], [5, 7, 6], [-1, -1, -1]) == {0: 2, 1: 1}
    assert ledger.add([0, 1, 0], [6, 9, 1], [-1, -1, -1]) == {1: 1}
    assert ledger.add([], [], []) == {}


@given(st.lists(st.integers(-5, 10**15), max_size=50))
def test_magnitudes_sort_as_numbers_do(numbers: list[int]) -> None:
    """From 0 on; all numbers below zero come behind them."""
    codes = magnitudes(numbers)

    assert len(codes) == len(numbers)
    for number, code in zip(numbers, codes, strict=True):
        assert (code >= 0x8000) == (number < 0)
    positive = [number for number in numbers if number >= 0]
    assert magnitudes(sorted(positive)) == sorted(magnitudes(positive))


def test_too_many_cells_are_made_coarser() -> None:
    """Memory stays bounded, the counts stay right, and quantiles lose little."""
    cells = Cells(most=200)
    numbers = [round(1.01**n) for n in range(300, 2000)]

    for number in numbers:
        cells.add([0], [number])
    cells.add([1 << 16], [-1])

    spreads = cells.spreads()
    assert (spreads[0].positive, spreads[0].negative) == (len(numbers), 0)
    assert (spreads[1].positive, spreads[1].negative) == (0, 1)
    assert spreads[0].quantile(0.5) == pytest.approx(numbers[len(numbers) // 2 - 1], rel=0.2)
