"""Keys that lie on a chosen shard of a Cluster."""

from __future__ import annotations

from binascii import crc_hqx
from itertools import count

from valkeyctl.caching.driver.slots import SLOTS


def key_tag(first: int, last: int) -> str:
    """Return a hash tag, braces included, whose slot lies between *first* and *last*.

    Source: the Valkey Cluster specification; its CRC16 is CRC-CCITT with an initial 0.
    """
    slots = ((number, crc_hqx(str(number).encode(), 0) % SLOTS) for number in count())
    return next(f"{{{number}}}" for number, slot in slots if first <= slot <= last)
