"""Restoring into several servers: all of them get the data, or none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ops.topology.profiles import KINDS, topology
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import RefusedError, StartError, UsageError
from valkeyctl.ops.access import access
from valkeyctl.ops.backup.create import Origin, backup
from valkeyctl.ops.backup.restore import restore
from valkeyctl.ops.backup.restoreplan import plan_restore
from valkeyctl.ops.backup.restoreunits import UnitsRestore
from valkeyctl.ops.backup.sources import sources
from valkeyctl.ops.deploy import deploy, take_down
from valkeyctl.ops.keyspace.nodes import primaries
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile import Profile
from valkeyctl.runtime.datafolder import ProcessData
from valkeyctl.runtime.process import ProcessRuntime

pytestmark = pytest.mark.slow

NEW, OLD = {b"new{0}", b"new{1}", b"new{2}", b"new{4}"}, {b"old{0}", b"old{1}"}
Deployed = tuple[Profile, StateFolder, Path]


@pytest.fixture(params=KINDS, scope="module")
def deployed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    """A deployment of each kind, and a backup of it with the new keys."""
    state = StateFolder(tmp_path_factory.mktemp("state"))
    # With users, where that costs nothing: logins have to reach every server.
    profile = topology(request.param, auth=request.param == "sentinel")
    deploy(profile, state, runtime="process")
    write(profile, state, NEW)
    yield profile, state, back_up(profile, state)
    take_down(profile.name, state, purge=True)


def back_up(profile: Profile, state: StateFolder) -> Path:
    """Take a backup of the primaries."""
    origin = Origin(profile.name, access(profile, state))
    shelf = state.root / "b"
    return backup(origin, shelf, state.runtimes, verified=False, primaries_only=True).folder


def write(profile: Profile, state: StateFolder, keys: set[bytes]) -> None:
    """Let the deployment hold *keys* and nothing else."""
    found = primaries(access(profile, state))
    for node in found.nodes:
        with Wire(node) as wire:
            wire.call("FLUSHALL")
    for key in keys:
        node = found.nodes[0]
        if found.slots is not None:
            with Wire(node) as wire:
                slot = wire.call("CLUSTER", "KEYSLOT", key)
            assert isinstance(slot, int)
            owner = next(p.primary for p in found.slots.ranges if p.first <= slot <= p.last)
            node = next(one for one in found.nodes if (one.host, one.port) == owner)
        with Wire(node) as wire:
            wire.call("SET", key, "v")


def keys(profile: Profile, state: StateFolder) -> set[bytes]:
    """Return the keys of all primaries."""
    return {key for one in primaries(access(profile, state)).nodes for key in keys_at(one)}


def keys_at(endpoint: Endpoint) -> set[bytes]:
    """Return the keys of one server."""
    with Wire(endpoint) as wire:
        found = wire.call("KEYS", "*")
    assert isinstance(found, list)
    return {key for key in found if isinstance(key, bytes)}


def leftovers(state: StateFolder) -> list[str]:
    """Return what a restore has put beside data and not removed."""
    return [str(one) for one in state.runtimes.glob("*/*/data/re*")] + [
        str(one) for one in state.runtimes.glob("*/*/restoring.json")
    ]


def test_all_servers_have_the_data_and_what_it_replaced_is_in_a_backup(deployed: Deployed) -> None:
    """The replicas too, and nothing of it is left beside."""
    profile, state, folder = deployed
    write(profile, state, OLD)
    assert plan_restore(folder, profile, state).keys_now == 2

    done = restore(folder, profile, state)

    assert (done.keys, done.keys_replaced, done.warnings) == (4, 2, ())
    assert keys(profile, state) == NEW
    replicas = [one for one in sources(access(profile, state)).parts if one.role == "replica"]
    assert replicas
    assert set().union(*(keys_at(one.endpoint) for one in replicas)) == NEW
    assert leftovers(state) == []
    assert deploy(profile, state).action == "unchanged"
    assert done.safety is not None
    assert plan_restore(done.safety, profile, state).bytes > 0


def test_killed_between_two_servers_the_next_deploy_has_the_old_data_in_all(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never some with the old and some with the new."""
    profile, state, folder = deployed
    if profile.topology == "sentinel":
        pytest.skip("only in a Cluster do the servers hold different data")
    write(profile, state, OLD)
    switch = ProcessData.switch
    switched: list[str] = []

    def switch_one(self: ProcessData, old: str) -> None:
        if switched:
            raise KeyboardInterrupt
        switch(self, old)
        switched.append(self.place)

    with monkeypatch.context() as patched:
        patched.setattr(ProcessData, "switch", switch_one)
        patched.setattr(UnitsRestore, "_go_back", lambda _self: "")  # as after SIGKILL
        with pytest.raises(KeyboardInterrupt):
            restore(folder, profile, state)
    assert switched
    assert leftovers(state)

    done = deploy(profile, state)

    assert "a restore was killed in the middle" in done.warnings[0]
    assert keys(profile, state) == OLD
    assert leftovers(state) == []


def test_on_a_failed_start_all_have_the_old_data_again(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that had begun with the new data too."""
    profile, state, folder = deployed
    if profile.topology == "cluster":
        pytest.skip("the same way as behind Sentinel; each start of a Cluster costs seconds")
    write(profile, state, OLD)
    begin = ProcessRuntime.start
    starts: list[object] = []

    def fail_third(self: ProcessRuntime, *words: object) -> Endpoint:
        starts.append(words)
        if len(starts) == 3:
            raise StartError("the server ended")
        return begin(self, *words)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(ProcessRuntime, "start", fail_third)

    with pytest.raises(StartError, match="the server ended; the old data runs again"):
        restore(folder, profile, state)

    assert keys(profile, state) == OLD
    assert leftovers(state) == []


def test_what_does_not_fit_is_refused_before_anything_is_stopped(
    deployed: Deployed, tmp_path: Path
) -> None:
    """A backup of other slots, of one server, and a deployment that does not run."""
    profile, state, folder = deployed
    one = Profile.model_validate({"name": "one"})
    if profile.topology == "sentinel":
        assert plan_restore(folder, one, state).keys is None
        with pytest.raises(UsageError, match=r"is of one server, and .* is a Cluster"):
            restore(folder, topology("cluster"), state)
    else:
        with pytest.raises(UsageError, match="is of a Cluster with 3 shards"):
            restore(folder, topology("sentinel"), state)
    elsewhere = StateFolder(tmp_path / "state")
    with pytest.raises(RefusedError, match="all servers have to run"):
        restore(folder, topology(profile.topology), elsewhere, runtime="process")
