"""Keys that lie on a chosen shard of a Cluster."""

from __future__ import annotations

from itertools import count

from valkeyctl.caching.driver.slots import slot_of


def key_tag(first: int, last: int) -> str:
    """Return a hash tag, braces included, whose slot lies between *first* and *last*."""
    tags = (b"{%d}" % number for number in count())
    return next(tag.decode() for tag in tags if first <= slot_of(tag) <= last)
