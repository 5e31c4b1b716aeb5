"""Samples on disk: whole records, small, and readable after a kill."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from valkeyctl.bench.load.blocks import Stage
from valkeyctl.bench.load.record import OUTCOMES, SAMPLES_FILE, Recorder, outcome_code
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.runfile import RUN_VERSION
from valkeyctl.bench.samples import DTYPE, load_samples
from valkeyctl.errors import FolderError, NotFoundError


def write(recorder: Recorder, index: int, error: str | None = None) -> None:
    recorder.write(
        Stage(1, 3, 10), index, intended=1.5, start=1.6, end=2.000001,
        status=200, outcome=outcome_code("HIT"), size=77, error=error, queued=True,
        request=2, worker=1, first=1.7, events=3, tokens=(400, 80),
    )  # fmt: skip


def run_json(folder: Path, **changes: object) -> None:
    document = {
        "version": RUN_VERSION,
        "incomplete": True,
        "interrupted": "",
        "plan": Plan.of().to_json(),
        "facts": {},
        "traffic": {"requests": 1, "distinct": None, "span": None, "has_identity": True},
    }
    (folder / "run.json").write_text(json.dumps({**document, **changes}))


def test_a_sample_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """63 bytes carry every field, times to the microsecond and better."""
    recorder = Recorder(tmp_path)
    write(recorder, 7)
    write(recorder, 8, "HTTP 500")
    write(recorder, 9, "HTTP 500")
    recorder.close()
    recorder.close()
    run_json(tmp_path)

    samples = load_samples(tmp_path)

    first, second, third = samples.rows
    assert DTYPE.itemsize == 63
    assert (first["arm"], first["round"], first["index"], first["size"]) == (1, 3, 7, 77)
    assert (first["intended"], first["start"], first["end"]) == (1.5, 1.6, 2.000001)
    assert (first["request"], first["worker"], first["events"]) == (2, 1, 3)
    assert (first["input"], first["output"], first["first"]) == (400, 80, 1.7)
    assert (OUTCOMES[first["outcome"]], first["queued"], first["error"]) == ("hit", 1, 0)
    assert samples.errors[second["error"] - 1] == "HTTP 500"
    assert second["error"] == third["error"]


def test_a_torn_end_costs_one_sample_at_most(tmp_path: Path) -> None:
    """A killed run loses what was under way, not what is whole."""
    recorder = Recorder(tmp_path)
    for index in range(3):
        write(recorder, index)
    recorder.close()
    run_json(tmp_path)
    path = tmp_path / SAMPLES_FILE
    path.write_bytes(path.read_bytes()[:-10])
    (tmp_path / "stages.jsonl").write_text('{"arm": 0, "rou')

    samples = load_samples(tmp_path)

    assert list(samples.rows["index"]) == [0, 1]
    assert samples.stages == ()


def test_error_texts_stay_bounded(tmp_path: Path) -> None:
    """A target that says something new every time does not fill the disk."""
    recorder = Recorder(tmp_path)
    for index in range(3000):
        write(recorder, index, f"error {index}")
    recorder.close()

    assert len((tmp_path / "errors.jsonl").read_text().splitlines()) == 1001


@pytest.mark.parametrize(
    ("header", "outcome"),
    [
        *((None, "none"), ("hit", "hit"), (" MISS ", "miss"), ("TCP_HIT", "other"), ("", "other")),
        # A content delivery network says which of its caches it was, or names them in a row.
        *(("Hit from cloudfront", "hit"), ("MISS, HIT", "hit"), ("HIT,MISS", "miss")),
    ],
)
def test_the_outcome_is_what_the_answer_says(header: str | None, outcome: str) -> None:
    """A word of somebody else's is kept apart, not guessed at."""
    assert OUTCOMES[outcome_code(header)] == outcome


def test_a_folder_without_a_run_and_a_foreign_run_are_refused(tmp_path: Path) -> None:
    """Each with its own status."""
    with pytest.raises(NotFoundError, match="holds no benchmark run"):
        load_samples(tmp_path)

    run_json(tmp_path, version=99)
    with pytest.raises(FolderError, match="version 99"):
        load_samples(tmp_path)

    (tmp_path / "run.json").write_text("{")
    with pytest.raises(FolderError):
        load_samples(tmp_path)
