"""How often do the intervals of ``valkeyctl bench`` invent a difference, or miss one?

Made-up runs, because only there the truth is known: log-normal latencies (sigma 0.6, 200
requests a round), a level that both arms of a round share (sigma 0.2), and a noise of its
own for each block (sigma 0.03), which is independent, or remembers the block before it
(autocorrelation 0.7), or jumps by four sigma in every tenth block (a noisy neighbour).

    python benchmarks/false_alarms.py [RUNS]
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import numpy as np

from valkeyctl.bench.statistics import Bootstrap, Series, judge

REQUESTS = 200
METRICS = ("p50", "p99", "mean")
NOISES = {"independent": (0.0, 0.0), "autocorrelated": (0.7, 0.0), "neighbour": (0.0, 0.1)}


def noise(rng: np.random.Generator, memory: float, jumps: float) -> Iterator[float]:
    """Yield the noise of one block after another."""
    level = 0.0
    while True:
        level = memory * level + math.sqrt(1 - memory**2) * rng.standard_normal()
        yield 0.03 * (level + (4.0 if rng.random() < jumps else 0.0))


def made_up_run(
    rng: np.random.Generator, rounds: int, *, memory: float = 0.0, jumps: float = 0.0
) -> tuple[Series, Series]:
    """Return two arms that are truly alike, played A B, B A, A B ..."""
    blocks = noise(rng, memory, jumps)
    played: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for number in range(rounds):
        shared = 0.2 * rng.standard_normal()
        for arm in (0, 1) if number % 2 == 0 else (1, 0):
            level = shared + next(blocks)
            played[arm].append(np.exp(level + 0.6 * rng.standard_normal(REQUESTS)))
    return Series(played[0], [1.0] * rounds), Series(played[1], [1.0] * rounds)


def main(runs: int) -> None:
    """Print the share of runs, in per cent, for every design."""
    print("| rounds | noise | " + " | ".join(f"{m}: interval excludes 1" for m in METRICS), end="")
    print(" | p50: verdict better or worse | p50: true 10 % found |")
    print("|---" * (len(METRICS) + 4) + "|")
    for rounds in (5, 10, 20):
        for name, (memory, jumps) in NOISES.items():
            rng = np.random.default_rng(1)
            alarms = dict.fromkeys(METRICS, 0)
            verdicts = found = 0
            for seed in range(runs):
                first, second = made_up_run(rng, rounds, memory=memory, jumps=jumps)
                bootstrap = Bootstrap(rounds, seed)
                for metric in METRICS:
                    ratio = bootstrap.ratio(first, second, metric)
                    low, high = ratio.ci95 or (0.0, math.inf)
                    alarms[metric] += not low <= 1 <= high
                    if metric == "p50":
                        verdicts += judge(ratio, rounds) in {"better", "worse"}
                        # Every latency 10 % longer moves the ratio and its bounds by just that.
                        found += low * 1.1 > 1
            shares = [*alarms.values(), verdicts, found]
            cells = " | ".join(f"{100 * share / runs:.1f}" for share in shares)
            print(f"| {rounds} | {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
