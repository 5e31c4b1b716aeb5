"""What each arm did over time, in a few dozen moments of its own rounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from valkeyctl.bench.figures.outcomes import Rows, free, latencies
from valkeyctl.bench.samples import Samples, StageResult
from valkeyctl.bench.statistics.intervals import percentile

_MOST_MOMENTS = 480
_FEWEST, _ENOUGH = 10, 96
# Of fewer samples a moment's figures are noise, and its p99 a single request.
_SAMPLES = 50


@dataclass(frozen=True)
class Moment:
    """A stretch of an arm's rounds.

    Attributes:
        at: Its middle, in seconds after the first round began.
        p50_ms: Median latency of what was due in it; None without a right answer.
        p99_ms: And its p99, which is the maximum below 100 requests.
        throughput_rps: Right answers that ended in it, per second of the arm's own time.
        hit_ratio: Share of right answers that waited for no origin call of their own;
            None where the target does not say.
        errors: Requests due in it without a right answer.
    """

    at: float
    p50_ms: float | None
    p99_ms: float | None
    throughput_rps: float
    hit_ratio: float | None
    errors: int


def began(samples: Samples) -> float:
    """Return when the first round began, on the samples' clock; 0 without any."""
    return min((stage.begin for stage in samples.stages), default=0.0)


def timeline(samples: Samples, arm: int, rows: Rows, *, told: bool) -> tuple[Moment, ...]:
    """Return the moments of an arm in order of time, the cold start's included.

    A moment is a part of a round where rounds are few, and several rounds where they are
    many, so that a million samples make as long a line as a thousand.

    Args:
        samples: The run.
        arm: Its index.
        rows: All samples of its rounds.
        told: Whether the target says how it answers.
    """
    stages = sorted((one for one in samples.stages if one.arm == arm), key=lambda one: one.round)
    if not stages or not len(rows):
        return ()
    room = min(_ENOUGH, _MOST_MOMENTS // len(samples.plan.arms), len(rows) // _SAMPLES)
    wanted = max(_FEWEST, room)
    parts = max(1, wanted // len(stages))
    joined = math.ceil(len(stages) / wanted)
    places = _Places(stages, parts, joined)
    rows = rows[np.isin(rows["round"], [stage.round for stage in stages])]
    due, ended = places.of(rows, "intended"), places.of(rows, "end")
    right = rows["error"] == 0
    count = len(places.middles)
    answers = np.bincount(ended[right], minlength=count)
    errors = np.bincount(due[~right], minlength=count)
    rows, due = rows[right], due[right]
    order = np.argsort(due, kind="stable")
    edges = np.searchsorted(due[order], np.arange(count + 1))
    milliseconds, cached = latencies(rows)[order], free(rows)[order]
    start = began(samples)
    found = []
    for place in range(count):
        part = slice(edges[place], edges[place + 1])
        mine = np.sort(milliseconds[part])
        found.append(
            Moment(
                at=places.middles[place] - start,
                p50_ms=percentile(mine, 0.5) if len(mine) else None,
                p99_ms=percentile(mine, 0.99) if len(mine) else None,
                throughput_rps=float(answers[place] / places.seconds[place]),
                hit_ratio=float(cached[part].mean()) if told and len(mine) else None,
                errors=int(errors[place]),
            )
        )
    return tuple(found)


class _Places:
    """Maps an instant of a round to the moment that it belongs to."""

    def __init__(self, stages: list[StageResult], parts: int, joined: int) -> None:
        last = stages[-1].round
        self._first = np.zeros(last + 1, dtype=np.int64)
        self._begin = np.zeros(last + 1)
        self._length = np.ones(last + 1)
        self._parts = parts
        self.middles: list[float] = []
        self.seconds: list[float] = []
        for number, stage in enumerate(stages):
            length = max(stage.end - stage.begin, 1e-9)
            self._begin[stage.round], self._length[stage.round] = stage.begin, length
            if number % joined == 0:
                self._first[stage.round] = len(self.middles)
                for part in range(parts):
                    self.middles.append(stage.begin + length * (part + 0.5) / parts)
                    self.seconds.append(length / parts)
            else:
                # Several rounds in one moment; there is one part of each then.
                place = len(self.middles) - 1
                self._first[stage.round] = place
                self.middles[place] += (stage.begin + length / 2 - self.middles[place]) / (
                    number % joined + 1
                )
                self.seconds[place] += length

    def of(self, rows: Rows, field: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return the place of each row by the instant in *field*."""
        rounds = rows["round"]
        share = (rows[field] - self._begin[rounds]) / self._length[rounds]
        part = np.clip((share * self._parts).astype(np.int64), 0, self._parts - 1)
        return np.asarray(self._first[rounds] + part, dtype=np.int64)
