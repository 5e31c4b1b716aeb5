"""A flush of a Cluster whose slots move: nothing is left behind without a word."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.caching.deployments import ClusterDeployment, Member
from valkeyctl.caching.wire import Wire
from valkeyctl.errors import PartialError, RefusedError
from valkeyctl.ops.keyspace.nodes import primaries, served
from valkeyctl.ops.keyspace.pace import Pace
from valkeyctl.ops.keyspace.removal.flush import FlushProgress, flush
from valkeyctl.ops.keyspace.removal.selection import Selection

pytestmark = pytest.mark.slow

STEPS = Pace(largest=100)
SPACE = Selection("a", namespace="n")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterDeployment]:
    """Three primaries."""
    with ClusterDeployment(tmp_path_factory.mktemp("cluster"), replicas=False) as made:
        yield made


@pytest.fixture
def nodes(cluster: ClusterDeployment) -> Iterator[tuple[Member, Member]]:
    """The owner of the first slots, and another, which has the highest epoch already."""
    source = cluster.owner(9)
    target = next(node for node in cluster.nodes if node is not source)
    _move(cluster, 8, source, target)  # whatever it takes over now needs no new epoch
    for node in cluster.nodes:
        node.call("FLUSHALL")
        with Wire(node.endpoint) as wire:
            wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(3_000))
    yield source, target
    _move(cluster, 8, target, source)


def _move(cluster: ClusterDeployment, slot: int, source: Member, target: Member) -> None:
    cluster.begin_move(slot, source, target)
    cluster.move_keys(slot, source, target)
    cluster.end_move(slot, source, target)


def _once(act: Callable[[], object], at: float = 0.3) -> Callable[[FlushProgress], None]:
    waiting = [act]

    def tell(progress: FlushProgress) -> None:
        if waiting and progress.visited > at:
            waiting.pop()()

    return tell


def test_a_layout_is_of_slots_and_not_of_elections(
    cluster: ClusterDeployment, nodes: tuple[Member, Member]
) -> None:
    """It changes with each slot that moves, where the epoch stays; and comes back with it."""
    source, target = nodes

    def look() -> tuple[int, int, tuple[int, ...]]:
        wires = [Wire(node.endpoint) for node in cluster.nodes]
        for wire in wires:
            wire.open()
        found = served(wires)
        for wire in wires:
            wire.close()
        slots = primaries(target.endpoint).slots
        assert slots is not None
        return slots.epoch, found.layout, found.moving

    before = look()
    cluster.begin_move(0, source, target)
    between = look()
    cluster.end_move(0, source, target)
    after = look()
    _move(cluster, 0, target, source)
    again = look()

    assert before[2] == after[2] == ()
    assert between[2] == (0,)
    assert before[:2] == between[:2]
    assert before[0] == after[0]
    assert before[1] == again[1] != after[1]


def test_a_slot_that_moves_meanwhile_is_told(
    cluster: ClusterDeployment, nodes: tuple[Member, Member]
) -> None:
    """Its keys may have passed the walk on their way; a new run finds them."""
    source, target = nodes

    with pytest.raises(PartialError, match="slots of the Cluster have moved") as caught:
        flush(
            cluster.endpoint,
            SPACE,
            pace=STEPS,
            progress=_once(lambda: _move(cluster, 0, source, target)),
        )

    _move(cluster, 0, target, source)
    assert str(caught.value.hint).endswith("valkeyctl keys flush n --app a --yes")
    flush(cluster.endpoint, SPACE)
    assert {node.call("DBSIZE") for node in cluster.nodes} == {0}


def test_a_slot_on_its_way_is_told(
    cluster: ClusterDeployment, nodes: tuple[Member, Member]
) -> None:
    """Before and after it belongs to the same node, and keys travel all the same."""
    source, target = nodes
    cluster.begin_move(1, source, target)
    try:
        with pytest.raises(PartialError, match="slot 1 of the Cluster is being moved"):
            flush(cluster.endpoint, SPACE, pace=STEPS)
    finally:
        for node in (source, target):
            node.call("CLUSTER", "SETSLOT", 1, "STABLE")


def test_what_has_moved_between_two_runs_is_not_gone_on_with(
    cluster: ClusterDeployment, nodes: tuple[Member, Member], tmp_path: Path
) -> None:
    """The walk has passed the node where the keys are now."""
    source, target = nodes
    with pytest.raises(PartialError, match="interrupted"):
        flush(
            cluster.endpoint,
            SPACE,
            pace=STEPS,
            resume_folder=tmp_path,
            progress=_once(lambda: signal.raise_signal(signal.SIGINT)),
        )
    _move(cluster, 0, source, target)

    with pytest.raises(RefusedError, match="slots or primaries of the Cluster have moved"):
        flush(cluster.endpoint, SPACE, pace=STEPS, resume_folder=tmp_path, resume=True)

    _move(cluster, 0, target, source)
    report = flush(cluster.endpoint, SPACE, pace=STEPS, resume_folder=tmp_path, resume=True)
    assert (report.deleted, report.uncounted) == (3_000, 0)
