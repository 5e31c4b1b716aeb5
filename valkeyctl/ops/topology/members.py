"""The data servers of a topology as they tell of themselves, each asked where it is published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint, Node
from valkeyctl.errors import ValkeyctlError
from valkeyctl.ops.deployment import Access
from valkeyctl.ops.endpoints import endpoint_of
from valkeyctl.render import Artefacts
from valkeyctl.runtime.protocol import Runtime

TIMEOUT = 2.0


@dataclass(frozen=True)
class Member:
    """One data server of a topology, as it was a moment ago.

    Attributes:
        unit: Its name.
        endpoint: Where we reach it, with a login.
        inner: Where the other units reach it.
        role: By its own word.
        primary: Where it finds the server that it follows; None for a primary.
        in_sync: Whether its link is up and no full synchronisation is under way; a
            primary always is.
        offset: Bytes of the replication stream that it has written or applied.
    """

    unit: str
    endpoint: Endpoint
    inner: Node
    role: Literal["primary", "replica"]
    primary: Node | None
    in_sync: bool
    offset: int


def servers_of(artefacts: Artefacts) -> tuple[Artefacts, ...]:
    """Return the units that hold data, in the order of their ports."""
    return tuple(unit for unit in artefacts.units if unit.kind == "server")


def sentinels_of(artefacts: Artefacts) -> tuple[Artefacts, ...]:
    """Return the sentinels, in the order of their ports; none in a Cluster."""
    return tuple(unit for unit in artefacts.units if unit.kind == "sentinel")


def member(unit: Artefacts, runtime: Runtime, access: Access) -> Member:
    """Return what the server of *unit* says of itself.

    Raises:
        UnreachableError: It does not answer within 2 s.
        AuthError, TlsError, ServerReplyError: It does not let us ask.
    """
    endpoint, peer = access(unit), runtime.peer(unit)
    with Wire(endpoint, timeout=TIMEOUT) as wire:
        info = wire.info("replication")
    replica = info.get("role") == "slave"
    if replica:
        up = info.get("master_link_status") == "up" and info.get("master_sync_in_progress") != "1"
        primary = (info.get("master_host", ""), _number(info, "master_port"))
        offset = _number(info, "slave_repl_offset")
    else:
        up, primary, offset = True, None, _number(info, "master_repl_offset")
    return Member(
        unit=unit.name,
        endpoint=endpoint,
        inner=(peer.host, peer.port),
        role="replica" if replica else "primary",
        primary=primary,
        in_sync=up,
        offset=offset,
    )


def members(units: Iterable[Artefacts], runtime: Runtime, access: Access) -> list[Member]:
    """Return those of *units* that answer; who does not is left out."""

    def answered(unit: Artefacts) -> Member | None:
        try:
            return member(unit, runtime, access)
        except ValkeyctlError:
            return None  # the caller sees who is missing

    asked = list(units)
    if not asked:
        return []
    # All at once: each one that is frozen takes its two seconds.
    with ThreadPoolExecutor(len(asked)) as pool:
        return [one for one in pool.map(answered, asked) if one is not None]


def followers_of(primary: Member, found: Iterable[Member]) -> list[Member]:
    """Return the replicas of *primary* among *found*."""
    return [one for one in found if one.primary == primary.inner]


def whole_endpoint(artefacts: Artefacts, access: Access) -> Endpoint:
    """Return the address of the whole deployment, with the logins of its units."""
    sentinels = sentinels_of(artefacts)
    asked = [access(unit) for unit in sentinels or servers_of(artefacts)]
    found = replace(
        access(servers_of(artefacts)[0]),
        host=asked[0].host,
        port=asked[0].port,
        topology=artefacts.topology,
        nodes=tuple((one.host, one.port) for one in asked),
        primary_name=endpoint_of(artefacts).primary_name,
    )
    if not sentinels:
        return found
    return replace(found, sentinel_username=asked[0].username, sentinel_password=asked[0].password)


def _number(info: Mapping[str, str], name: str) -> int:
    text = info.get(name, "")
    return int(text) if text.lstrip("-").isdigit() else 0
