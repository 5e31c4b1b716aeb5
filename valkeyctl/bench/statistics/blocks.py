"""Rounds joined into blocks of consecutive ones, as even as can be."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def edges(rounds: int, blocks: int) -> npt.NDArray[np.int64]:
    """Return the first round of each block, and after them the number of rounds."""
    return np.arange(blocks + 1) * rounds // blocks


def blocks_of(rounds: int, blocks: int) -> npt.NDArray[np.int64]:
    """Return the block of each round."""
    return np.repeat(np.arange(blocks), np.diff(edges(rounds, blocks)))


def block_means(values: Floats, blocks: int) -> Floats:
    """Return the mean of *values*, one a round, over each block."""
    cuts = edges(len(values), blocks)
    return np.asarray(np.add.reduceat(values, cuts[:-1]) / np.diff(cuts), dtype=np.float64)


def totals(weights: Floats, values: Floats) -> Floats:
    """Return the weighted sum of *values*, one a round, for every row of *weights*.

    Args:
        weights: How often each block counts; one column a block.
        values: One a round, at least as many as there are blocks.
    """
    cuts = edges(len(values), weights.shape[1])
    return np.asarray(weights @ np.add.reduceat(values, cuts[:-1]), dtype=np.float64)
