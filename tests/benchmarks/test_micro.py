"""The micro benchmark end to end, small, with the packages of this environment."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.micro import contents
from benchmarks.micro.adapters.valkeyctl import Near
from benchmarks.micro.invalidation import Keyspace
from benchmarks.micro.peers import OURS, RAW
from benchmarks.micro.rounds import Pace
from benchmarks.micro.run import Plan, Size, run
from benchmarks.micro.server import Server
from benchmarks.micro.stampede import Herds
from tests.conftest import command
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint

_TINY = Size(Pace(1, 0.003), Keyspace(400, 100), 1, Herds((3,), 1, 0))


def plan(*groups: str, out: Path) -> Plan:
    """Return the smallest run of *groups*."""
    return Plan(groups=groups, peers=(RAW, OURS), size=_TINY, seed=1, pin=False, out=out)


async def test_hits_are_timed_against_raw(tmp_path: Path) -> None:
    """Both libraries do the work in their processes; the results hold every slice."""
    results = await run(plan("hit", out=tmp_path))

    assert [timed.row.name for timed in results.timed] == ["hit", "hit-50-one", "hit-50"]
    for timed in results.timed:
        assert timed.dropped == {}
        assert [len(slices) for slices in timed.arms.values()] == [1, 1]
        assert sum(each.failed for slices in timed.arms.values() for each in slices) == 0
    kept = json.loads((tmp_path / "micro.json").read_text())
    assert kept["row hit"]["arms"]["valkeyctl"]["p50_us"][0] > 0
    assert kept["circumstances"]["versions"]["raw"]["redis"]
    assert "| valkeyctl |" in (tmp_path / "micro.md").read_text()


async def test_the_near_row_reads_in_the_process(endpoint: Endpoint) -> None:
    """What is timed there never asks the server; the row itself needs cashews beside it."""
    arm = Near()
    await arm.open(endpoint.port)

    work = await arm.works()["near"]()

    before = arm.cache.stats()["metadata"]
    assert await work(7) == contents.VALUES[7]
    after = arm.cache.stats()["metadata"]
    assert (after.near_hits - before.near_hits, after.hits - before.hits) == (1, 0)
    await arm.close()


@pytest.mark.slow
async def test_every_row_can_be_run(tmp_path: Path) -> None:
    """No feature of ours that a row needs is missing, and all answers are right."""
    groups = ("many", "load", "set", "typed", "compressed", "invalidate", "stampede")

    results = await run(plan(*groups, out=tmp_path))

    assert [timed.dropped for timed in results.timed] == [{}] * len(results.timed)
    assert results.cleared is not None
    assert results.cleared.dropped == {}
    for samples in results.cleared.samples.values():
        assert [sample.served for sample in samples] == [0]
    assert results.stampedes is not None
    assert results.stampedes.dropped == {}
    (ours,) = results.stampedes.samples["valkeyctl"]
    assert (ours.origin_calls, ours.failed) == (1, 0)


def test_sigterm_leaves_nothing_running() -> None:
    """Servers and workers end with the run that started them."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.micro", "--quick", "--here", "--peers", "valkeyctl"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "round 1 of" in line:
                break
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        _, words = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()

    assert len(children) == 3, children  # the server, raw, valkeyctl
    assert process.returncode == 130
    assert words.endswith("ended early\n")
    assert not [child for child in children if child.is_running()]


def test_only_the_commands_of_others_are_counted(endpoint: Endpoint) -> None:
    """Our own INFO is left out, and so is what sets connections up."""
    server = Server(endpoint)
    with Wire(endpoint) as wire:
        before = server.counts()

        wire.call("CLIENT", "SETNAME", "someone")
        wire.call("SET", "k", "v")
        wire.call("EVAL", "return redis.call('GET', KEYS[1])", 1, "k")

        spent = server.counts().since(before)
    server.close()
    assert spent.calls == {"client|setname": 1, "set": 1, "eval": 1, "get": 1}
    assert (spent.total, spent.setting_up) == (4, 1)
    assert command(endpoint, "PING")
