"""What is measured on: the reference keyspace of a million keys, and entries of ours.

Five namespaces, as an application with a gateway has them: answers of 60 to 180 bytes and
vectors of 1.5 KiB, sessions as hashes, counters, and another application's keys. Made from
a fixed seed, so that every run stores the same.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from valkeyctl.caching.codec import ALWAYS_FRESH, JSON, SCHEMA, TEXT, Envelope
from valkeyctl.caching.keys import KeyScheme
from valkeyctl.caching.wire import Wire, Word, pack
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import StartError

Command = Sequence[Word]

WHOLE = 1_000_000
APP, EMPTIED = "gw", "resp"
"""The application and its namespace, a fifth of the keys, that is flushed."""

ENTRIES_APP, ENTRIES = "bench", "response"
BY_TAG, TAG = "metadata", "models"
"""Namespace of the entries with the tag that is invalidated."""

VALUE_BYTES = 200
TTL = 3600
_SHARES = {("gw", "resp"): 2, ("gw", "emb"): 1, ("gw", "sess"): 1, ("gw", "rl"): 3}
_FOREIGN = ("app", "misc")
_VERSION = bytes(range(16))
_AT_ONCE = 1000
PROBED = b"app:misc:7"
"""A key that no row deletes."""


@dataclass(frozen=True)
class Size:
    """How many keys there are.

    Attributes:
        keys: Of the reference keyspace.
        entries: That are warmed and exported.
    """

    keys: int = WHOLE
    entries: int = WHOLE // 2

    @property
    def namespaces(self) -> dict[str, int]:
        """How many keys each namespace has, by the name that `keys stats` gives it."""
        tenth = self.keys // 10
        counts = {":".join(name): share * tenth for name, share in _SHARES.items()}
        return counts | {":".join(_FOREIGN): self.keys - sum(counts.values())}

    @property
    def emptied(self) -> int:
        """How many keys a flush deletes."""
        return self.namespaces[f"{APP}:{EMPTIED}"]


def reference(size: Size) -> Iterator[Command]:
    """Yield the commands that store the reference keyspace."""
    rng = random.Random(7)
    for namespace, count in size.namespaces.items():
        for number in range(count):
            key = f"{namespace}:m{number % 7}:{rng.getrandbits(64):016x}"
            match namespace:
                case "gw:resp":
                    value = rng.randbytes(90).hex()[: rng.randrange(60, 180)]
                    yield ("SET", key, value, "EX", rng.randrange(7200, 90_000))
                case "gw:emb":
                    yield ("SET", key, rng.randbytes(1536))
                case "gw:sess":
                    fields = [(f"f{place}", f"value-{place}-{number}") for place in range(8)]
                    yield ("HSET", key, *(word for pair in fields for word in pair))
                case "gw:rl":
                    yield ("SET", key, str(rng.randrange(100)), "EX", 90_000)
                case _:
                    yield ("SET", f"{namespace}:{number}", "x" * 64)


def value_of(number: int) -> str:
    """Return the value of the entry with that number: 200 bytes, each its own."""
    return f"{number:016x}" * (VALUE_BYTES // 16) + "v" * (VALUE_BYTES % 16)


def id_of(number: int) -> str:
    """Return the id of that entry."""
    return f"m{number % 7}:{number:016x}"


def write_records(path: Path, entries: int) -> None:
    """Write the entries as JSON lines, as `keys warm` takes them."""
    with path.open("w") as file:
        for number in range(entries):
            record = {"namespace": ENTRIES, "id": id_of(number), "value": value_of(number)}
            file.write(json.dumps(record | {"ttl": TTL}, separators=(",", ":")) + "\n")


def write_commands(path: Path, entries: int) -> None:
    """Write the commands that store the same entries, as ``valkey-cli --pipe`` takes them."""
    key = KeyScheme(ENTRIES_APP).place(ENTRIES, "x").key[:-1]
    with path.open("wb") as file:
        file.write(pack([("SET", KeyScheme(ENTRIES_APP).versions(ENTRIES)[0], _VERSION)]))
        for number in range(entries):
            stored = _entry(TEXT, value_of(number).encode())
            file.write(pack([("SET", key + id_of(number).encode(), stored, "EX", TTL)]))


def invalidated(size: Size) -> Iterator[Command]:
    """Yield the commands that store a fifth by namespace, a fifth by tag, and others."""
    scheme = KeyScheme(ENTRIES_APP)
    for name in (ENTRIES, BY_TAG):
        yield ("SET", scheme.versions(name)[0], _VERSION)
    yield ("SET", scheme.tag_versions(TAG)[0], _VERSION)
    plain = _entry(JSON, b'{"context":128000}')
    tagged = _entry(JSON, b'{"context":128000}', tags=((TAG.encode(), _VERSION),))
    fifth = size.keys // 5
    for number in range(fifth):
        yield ("SET", scheme.place(ENTRIES, str(number)).key, plain, "EX", TTL)
        yield ("SET", scheme.place(BY_TAG, str(number)).key, tagged, "EX", TTL)
    yield ("DEBUG", "POPULATE", size.keys - 2 * fifth, "filler", 100)


def store(endpoint: Endpoint, commands: Iterable[Command]) -> None:
    """Run *commands* on the server.

    Raises:
        StartError: It refuses one of them.
    """
    pending = iter(commands)
    with Wire(endpoint, timeout=120) as wire:
        under_way = 0
        while chunk := list(islice(pending, _AT_ONCE)):
            wire.post(pack(chunk), len(chunk))
            under_way += 1
            if under_way > 1:
                _expect_well(wire)
                under_way -= 1
        for _ in range(under_way):
            _expect_well(wire)


def _expect_well(wire: Wire) -> None:
    for answer in wire.collect():
        if isinstance(answer, Exception):
            raise StartError(f"the keys could not be stored: {answer}")


def _entry(encoding: int, payload: bytes, tags: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
    return Envelope(
        format=SCHEMA << 4 | encoding,
        version=_VERSION,
        created_ms=1_700_000_000_000,
        payload=payload,
        tags=tags,
        fresh_ms=ALWAYS_FRESH,
    ).pack()
