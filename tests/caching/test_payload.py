"""Values on their way to the server and back: compressed, encrypted, and never another's."""

from __future__ import annotations

import dataclasses
import random
import sys
import tracemalloc
from contextlib import suppress

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from tests.caching.sameness import same
from tests.caching.test_codec import VALUES, WITH_BYTES
from tests.caching.test_golden import FILES, KEY, Golden, payloads, stored
from valkeyctl.caching.codec import (
    AES_GCM,
    ALWAYS_FRESH,
    HEADER,
    JSON,
    TEXT,
    ZSTD,
    Envelope,
    UndecodableError,
    UnreadableError,
    head,
)
from valkeyctl.caching.keyring import KeyRing
from valkeyctl.caching.payload import Payload, Payloads, Wrapping
from valkeyctl.errors import MissingError, UsageError

VERSION = bytes(range(16))
RING = KeyRing({1: bytes(32), 2: b"\x01" * 32}, 2)
LONG = {"text": "All work and no play makes Jack a dull boy. " * 50}
PLAIN = Payloads()
COMPRESSED = Payloads(compress_over=64)
ENCRYPTED = Payloads(keyring=RING)
BOTH = Payloads(compress_over=64, keyring=RING)


def entry(payload: Payload, tags: tuple[bytes, ...] = ()) -> bytes:
    """Return the bytes that the write script would store."""
    return Envelope(
        format=head(payload.encoding, 0)[1],
        version=VERSION,
        created_ms=5,
        payload=payload.data,
        tags=tuple((tag, VERSION) for tag in tags),
        flags=payload.flags,
    ).pack()


@given(VALUES | WITH_BYTES, st.sampled_from([PLAIN, COMPRESSED, ENCRYPTED, BOTH]))
@example(LONG, COMPRESSED)
@example(LONG, BOTH)
def test_values_come_back_as_they_were(value: object, way: Payloads) -> None:
    """Whatever is done to them in between, and with their circumstances."""
    payload = way.pack(KEY, value, 2)
    opened = way.open(KEY, entry(payload, (b"one", b"two")))

    assert same(opened.value, value)
    assert opened[1:4] == (5, ALWAYS_FRESH, 0)
    assert opened.stored_bytes == HEADER.size + 2 * 20 + len(payload.data)


@pytest.mark.parametrize(
    ("length", "flags"), [(1000, ZSTD), (999, 0), (0, 0), (2000, ZSTD), (2001, 0)]
)
def test_only_what_is_over_the_threshold_is_compressed(length: int, flags: int) -> None:
    """And what no reader would make of it again is left for the caller to refuse."""
    ways = Payloads(compress_over=999, max_value_bytes=2000)

    payload = ways.pack(KEY, "x" * length)

    assert payload.flags == flags
    assert (len(payload.data) < length) == bool(flags)


def test_what_would_grow_is_not_compressed() -> None:
    """Random bytes stay as they are."""
    value = random.Random(1).randbytes(1000)

    assert COMPRESSED.pack(KEY, value) == Payload(0, 0, value)


def test_compressed_before_it_is_encrypted() -> None:
    """The other way round nothing would become smaller."""
    payload = BOTH.pack(KEY, LONG)

    assert payload.flags == ZSTD | AES_GCM
    assert len(payload.data) < 200
    assert b"Jack" not in payload.data


def test_models_and_dataclasses_become_plain_values() -> None:
    """Without a declared type, too, and deep inside."""

    @dataclasses.dataclass
    class Turn:
        role: str
        tokens: tuple[int, ...]

    value = {"turns": [Turn("user", (1, 2))]}

    opened = PLAIN.open(KEY, entry(PLAIN.pack(KEY, value)))

    assert opened.value == {"turns": [{"role": "user", "tokens": [1, 2]}]}
    with pytest.raises(UsageError, match="a tuple cannot be stored"):
        PLAIN.pack(KEY, [Turn("user", ()), (1,)])


def test_an_entry_is_bound_to_its_key_and_its_head() -> None:
    """Moved, with another encoding, other flags or another number of tags it does not open."""
    payload = ENCRYPTED.pack(KEY, LONG, 1)
    good = entry(payload, (b"t",))

    assert ENCRYPTED.open(KEY, good).value == LONG
    with pytest.raises(UndecodableError, match="not encrypted with key 2 for this entry"):
        ENCRYPTED.open(KEY + b"x", good)
    with pytest.raises(UndecodableError):
        ENCRYPTED.open(KEY, entry(dataclasses.replace(payload, encoding=TEXT), (b"t",)))
    with pytest.raises(UndecodableError):
        ENCRYPTED.open(KEY, entry(dataclasses.replace(payload, flags=ZSTD | AES_GCM), (b"t",)))
    with pytest.raises(UndecodableError):
        ENCRYPTED.open(KEY, entry(payload, (b"t", b"u")))


@pytest.mark.parametrize("way", [PLAIN, COMPRESSED])
def test_who_demands_encryption_takes_nothing_plain(way: Payloads) -> None:
    """Else who can write to the server could slip in a value of his own."""
    stored_plain = entry(way.pack(KEY, LONG))

    with pytest.raises(UndecodableError, match="not encrypted, and all have to be"):
        ENCRYPTED.open(KEY, stored_plain)
    assert PLAIN.open(KEY, stored_plain).value == LONG


def test_an_entry_for_others_is_unreadable_not_undecodable() -> None:
    """A reader without the key, or with older ones, may not drop what others can read."""
    sealed = entry(ENCRYPTED.pack(KEY, "v"))

    with pytest.raises(UnreadableError, match="key 2, and there is no key ring"):
        PLAIN.open(KEY, sealed)
    with pytest.raises(UnreadableError, match="key 2, which is not in"):
        Payloads(keyring=KeyRing({1: bytes(32)}, 1)).open(KEY, sealed)


def test_without_zstandard_a_compressed_entry_is_unreadable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A missing package deletes nothing; asking for compression names the extra."""
    compressed = entry(COMPRESSED.pack(KEY, LONG))
    monkeypatch.setitem(sys.modules, "zstandard", None)

    with pytest.raises(UnreadableError, match="the extra compression is not installed"):
        Payloads().open(KEY, compressed)
    with pytest.raises(MissingError, match="zstandard, which is not installed") as caught:
        Payloads(compress_over=1)
    assert caught.value.hint == "Install it: pip install 'valkeyctl[compression]'"
    assert Wrapping.of(ZSTD, compressed[HEADER.size :], 99) == Wrapping(True, None, None)


def frame_of(size: int, *, said: int | None = None) -> bytes:
    """Return a frame of so many zeros; it says *said* where given, or nothing for -1."""
    with_size = zstandard.ZstdCompressor().compress(bytes(size))
    if said is None:
        return with_size
    if said < 0:
        return zstandard.ZstdCompressor(write_content_size=False).compress(bytes(size))
    # Magic, a descriptor with a size of 4 bytes and a single segment, the size.
    header = with_size[:4] + b"\xa0" + said.to_bytes(4, "little")
    blocks = with_size[4 + len_of_header(with_size) :]
    return header + blocks


def len_of_header(frame: bytes) -> int:
    """Return the bytes of a frame's header after the magic number."""
    descriptor = frame[4]
    single = descriptor >> 5 & 1
    sizes = {0: single, 1: 2, 2: 4, 3: 8}
    return 1 + (1 - single) + sizes[descriptor >> 6]


@pytest.mark.parametrize(
    "frame",
    [
        frame_of(1000, said=2**32 - 1),
        frame_of(2**24),
        frame_of(1001),
        frame_of(1000, said=-1),
        frame_of(1000, said=999),
        frame_of(999, said=1000),
        frame_of(2**20, said=1000),
        frame_of(100, said=0),
        frame_of(1000)[:-1],
        frame_of(1000) + b"x",
        frame_of(1000) + frame_of(1000),
        b"\x50\x2a\x4d\x18\x04\x00\x00\x00" + b"skip" + frame_of(100),
        b"",
        b"no frame at all",
    ],
    ids=lambda frame: f"{len(frame)}-{frame[:10].hex()}",
)
def test_no_frame_becomes_more_than_it_may(frame: bytes) -> None:
    """Too large, silent about its size, lying, cut, or more than one: refused, at no cost."""
    small = Payloads(max_value_bytes=1000)
    bomb = entry(Payload(0, ZSTD, frame))
    tracemalloc.start()
    try:
        with pytest.raises(UndecodableError):
            small.open(KEY, bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 2**20 + 4 * len(frame)


def test_a_frame_of_exactly_the_limit_is_read() -> None:
    """The helper's frames are right where they do not lie."""
    small = Payloads(max_value_bytes=1000)

    assert small.open(KEY, entry(Payload(0, ZSTD, frame_of(1000)))).value == bytes(1000)
    assert small.open(KEY, entry(Payload(0, ZSTD, frame_of(1000, said=1000)))).value == bytes(1000)


@pytest.mark.parametrize(
    ("place", "byte"),
    [(0, 0xCC), (1, 0x10), (1, 0x30), (1, 0x2F), (2, 0x04), (2, 0x80), (36, 0x80), (37, 9)],
)
def test_what_is_no_entry_of_this_schema_is_undecodable(place: int, byte: int) -> None:
    """Another magic, schema, encoding or flag, or tags past the end: even around good bytes."""
    good = entry(PLAIN.pack(KEY, b"payload"))

    assert PLAIN.open(KEY, good).value == b"payload"
    with pytest.raises(UndecodableError):
        PLAIN.open(KEY, good[:place] + bytes([byte]) + good[place + 1 :])


@given(st.binary(max_size=300))
@example(b"")
@example(head(JSON, 0) + bytes(34))
@example(head(JSON, 0) + bytes(32) + b"\xff\xff")
@example(b"\xcb\x12" + bytes(60))
@example(b"\xcb\x22\x04" + bytes(60))
@example(head(15, 0) + bytes(34))
def test_any_bytes_are_an_entry_or_undecodable(data: bytes) -> None:
    """Foreign values raise nothing else, with keys or without."""
    for way in (PLAIN, ENCRYPTED):
        with suppress(UndecodableError, UnreadableError):
            way.open(KEY, data)


@given(st.sampled_from(FILES), st.data())
def test_damaged_entries_are_a_value_or_undecodable(golden: Golden, data: st.DataObject) -> None:
    """Cut, lengthened or with some bytes changed; encrypted ones never open to another value."""
    way = payloads(golden)
    damaged = bytearray(stored(golden.name))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    cut = damaged[: data.draw(st.integers(0, len(damaged)))] + data.draw(st.binary(max_size=4))

    for entry_bytes in (bytes(damaged), bytes(cut)):
        with suppress(UndecodableError, UnreadableError):
            opened = way.open(KEY, entry_bytes)
            assert not golden.encrypted or same(opened.value, golden.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"compress_over": -1},
        {"max_value_bytes": 0},
        {"compress_over": 1, "level": 0},
        {"compress_over": 1, "level": 23},
    ],
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    """When the policy is made, not at the first value."""
    with pytest.raises(UsageError):
        Payloads(**wrong)  # type: ignore[arg-type]
