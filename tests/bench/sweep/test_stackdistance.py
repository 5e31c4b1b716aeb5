"""How much memory each access needs to be a hit."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from valkeyctl.bench.sweep.stackdistance import NEVER, stack_distances


def by_the_book(keys: list[int], sizes: list[int]) -> list[int]:
    """Mattson's stack itself: the most recently used key on top."""
    stack: list[int] = []
    found = []
    for key in keys:
        if key in stack:
            depth = stack.index(key)
            found.append(sum(sizes[one] for one in stack[: depth + 1]))
            stack.remove(key)
        else:
            found.append(int(NEVER))
        stack.insert(0, key)
    return found


@given(st.lists(st.integers(0, 12), min_size=1, max_size=80), st.integers(1, 1000))
def test_distances_are_those_of_the_stack(keys: list[int], seed: int) -> None:
    """Whatever the order of the keys, and whatever their sizes."""
    sizes = np.random.default_rng(seed).integers(1, 5000, 13)

    found = stack_distances(np.array(keys, np.int64), sizes)

    assert found.tolist() == by_the_book(keys, sizes.tolist())


def test_a_first_access_is_never_a_hit() -> None:
    """However much memory there is."""
    found = stack_distances(np.arange(5), np.full(5, 10))

    assert (found == NEVER).all()


@pytest.mark.slow
def test_a_million_accesses_take_seconds() -> None:
    """Not the twenty of a Fenwick tree in Python; a second on an idle machine."""
    keys = np.random.default_rng(1).integers(0, 200_000, 1_000_000)
    began = time.process_time()

    stack_distances(keys, np.full(200_000, 1000))

    # Of the processor: on a busy machine the clock on the wall tells nothing.
    assert time.process_time() - began < 8
