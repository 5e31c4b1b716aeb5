"""What the server's scripts write is what the codec says."""

from __future__ import annotations

import pytest

from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.codec import Envelope, encode, head


@pytest.mark.parametrize("value", ["text", b"bytes", {"a": 1}, {"b": b"x"}])
async def test_the_write_script_builds_the_same_bytes(client: ValkeyClient, value: object) -> None:
    """Lua in the server and Python agree on the layout, tags included."""
    cache = CacheService(client, app="t")
    await cache.set("metadata", "k", value, tags=["one", "two"])
    versions = await client.mget("t:~version:metadata", "t:~tag:one", "t:~tag:two")

    stored = await client.get("t:metadata:k")

    assert stored is not None
    envelope = Envelope.unpack(stored)
    assert envelope.pack() == stored
    assert [envelope.version, *(version for _, version in envelope.tags)] == versions
    assert [tag for tag, _ in envelope.tags] == [b"one", b"two"]
    assert stored[:4] == head(encode(value)[0], 2)
