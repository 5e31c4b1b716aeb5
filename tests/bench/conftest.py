"""A target that needs no Valkey, and runs made up sample by sample."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest

from valkeyctl.bench.load.record import OUTCOMES
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.samples import DTYPE, Samples, StageResult
from valkeyctl.bench.services.target import Target
from valkeyctl.bench.traffic.stream import Traffic
from valkeyctl.endpoint import Endpoint

FAKE_GATEWAY = (sys.executable, str(Path(__file__).with_name("fake_gateway.py")))


@pytest.fixture
def nothing_left_running() -> Iterator[None]:
    """See to it that the test ends every process that it started."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    after = [c for c in psutil.Process().children(recursive=True) if c.pid not in before]
    assert [child.cmdline() for child in after] == []


@pytest.fixture
def target() -> Target:
    """A gateway that caches in its own memory, started by the run as the real one is."""
    return Target(cache=Endpoint(port=1), command=FAKE_GATEWAY)


def gone(pid: int, *, within: float = 10.0) -> bool:
    """Say whether the process *pid*, which need not be our child, has ended."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True  # ended; whoever inherited it has not asked for its status
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)  # a foreign process tells nobody when it ends
    return False


def mooncake(path: Path, prompts: Sequence[int], *, gap_ms: int = 10) -> Path:
    """Write a trace in Mooncake's format whose request k asks prompt prompts[k]."""
    lines = (
        {"timestamp": k * gap_ms, "input_length": 500 + k, "output_length": 20, "hash_ids": [0, p]}
        for k, p in enumerate(prompts)
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


Rounds = Sequence[Sequence[float]]


def made_up(
    plan: Plan,
    latencies_ms: Sequence[Rounds],
    *,
    outcomes: Sequence[Callable[[int], str]] | None = None,
    failed: Callable[[int, int], bool] = lambda _arm, _index: False,
    traffic: Traffic | None = None,
    incomplete: bool = False,
    interrupted: str = "",
    folder: Path = Path("made-up"),
) -> Samples:
    """Return a run whose arm a had, in round r, the latencies latencies_ms[a][r]."""
    rows: list[tuple[float, ...]] = []
    stages = []
    clock = 100.0
    says = outcomes or [lambda _: "miss", lambda _: "bypass"]
    for arm, rounds in enumerate(latencies_ms):
        index = 0
        for number, block in enumerate(rounds):
            begin = clock
            calls = 0
            for latency in block:
                error = failed(arm, index)
                outcome = says[arm](index)
                calls += outcome in {"miss", "bypass"}
                end = clock + latency / 1000
                code = OUTCOMES.index(outcome)
                status = 500 if error else 200
                row = (arm, code, 0, 0, 0, number, status, int(error), index, 10, 0, 0, 0)
                rows.append((*row, clock, clock, float("nan"), end))
                clock = end
                index += 1
            stages.append(StageResult(arm, number, len(block), begin, clock, calls))
    return Samples(
        folder=folder,
        plan=plan,
        traffic=traffic or Traffic(None, None, None, has_identity=True),
        rows=np.array(rows, dtype=DTYPE),
        stages=tuple(stages),
        errors=("HTTP 500",),
        facts={"origin": "simulated LLM", "environment": {}, "failure": None},
        incomplete=incomplete,
        interrupted=interrupted,
    )
