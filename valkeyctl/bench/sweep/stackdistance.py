"""How much memory an LRU cache needs for each access to be a hit: Mattson's stack distances.

The classic way keeps a Fenwick tree over the accesses and goes through them one by one,
which costs Python 20 seconds for a million. The same sums come from a table that is split
by time, one bit at a time, with numpy doing each level at once: under two seconds.
Source: Mattson et al., Evaluation techniques for storage hierarchies, IBM Systems
Journal 9(2), 1970; Bennett & Kruskal, LRU stack processing, IBM J. R&D 19, 1975.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Integers: TypeAlias = npt.NDArray[np.int64]

NEVER = np.iinfo(np.int64).max
"""The distance of an access to what was never asked for before: no memory makes it a hit."""


def stack_distances(keys: Integers, sizes: Integers) -> Integers:
    """Return for each access the bytes that an LRU cache must hold for it to be a hit.

    That is the total size of the different keys asked for since the last access to the
    same key, itself included; `NEVER` for a first access.

    Args:
        keys: What is asked for, in order; whole numbers from 0, length n.
        sizes: Bytes of each key's entry, indexed by key.
    """
    previous = _previous(keys)
    again = np.flatnonzero(previous >= 0)
    distances = np.full(len(keys), NEVER, np.int64)
    if not len(again):
        return distances
    weights = sizes[keys]
    # Of the accesses since the last one to the same key (weights before `again`, minus
    # those up to `previous`), drop those whose key came before among them.
    total = np.concatenate(([0], np.cumsum(weights)))
    since = total[again] - total[previous[again] + 1]
    repeated = _sum_of_earlier_and_greater(previous[again], weights[again])
    distances[again] = since - repeated + weights[again]
    return distances


def _previous(keys: Integers) -> Integers:
    """Return the place of the last access to the same key; -1 for a first access."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    same = ordered[1:] == ordered[:-1]
    previous = np.full(len(keys), -1, np.int64)
    previous[order[1:][same]] = order[:-1][same]
    return previous


def _sum_of_earlier_and_greater(values: Integers, weights: Integers) -> Integers:
    """Return for each i the sum of weights[j] over j < i with values[j] > values[i].

    All values differ. The items are put in descending order of value once; each level
    then splits every row by one bit of i, most significant first, and keeps that order.
    Of two items in a row the one with the bit comes later in time, so it takes the
    weights without the bit that stand before it.
    """
    count = len(values)
    bits = max(1, int(count - 1).bit_length())
    padded = 1 << bits
    # Padding is later than everything and weighs nothing.
    order = np.concatenate((np.argsort(-values, kind="stable"), np.arange(count, padded)))
    weight = np.concatenate((weights, np.zeros(padded - count, np.int64)))
    found = np.zeros(padded, np.int64)
    for bit in reversed(range(bits)):
        rows = order.reshape(-1, 2 << bit)
        late = (rows >> bit) & 1 == 1
        before = np.cumsum(np.where(late, 0, weight[rows]), axis=1)
        found[rows[late]] += before[late]
        # Every row holds as many items with the bit as without it.
        halves = (rows[~late].reshape(-1, 1 << bit), rows[late].reshape(-1, 1 << bit))
        order = np.concatenate(halves, axis=1).reshape(-1)
    return found[:count]
