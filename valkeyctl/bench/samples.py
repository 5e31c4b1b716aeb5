"""What a run measured: every sample, and the facts that a report needs beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from valkeyctl.bench.arm import Node
from valkeyctl.bench.load.record import ERRORS_FILE, FIELDS, SAMPLES_FILE, STAGES_FILE
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.runfile import opened_run
from valkeyctl.bench.traffic.stream import Traffic

DTYPE = np.dtype(list(FIELDS))


@dataclass(frozen=True)
class StageResult:
    """One block that was played to its end in one arm.

    Attributes:
        arm: Index in the plan.
        round: From 0.
        size: Requests that were sent in it.
        begin: Monotonic seconds, on the samples' clock.
        end: When the last answer had arrived.
        origin_calls: Counted at the origin; None where it does not say.
        cpu: Processor seconds that the load generator spent, all of its processes
            together; None where it did not say.
        lateness_p99_ms: How late it sent what it did not hold back; None in a closed loop,
            which has no schedule.
    """

    arm: int
    round: int
    size: int
    begin: float
    end: float
    origin_calls: int | None
    cpu: float | None = None
    lateness_p99_ms: float | None = None


_STAGE = frozenset(one.name for one in fields(StageResult))


@dataclass(frozen=True)
class Samples:
    """Everything that one run measured.

    Attributes:
        folder: Where it is kept.
        plan: What was asked for; secrets are ``***`` once it was read from disk.
        traffic: What was known of the stream beforehand.
        rows: One record for each sample, in order of completion; fields as `record` says.
        stages: Blocks that were finished, in order.
        errors: Texts that the field ``error`` points to, counted from 1.
        facts: Origin, gateways, server settings, environment, times: plain JSON.
        incomplete: Whether the run ended before its plan.
        interrupted: ``Ctrl-C`` or ``SIGTERM`` when that ended it; empty otherwise.
    """

    folder: Path
    plan: Plan
    traffic: Traffic
    rows: npt.NDArray[np.void] = field(repr=False)
    stages: tuple[StageResult, ...] = field(repr=False)
    errors: tuple[str, ...]
    facts: Mapping[str, Node] = field(repr=False)
    incomplete: bool
    interrupted: str

    def complete_rounds(self) -> list[int]:
        """Return the rounds whose block was played to its end in every arm, ascending."""
        played: dict[int, set[int]] = {}
        for stage in self.stages:
            played.setdefault(stage.round, set()).add(stage.arm)
        return sorted(number for number, arms in played.items() if len(arms) == len(self.plan.arms))


def load_samples(folder: Path) -> Samples:
    """Return what the run in *folder* measured, whole or not.

    Raises:
        NotFoundError: There is no run in it.
        FolderError: Its files cannot be read, or are no run of this version.
    """
    with opened_run(folder) as run:
        return Samples(
            folder=folder,
            plan=Plan.from_json(run["plan"]),
            traffic=Traffic(**run["traffic"]),
            rows=_rows(folder / SAMPLES_FILE),
            stages=tuple(
                # What a later version adds is no fault; a field that lacks is a TypeError.
                StageResult(**{key: value for key, value in line.items() if key in _STAGE})  # type: ignore[arg-type]
                for line in _lines(folder / STAGES_FILE)
            ),
            errors=tuple(str(line) for line in _lines(folder / ERRORS_FILE)),
            facts=run["facts"],
            incomplete=run["incomplete"],
            interrupted=run["interrupted"],
        )


def _rows(path: Path) -> npt.NDArray[np.void]:
    if not path.exists():
        return np.empty(0, DTYPE)
    # A run that was killed may have torn its last record.
    return np.fromfile(path, DTYPE, count=path.stat().st_size // DTYPE.itemsize)


def _lines(path: Path) -> list[Mapping[str, object]]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    # The same for a torn last line.
    return [json.loads(line) for line in lines if line.endswith("\n")]
