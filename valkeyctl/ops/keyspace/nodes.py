"""Which servers hold the keys of an endpoint: the primaries, whatever its topology."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import cast

from valkeyctl.caching.driver.slots import SlotMap, newest, read_map
from valkeyctl.caching.keys import SHARDS, KeyScheme
from valkeyctl.caching.replies import RichReply
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    AuthError,
    ServerReplyError,
    UnreachableError,
    UsageError,
    ValkeyctlError,
)

# Enough to outvote one node that was cut off and describes the past.
_ASKED = 3


@dataclass(frozen=True)
class Primaries:
    """The servers that hold all the keys together.

    Attributes:
        nodes: Each one's endpoint; a single one but for a Cluster.
        has_slots: Whether they are Cluster nodes, with a table for each slot.
        slots: Who serves which slots; None without a Cluster.
    """

    nodes: tuple[Endpoint, ...]
    has_slots: bool = False
    slots: SlotMap | None = None

    def scheme(self, app: str) -> KeyScheme:
        """Return how keys of *app* are called there.

        Raises:
            InvalidKeyError: The application's name breaks the key rules.
        """
        return KeyScheme(app, shards=SHARDS if self.has_slots else 1)


def primaries(endpoint: Endpoint, *, timeout: float = 5.0) -> Primaries:
    """Return the servers that hold the keys behind *endpoint*.

    A Sentinel URL leads to the primary that the sentinels name. A Cluster URL, and the
    plain URL of one of its nodes, lead to all primaries of the Cluster. Any other server
    is taken as it is: a replica that was named is the one that is asked.

    Args:
        endpoint: Of any topology.
        timeout: Seconds that a server may be silent.

    Raises:
        UnreachableError: Nobody answers who could tell, or no slot is served.
        UsageError: The server is a Sentinel, and the URL does not say so.
        AuthError, TlsError, ServerReplyError: We are not let in.
    """
    if endpoint.topology == "sentinel":
        return Primaries((_watched(endpoint, timeout),))
    if endpoint.topology == "cluster":
        return _clustered(_maps(endpoint, timeout), endpoint)
    with Wire(endpoint, timeout=timeout) as wire:
        mode = _mode(wire)
        if mode == "sentinel":
            raise UsageError(
                f"{endpoint.address} is a Sentinel, which holds no keys",
                hint="Write the URL as redis+sentinel://host:port/NAME, or give the primary's",
            )
        if mode != "cluster":
            return Primaries((endpoint,))
        return _clustered(_map(wire), endpoint)


@dataclass(frozen=True)
class Served:
    """Which slots primaries serve, each by its own word.

    Attributes:
        layout: A number that stays the same as long as they serve the same slots.
        moving: Those whose keys are on their way from one node to another.
    """

    layout: int
    moving: tuple[int, ...]


def served(wires: Iterable[Wire]) -> Served:
    """Return which slots the Cluster nodes at *wires* serve.

    The Cluster's epoch would not tell: a node that has the highest already takes over any
    number of slots without a new one.

    Raises:
        UnreachableError, AuthError, ServerReplyError: as `Wire.call`.
    """
    layout = 0
    moving: set[int] = set()
    for wire in wires:
        answer = wire.call("CLUSTER", "NODES")
        text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else ""
        lines = map(str.split, text.splitlines())
        mine = next((words for words in lines if len(words) > 7 and "myself" in words[2]), [])
        # After the eight facts about the node come its slots, those on their way as [slot->-id].
        own = [word for word in mine[8:] if not word.startswith("[")]
        layout = zlib.crc32(" ".join([*mine[:1], *own]).encode(), layout)
        on_their_way = (word[1:].partition("-")[0] for word in mine[8:] if word.startswith("["))
        moving.update(int(slot) for slot in on_their_way if slot.isdigit())
    return Served(layout, tuple(sorted(moving)))


def _mode(wire: Wire) -> str:
    try:
        hello = wire.call("HELLO")
    except ServerReplyError:
        return "standalone"  # a server older than HELLO and its modes
    words = hello if isinstance(hello, list) else []
    facts = dict(zip(map(_text, words[::2]), words[1::2], strict=False))
    return _text(facts.get("mode"))


def _text(word: object) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else ""


def _map(wire: Wire) -> SlotMap:
    # A reply of RESP2 is one of RESP3, too; a list of the one is no list of the other to mypy.
    slots = cast("RichReply", wire.call("CLUSTER", "SLOTS"))
    info = cast("RichReply", wire.call("CLUSTER", "INFO"))
    return read_map(slots, info, (wire.endpoint.host, wire.endpoint.port))


def _maps(endpoint: Endpoint, timeout: float) -> SlotMap:
    """Return the newest of the maps that the first nodes to answer give."""
    found: list[SlotMap] = []
    failure: ValkeyctlError | None = None
    for host, port in dict.fromkeys(endpoint.nodes):
        try:
            with Wire(endpoint.server(host, port), timeout=timeout) as wire:
                found.append(_map(wire))
        except UnreachableError as error:
            failure = failure or error
        if len(found) == _ASKED:
            break
    if found:
        return newest(found)
    raise failure or UnreachableError(f"no node of {endpoint.address} answers")


def _clustered(slots: SlotMap, endpoint: Endpoint) -> Primaries:
    nodes = tuple(endpoint.server(host, port) for host, port in slots.primaries)
    return Primaries(nodes, has_slots=True, slots=slots)


def _watched(endpoint: Endpoint, timeout: float) -> Endpoint:
    """Return the primary by the sentinel with the newest news."""
    opinions: list[tuple[int, Endpoint]] = []
    failure: ValkeyctlError | None = None
    for sentinel in _sentinels(endpoint):
        try:
            opinions.append(_opinion(sentinel, endpoint, timeout))
        except (UnreachableError, AuthError) as error:
            failure = failure or error
    if not opinions:
        raise failure or UnreachableError(f"no sentinel of {endpoint.address} answers")
    return max(opinions, key=lambda opinion: opinion[0])[1]


def _sentinels(endpoint: Endpoint) -> Iterator[Endpoint]:
    for host, port in dict.fromkeys(endpoint.nodes):
        yield replace(
            endpoint.server(host, port),
            db=0,
            username=endpoint.sentinel_username,
            password=endpoint.sentinel_password,
        )


def _opinion(sentinel: Endpoint, endpoint: Endpoint, timeout: float) -> tuple[int, Endpoint]:
    """Return the number of the election that *sentinel* goes by, and whom it made primary."""
    try:
        return _asked(sentinel, endpoint, timeout)
    except AuthError:
        if endpoint.sentinel_password is not None or endpoint.password is None:
            raise
        # Many deployments have one login for all.
        login = replace(sentinel, username=endpoint.username, password=endpoint.password)
        return _asked(login, endpoint, timeout)


def _asked(sentinel: Endpoint, endpoint: Endpoint, timeout: float) -> tuple[int, Endpoint]:
    name = endpoint.primary_name or ""
    with Wire(sentinel, timeout=timeout) as wire:
        place, facts = wire.pipeline(
            [("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name), ("SENTINEL", "MASTER", name)]
        )
    match place:
        case [bytes() as host, bytes() as port] if port.isdigit():
            words = facts if isinstance(facts, list) else []
            fields = dict(zip(map(_text, words[::2]), map(_text, words[1::2]), strict=False))
            epoch = fields.get("config-epoch", "")
            return int(epoch) if epoch.isdigit() else 0, endpoint.server(_text(host), int(port))
    raise UnreachableError(
        f"sentinel {sentinel.address} knows no primary called {name}",
        hint="Check the sentinels' addresses and the primary's name",
    )
