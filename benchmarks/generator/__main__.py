"""Measure the load generator beside plain Locust, in the same run, interleaved.

    python -m benchmarks.generator --out benchmarks/results

Endpoint and generator each have a core of their own. Rows are medians of the runs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

from benchmarks.generator.runs import (
    Seen,
    StallSeen,
    endpoint,
    locust,
    locust_stalled,
    memory,
    ours,
    ours_stalled,
)
from benchmarks.micro.cores import choose, settle
from benchmarks.micro.tables import Table

_LADDER = (6_000, 8_000, 10_000, 12_000, 14_000, 16_000, 20_000, 25_000, 30_000)
_RATES = ((1_000, 10), (5_000, 100), (10_000, 100))
_HELD_LATENESS_MS = 10.0
_IN_FLIGHT = (10, 100, 1000)
_MILLION = 1_000_000

T = TypeVar("T")


def main(words: Sequence[str] | None = None) -> None:
    """Print the tables, and write them where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generator", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of each row; default 3")
    parser.add_argument("--seconds", type=float, default=4.0, help="of a run; default 4")
    parser.add_argument("--samples", type=int, default=_MILLION, help="for the memory row")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for generator.md")
    asked = parser.parse_args(words)
    cores = choose(pin=True)
    # What we start from now on, which is the load, inherits our core.
    settle(os.getpid(), cores.worker)
    with endpoint(cores) as url:
        tables = [
            _highest(url, asked.runs, asked.seconds),
            _lateness(url, asked.runs, asked.seconds),
            _stall(url, asked.runs),
            _memory(url, asked.samples),
        ]
    text = "\n\n".join(table.text() for table in tables)
    print(text)
    if asked.out:
        page = (
            "# The load generator beside plain Locust\n\n"
            f"An endpoint on uvloop that answers `ok`; {cores}. Medians of {asked.runs} runs, "
            "the two generators by turns.\n\n"
            f"```console\n$ python -m benchmarks.generator --runs {asked.runs}\n{text}\n```\n"
        )
        asked.out.mkdir(parents=True, exist_ok=True)
        (asked.out / "generator.md").write_text(page, encoding="utf-8")


def _highest(url: str, runs: int, seconds: float) -> Table:
    closed: list[Seen] = []
    plain: list[Seen] = []
    for _ in range(runs):
        closed.append(_said("ours, closed", partial(ours, url, rate=None, seconds=seconds)))
        plain.append(
            _said("Locust, closed", partial(locust, url, rate=0, seconds=seconds, users=20))
        )
    held: Seen | None = None
    for rate in _LADDER:
        play = partial(ours, url, rate=rate, seconds=seconds)
        seen = min((_said(f"ours, {rate:,}/s", play) for _ in range(runs)), key=_late)
        if _late(seen) > _HELD_LATENESS_MS or seen.rate < 0.99 * rate:
            break
        held = seen
    lines = [
        [
            "ours, open loop, held",
            f"{held.rate:,.0f}" if held else "none",
            f"{_late(held):.2f}" if held else "-",
        ],
        ["ours, 20 users", f"{median(one.rate for one in closed):,.0f}", "-"],
        ["plain Locust, 20 users", f"{median(one.rate for one in plain):,.0f}", "-"],
    ]
    notes = (
        f"Requests per second of one process. Held: all sent in time, its own lateness at "
        f"p99 at most {_HELD_LATENESS_MS:g} ms, in the best of {runs} runs at each rate.",
    )
    return Table("Highest rate", ("", "req/s", "late p99 ms"), lines, notes)


def _lateness(url: str, runs: int, seconds: float) -> Table:
    lines = []
    for rate, users in _RATES:
        mine: list[Seen] = []
        plain: list[Seen] = []
        play = partial(ours, url, rate=rate, seconds=seconds)
        other = partial(locust, url, rate=rate, seconds=seconds, users=users)
        for _ in range(runs):
            mine.append(_said(f"ours, {rate:,}/s", play))
            plain.append(_said(f"Locust, {rate:,}/s", other))
        lines.append([f"{rate:,}/s ours", *_row(mine, rate)])
        lines.append([f"{rate:,}/s Locust, {users} users", *_row(plain, rate)])
    columns = ("", "sent", "late p50", "p99", "max", "latency p50", "p99")
    notes = (
        "Milliseconds. Sent: share of the requests that the rate asks for. Late: behind the "
        "schedule; of Locust's users, each behind its own first request.",
    )
    return Table("Lateness of the generator", columns, lines, notes)


def _stall(url: str, runs: int) -> Table:
    rows: dict[str, Callable[[], StallSeen]] = {
        **{f"ours, {most:,} in flight": partial(ours_stalled, url, most) for most in _IN_FLIGHT},
        **{f"Locust, {users} users": partial(locust_stalled, url, users) for users in (10, 100)},
    }
    seen: dict[str, list[StallSeen]] = {name: [] for name in rows}
    for _ in range(runs):
        for name, play in rows.items():
            seen[name].append(_said(f"stall, {name}", play))
    lines = []
    for name, several in seen.items():
        truths = [one.truth_ms for one in several if one.truth_ms is not None]
        lines.append(
            [
                name,
                f"{median(one.sent for one in several):,.0f}",
                f"{median(one.p99_ms for one in several):,.1f}",
                f"{median(truths):,.1f}" if truths else "400.0",
            ]
        )
    notes = (
        "1,000 requests a second for 10 s, the server silent once for 500 ms. Truth: p99 by "
        "the schedule and the server's own record of its silence.",
    )
    return Table("A stall", ("", "sent", "p99 ms", "truth ms"), lines, notes)


def _memory(url: str, samples: int) -> Table:
    before, most = _said("memory", partial(memory, url, samples))
    line = [f"{samples:,} samples, 20 users", *(f"{n:,.0f}" for n in (before, most, most - before))]
    return Table(
        "Memory of the generator",
        ("", "warm MB", "most MB", "grown MB"),
        [line],
        ("Resident, 10^6 bytes; the samples are on disk, 63 bytes each.",),
    )


def _said(name: str, play: Callable[[], T]) -> T:
    seen = play()
    print(f"{name}: {seen}", file=sys.stderr)
    return seen


def _row(several: Sequence[Seen], rate: float) -> list[str]:
    late = [one.lateness_ms for one in several if one.lateness_ms is not None]
    return [
        f"{median(one.rate for one in several) / rate:.1%}",
        *(f"{median(one[place] for one in late):.2f}" for place in range(3)),
        *(f"{median(one.latency_ms[place] for one in several):.2f}" for place in range(2)),
    ]


def _late(seen: Seen) -> float:
    return seen.lateness_ms[1] if seen.lateness_ms else 0.0


if __name__ == "__main__":
    main()
