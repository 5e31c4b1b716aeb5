"""Backups of several servers: from healthy replicas, and one file per shard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.caching.deployments import ClusterDeployment, SentinelDeployment
from tests.ops.backup.conftest import names_in
from valkeyctl.caching.driver.slots import SLOTS
from valkeyctl.errors import UsageError
from valkeyctl.ops.backup.create import Origin, backup
from valkeyctl.ops.backup.manifest import read_manifest
from valkeyctl.ops.backup.restoreplan import plan_restore
from valkeyctl.ops.backup.sources import sources
from valkeyctl.ops.backup.verify import verify_backup
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile import Profile


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterDeployment]:
    """Three primaries with a replica each."""
    with ClusterDeployment(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.mark.slow
def test_a_cluster_gives_one_file_per_shard(cluster: ClusterDeployment, tmp_path: Path) -> None:
    """All slots and all keys are in it, once, and no primary had to fork."""
    keys = [f"k{number}" for number in range(60)]
    for key in keys:
        slot = cluster.nodes[0].call("CLUSTER", "KEYSLOT", key)
        assert isinstance(slot, int)
        cluster.owner(slot).call("SET", key, "1")
        cluster.owner(slot).call("WAIT", 1, 2000)

    found = backup(
        Origin("shop", cluster.endpoint), tmp_path / "shelf", tmp_path / "runtimes", keep=3
    )

    manifest = read_manifest(found.folder)
    slots = [n for shard in manifest.shards for a, b in shard.slots for n in range(a, b + 1)]
    assert sorted(slots) == list(range(SLOTS))
    assert (found.topology, found.keys, found.warnings) == ("cluster", {"0": 60}, ())
    assert [shard.role for shard in manifest.shards] == ["replica"] * 3
    assert names_in(found.folder) == ["manifest.json", *(f"shard-{n}.rdb" for n in (1, 2, 3))]
    assert verify_backup(found.folder, tmp_path / "runtimes").sound

    profile = Profile.model_validate({"name": "one"})
    with pytest.raises(UsageError, match="is of a Cluster with 3 shards, and one is one server"):
        plan_restore(found.folder, profile, StateFolder(tmp_path))


@pytest.mark.slow
def test_sentinel_leads_to_a_replica_and_without_one_to_the_primary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which of the two it was is said, and why."""
    with SentinelDeployment(tmp_path / "servers") as made:
        primary = made.primary()
        primary.call("SET", "k", "1")
        primary.call("WAIT", 1, 2000)

        found = backup(Origin("shop", made.endpoint), tmp_path / "shelf", tmp_path / "runtimes")

        assert found.taken_from[0].endswith("(replica)")
        assert (found.topology, found.keys, found.warnings) == ("sentinel", {"0": 1}, ())

        monkeypatch.setattr("valkeyctl.ops.backup.sources._TIMEOUT", 0.3)
        for server in made.servers:
            if server is not primary:
                server.freeze()
        try:
            left = sources(made.endpoint)
        finally:
            for server in made.servers:
                server.thaw()

    assert [part.role for part in left.parts] == ["primary"]
    assert "no replica of" in left.warnings[0]
