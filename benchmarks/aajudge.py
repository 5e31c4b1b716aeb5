"""What recorded A/A sessions say of the intervals; the second half of benchmarks/aa.py."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from valkeyctl.bench.statistics.intervals import Bootstrap, Series

METRICS = ("p50", "p90", "p95", "p99", "mean")
ROUNDS = (6, 12, 20, 40, 60)
MINUTE = 60.0
SLOWER = 1.05
_HEAD = """# Equal arms on a real machine

Written by `python -m benchmarks.aa judge --keep DIR`; how sessions are recorded is at the
top of that file. Two arms of one endpoint that sleeps a while, an open loop, blocks of 0.1 s,
A B, B A ...; each session is cut into consecutive runs, and every run is judged by the
product's own functions, with its number as the seed. An interval that excludes 1 is a
false alarm; nominal are 5 %.
"""


@dataclass(frozen=True)
class Session:
    """One recorded session.

    Attributes:
        label: What the machine did meanwhile.
        slower: How many times longer the second arm's endpoint truly slept.
        rate: Requests per second.
        latencies: Milliseconds, by arm and round.
        seconds: Length of each block, by arm and round.
    """

    label: str
    slower: float
    rate: float
    latencies: tuple[list[npt.NDArray[np.float64]], ...]
    seconds: npt.NDArray[np.float64]

    def runs(self, rounds: int) -> Iterator[tuple[Series, Series]]:
        """Yield consecutive runs of so many rounds."""
        for first in range(0, self.seconds.shape[1] - rounds + 1, rounds):
            part = slice(first, first + rounds)
            one, two = (
                Series(self.latencies[arm][part], self.seconds[arm, part].tolist())
                for arm in (0, 1)
            )
            yield one, two

    @property
    def rounds_a_minute(self) -> int:
        """How many rounds take 60 s."""
        return int(MINUTE * self.seconds.shape[1] / float(self.seconds.sum()))


def load(path: Path) -> Session:
    """Return the session that ``aa.py record`` has written."""
    with np.load(path) as kept:
        meta = json.loads(str(kept["meta"]))
        counts = kept["counts"]
        parts = np.split(
            kept["milliseconds"].astype(np.float64), np.cumsum(counts.ravel())[:-1].tolist()
        )
        arms = tuple(parts[arm * counts.shape[1] : (arm + 1) * counts.shape[1]] for arm in (0, 1))
        seconds = kept["seconds"]
    return Session(meta["label"], float(meta["slower"]), float(meta["rate"]), arms, seconds)


def judge_sessions(keep: Path) -> str:
    """Return the page of results for all sessions in *keep*."""
    sessions = [load(path) for path in sorted(keep.glob("*.npz"))]
    equal = [one for one in sessions if one.slower == 1]
    return "\n".join(
        [
            _HEAD,
            "## Sessions\n",
            *_sessions(sessions),
            "\n## False alarms, per cent of the runs\n",
            *_alarms(equal),
            "\n## A true difference, in runs of 60 s\n",
            *_power(sessions),
            "",
        ]
    )


def _sessions(sessions: list[Session]) -> Iterator[str]:
    yield "| machine | arm b sleeps | rate | rounds | seconds | p50 ms | p99 ms |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for one in sessions:
        values = np.concatenate(one.latencies[0])
        middle, tail = np.quantile(values, [0.5, 0.99])
        yield (
            f"| {one.label} | {one.slower:g} times | {one.rate:g}/s | {one.seconds.shape[1]:,} "
            f"| {one.seconds.sum():.0f} | {middle:.2f} | {tail:.1f} |"
        )


def _alarms(sessions: list[Session]) -> Iterator[str]:
    yield f"| machine | rounds a run | runs | {' | '.join(METRICS)} | half width of p50, % |"
    yield "| --- | ---: | ---: |" + " ---: |" * (len(METRICS) + 1)
    judged: Counter[str] = Counter()
    for label in dict.fromkeys(one.label for one in sessions):
        for rounds in ROUNDS:
            alarms: Counter[str] = Counter()
            halves = []
            count = 0
            for session in (one for one in sessions if one.label == label):
                for first, second in session.runs(rounds):
                    bootstrap = Bootstrap(rounds, count)
                    count += 1
                    for metric in METRICS:
                        ci95 = bootstrap.ratio(first, second, metric).ci95
                        alarms[metric] += ci95 is not None and not ci95[0] <= 1 <= ci95[1]
                        if metric == "p50" and ci95 is not None:
                            halves.append(100 * (np.sqrt(ci95[1] / ci95[0]) - 1))
            judged.update(alarms)
            judged["runs"] += count
            cells = " | ".join(f"{100 * alarms[metric] / count:.1f}" for metric in METRICS)
            yield f"| {label} | {rounds} | {count} | {cells} | {np.median(halves):.1f} |"
    if runs := judged["runs"]:
        cells = " | ".join(f"{100 * judged[metric] / runs:.1f}" for metric in METRICS)
        yield f"| all | | {runs} | {cells} | |"


def _power(sessions: list[Session]) -> Iterator[str]:
    yield "| machine | difference | runs | found by p50 | ratio of medians |"
    yield "| --- | --- | ---: | ---: | ---: |"
    for session in sessions:
        real = session.slower != 1
        rounds = session.rounds_a_minute
        found, ratios = [], []
        for number, (first, second) in enumerate(session.runs(rounds)):
            # A made-up difference, and called so: the recorded latencies times 1.05.
            slowed = second if real else scaled(second)
            ratio = Bootstrap(rounds, number).ratio(first, slowed, "p50")
            found.append(ratio.ci95 is not None and ratio.ci95[1] < 1)
            ratios.append(ratio.value)
        if found:
            what = (
                f"arm b really sleeps {session.slower:g} times as long"
                if real
                else "latencies scaled by 1.05"
            )
            share = f"{sum(found)} of {len(found)}"
            yield (
                f"| {session.label} | {what} | {len(found)} | {share} "
                f"| {float(np.median(ratios)):.3f} |"
            )


def scaled(series: Series) -> Series:
    """Return *series* with every latency 5 % longer."""
    return Series([SLOWER * block for block in series.rounds], series.seconds.tolist())
