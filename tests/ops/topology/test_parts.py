"""From a picture of a deployment to the part of each of its units: no server is asked."""

from __future__ import annotations

from valkeyctl.ops.topology.parts import parts_of
from valkeyctl.ops.topology.picture import (
    ClusterOpinion,
    Follower,
    NodeView,
    Peer,
    SentinelOpinion,
    TopologyView,
)

# On Podman each unit has an address on the bridge, by which the others know it, and a
# published one.
INNER = {f"n{n}": f"10.0.0.{n}:6379" for n in (1, 2, 3)}
OUTER = {f"n{n}": f"127.0.0.1:700{n}" for n in (1, 2, 3)}
UNITS = {name: (OUTER[name], INNER[name]) for name in OUTER}


def node(name: str, role: str, **facts: object) -> NodeView:
    """Return a node that answered at its published address, and is known by the inner one."""
    host, port = OUTER[name].split(":")
    known = {"reachable": True, "aliases": (INNER[name],), "run_id": name, **facts}
    return NodeView(OUTER[name], host, int(port), role=role, **known)  # type: ignore[arg-type]  # facts of its own


def silent(address: str, role: str) -> NodeView:
    """Return a node that did not answer at *address*."""
    host, port = address.split(":")
    return NodeView(address, host, int(port), role=role)  # type: ignore[arg-type]  # a role


def sentinel(primary: str) -> NodeView:
    """Return a sentinel that names *primary*."""
    opinion = SentinelOpinion(primary, 1, 2, 3, 2, True, "OK", "", False, ())
    return NodeView("127.0.0.1:7100", "127.0.0.1", 7100, "sentinel", True, sentinel=opinion)


def test_units_are_named_by_whichever_address_they_are_known() -> None:
    """Whom a replica follows is a unit, not an address on the bridge."""
    follower = Follower(INNER["n2"], "online", 10, 0)
    view = TopologyView(
        "sentinel",
        "127.0.0.1:7100",
        (
            sentinel(INNER["n1"]),
            node("n1", "primary", followers=(follower,)),
            node("n2", "replica", primary=INNER["n1"], link="up", lag_bytes=3, lag_s=1),
        ),
        primary=INNER["n1"],
    )

    parts = parts_of(view, {**UNITS, "s1": ("127.0.0.1:7100",)})

    assert parts.primary == "n1"
    assert (parts.of["n1"].role, parts.of["n1"].replicas) == ("primary", 1)
    assert (parts.of["n2"].primary, parts.of["n2"].link) == ("n1", "up")
    assert (parts.of["n2"].lag_bytes, parts.of["n2"].lag_s) == (3, 1)
    assert (parts.of["s1"].role, parts.of["s1"].primary) == ("sentinel", "n1")
    assert "n3" not in parts.of


def test_a_unit_that_does_not_answer_has_the_role_that_others_tell() -> None:
    """Asked at both of its addresses, it is silent at both; only at one a role is known."""
    view = TopologyView(
        "sentinel",
        "127.0.0.1:7100",
        (
            sentinel(INNER["n1"]),
            silent(INNER["n1"], "primary"),
            silent(OUTER["n1"], "unknown"),
            node("n2", "replica", primary=INNER["n1"], link="down", link_down_s=4),
        ),
        primary=INNER["n1"],
    )

    parts = parts_of(view, UNITS)

    assert parts.primary == "n1"
    assert (parts.of["n1"].role, parts.of["n1"].reachable) == ("primary", False)
    assert (parts.of["n2"].link, parts.of["n2"].link_down_s) == ("down", 4)


def test_a_primary_that_is_none_of_the_units_is_told_by_its_address() -> None:
    """Somebody has told a server to follow another deployment's."""
    view = TopologyView(
        "sentinel",
        "127.0.0.1:7100",
        (node("n2", "replica", primary="10.9.9.9:6379", link="up"),),
        primary="10.9.9.9:6379",
    )

    parts = parts_of(view, UNITS)

    assert parts.primary == parts.of["n2"].primary == "10.9.9.9:6379"


def test_slots_are_those_of_the_newest_news() -> None:
    """A primary that is away keeps its slots until somebody takes them over."""
    peers = tuple(
        Peer(f"id-{n}", INNER[f"n{n}"], "primary", "", n == 2, False, True, n, ranges, ())
        for n, ranges in ((1, ((0, 99), (200, 299))), (2, ((100, 199),)))
    )
    opinion = ClusterOpinion("ok", 3, peers)
    view = TopologyView(
        "cluster",
        OUTER["n1"],
        (
            node("n1", "primary", node_id="id-1", cluster=opinion),
            NodeView(INNER["n2"], "10.0.0.2", 6379, "primary", node_id="id-2"),
        ),
    )

    parts = parts_of(view, UNITS)

    assert parts.primary == ""
    assert (parts.of["n1"].slots, parts.of["n1"].slot_ranges) == (200, ((0, 99), (200, 299)))
    assert (parts.of["n2"].slots, parts.of["n2"].reachable) == (100, False)
