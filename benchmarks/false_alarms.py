"""How often do the intervals of ``valkeyctl bench`` invent a difference, or miss one?

Made-up runs, because only there the truth is known: two equal arms, A B, B A, A B ...,
blocks of half a second, log-normal latencies (sigma 0.6, 100 requests a block), a level
that both arms of a round share (sigma 0.2), and noise of many kinds (`NOISES`).
Recorded runs of a real machine are judged by benchmarks/aa.py; what no interval could do
better is in benchmarks/slow_noise.py.

    python benchmarks/false_alarms.py [RUNS] [ROUNDS ...] [--noise WORDS]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from valkeyctl.bench.statistics.intervals import Bootstrap, Series

Floats = npt.NDArray[np.float64]
Noise = Callable[[np.random.Generator, int], Floats]

REQUESTS = 100
BLOCK_SECONDS = 0.5
METRICS = ("p50", "p99", "mean")
ROUNDS = (10, 20, 40, 60)
_BLOCK_SIGMA = 0.03


def remembering(rng: np.random.Generator, length: int, memory: float) -> Floats:
    """Return an AR(1) series of variance 1 whose neighbours correlate by *memory*."""
    values = rng.standard_normal(length)
    for place in range(1, length):
        values[place] = memory * values[place - 1] + math.sqrt(1 - memory**2) * values[place]
    return values


def _blocks(values: Floats) -> Floats:
    """Return one level a block as levels of its requests."""
    return np.repeat(values[:, None], REQUESTS, axis=1)


def _ar(memory: float) -> Noise:
    return lambda rng, blocks: _blocks(_BLOCK_SIGMA * remembering(rng, blocks, memory))


def _own(memory: float) -> Noise:
    def noise(rng: np.random.Generator, blocks: int) -> Floats:
        values = np.empty(blocks)
        for arm in (0, 1):
            values[_places(blocks, arm)] = remembering(rng, blocks // 2, memory)
        return _blocks(_BLOCK_SIGMA * values)

    return noise


def _jumps(rng: np.random.Generator, blocks: int) -> Floats:
    jumps = 4.0 * (rng.random(blocks) < 0.1)
    return _blocks(_BLOCK_SIGMA * (rng.standard_normal(blocks) + jumps))


def _heavy(rng: np.random.Generator, blocks: int) -> Floats:
    return _blocks(_BLOCK_SIGMA * rng.standard_t(2, blocks))


def _bursts(seconds: float, pause: float = 4.0) -> Noise:
    """Return a neighbour that comes and goes and makes requests 65 % slower meanwhile."""

    def noise(rng: np.random.Generator, blocks: int) -> Floats:
        times = (np.arange(blocks * REQUESTS) + 0.5) * BLOCK_SECONDS / REQUESTS
        busy = rng.random() < seconds / (seconds + pause)
        edges = [0.0]
        while edges[-1] < times[-1]:
            mean = seconds if busy == (len(edges) % 2 == 1) else pause
            edges.append(edges[-1] + rng.exponential(mean))
        turns = np.searchsorted(edges, times) - 1
        there = (turns % 2 == 0) == busy
        own = _BLOCK_SIGMA * rng.standard_normal(blocks)
        return np.asarray(0.5 * there.reshape(blocks, REQUESTS) + own[:, None], dtype=np.float64)

    return noise


def _drift(rng: np.random.Generator, blocks: int) -> Floats:
    level = np.linspace(0.0, 0.5, blocks)
    return _blocks(level + _BLOCK_SIGMA * rng.standard_normal(blocks))


NOISES: dict[str, Noise] = {
    "independent": _ar(0.0),
    "AR(0.7)": _ar(0.7),
    "AR(0.9)": _ar(0.9),
    "jumps": _jumps,
    "heavy tails": _heavy,
    "bursts of 0.5 s": _bursts(0.5),
    "bursts of 2 s": _bursts(2.0),
    "bursts of 5 s": _bursts(5.0),
    "drift": _drift,
    "each arm AR(0.5)": _own(0.5),
    "each arm AR(0.7)": _own(0.7),
    "each arm AR(0.9)": _own(0.9),
}


def _places(blocks: int, arm: int) -> npt.NDArray[np.int64]:
    """Return where in the order A B, B A, A B ... the blocks of *arm* are."""
    first = np.arange(0, blocks, 2)
    swapped = (first // 2) % 2
    return first + (swapped if arm == 0 else 1 - swapped)


def made_up_run(rng: np.random.Generator, rounds: int, noise: Noise) -> tuple[Series, Series]:
    """Return two arms that are truly alike, played A B, B A, A B ..."""
    blocks = 2 * rounds
    levels = noise(rng, blocks) + np.repeat(0.2 * rng.standard_normal(rounds), 2)[:, None]
    played = np.exp(levels + 0.6 * rng.standard_normal((blocks, REQUESTS)))
    arms = []
    for arm in (0, 1):
        latencies = played[_places(blocks, arm)]
        # A closed loop: a block takes as long as its requests.
        arms.append(Series(list(latencies), [float(row.sum()) for row in latencies]))
    return arms[0], arms[1]


def main(runs: int, lengths: tuple[int, ...], words: str = "") -> None:
    """Print the share of runs, in per cent, for every design whose name holds *words*."""
    print(f"| rounds | noise | {' | '.join(METRICS)} | p50 width | 5 % found | 10 % found | told |")
    print("| ---: | --- |" + " ---: |" * (len(METRICS) + 4))
    for rounds in lengths:
        for name, noise in NOISES.items():
            if words not in name:
                continue
            rng = np.random.default_rng(1)
            alarms = dict.fromkeys(METRICS, 0)
            found = {1.05: 0, 1.1: 0}
            widths = []
            told = 0  # that the run was too short for its noise
            for seed in range(runs):
                arms = made_up_run(rng, rounds, noise)
                # 399 resamples are as exact as 1,999, only less even.
                bootstrap = Bootstrap(rounds, seed, replicates=399)
                for metric in METRICS:
                    ratio = bootstrap.ratio(*arms, metric)
                    alarms[metric] += excludes_one(ratio.ci95)
                    told += metric == "p50" and ratio.longer > 1
                    if metric == "p50" and ratio.ci95:
                        widths.append(ratio.ci95[1] / ratio.ci95[0] - 1)
                        # Every latency 5 % longer moves the ratio and its bounds by just that.
                        for times in found:
                            found[times] += ratio.ci95[0] * times > 1
            shares = [*alarms.values(), 100 * np.median(widths), *found.values(), told]
            scaled = [
                share if place == len(METRICS) else 100 * share / runs
                for place, share in enumerate(shares)
            ]
            cells = " | ".join(f"{share:.1f}" for share in scaled)
            print(f"| {rounds} | {name} | {cells} |", flush=True)


def excludes_one(ci95: tuple[float, float] | None) -> bool:
    """Say whether the interval excludes 1; one that is not given excludes nothing."""
    return ci95 is not None and not ci95[0] <= 1 <= ci95[1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="How often an interval excludes the truth.")
    parser.add_argument("runs", type=int, nargs="?", default=1000)
    parser.add_argument("rounds", type=int, nargs="*")
    parser.add_argument("--noise", default="", metavar="WORDS", help="kinds that hold them")
    given = parser.parse_args()
    main(given.runs, tuple(given.rounds) or ROUNDS, given.noise)
