"""Samples for other tools: what goes out is what was measured."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from tests.bench.conftest import made_up
from valkeyctl.bench.export import CSV_COLUMNS, write_csv, write_histograms
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.samples import Samples
from valkeyctl.bench.statistics.intervals import percentile
from valkeyctl.errors import FolderError


def spread_out(folder: Path) -> Samples:
    """Return a run whose latencies reach from 20 us to 30 s."""
    rng = np.random.default_rng(5)
    rounds = [np.clip(rng.lognormal(1, 2, 400), 0.02, 30_000).tolist() for _ in range(6)]
    samples = made_up(Plan.of(rounds=6), [rounds, rounds[::-1]])
    return replace(samples, folder=folder)


def test_the_histogram_log_is_read_by_its_own_reader(tmp_path: Path) -> None:
    """Percentiles of each arm agree within 1 %, and no answer is lost."""
    samples = spread_out(tmp_path)

    reader = HistogramLogReader(
        str(write_histograms(samples)), HdrHistogram(1, 24 * 3600 * 10**9, 3)
    )

    whole: dict[str, HdrHistogram] = {}
    intervals = []
    while (one := reader.get_next_interval_histogram()) is not None:
        intervals.append((one.get_tag(), one.get_start_time_stamp()))
        if one.get_tag() in whole:
            whole[one.get_tag()].add(one)
        else:
            whole[one.get_tag()] = one
    reader.input_file.close()
    assert len(intervals) == 12
    assert [start for _, start in intervals] == sorted(start for _, start in intervals)
    for number, arm in enumerate(("cached", "uncached")):
        rows = samples.rows[samples.rows["arm"] == number]
        exact = np.sort((rows["end"] - rows["intended"]) * 1e9)
        assert whole[arm].get_total_count() == 2400
        for q in (0.01, 0.5, 0.9, 0.99, 0.999, 1.0):
            told = whole[arm].get_value_at_percentile(q * 100)
            assert told == pytest.approx(percentile(exact, q), rel=0.01)


def test_errors_are_no_latencies(tmp_path: Path) -> None:
    """A refused connection is not a fast answer."""
    samples = spread_out(tmp_path)
    samples.rows["error"][samples.rows["arm"] == 0] = 1

    text = write_histograms(samples).read_text()

    assert text.count("Tag=cached,") == 6
    assert all(line.split(",")[3] == "0.000" for line in text.splitlines() if "Tag=cached," in line)


def test_the_csv_has_every_sample(tmp_path: Path) -> None:
    """Names instead of numbers, times from the first round on."""
    samples = spread_out(tmp_path)
    samples.rows["error"][3] = 1
    samples.rows["round"][0] = -1

    write_csv(samples, tmp_path / "samples.csv")

    with (tmp_path / "samples.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert len(rows) == 4800
    assert (rows[0]["arm"], rows[0]["round"], rows[0]["request"]) == ("cached", "-1", "chat")
    assert (rows[3]["error"], rows[4]["error"]) == ("HTTP 500", "")
    assert (rows[0]["intended_s"], rows[0]["first_s"]) == ("0.000000", "")
    took = float(rows[7]["end_s"]) - float(rows[7]["intended_s"])
    assert took * 1000 == pytest.approx(float(rows[7]["latency_ms"]), abs=0.002)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The samples are safe where they are."""
    samples = spread_out(tmp_path)

    with pytest.raises(FolderError, match=r"none/samples\.csv: cannot be written"):
        write_csv(samples, tmp_path / "none" / "samples.csv")
    with pytest.raises(FolderError, match=r"latency\.hlog: cannot be written"):
        write_histograms(replace(samples, folder=tmp_path / "none"))
