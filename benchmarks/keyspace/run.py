"""One run: for each server its contents, then the rows that were asked for."""

from __future__ import annotations

import contextlib
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.keyspace.contents import Size
from benchmarks.keyspace.figures import Section
from benchmarks.keyspace.processes import Processes
from benchmarks.keyspace.results import Results, circumstances
from benchmarks.keyspace.scene import Row, Scene
from benchmarks.keyspace.stage import Stage
from benchmarks.micro import cores as placement
from benchmarks.micro.cores import Cores
from benchmarks.micro.server import running
from valkeyctl.errors import ValkeyctlError


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        rows: Names of rows, from `ROWS`.
        size: How many keys.
        rounds: Of each row.
        seed: Of everything that is drawn.
        servers: Each a valkey-server; None is the embedded one.
        pin: Whether server and clients get a core each.
        out: Folder for the results; None prints them only.
    """

    rows: Sequence[str]
    size: Size
    rounds: int
    seed: int
    servers: Sequence[Path | None]
    pin: bool = True
    out: Path | None = None


def run(plan: Plan, rows: Mapping[str, Row]) -> Results:
    """Return what was measured, after printing it row by row.

    Raises:
        MissingError, StartError: There is no server to measure on.
    """
    cores = placement.choose(pin=plan.pin)
    results = Results(circumstances(rounds=plan.rounds, seed=plan.seed, cores=str(cores)))
    for server in plan.servers:
        _measure(plan, rows, server, cores, results)
    return results


def _measure(
    plan: Plan, rows: Mapping[str, Row], path: Path | None, cores: Cores, results: Results
) -> None:
    with (
        running(path, cores.server) as server,
        contextlib.closing(Stage(server)) as stage,
        tempfile.TemporaryDirectory(prefix="valkeyctl-keyspace-") as folder,
    ):
        processes = Processes(stage.endpoint.url(), server.port, cores.worker, Path(folder))
        scene = Scene(
            stage, processes, cores, plan.size, plan.rounds, random.Random(plan.seed), _say
        )
        for name in plan.rows:
            _say(f"{server.version}: {name}")
            scene.disturbed.clear()
            sections = _sections(name, rows[name], scene)
            if scene.disturbed:
                sections[-1].notes.append(_disturbance(scene.disturbed))
            results.add(server.version, name, sections)
            for section in sections:
                print(section.table().text(), end="\n\n", flush=True)
            # Each time, so that a run that is ended leaves what it has.
            if plan.out is not None:
                results.write(plan.out)


def _sections(name: str, row: Row, scene: Scene) -> list[Section]:
    """Return what *row* measured, or that it failed: the other rows are measured still."""
    try:
        return row(scene)
    except ValkeyctlError as error:
        return [Section(name, notes=[f"FAILED: {error}"])]


def _disturbance(shares: Sequence[float]) -> str:
    return (
        "Other processes had the server's core when it wanted it for "
        f"{median(shares):.1f} % of the time (median of {len(shares)} timed), "
        f"{max(shares):.1f} % at most."
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
