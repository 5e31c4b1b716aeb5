"""From a profile to the servers and sentinels of its topology."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping

from valkeyctl.errors import Problem
from valkeyctl.profile.schema import Profile
from valkeyctl.render.artefacts import CONF, SENTINEL_CONF, Kind
from valkeyctl.render.bridge import bridge, room, spot
from valkeyctl.render.budget import MemoryBudget
from valkeyctl.render.conf import SERVER_PORT
from valkeyctl.render.container import CONF_DIR, publish_address
from valkeyctl.render.sentinelconf import sentinel_text
from valkeyctl.render.startscript import (
    START_SENTINEL,
    START_SERVER,
    sentinel_script,
    server_script,
)
from valkeyctl.render.unitplan import UnitPlan

# A sentinel holds no data: itself, its libraries, and connections to a few servers.
_SENTINEL_LIMIT = 64 * 2**20
_LAST_PORT = 65535
# How the units of a topology are called; nobody else may be called so.
_UNIT_NAME = re.compile(r"(?P<profile>.+)-(?:node|sentinel)-\d+")


def deployment_of(unit: str) -> str:
    """Return the name of the deployment that a unit called *unit* belongs to."""
    match = _UNIT_NAME.fullmatch(unit)
    return match["profile"] if match else unit


def unit_plans(
    profile: Profile, budget: MemoryBudget, conf: str, settings: Mapping[str, str]
) -> tuple[UnitPlan, ...]:
    """Return the units of *profile*, in the order of their ports.

    Sentinels come before servers, for they are what a client is told of; primaries come
    before replicas.

    Args:
        profile: What to deploy.
        budget: Of one server.
        conf: The text of valkey.conf, the same for all servers.
        settings: Its directives.
    """
    if profile.topology == "standalone":
        return (UnitPlan(profile, profile.name, profile.port, budget, {CONF: conf}),)
    network, names = bridge(profile), list(_names(profile))
    first = profile.sentinel.count if profile.topology == "sentinel" else 0
    spots = [
        spot(network, kind, index - first if kind == "server" else index, name)
        for index, (name, kind) in enumerate(names)
    ]
    start = spots[first].address
    server = {CONF: conf, START_SERVER: server_script(profile.topology)}
    sentinel = {
        SENTINEL_CONF: sentinel_text(profile, settings, start),
        START_SENTINEL: sentinel_script(),
    }
    plans = []
    for index, (name, kind) in enumerate(names):
        is_primary = kind == "server" and index - first < _primaries(profile)
        follows = profile.topology == "sentinel" and kind == "server" and not is_primary
        script = START_SENTINEL if kind == "sentinel" else START_SERVER
        plans.append(
            UnitPlan(
                profile=profile,
                name=name,
                port=profile.port + index,
                budget=_sentinel_budget() if kind == "sentinel" else budget,
                config=sentinel if kind == "sentinel" else server,
                command=(
                    *("sh", f"{CONF_DIR}/{script}"),
                    *((start, str(SERVER_PORT)) if follows else ()),
                ),
                kind=kind,
                spot=spots[index],
                primary=is_primary,
            )
        )
    return tuple(plans)


def topology_problems(profile: Profile) -> Iterator[Problem]:
    """Yield what keeps the topology of *profile* from being deployed."""
    if _UNIT_NAME.fullmatch(profile.name):
        yield profile.problem(
            "name",
            f"{profile.name} is what a server of a topology is called; write a name that does "
            "not end in -node-1 or -sentinel-1",
        )
    if profile.topology == "standalone":
        return
    count = len(list(_names(profile)))
    address = ipaddress.ip_address(publish_address(profile))
    if address.version != 4 or not address.is_loopback:
        yield profile.problem(
            "publish",
            f"{profile.publish} is not 127.0.0.1; the servers of a topology send clients to "
            "addresses that only this machine reaches",
        )
    # A Cluster needs a second port for each node, where they are processes.
    last = profile.port + count * (2 if profile.topology == "cluster" else 1) - 1
    if last > _LAST_PORT:
        yield profile.problem(
            "publish",
            f"{count} servers and sentinels need the ports {profile.port} to {last}, and "
            f"{_LAST_PORT} is the last; write {_LAST_PORT - last + profile.port} or less",
        )
    network = bridge(profile)
    if room(network) < count:
        yield profile.problem(
            "network.subnet",
            f"{network.subnet} has room for {room(network)} of {count} servers and sentinels, in "
            "its lower half; write a larger subnet",
        )
    if profile.persistence.mode == "none" and profile.replication.replicas:
        yield profile.problem(
            "persistence.mode",
            "a primary without persistence that starts again is empty, and its replicas copy "
            "that; write aof or rdb",
        )


def _names(profile: Profile) -> Iterator[tuple[str, Kind]]:
    if profile.topology == "sentinel":
        for number in range(profile.sentinel.count):
            yield f"{profile.name}-sentinel-{number + 1}", "sentinel"
    for number in range(_primaries(profile) * (1 + profile.replication.replicas)):
        yield f"{profile.name}-node-{number + 1}", "server"


def _primaries(profile: Profile) -> int:
    return profile.cluster.primaries if profile.topology == "cluster" else 1


def _sentinel_budget() -> MemoryBudget:
    return MemoryBudget(
        limit=_SENTINEL_LIMIT,
        maxmemory=0,
        copy_on_write=0,
        fragmentation=0,
        clients=0,
        replicas=0,
        aof=0,
    )
