"""Which node of a Cluster serves which hash slots."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from valkeyctl.caching.info import parse_info
from valkeyctl.caching.replies import RichReply
from valkeyctl.endpoint import Node
from valkeyctl.errors import UnreachableError

SLOTS = 16384


def slot_of(key: bytes) -> int:
    """Return the hash slot of *key*, by its hash tag where it has one.

    Source: the Valkey Cluster specification, "Hash tags"; its CRC16 is that of XMODEM.
    """
    begin = key.find(b"{") + 1
    end = key.find(b"}", begin) if begin else -1
    return binascii.crc_hqx(key[begin:end] if end > begin else key, 0) % SLOTS


class SlotRange(NamedTuple):
    """Neighbouring slots of one primary, both ends included."""

    first: int
    last: int
    primary: Node


@dataclass(frozen=True)
class SlotMap:
    """Who serves what, as one node sees it.

    Attributes:
        ranges: No slot twice; a slot that nobody serves is in none.
        epoch: Number of the last election that the node knows of.
        whole: Whether it thinks that the Cluster works.
    """

    ranges: tuple[SlotRange, ...]
    epoch: int
    whole: bool

    @property
    def primaries(self) -> tuple[Node, ...]:
        """The nodes that serve slots, each once."""
        return tuple(dict.fromkeys(part.primary for part in self.ranges))


def read_map(slots: RichReply, info: RichReply, asked: Node) -> SlotMap:
    """Return what a node says of its Cluster.

    Args:
        slots: Its answer to CLUSTER SLOTS.
        info: Its answer to CLUSTER INFO.
        asked: Where it is: a node whose host it leaves open has the same one.

    Raises:
        UnreachableError: It knows of no slot: it belongs to no Cluster yet.
    """
    ranges = []
    for part in slots if isinstance(slots, list) else []:
        match part:
            case [int() as first, int() as last, [host, int() as port, *_], *_]:
                name = host.decode() if isinstance(host, bytes) else ""
                known = name not in ("", "?")
                ranges.append(SlotRange(first, last, (name if known else asked[0], port)))
    if not ranges:
        raise UnreachableError(f"{asked[0]}:{asked[1]} knows no node that serves a slot")
    facts = parse_info(info) if isinstance(info, bytes) else {}
    epoch = facts.get("cluster_current_epoch", "0")
    return SlotMap(
        tuple(ranges),
        int(epoch) if epoch.isdigit() else 0,
        facts.get("cluster_state") == "ok",
    )


def newest(maps: Sequence[SlotMap]) -> SlotMap:
    """Return the map to go by: of the latest election, by a node in touch with the others."""
    return max(maps, key=lambda described: (described.whole, described.epoch))
