"""A run's samples for other tools: an HdrHistogram log, and comma-separated values."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

from valkeyctl.bench.figures.outcomes import Rows, latencies
from valkeyctl.bench.figures.timeline import began
from valkeyctl.bench.load.record import OUTCOMES
from valkeyctl.bench.samples import Samples
from valkeyctl.errors import FolderError

HISTOGRAM_FILE = "latency.hlog"
CSV_COLUMNS = (
    *("arm", "round", "index", "request", "outcome", "status", "error", "queued", "worker"),
    *("bytes", "events", "input_tokens", "output_tokens"),
    *("intended_s", "start_s", "first_s", "end_s", "latency_ms"),
)

_DIGITS = 3
_LONGEST_NS = 24 * 3600 * 10**9
_NS = 10**9
# A count of that many sub-buckets in each power of two keeps three digits.
_SUB_BUCKET_BITS = 11
_ROWS_AT_A_TIME = 50_000


def write_histograms(samples: Samples) -> Path:
    """Write ``latency.hlog`` into the run's folder and return its path.

    One interval for each round of each arm, tagged with the arm's name, of the right
    answers' latencies in nanoseconds, three digits exact. Times count from the first
    round; the standard readers of HdrHistogram logs take it.

    Raises:
        FolderError: It cannot be written.

    Source: HdrHistogram's log format, version 1.3, with V2 compressed histograms.
    """
    from hdrh.histogram import HdrHistogram

    path = samples.folder / HISTOGRAM_FILE
    start = began(samples)
    right = samples.rows[samples.rows["error"] == 0]
    groups = dict(_groups(right))
    with _opened(path) as log:
        log.write("#[valkeyctl bench: latency from the intended start, in nanoseconds]\n")
        log.write("#[Histogram log format version 1.3]\n")
        log.write(f"#[StartTime: {_epoch(samples):.3f} (seconds since epoch)]\n")
        log.write(f"#[BaseTime: {_epoch(samples):.3f} (seconds since epoch)]\n")
        log.write(
            '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
        )
        for stage in sorted(samples.stages, key=lambda one: one.begin):
            values = groups.get((stage.arm, stage.round), np.empty(0, dtype=np.int64))
            histogram = HdrHistogram(1, _LONGEST_NS, _DIGITS)
            for value, times in zip(*np.unique(_rounded(values), return_counts=True), strict=True):
                histogram.record_value(int(value), int(times))
            highest = float(values.max()) / 1e6 if len(values) else 0.0
            log.write(
                f"Tag={samples.plan.arms[stage.arm].name},{stage.begin - start:.3f},"
                f"{stage.end - stage.begin:.3f},{highest:.3f},"
                f"{histogram.encode().decode('ascii')}\n"
            )
    return path


def write_csv(samples: Samples, path: Path) -> None:
    """Write every sample to *path*, warm-up (round -1) and errors included.

    Times are seconds after the first round began; ``first_s`` is empty where an answer
    did not stream, ``error`` where there was none.

    Raises:
        FolderError: It cannot be written.
    """
    start = began(samples)
    arms = [arm.name for arm in samples.plan.arms]
    kinds = [one.name for one in samples.plan.scenario.requests]
    errors = ("", *samples.errors)
    with _opened(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for begin in range(0, len(samples.rows), _ROWS_AT_A_TIME):
            rows = samples.rows[begin : begin + _ROWS_AT_A_TIME]
            writer.writerows(
                zip(
                    _named(rows["arm"], arms),
                    rows["round"].tolist(),
                    rows["index"].tolist(),
                    _named(rows["request"], kinds),
                    _named(rows["outcome"], OUTCOMES),
                    rows["status"].tolist(),
                    _named(rows["error"], errors),
                    rows["queued"].tolist(),
                    *(rows[name].tolist() for name in ("worker", "size", "events")),
                    *(rows[name].tolist() for name in ("input", "output")),
                    *(_seconds(rows[name] - start) for name in ("intended", "start")),
                    *(_seconds(rows[name] - start) for name in ("first", "end")),
                    [f"{value:.4f}" for value in latencies(rows).tolist()],
                    strict=True,
                )
            )


def _groups(right: Rows) -> Iterator[tuple[tuple[int, int], npt.NDArray[np.int64]]]:
    """Yield the latencies of each (arm, round), in nanoseconds."""
    if not len(right):
        return
    key = right["arm"].astype(np.int64) << 16 | (right["round"].astype(np.int64) + 1)
    order = np.argsort(key, kind="stable")
    nanoseconds = np.clip((right["end"] - right["intended"]) * _NS, 1, _LONGEST_NS)
    values = nanoseconds.astype(np.int64)[order]
    found, starts = np.unique(key[order], return_index=True)
    for one, part in zip(found.tolist(), np.split(values, starts[1:]), strict=True):
        yield (one >> 16, (one & 0xFFFF) - 1), part


def _rounded(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return *values* as a histogram of three digits keeps them, so that few are different."""
    bits = np.frexp(values.astype(np.float64))[1]
    shift = np.maximum(bits - _SUB_BUCKET_BITS, 0).astype(np.int64)
    return np.asarray((values >> shift) << shift, dtype=np.int64)


def _named(codes: npt.NDArray[np.integer], names: tuple[str, ...] | list[str]) -> list[str]:
    # A locustfile has kinds of requests that the plan does not name.
    return [names[code] if code < len(names) else str(code) for code in codes.tolist()]


def _seconds(values: npt.NDArray[np.float64]) -> list[str]:
    return ["" if math.isnan(value) else f"{value:.6f}" for value in values.tolist()]


def _epoch(samples: Samples) -> float:
    """Return when the run was started, in seconds since 1970; 0 where it does not say."""
    try:
        started = datetime.fromisoformat(str(samples.facts.get("started")))
    except ValueError:
        return 0.0
    return started.replace(tzinfo=started.tzinfo or UTC).timestamp()


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise FolderError(
            f"{path}: cannot be written: {error.strerror or error}",
            hint="Give another place, or make room there",
        ) from error
