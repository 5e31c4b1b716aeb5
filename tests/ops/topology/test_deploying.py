"""Deploying Sentinel and Cluster: formed, changed unit by unit, and taken away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import command
from tests.ops.conftest import changed, fact
from tests.ops.topology.judged import failing
from tests.ops.topology.profiles import KINDS, primary_of, servers, topology
from valkeyctl.errors import PartialError, RefusedError, StartError
from valkeyctl.ops.access import access
from valkeyctl.ops.deploy import changes, deploy, restart, roll_back, take_down
from valkeyctl.ops.drill.load import KeyNames, Load
from valkeyctl.ops.drill.readback import missing
from valkeyctl.ops.drill.shards import Finder
from valkeyctl.ops.health import probe
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.status import status
from valkeyctl.profile import Profile
from valkeyctl.runtime.process import ProcessRuntime

pytestmark = pytest.mark.slow


@pytest.fixture(params=KINDS, scope="module")
def deployed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Profile, StateFolder]]:
    """A deployment of each kind; the tests of this file change it one after the other."""
    state = StateFolder(tmp_path_factory.mktemp("state"))
    profile = topology(request.param)
    deploy(profile, state, runtime="process")
    yield profile, state
    take_down(profile.name, state, purge=True)
    assert not list(state.runtimes.glob("*/*"))


def test_it_is_healthy_and_known(deployed: tuple[Profile, StateFolder]) -> None:
    """All units run, replicas follow, and another deploy changes nothing."""
    profile, state = deployed

    seen = status(profile, state)

    assert (seen.running, seen.drift) == (True, ())
    assert len(seen.nodes) == 6
    assert failing(probe(access(profile, state), app=profile.app, deadline=5)) == []
    assert deploy(profile, state).action == "unchanged"
    assert not changes(profile, state).any


def test_a_live_change_restarts_nobody(deployed: tuple[Profile, StateFolder]) -> None:
    """Each server is told, and no write is refused meanwhile."""
    profile, state = deployed
    before = {name: fact(server, "process_id") for name, server in servers(profile).items()}
    other = changed(profile, tuning={"maxclients": 600})

    done = deploy(other, state)

    assert (done.action, done.write_gap_ms) == ("updated", 0.0)
    after = {name: fact(server, "process_id") for name, server in servers(profile).items()}
    assert after == before
    assert all(
        b"\r\n600\r\n" in command(server, "CONFIG", "GET", "maxclients")
        for server in servers(profile).values()
    )
    assert roll_back(profile, state).action == "updated"
    assert failing(probe(access(profile, state), app=profile.app, deadline=5)) == []
    assert deploy(profile, state).action == "unchanged"


def test_a_rolling_restart_loses_no_write(deployed: tuple[Profile, StateFolder]) -> None:
    """Every server is another process, primaries were handed over, and all writes are there."""
    profile, state = deployed
    before = {name: fact(server, "process_id") for name, server in servers(profile).items()}
    finder = Finder(access(profile, state), timeout=0.25)

    with Load(finder, KeyNames(profile.app, "roll"), rate=200, confirm=0) as load:
        done = restart(profile.name, state)

    assert done.action == "restarted"
    assert done.write_gap_ms is not None
    after = {name: fact(server, "process_id") for name, server in servers(profile).items()}
    assert not set(before.values()) & set(after.values())
    written = load.written()
    assert len(written) > 100
    assert missing(finder, written) == set()
    assert failing(probe(access(profile, state), app=profile.app, deadline=5)) == []


def test_a_dead_unit_is_started_again(deployed: tuple[Profile, StateFolder]) -> None:
    """Whoever was primary meanwhile stays it; the one that comes back follows."""
    profile, state = deployed
    primary = primary_of(profile)
    ProcessRuntime(state.runtimes / "process").kill(primary)

    assert any(
        drift.field == f"{primary}: running" or primary in drift.field
        for drift in status(profile, state).drift
    )
    done = deploy(profile, state)

    assert done.action == "replaced"
    assert status(profile, state).running
    assert failing(probe(access(profile, state), app=profile.app, deadline=5)) == []


def test_a_unit_that_hangs_is_made_anew(deployed: tuple[Profile, StateFolder]) -> None:
    """Nobody waits for it to get in sync first; it is not there for that."""
    profile, state = deployed
    runtime = ProcessRuntime(state.runtimes / "process")
    hung = next(name for name in servers(profile) if name != primary_of(profile))
    runtime.pause(hung)

    done = deploy(profile, state)

    assert done.action == "replaced"
    assert status(profile, state).running
    assert failing(probe(access(profile, state), app=profile.app, deadline=5)) == []


def test_other_forms_are_refused(deployed: tuple[Profile, StateFolder]) -> None:
    """What would need data to move between servers touches nothing."""
    profile, state = deployed
    other = "cluster" if profile.topology == "sentinel" else "sentinel"
    fewer = {"replicas": 1, "output_buffer": "8Mi", "backlog": "4Mi"}

    with pytest.raises(RefusedError, match=f"is deployed as {profile.topology}"):
        deploy(changed(profile, topology=other), state)
    with pytest.raises(RefusedError, match=f"is deployed as {profile.topology}"):
        deploy(changed(profile, topology="standalone", replication={}), state)
    if profile.topology == "sentinel":
        with pytest.raises(RefusedError, match="would go, and deploy takes no unit away"):
            deploy(changed(profile, replication=fewer), state)
    else:
        with pytest.raises(RefusedError, match="3 primaries; 4 would mean moving slots"):
            deploy(changed(profile, cluster={"primaries": 4}), state)

    assert deploy(profile, state).action == "unchanged"


def test_a_unit_that_cannot_be_changed_stops_the_roll(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says how far it came, everything serves, and the next deploy goes on."""
    state, profile = StateFolder(tmp_path / "state"), topology("sentinel")
    calls: list[str] = []
    real = ProcessRuntime.restart

    def failing(self: ProcessRuntime, artefacts: object, material: object, **how: object) -> bool:
        calls.append(getattr(artefacts, "name", ""))
        if len(calls) == 2:
            raise StartError("the disk is full")
        return real(self, artefacts, material, **how)  # type: ignore[arg-type]

    try:
        deploy(profile, state, runtime="process")
        command(servers(profile)[primary_of(profile)], "SET", "k", "kept")
        monkeypatch.setattr(ProcessRuntime, "restart", failing)
        other = changed(profile, tuning={"databases": 4})
        with pytest.raises(PartialError, match=r"1 of 6 .*the disk is full") as caught:
            deploy(other, state)
        monkeypatch.undo()

        assert "valkeyctl deploy" in str(caught.value.hint)
        assert deploy(other, state).action == "replaced"
        assert command(servers(profile)[primary_of(profile)], "GET", "k") == b"$4\r\nkept\r\n"
    finally:
        take_down(profile.name, state, purge=True)
