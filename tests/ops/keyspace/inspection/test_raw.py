"""The bytes of a value, whatever lies around them, and never of two values."""

from __future__ import annotations

import pytest

from tests.ops.keyspace.inspection.test_inspect import store
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.codec import ZSTD
from valkeyctl.caching.keyring import KeyRing
from valkeyctl.caching.payload import Payload, Payloads
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    MissingError,
    NotFoundError,
    PartialError,
    ServerReplyError,
    UsageError,
)
from valkeyctl.ops.keyspace.inspection.home import EntryName
from valkeyctl.ops.keyspace.inspection.raw import read_raw

KEY = b"opencode:response:k"


def read(endpoint: Endpoint, key: bytes | str | EntryName = KEY) -> bytes:
    """Return all of a value."""
    pieces: list[bytes] = []
    size = read_raw(endpoint, key, pieces.append)
    assert size == sum(map(len, pieces))
    return b"".join(pieces)


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        ("plain text ü", "plain text ü".encode()),
        (b"\x00\xff", b"\x00\xff"),
        ({"context": 128000}, b'{"context":128000}'),
        ("x" * 1_000_000, b"x" * 1_000_000),
        ("", b""),
    ],
)
async def test_an_entry_gives_its_value(
    client: ValkeyClient, endpoint: Endpoint, value: object, raw: bytes
) -> None:
    """Without the envelope, by its key or its name."""
    await CacheService(client, app="opencode", budget=5.0).set(
        "response", "k", value, ttl=300, tags=["t"]
    )

    assert read(endpoint) == raw
    assert read(endpoint, EntryName("opencode", "response", "k")) == raw


def test_a_compressed_entry_is_given_uncompressed(endpoint: Endpoint, wire: Wire) -> None:
    """In pieces, for a few bytes can be many."""
    value = "word " * 1_000_000
    store(wire, KEY, Payloads(compress_over=100).pack(KEY, value))
    sizes: list[int] = []

    read_raw(endpoint, KEY, lambda piece: sizes.append(len(piece)))

    assert sum(sizes) == len(value)
    assert max(sizes) <= 2**20


def test_a_foreign_string_is_given_as_it_is(endpoint: Endpoint, wire: Wire) -> None:
    """In a namespace of ours, too."""
    wire.call("SET", "foreign", b"\xcb" * 300_000)
    wire.call("SET", KEY, "no envelope")
    wire.call("SET", "empty", "")

    assert read(endpoint, "foreign") == b"\xcb" * 300_000
    assert read(endpoint) == b"no envelope"
    assert read(endpoint, "empty") == b""


def test_what_has_no_bytes_to_give_is_one_sentence(endpoint: Endpoint, wire: Wire) -> None:
    """No string, no key for it, no whole frame, or nothing at all."""
    wire.call("HSET", "hash", "f", "v")
    with pytest.raises(UsageError, match="hash is a hash, which has no bytes of its own"):
        read(endpoint, "hash")
    with pytest.raises(NotFoundError, match="there is no key gone"):
        read(endpoint, "gone")
    store(wire, KEY, Payloads(keyring=KeyRing({7: bytes(32)}, 7)).pack(KEY, "secret"))
    with pytest.raises(MissingError, match="encrypted with key 7"):
        read(endpoint)
    frame = Payloads(compress_over=1).pack(KEY, "word " * 1000)
    for data in (b"no frame", frame.data[:-3]):
        store(wire, KEY, Payload(1, ZSTD, data))
        with pytest.raises(ServerReplyError, match="no whole zstd frame"):
            read(endpoint)


def test_a_value_that_changes_is_read_anew(endpoint: Endpoint, wire: Wire) -> None:
    """As long as none of it was given; what is given is one value."""
    wire.call("SET", "k", b"a" * 2**20)
    changes = iter([b"b" * 2**20])

    class Changing(Wire):
        def call(self, *words: str | bytes | float) -> object:  # type: ignore[override]
            answer = super().call(*words)
            if words[0] == "GETRANGE" and (value := next(changes, None)):
                wire.call("SET", "k", value)
            return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("valkeyctl.ops.keyspace.inspection.inspect.Wire", Changing)
        found = read(endpoint, "k")

    assert found == b"b" * 2**20


@pytest.mark.parametrize("change", [("SET", "k", "short"), ("DEL", "k"), ("SETRANGE", "k", 5, "x")])
def test_a_large_value_that_changes_is_no_whole_one(
    endpoint: Endpoint, wire: Wire, change: tuple[str, ...]
) -> None:
    """A part of it is on its way already, so it is said."""
    wire.call("SET", "k", b"a" * 12 * 2**20)
    given = 0

    def write(piece: bytes) -> None:
        nonlocal given
        given += len(piece)
        wire.call(*change)

    with pytest.raises(PartialError, match=r"k changed while it was read; the .* MiB that"):
        read_raw(endpoint, "k", write)

    assert given > 8 * 2**20


def test_a_user_who_may_not_watch_may_still_read(endpoint: Endpoint, wire: Wire) -> None:
    """Then its length and its beginning tell whether it is the same value."""
    wire.call("SET", "k", b"a" * 12 * 2**20)
    wire.call("ACL", "SETUSER", "reader", "reset", "on", ">pw", "~*", "+@read", "+hello", "+ping")
    reader = Endpoint(port=endpoint.port, username="reader", password="pw")
    try:
        assert len(read(reader, "k")) == 12 * 2**20
        with pytest.raises(PartialError):
            read_raw(reader, "k", lambda _: wire.call("SETRANGE", "k", 0, "b"))
    finally:
        wire.call("ACL", "DELUSER", "reader")
