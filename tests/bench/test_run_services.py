"""Whole runs on applications and servers of their own: real ones, and Valkey on all topologies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from tests.bench.conftest import gone
from tests.caching.deployments import ClusterDeployment
from valkeyctl.bench.arm import Arm
from valkeyctl.bench.load.generator import Progress
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.run import run
from valkeyctl.bench.samples import Samples, load_samples
from valkeyctl.bench.services.target import Target
from valkeyctl.bench.traffic.scenario import (
    Disturbance,
    Expectation,
    Keys,
    RequestTemplate,
    Scenario,
)
from valkeyctl.cli.target import forgetter
from valkeyctl.errors import InterruptedRunError, UsageError
from valkeyctl.ops.drill.throwaway import start_for_run
from valkeyctl.ops.keyspace.scan import Walker
from valkeyctl.ops.serverfacts import server_facts, server_info

pytestmark = pytest.mark.usefixtures("nothing_left_running")

OURS = Target(serve=start_for_run, server_info=server_info)
ITEMS = Scenario(
    name="items",
    about="Items of the sample application",
    requests=(
        RequestTemplate("item", path="/items/{key}?bytes=300", expect=Expectation(contains="300")),
    ),
    keys=Keys(count=50),
    application="sample",
    server=(("maxmemory", "32mb"),),
    env=(("VALKEYCTL_SAMPLE_ORIGIN", "2ms"),),
)
SHORT = Plan(ITEMS, users=4, duration=1.0, rounds=2, warmup=0.2, requests=200)


def ignore(_: Progress) -> None:
    """Nobody watches."""


def errors(samples: Samples) -> int:
    return int((samples.rows["error"] > 0).sum())


def servers(samples: Samples) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", samples.facts["servers"])


def disturbances(samples: Samples) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", samples.facts["disturbances"])


def test_the_sample_application_is_measured_on_a_throwaway_server(tmp_path: Path) -> None:
    """No deployment and no URL is needed; what the server did is in the facts."""
    samples = run(SHORT, OURS, out=tmp_path, progress=ignore)

    assert errors(samples) == 0
    (server,) = servers(samples)
    assert server["arms"] == ["cached", "uncached"]
    assert server["settings"]["maxmemory"] == str(32 * 2**20)
    assert server["delta"]["keyspace_hits"] > 100
    assert samples.facts["cache_budget_s"] == 30.0
    assert samples.facts["origin"] == "simulated database (the one stand-in of this run)"
    assert (tmp_path / "sample-1.log").exists()
    # The second arm went past the cache, to the same application.
    calls = {stage.arm: stage.origin_calls for stage in samples.stages if stage.round == 1}
    assert calls[1] == 100
    assert (calls[0] or 0) <= 50


@pytest.mark.slow
def test_a_fault_in_the_middle_is_felt_in_every_arm_and_undone(tmp_path: Path) -> None:
    """The cache fails open, so no answer is wrong; the third round finds it back."""
    plan = replace(
        SHORT,
        scenario=replace(ITEMS, during=Disturbance("kill", 0.3)),
        arms=(Arm("cached"), Arm("other")),
        rate=150.0,
        requests=450,
        rounds=3,
    )

    samples = run(plan, OURS, out=tmp_path, progress=ignore)

    assert errors(samples) == 0
    made = disturbances(samples)
    assert sorted(one["arm"] for one in made) == ["cached", "other"]
    blocks = {(stage.arm, stage.round): stage for stage in samples.stages}
    for one in made:
        arm = [arm.name for arm in plan.arms].index(one["arm"])
        block = blocks[arm, 1]
        assert (one["kind"], one["round"]) == ("kill", 1)
        assert block.begin < one["at_s"] < block.end
        assert one["at_s"] < one["undone_s"]
    assert samples.facts["cache_budget_s"] == 0.025
    # Their counters began anew, and are not taken for those of the whole run.
    assert [server["delta"] for server in servers(samples)] == [None, None]
    last = samples.rows[(samples.rows["round"] == 2) & (samples.rows["arm"] == 0)]
    assert (last["outcome"] == 1).sum() > 10


def test_what_cannot_be_disturbed_is_said_before_anything_starts(tmp_path: Path) -> None:
    """A server that is merely reached is nobody's to break."""
    plan = replace(SHORT, scenario=replace(ITEMS, server=(), during=Disturbance("kill")))
    with closing(start_for_run({})) as server:
        target = replace(OURS, cache=server.endpoint)

        with pytest.raises(UsageError, match="no deployment of ours"):
            run(plan, target, out=tmp_path, progress=ignore)

    assert not list(tmp_path.glob("*.log"))


@pytest.mark.slow
def test_an_interrupted_run_undoes_its_fault(tmp_path: Path) -> None:
    """A server that is paused would otherwise outlive nobody, but wait for ever."""
    plan = replace(
        SHORT,
        scenario=replace(ITEMS, during=Disturbance("hang", 0.0)),
        rate=50.0,
        requests=600,
        rounds=1,
    )

    def stop(step: Progress) -> None:
        if step.phase == "measuring" and step.done > 20:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(InterruptedRunError):
        run(plan, OURS, out=tmp_path, progress=stop)

    (one,) = disturbances(load_samples(tmp_path))
    assert one["undone"] == "resumed"


@pytest.mark.slow
def test_a_parent_that_is_killed_leaves_no_server_behind(tmp_path: Path) -> None:
    """Neither the throwaway server, nor the application, nor Locust."""
    code = (
        "from pathlib import Path\n"
        "from tests.bench.test_run_services import OURS, SHORT, replace, run\n"
        "say = lambda step: print(step.round, flush=True)\n"
        f"run(replace(SHORT, requests=100_000), OURS, out=Path({str(tmp_path)!r}), progress=say)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    for line in parent.stdout:
        if int(line) > 0:
            break
    children = psutil.Process(parent.pid).children(recursive=True)
    names = [child.name() for child in children]

    parent.kill()
    parent.wait()
    parent.stdout.close()

    assert any("valkey-server" in name for name in names)
    assert all(gone(child.pid) for child in children)


@pytest.mark.slow
def test_a_gateway_caches_on_a_cluster(tmp_path: Path) -> None:
    """With a password; its keys are forgotten on all servers afterwards."""
    with ClusterDeployment(tmp_path / "servers", password="hunter2") as made:
        cache = made.endpoint
        target = replace(OURS, cache=cache, server=server_facts(cache), forget=forgetter(cache))
        plan = Plan.of(duration=1.0, rounds=2, users=4, warmup=0.3, requests=100)

        samples = run(plan, target, out=tmp_path / "out", progress=ignore)

        with Walker(cache) as walker:
            left = [key for batch in walker.walk() for key in batch.keys]
    assert errors(samples) == 0
    cached = samples.rows[(samples.rows["arm"] == 0) & (samples.rows["round"] >= 0)]
    assert (cached["outcome"] == 1).sum() > 10
    assert not [key for key in left if b":response:" in key and b"~" not in key]
    (server,) = servers(samples)
    assert server["delta"]["commands"] > 100
    assert "hunter2" not in (tmp_path / "out" / "run.json").read_text()
