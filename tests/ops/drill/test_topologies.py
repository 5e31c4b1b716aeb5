"""Drills of Sentinel and Cluster deployments on the process runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import command
from tests.ops.drill.conftest import drilled
from tests.runtime.conftest import unique_profile
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UsageError
from valkeyctl.ops.deploy import deploy, take_down
from valkeyctl.ops.drill import LoadPlan, plan_drill, take_aim
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile import Profile

pytestmark = pytest.mark.slow

Deployed = tuple[Profile, StateFolder]


def deployed(folder: Path, **fields: object) -> Iterator[Deployed]:
    """Deploy a topology for all tests of this file, and take it down afterwards."""
    state = StateFolder(folder)
    profile = unique_profile(memory={"limit": "256Mi"}, persistence="aof", **fields)
    try:
        deploy(profile, state, runtime="process")
        yield profile, state
    finally:
        take_down(profile.name, state, purge=True)


@pytest.fixture(scope="module")
def sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """A primary, two replicas and three sentinels that decide within a second."""
    yield from deployed(
        tmp_path_factory.mktemp("sentinel"),
        topology="sentinel",
        replication={"replicas": 2},
        sentinel={"down_after": "1s", "failover_timeout": "3s"},
    )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """Three shards of a primary and a replica each, that decide within a second."""
    yield from deployed(
        tmp_path_factory.mktemp("cluster"),
        topology="cluster",
        replication={"replicas": 1},
        cluster={"node_timeout": "1s"},
    )


def test_sentinels_replace_a_primary_that_was_killed(sentinel: Deployed) -> None:
    """Nothing that a replica confirmed is lost, and in the end all replicas follow again."""
    profile, state = sentinel
    before = take_aim("kill", profile, state)

    report = drilled("kill", profile, state, confirm=1)

    assert report.recovered, report.troubles
    assert (report.node, report.role, report.came_back) == (before.unit.name, "primary", False)
    assert report.primary_after not in {"", before.address}
    assert report.losses.confirmed
    assert report.losses.lost_confirmed == 0
    assert 0.8 < report.write_gap_s < 15
    assert 0.8 < report.client_write_gap_s < 20
    assert any("takes the writes of" in event.text for event in report.timeline)
    assert take_aim("kill", profile, state).unit.name != before.unit.name


def test_a_planned_failover_behind_sentinels_loses_nothing(sentinel: Deployed) -> None:
    """Confirmed or not: the primary stops taking writes before it hands over."""
    profile, state = sentinel

    report = drilled("failover", profile, state)

    assert (report.status, report.losses.lost) == ("ok", 0)
    assert report.primary_after


def test_a_replica_may_hang_and_nobody_notices(sentinel: Deployed) -> None:
    """No failover, and no write fails."""
    profile, state = sentinel
    primary = take_aim("hang", profile, state).unit.name
    others = [f"{profile.name}-node-{number}" for number in (1, 2, 3)]
    replica = next(name for name in others if name != primary)

    report = drilled("hang", profile, state, node=replica.removeprefix(f"{profile.name}-"), hold=1)

    assert (report.node, report.role, report.primary_after) == (replica, "replica", "")
    assert (report.recovered, report.losses.lost) == (True, 0)


def test_losing_what_a_replica_has_confirmed_is_a_failure(sentinel: Deployed) -> None:
    """However it was lost: here by hand, while a sentinel hangs."""
    profile, state = sentinel
    host, _, port = take_aim("kill", profile, state).address.rpartition(":")
    primary = Endpoint(host=host, port=int(port))

    def remove_one(text: str) -> None:
        if text.endswith("paused"):
            keys = command(primary, "KEYS", f"{profile.app}:~drill:*:5").split(b"\r\n")
            assert command(primary, "UNLINK", keys[2].decode()) == b":1\r\n"

    report = drilled(
        "hang", profile, state, node="sentinel-1", hold=0.5, confirm=1, progress=remove_one
    )

    assert (report.status, report.losses.lost, report.losses.lost_confirmed) == ("fail", 1, 1)
    assert "1 of which replicas had confirmed" in report.verdict[0]


def test_a_cluster_replaces_a_primary_that_was_killed(cluster: Deployed) -> None:
    """The gap is that of its shard; the other shards go on."""
    profile, state = cluster

    report = drilled("kill", profile, state, confirm=1)

    assert report.recovered, report.troubles
    assert report.losses.lost_confirmed == 0
    assert 0.8 < report.write_gap_s < 15
    assert report.primary_after


def test_a_planned_failover_in_a_cluster_loses_nothing(cluster: Deployed) -> None:
    """The replica takes over when it has everything."""
    profile, state = cluster

    report = drilled("failover", profile, state)

    assert (report.status, report.losses.lost) == ("ok", 0)
    assert report.write_gap_s < 5


def test_what_is_hit_can_be_chosen(sentinel: Deployed) -> None:
    """A sentinel, too; but only a primary can hand over, and only it holds the writes."""
    profile, state = sentinel

    aim = take_aim("kill", profile, state, node="sentinel-2")

    assert (aim.unit.name, aim.role) == (f"{profile.name}-sentinel-2", "sentinel")
    assert plan_drill("kill", aim).hold_s == 0
    assert plan_drill("hang", aim).hold_s == 5
    assert plan_drill("hang", take_aim("hang", profile, state)).hold_s is None
    with pytest.raises(UsageError, match="has 2 replicas: 3 can never confirm"):
        plan_drill("kill", aim, load=LoadPlan(confirm=3))
    for drill in ("failover", "full-memory"):
        with pytest.raises(UsageError, match="is a sentinel"):
            take_aim(drill, profile, state, node="sentinel-2")
