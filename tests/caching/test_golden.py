"""The bytes of today's entries: what an older version wrote must read the same.

A change here is a new schema. tests/node reads the same files.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.caching.sameness import same
from valkeyctl.caching.codec import ALWAYS_FRESH, ZSTD, Envelope, Value, head
from valkeyctl.caching.keyring import KeyRing
from valkeyctl.caching.payload import Payloads

FOLDER = Path(__file__).parent / "golden"
KEY = b"opencode:metadata:gpt-x"
VERSION = bytes(range(16))
TAGS = ((b"models", bytes(range(16, 32))), ("größe".encode(), bytes(range(32, 48))))
CREATED_MS = 0x0000019009E4A000
TEXT = "All work and no play makes Jack a dull boy. " * 20


class Golden(NamedTuple):
    """A file and what it says."""

    name: str
    value: Value
    tags: tuple[tuple[bytes, bytes], ...] = ()
    fresh_ms: int = ALWAYS_FRESH
    cost_ms: int = 0
    compressed: bool = False
    encrypted: bool = False


FILES = [
    Golden("bytes", b"\x00\xff"),
    Golden("str", "na\u00efve \U0001f600"),
    Golden("json", {"a": [1, 2.5, None, True, "\u00e9"], "big": 2**70, "zero": -0.0}),
    Golden("json-surrogate", {"a": "\ud800"}),
    Golden("msgpack", {"a": b"\x01", 2: math.inf, "deep": [[-1, 2**64 - 1, ""]]}),
    Golden("tagged", {"context": 128000}, TAGS, fresh_ms=300_000, cost_ms=1250),
    Golden("compressed", {"text": TEXT}, compressed=True),
    Golden("compressed-tagged", TEXT, TAGS[:1], compressed=True),
    Golden("encrypted", {"user": "alice"}, TAGS, encrypted=True),
    Golden("encrypted-compressed", TEXT, encrypted=True, compressed=True),
]


def payloads(golden: Golden) -> Payloads:
    """Return what packs such an entry, with a key and a nonce that anybody may know."""
    ring = KeyRing({7: bytes(range(32))}, 7, random=lambda n: b"\xa5" * n)
    return Payloads(
        compress_over=100 if golden.compressed else None,
        keyring=ring if golden.encrypted else None,
    )


def written(golden: Golden) -> bytes:
    """Return the entry as it is written today."""
    payload = payloads(golden).pack(KEY, golden.value, len(golden.tags))
    return Envelope(
        format=head(payload.encoding, 0)[1],
        version=VERSION,
        created_ms=CREATED_MS,
        payload=payload.data,
        tags=golden.tags,
        flags=payload.flags,
        fresh_ms=golden.fresh_ms,
        cost_ms=golden.cost_ms,
    ).pack()


def stored(name: str) -> bytes:
    """Return the bytes in a file."""
    return bytes.fromhex((FOLDER / f"{name}.hex").read_text())


@pytest.mark.parametrize("golden", FILES, ids=lambda golden: golden.name)
def test_the_bytes_of_before_read_the_same(golden: Golden) -> None:
    """Value, times, tags and all."""
    entry = stored(golden.name)

    opened = payloads(golden).open(KEY, entry)
    envelope = Envelope.unpack(entry)

    assert same(opened.value, golden.value)
    assert opened[1:] == (CREATED_MS, golden.fresh_ms, golden.cost_ms, len(entry))
    assert (envelope.version, envelope.tags) == (VERSION, golden.tags)
    assert (envelope.created_ms, envelope.fresh_ms) == (CREATED_MS, golden.fresh_ms)
    assert bool(envelope.flags & ZSTD) == golden.compressed


@pytest.mark.parametrize(
    "golden",
    [golden for golden in FILES if not golden.compressed],  # zstd may find a shorter frame one day
    ids=lambda golden: golden.name,
)
def test_the_bytes_of_today_are_those_of_before(golden: Golden) -> None:
    """Where they are ours to choose."""
    assert written(golden) == stored(golden.name)


def test_no_file_is_without_its_test() -> None:
    """Nor a test without its file."""
    assert {path.stem for path in FOLDER.glob("*.hex")} == {golden.name for golden in FILES}
