"""Whether a deployment of several servers is whole: its picture judged, its primaries tried."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from valkeyctl.caching.driver.slots import SLOTS, slot_of
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import ValkeyctlError
from valkeyctl.ops.checks import STANDARD, Check, Thresholds, gravity
from valkeyctl.ops.serverchecks import check_identity, check_ping, check_server, probe_key
from valkeyctl.ops.topology.clusterchecks import cluster_checks
from valkeyctl.ops.topology.nodechecks import check_nodes, check_version
from valkeyctl.ops.topology.picture import Shard, TopologyView
from valkeyctl.ops.topology.replicachecks import replica_checks
from valkeyctl.ops.topology.sentinelchecks import check_one_primary, sentinel_checks
from valkeyctl.ops.topology.view import look

# The rest of the deadline is for writing to the primaries: a frozen node takes all of the look.
_LOOK_SHARE = 0.6
# Said better of all nodes together, by `primary` and `replicas`.
_OF_ONE_SERVER = ("role", "replication")
_IN_ORDER = ("ping", "identity", "write_read", "tls", "memory", "eviction", "persistence")
_KEYS_TRIED = 40 * SLOTS  # until one lies in a given slot: e^-40 that none does


def topology_checks(view: TopologyView, thresholds: Thresholds = STANDARD) -> tuple[Check, ...]:
    """Return what the picture of a deployment tells, check by check; asks nobody.

    Args:
        view: Of any topology; see `look`.
        thresholds: What is worth a warning or a failure.
    """
    of_topology = {
        "standalone": lambda _: [check_one_primary(view)],
        "sentinel": sentinel_checks,
        "cluster": cluster_checks,
    }[view.topology]
    return (
        check_nodes(view),
        *of_topology(view),
        *replica_checks(view, thresholds),
        check_version(view),
    )


def check_topology(
    endpoint: Endpoint,
    app: str,
    thresholds: Thresholds,
    until: float,
    ours: Collection[str] = (),
) -> tuple[list[Check], TopologyView]:
    """Return the checks of a deployment, and its picture.

    Args:
        endpoint: Of Sentinel or a Cluster.
        app: First part of the keys that are written, and of those in which state is
            looked for.
        thresholds: What is worth a warning or a failure.
        until: Moment of `time.monotonic` until which there is time.
        ours: Configuration files of the servers that were deployed; see `probe`.

    Raises:
        UnreachableError, AuthError, TlsError: as `look`.
    """
    view = look(endpoint, deadline=(until - time.monotonic()) * _LOOK_SHARE)

    def tried(shard: Shard) -> list[Check]:
        return _tried(endpoint, view, shard, app, thresholds, until, ours)

    shards = view.shards
    found: list[list[Check]] = []
    if shards:
        with ThreadPoolExecutor(len(shards)) as pool:
            found = list(pool.map(tried, shards))
    names = [shard.name for shard in shards]
    return [*_summed(names, found), *topology_checks(view, thresholds)], view


def _tried(
    endpoint: Endpoint,
    view: TopologyView,
    shard: Shard,
    app: str,
    thresholds: Thresholds,
    until: float,
    ours: Collection[str],
) -> list[Check]:
    """Return the checks of one primary as a server."""
    node = shard.primary
    expected = "a value comes back"
    if node is None or not node.reachable:
        reason = node.error if node else "nobody says where the primary is"
        return [Check("write_read", "no answer", expected, "fail", reason)]
    server = endpoint.server(node.host, node.port)
    key = _key(app, shard, view)
    try:
        with Wire(server, timeout=max(until - time.monotonic(), 0.001)) as wire:
            ping, serves = check_ping(wire, thresholds, until)
            if not serves:
                return [ping]
            checks, info = check_server(wire, key, app, thresholds, until)
    except ValkeyctlError as error:
        return [Check("write_read", error.code, expected, "fail", str(error))]
    checks = [check for check in checks if check.name not in _OF_ONE_SERVER]
    return [ping, *check_identity(info, ours, node.address), *checks]


def _key(app: str, shard: Shard, view: TopologyView) -> str:
    """Return a key of *shard*, in a slot that stays there where it has one."""
    if not shard.ranges:
        return probe_key(app)
    own = {slot for first, last in shard.ranges for slot in range(first, last + 1)}
    opinions = (node.cluster for node in view.servers if node.cluster is not None)
    peers = (peer for opinion in opinions for peer in opinion.peers)
    moving = {move.slot for peer in peers for move in peer.moving}
    # A key that is not there yet would be sent on to where its slot is going.
    wanted = own - moving or own
    base = probe_key(app)
    for number in range(_KEYS_TRIED):
        key = f"{base}{number}"
        if slot_of(key.encode()) in wanted:
            return key
    raise AssertionError(f"no key for {len(wanted)} slots")


def _summed(names: Sequence[str], found: Sequence[Sequence[Check]]) -> list[Check]:
    """Return one check for each name, the worst of all primaries, which it then names.

    Args:
        names: Of the primaries.
        found: Their checks.
    """
    if len(found) == 1:
        return list(found[0])
    by_name: dict[str, list[tuple[str, Check]]] = {name: [] for name in _IN_ORDER}
    for name, checks in zip(names, found, strict=True):
        for check in checks:
            by_name.setdefault(check.name, []).append((name, check))
    return [_sum(each, len(found)) for each in by_name.values() if each]


def _sum(each: Sequence[tuple[str, Check]], primaries: int) -> Check:
    address, worst = max(each, key=lambda pair: (gravity(pair[1]), _size(pair[1].value)))
    bad = [(name, check) for name, check in each if check.verdict == worst.verdict]
    same = len({check.value for _, check in each}) == 1 and len(each) == primaries
    value = f"{worst.value} on each" if same else f"{worst.value} on {address}"
    if worst.verdict == "ok":
        return replace(worst, value=value, detail=f"the worst of {len(each)}")
    if len(bad) > 1 and not same:
        value += f", {len(bad)} of {primaries} so"
    told = ((name, (check.detail or check.value).replace("; ", ", ")) for name, check in bad)
    return replace(worst, value=value, detail="; ".join(f"{name}: {text}" for name, text in told))


def _size(value: str) -> float:
    """Return the number that *value* begins with, for finding the slowest and the fullest."""
    begin = re.match(r"[0-9.]+", value)
    return float(begin[0]) if begin else 0.0
