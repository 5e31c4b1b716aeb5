"""How values are stored: the bytes of today stay readable, other bytes are no entry."""

from __future__ import annotations

import enum
import math
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.codec import (
    HEADER,
    Envelope,
    UndecodableError,
    Value,
    decode,
    encode,
    head,
)
from valkeyctl.errors import UsageError

VERSION = bytes(range(16))
TAG_VERSION = bytes(range(16, 32))
GOLDEN = [
    (b"\x00\xff", "cb10000000010203 0405060708090a0b 0c0d0e0f00000190 09e4a0000000 00ff"),
    ("na\u00efve", "cb11000000010203 0405060708090a0b 0c0d0e0f00000190 09e4a0000000 6e61c3af7665"),
    (
        {"a": [1, 2.5, None, True, "\u00e9"]},
        "cb12000000010203 0405060708090a0b 0c0d0e0f00000190 09e4a0000000"
        "7b2261223a5b312c322e352c6e756c6c2c747275652c22c3a9225d7d",
    ),
    (
        {"a": b"\x01", 2: math.inf},
        "cb13000000010203 0405060708090a0b 0c0d0e0f00000190 09e4a0000000"
        "82a161c4010102cb7ff0000000000000",
    ),
]
CREATED_MS = 0x0000019009E4A000

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters())
)
VALUES = st.recursive(
    SCALARS, lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts), max_leaves=20
)
WITH_BYTES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters())
    | st.binary(),
    lambda parts: (
        st.lists(parts)
        | st.dictionaries(st.text() | st.integers(-(2**63), 2**64 - 1) | st.binary(), parts)
    ),
    max_leaves=20,
)


def same(one: object, other: object) -> bool:
    """Say whether two values are equal in type too, at every depth, and signs of zero."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return len(one) == len(other) and all(map(same, one.items(), other.items()))
    if isinstance(one, tuple) and isinstance(other, tuple):
        return all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.copysign(1, one) == math.copysign(1, other) and (one == other)
    return one == other


@pytest.mark.parametrize(("value", "stored"), GOLDEN)
def test_the_stored_bytes_are_these(value: Value, stored: str) -> None:
    """What an older version wrote must read the same, and what we write must not change."""
    encoding, payload = encode(value)
    envelope = Envelope(0x10 | encoding, VERSION, CREATED_MS, payload)

    assert envelope.pack() == bytes.fromhex(stored)
    assert same(Envelope.unpack(bytes.fromhex(stored)).value(), value)


def test_the_stored_tags_are_these() -> None:
    """Length, name, version; between the fixed header and the payload."""
    envelope = Envelope(0x11, VERSION, CREATED_MS, b"x", tags=((b"models", TAG_VERSION),))

    stored = envelope.pack()

    assert stored.hex() == (
        "cb110001000102030405060708090a0b0c0d0e0f0000019009e4a0000017"
        "066d6f64656c73101112131415161718191a1b1c1d1e1f78"
    )
    assert Envelope.unpack(stored) == envelope


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


@given(VALUES)
@example("\ud800")
@example(["\ud800", 10**400, -0.0])
def test_values_come_back_as_they_were(value: object) -> None:
    """Equal, of the same type at every depth; JSON alone."""
    encoding, payload = encode(value)

    assert same(decode(encoding, payload), value)
    assert encoding in {1, 2}


@given(WITH_BYTES)
@example(math.inf)
@example({1: "a", "1": "b", b"1": "c", None: "d"})
@example([b"", "\ud800"])
def test_values_with_bytes_and_other_keys_come_back_as_they_were(value: object) -> None:
    """Where JSON would change the value, msgpack is chosen."""
    encoding, payload = encode(value)

    assert same(decode(encoding, payload), value)


def test_not_a_number_comes_back() -> None:
    """JSON has none, so msgpack carries it."""
    encoding, payload = encode(math.nan)
    back = decode(encoding, payload)

    assert encoding == 3
    assert isinstance(back, float)
    assert math.isnan(back)


class Colour(enum.StrEnum):
    """A str that is more than a str."""

    RED = "red"


def nested(depth: int) -> list[object]:
    """Return lists within lists."""
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        {"a": (1,)},
        {1, 2},
        object(),
        Colour.RED,
        [True, {"a": Colour.RED}],
        bytearray(b"x"),
        {(1, 2): "x"},
        [b"x", 2**64],
        nested(5000),
    ],
)
def test_what_would_not_come_back_is_refused(value: object) -> None:
    """A changed value would be a wrong answer; the message says which type."""
    with pytest.raises(UsageError, match="cannot be stored"):
        encode(value)


@given(st.binary(max_size=200))
@example(HEADER.pack(0xCB, 0x12, 0, 0, VERSION, 0, 0) + b"{")
@example(HEADER.pack(0xCB, 0x13, 0, 0, VERSION, 0, 0) + b"\xc1")
@example(HEADER.pack(0xCB, 0x13, 0, 0, VERSION, 0, 0) + b"\x81\x90\x01")
@example(HEADER.pack(0xCB, 0x12, 0, 3, VERSION, 0, 1) + b"\x05")
def test_any_bytes_are_a_value_or_undecodable(stored: bytes) -> None:
    """No input raises anything else."""
    with suppress(UndecodableError):
        Envelope.unpack(stored).value()


@given(VALUES, st.data())
def test_no_damage_to_a_header_goes_unnoticed(value: object, data: st.DataObject) -> None:
    """A cut or a changed layout byte is an error or, at worst, the payload's own problem."""
    encoding, payload = encode(value)
    stored = Envelope(0x10 | encoding, VERSION, 5, payload, ((b"t", TAG_VERSION),)).pack()
    cut = data.draw(st.integers(0, HEADER.size + 17))

    with pytest.raises(UndecodableError):
        Envelope.unpack(stored[:cut])
    for place in (0, 2, 3):
        with pytest.raises(UndecodableError):
            Envelope.unpack(stored[:place] + bytes([stored[place] ^ 1]) + stored[place + 1 :])


@pytest.mark.parametrize("change", [{"format": 0x22}, {"flags": 1}, {"format": 0x1F}])
def test_a_later_format_is_undecodable(change: dict[str, int]) -> None:
    """An entry of a newer version, or compressed, is a miss for this one."""
    envelope = Envelope(0x12, VERSION, 5, b"{}")

    with pytest.raises(UndecodableError):
        Envelope.unpack(replace(envelope, **change).pack()).value()  # type: ignore[arg-type]
