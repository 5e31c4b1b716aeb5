"""Whose keys are whose."""

from __future__ import annotations

from valkeyctl.caching.driver.slots import slot_of
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.drill.shards import Finder, Shard


def test_a_key_has_the_slot_that_the_server_gives_it() -> None:
    """The specification's own example, and one of CLUSTER KEYSLOT."""
    assert slot_of(b"123456789") == 0x31C3
    assert slot_of(b"somekey") == 11058


def test_a_shard_owns_the_keys_of_its_slots() -> None:
    """Both ends included; without slots all keys are one shard's."""
    assert Shard(0, ((11058, 11058),)).owns(b"somekey")
    assert not Shard(0, ((0, 11057), (11059, 16383))).owns(b"somekey")
    assert Shard(0).owns(b"somekey")


def test_the_server_that_is_broken_is_asked_last() -> None:
    """Waiting for it would delay the news of who took over."""
    nodes = (("10.0.0.1", 6379), ("10.0.0.2", 6379), ("10.0.0.3", 6379))
    endpoint = Endpoint(topology="cluster", nodes=nodes)

    finder = Finder(endpoint, timeout=1, broken=("10.0.0.1", 6379))

    assert finder.endpoint.nodes == (nodes[1], nodes[2], nodes[0])


def test_one_server_is_its_own_primary() -> None:
    """It is asked nothing, so that a drill of a server that is away goes on."""
    finder = Finder(Endpoint(port=1), timeout=0.1)

    assert finder.shards() == (Shard(0),)
    assert finder.primary(Shard(0)) == Endpoint(port=1)
