"""One run of either generator against the endpoint, and what it saw."""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks.micro.cores import Cores, settle
from valkeyctl.bench.arm import Arm
from valkeyctl.bench.load.capacity import highest_rate
from valkeyctl.bench.load.generator import Progress
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.run import run
from valkeyctl.bench.samples import Samples
from valkeyctl.bench.services.target import Target
from valkeyctl.bench.traffic.scenario import Keys, RequestTemplate, Scenario

_SCENARIO = Scenario(
    name="nothing",
    about="An endpoint that does nothing",
    requests=(RequestTemplate("get"),),
    keys=Keys(100, "uniform"),
    application="none",
)


@dataclass(frozen=True)
class Seen:
    """What a generator saw in one run.

    Attributes:
        rate: Requests per second that it sent.
        latency_ms: p50, p99 and the longest.
        lateness_ms: How late it sent, likewise; None without a schedule.
        capacity: Requests per second that it has the processor time for; None where it
            does not say.
        errors: Requests without a right answer.
    """

    rate: float
    latency_ms: tuple[float, float, float]
    lateness_ms: tuple[float, float, float] | None
    capacity: float | None = None
    errors: int = 0


@contextlib.contextmanager
def endpoint(cores: Cores) -> Iterator[str]:
    """Run the endpoint on its core; gives its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.generator.endpoint"], stdout=subprocess.PIPE, text=True
    )
    if process.stdout is None:
        raise AssertionError("its output was asked for")
    settle(process.pid, cores.server)
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def ours(
    url: str, *, rate: float | None, seconds: float, users: int = 20, in_flight: int = 200
) -> Seen:
    """Run `valkeyctl bench`'s generator: open loop at *rate*, or closed without one."""
    samples = _samples(url, rate=rate, seconds=seconds, users=users, in_flight=in_flight)
    rows = samples.rows[samples.rows["round"] >= 0]
    spent = sum(stage.end - stage.begin for stage in samples.stages)
    late = (rows["start"] - rows["intended"])[rows["queued"] == 0] * 1000
    return Seen(
        rate=len(rows) / spent,
        latency_ms=_spread((rows["end"] - rows["intended"]) * 1000),
        lateness_ms=None if rate is None else _spread(late),
        capacity=highest_rate((stage.size, stage.cpu) for stage in samples.stages),
        errors=int((rows["error"] > 0).sum()),
    )


def locust(url: str, *, rate: float, seconds: float, users: int) -> Seen:
    """Run plain Locust; a *rate* of 0 is as fast as it can."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "seen.json"
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("LOCUST_")},
            "GENERATOR_RATE": str(rate),
            "GENERATOR_USERS": str(users),
            "GENERATOR_OUT": str(out),
        }
        subprocess.run(
            [
                *(sys.executable, "-m", "locust"),
                *("-f", str(Path(__file__).with_name("plainlocust.py"))),
                *("--headless", "--users", str(users), "--spawn-rate", str(users)),
                *("--run-time", f"{seconds:g}s", "--host", url, "--exit-code-on-error", "0"),
            ],
            check=True,
            env=environment,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        document = json.loads(out.read_text())
    latencies, late = document["latencies_ms"], document["lateness_ms"]
    return Seen(
        rate=len(latencies) / (document["seconds"] or seconds),
        latency_ms=_spread(latencies),
        lateness_ms=_spread(late) if late else None,
    )


@dataclass(frozen=True)
class StallSeen:
    """A run with one silence of the server.

    Attributes:
        sent: Requests.
        p99_ms: As the generator reports it.
        truth_ms: p99 by the schedule and the server's own record of its silence; None
            where the generator has no schedule.
    """

    sent: int
    p99_ms: float
    truth_ms: float | None


def ours_stalled(url: str, in_flight: int, *, seconds: float = 10.0) -> StallSeen:
    """Run ours at 1,000/s while the server is silent for 500 ms once."""
    _arm(url)
    samples = _samples(url, rate=1000.0, seconds=seconds, users=1, in_flight=in_flight, warmup=0.0)
    begin, end = json.loads(_get(f"{url}/stall"))
    due = samples.rows["intended"]
    waits = np.where((due >= begin) & (due < end), end - due, 0.0) * 1000
    latency = (samples.rows["end"] - due) * 1000
    return StallSeen(len(due), _spread(latency)[1], _spread(waits)[1])


def locust_stalled(url: str, users: int, *, seconds: float = 10.0) -> StallSeen:
    """Run plain Locust at 1,000/s while the server is silent for 500 ms once."""
    _arm(url)
    seen = locust(url, rate=1000.0, seconds=seconds, users=users)
    return StallSeen(round(seen.rate * seconds), seen.latency_ms[1], None)


def memory(url: str, samples: int) -> tuple[float, float]:
    """Return megabytes of the generator after its warm-up, and at most, over so many samples."""
    resident: list[float] = []

    def look(step: Progress) -> None:
        if step.phase != "measuring":
            return
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if any(word.startswith("valkeyctl.bench.load.") for word in child.cmdline()):
                    resident.append(child.memory_info().rss / 1e6)

    plan = Plan(
        scenario=_SCENARIO, arms=(Arm("only"),), rounds=1, users=20, warmup=1.0, requests=samples
    )
    with tempfile.TemporaryDirectory() as folder:
        run(plan, Target(url=url), out=Path(folder), progress=look)
    return resident[0], max(resident)


def _samples(
    url: str,
    *,
    rate: float | None,
    seconds: float,
    users: int,
    in_flight: int,
    warmup: float = 0.5,
) -> Samples:
    plan = Plan(
        scenario=_SCENARIO,
        arms=(Arm("only"),),
        rounds=1,
        users=users,
        rate=rate,
        arrivals="constant",
        duration=seconds,
        warmup=warmup,
        max_in_flight=in_flight,
    )
    with tempfile.TemporaryDirectory() as folder:
        return run(plan, Target(url=url), out=Path(folder), progress=lambda _: None)


def _arm(url: str) -> None:
    _get(f"{url}/arm?at=2&for=0.5")


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own
        return str(answer.read().decode())


def _spread(values: Sequence[float] | np.typing.NDArray[np.float64]) -> tuple[float, float, float]:
    if not len(values):
        return math.nan, math.nan, math.nan
    ascending = np.sort(np.asarray(values, dtype=np.float64))

    def rank(share: float) -> float:
        return float(ascending[max(0, int(np.ceil(share * len(ascending))) - 1)])

    return rank(0.5), rank(0.99), float(ascending[-1])
