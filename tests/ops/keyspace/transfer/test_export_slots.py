"""What an export makes of a Cluster whose slots move meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.caching.deployments import ClusterDeployment
from tests.ops.keyspace.transfer.snapshots import exported
from valkeyctl.caching.driver.slots import slot_of
from valkeyctl.errors import ServerReplyError
from valkeyctl.ops.keyspace.scan import Batch, Walker

KEY = b"shop:list"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterDeployment]:
    """Three primaries, and a key on one of them."""
    with ClusterDeployment(tmp_path_factory.mktemp("cluster"), replicas=False) as made:
        made.owner(slot_of(KEY)).call("RPUSH", KEY, "1")
        yield made


def test_a_cluster_whose_slots_are_on_their_way_is_not_exported(
    cluster: ClusterDeployment,
) -> None:
    """Keys would be on two nodes or on none that is asked."""
    slot = slot_of(KEY)
    source = cluster.owner(slot)
    target = next(node for node in cluster.nodes if node is not source)
    cluster.begin_move(slot, source, target)
    cluster.move_keys(slot, source, target)

    with pytest.raises(ServerReplyError, match="moves keys between its nodes") as refused:
        exported(cluster.endpoint)

    cluster.end_move(slot, source, target)
    assert "Export again" in str(refused.value.hint)
    assert exported(cluster.endpoint)[1].keys == 1


def test_an_export_during_which_a_slot_moved_is_none(
    cluster: ClusterDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that went to a node that was read before would be missing, and nobody told."""
    slot = slot_of(KEY)
    source = cluster.owner(slot)
    target = next(node for node in cluster.nodes if node is not source)
    moved: list[int] = []
    walk = Walker.walk

    def moving(*args: object, **words: object) -> Iterator[Batch]:
        yield from walk(*args, **words)  # type: ignore[arg-type]  # passed on as they came
        cluster.begin_move(slot, source, target)
        moved.append(cluster.move_keys(slot, source, target))
        cluster.end_move(slot, source, target)

    monkeypatch.setattr(Walker, "walk", moving)

    with pytest.raises(ServerReplyError, match="moves keys between its nodes"):
        exported(cluster.endpoint)

    assert moved == [1]
