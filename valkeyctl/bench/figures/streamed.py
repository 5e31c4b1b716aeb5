"""Intervals of streamed answers: time to the first token, and between tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from valkeyctl.bench.figures.outcomes import Rows
from valkeyctl.bench.statistics.intervals import Bootstrap, Estimate, Floats, Series

_QUANTILES = ("p50", "p90", "p99")


def streamed_estimates(
    right: Rows, rounds: Sequence[int], bootstrap: Bootstrap
) -> Mapping[str, Estimate]:
    """Return ``ttft_p50`` to ``itl_p99``, in milliseconds; empty where nothing streams.

    Args:
        right: Samples of one arm, without errors.
        rounds: Which rounds, ascending; as many as *bootstrap* resamples.
        bootstrap: Resamples of them.
    """
    streamed = right[~np.isnan(right["first"])]
    pieces = streamed[streamed["events"] > 1]
    return {
        **_estimates(
            "ttft", streamed, (streamed["first"] - streamed["intended"]) * 1000, rounds, bootstrap
        ),
        # As `tokens` counts: of n pieces the first ends no gap.
        **_estimates(
            "itl",
            pieces,
            (pieces["end"] - pieces["first"]) / (pieces["events"] - 1.0) * 1000,
            rounds,
            bootstrap,
        ),
    }


def _estimates(
    name: str, rows: Rows, times: Floats, rounds: Sequence[int], bootstrap: Bootstrap
) -> Mapping[str, Estimate]:
    if not len(rows):
        return {}
    series = Series([times[rows["round"] == number] for number in rounds], [1.0] * len(rounds))
    return {f"{name}_{quantile}": bootstrap.of(series, quantile) for quantile in _QUANTILES}
