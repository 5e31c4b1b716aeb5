"""What is the best that any interval could do, where each arm has slow noise of its own?

The differences between two arms, round by round, are made up of quick noise and of slow
noise, an AR(1) process. To tell slow noise from a true difference, a run must be longer
than the noise remembers. How much longer is bounded by the lemma of Neyman and Pearson: of
all tests of equal arms that give 7 % false alarms under slow noise, whatever they measure
it by, the ratio of likelihoods finds most differences. This one is even told how slow the
noise is and how much of it there is. Beside it are two tests of 5 % that are told nothing:
the plain t test, and one whose error is estimated from the slowest cosines (Lazarus, Lewis,
Stock & Watson, HAR Inference: Recommendations for Practice, JBES 36, 2018), as few of them
as that paper recommends. The difference is one that the t test finds in 90 % of the runs
without slow noise.

The memory of 0.9 and the share of 0.17 are those of ``each arm AR(0.9)`` for the median in
benchmarks/false_alarms.py: rounds of 100 requests, whose own spread is the quick noise.

    python benchmarks/slow_noise.py [MEMORY] [SHARE]
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

ROUNDS = (10, 20, 40, 60, 120, 200)
_RUNS = 20_000
_NOMINAL, _ALLOWED, _FOUND = 0.05, 0.07, 0.90
_GRID = 400


@dataclass(frozen=True)
class Bound:
    """How often equal arms are told apart, and unequal ones, in per cent of the runs.

    Attributes:
        plain: False alarms of the t test under slow noise.
        cosines: The same of the test by cosines.
        cosines_found: Differences that it finds where there is no slow noise.
        quiet: False alarms of the best test there.
        found: Differences that the best test finds there.
    """

    plain: float
    cosines: float
    cosines_found: float
    quiet: float
    found: float


def bound(rng: np.random.Generator, rounds: int, memory: float, share: float) -> Bound:
    """Return what is possible with so many rounds.

    Source: Lehmann & Romano, Testing Statistical Hypotheses (2005), 3.2 and 6.3: of tests
    that the unit of measurement does not matter to, on the direction of the differences.
    """
    places = np.arange(rounds)
    slow = memory ** np.abs(places[:, None] - places)
    covariance = (1 - share) * np.eye(rounds) + share * slow
    quiet = rng.standard_normal((_RUNS, rounds))
    noisy = rng.standard_normal((_RUNS, rounds)) @ np.linalg.cholesky(covariance).T
    apart = rng.standard_normal((_RUNS, rounds))
    limit = float(np.quantile(_t(quiet), 1 - _NOMINAL))
    # Every difference moves the same runs, so one that is found more often is larger.
    low, high = 0.0, 10.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        enough = float(np.mean(_t(apart + middle) > limit)) >= _FOUND
        low, high = (low, middle) if enough else (middle, high)
    inverse = np.linalg.inv(covariance)
    volume = float(np.linalg.slogdet(covariance)[1])

    def evidence(values: Floats) -> Floats:
        """Return the log of how much likelier a difference is than slow noise."""
        unit = values / np.linalg.norm(values, axis=1)[:, None]
        along = np.abs(unit.sum(axis=1)) / math.sqrt(rounds)
        turned = np.einsum("ij,ij->i", unit @ inverse, unit)
        shifted = _shifted(along, rounds, high)
        return np.asarray(shifted + volume / 2 + rounds / 2 * np.log(turned), dtype=np.float64)

    threshold = np.quantile(evidence(noisy), 1 - _ALLOWED)
    wide = float(np.quantile(_by_cosines(quiet), 1 - _NOMINAL))
    return Bound(
        plain=100 * float(np.mean(_t(noisy) > limit)),
        cosines=100 * float(np.mean(_by_cosines(noisy) > wide)),
        cosines_found=100 * float(np.mean(_by_cosines(apart + high) > wide)),
        quiet=100 * float(np.mean(evidence(quiet) > threshold)),
        found=100 * float(np.mean(evidence(apart + high) > threshold)),
    )


def _t(values: Floats) -> Floats:
    spread = values.std(axis=1, ddof=1) / math.sqrt(values.shape[1])
    return np.asarray(np.abs(values.mean(axis=1)) / spread, dtype=np.float64)


def _by_cosines(values: Floats) -> Floats:
    rounds = values.shape[1]
    terms = max(1, round(0.4 * rounds ** (2 / 3)))
    angles = np.outer(np.arange(1, terms + 1), np.arange(rounds) + 0.5) * math.pi / rounds
    waves = values @ np.cos(angles).T * math.sqrt(2 / rounds)
    spread = np.sqrt((waves**2).mean(axis=1) / rounds)
    return np.asarray(np.abs(values.mean(axis=1)) / spread, dtype=np.float64)


def _shifted(along: Floats, rounds: int, shift: float) -> Floats:
    """Return the log density of directions under a *shift* of either sign, over that of none.

    Args:
        along: Cosine between the direction and that of equal differences, in [0, 1].
        rounds: How many differences there are.
        shift: Of each difference, in standard deviations.
    """
    length = np.linspace(1e-3, math.sqrt(rounds) * (1 + shift) + 8, _GRID)
    weight = (rounds - 1) * np.log(length) - length**2 / 2
    weight = np.exp(weight - weight.max())
    cosine = np.linspace(0.0, 1.0, _GRID)
    power = np.outer(cosine, length * shift * math.sqrt(rounds))
    # Beside the growing exponential the falling one is lost, but not at a cosine of 0.
    most = power.max(axis=1)
    sums = (np.exp(power - most[:, None]) + np.exp(-power - most[:, None])) @ weight
    density = most + np.log(sums / (2 * weight.sum())) - rounds * shift**2 / 2
    return np.asarray(np.interp(along, cosine, density), dtype=np.float64)


def main(memory: float, share: float) -> None:
    """Print a row for every length."""
    print("| rounds | t test | cosines | found | best test | without slow noise | found |")
    print("| ---: |" + " ---: |" * 6)
    for rounds in ROUNDS:
        one = bound(np.random.default_rng(1), rounds, memory, share)
        figures = (one.plain, one.cosines, one.cosines_found, 100 * _ALLOWED, one.quiet, one.found)
        cells = " | ".join(f"{figure:.1f}" for figure in figures)
        print(f"| {rounds} | {cells} |", flush=True)


if __name__ == "__main__":
    given = [float(text) for text in sys.argv[1:]]
    main(*(given + [0.9, 0.17][len(given) :]))
