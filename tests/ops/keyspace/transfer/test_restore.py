"""What an import stores, leaves, refuses, and says when it is stopped."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from tests.ops.keyspace.transfer.snapshots import exported, imported, state
from valkeyctl.caching import CacheService, KeyRing, NamespacePolicy, ValkeyClient
from valkeyctl.caching.codec import Envelope
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import PartialError, UnreachableError, UsageError
from valkeyctl.ops.keyspace.transfer.exportfile import Block
from valkeyctl.ops.keyspace.transfer.restore import restore
from valkeyctl.ops.keyspace.transfer.restorerun import RestoreRun

HEADER = (
    b'{"valkeyctl_export":1,"app":"shop","namespace":null,"exported_at":"2026-01-02T03:04:05Z"}\n'
)


def file_of(*lines: bytes) -> bytes:
    """Return a whole export of these lines."""
    end = b'{"end":true,"lines":%d}' % len(lines)
    return HEADER + b"".join(line + b"\n" for line in (*lines, end))


async def test_entries_are_valid_where_they_are_imported(
    client: ValkeyClient, endpoint: Endpoint
) -> None:
    """They come back under the versions that hold there, after an invalidation, too."""
    cache = CacheService(client, app="shop")
    await cache.set("metadata", "gpt-x", {"n": 1}, ttl=300, tags=["models"])
    data, _ = exported(endpoint)
    await cache.invalidate("metadata")
    await cache.invalidate_tag("models")

    report = imported(endpoint, data)

    assert (report.entries, report.existing) == (1, 0)
    assert await cache.get("metadata", "gpt-x") == {"n": 1}
    await cache.invalidate_tag("models")
    assert await cache.get("metadata", "gpt-x") is None


async def test_keys_that_are_there_are_left_and_counted(
    client: ValkeyClient, endpoint: Endpoint
) -> None:
    """Entries and others; what an application has set meanwhile is newer."""
    cache = CacheService(client, app="shop")
    await cache.set("metadata", "gpt-x", "exported", ttl=300)
    await client.execute("RPUSH", "shop:queue", "exported")
    data, _ = exported(endpoint)
    await cache.set("metadata", "gpt-x", "newer", ttl=300)
    await client.execute("RPUSH", "shop:queue", "newer")
    before = state(endpoint)

    report = imported(endpoint, data)

    assert (report.entries, report.keys, report.existing) == (0, 0, 2)
    assert state(endpoint) == before


async def test_keys_that_are_there_are_replaced_on_request(
    client: ValkeyClient, endpoint: Endpoint
) -> None:
    """All of a key, not some of its elements."""
    cache = CacheService(client, app="shop")
    await cache.set("metadata", "gpt-x", "exported", ttl=300)
    await client.execute("RPUSH", "shop:queue", "exported")
    data, _ = exported(endpoint)
    before = state(endpoint)
    await cache.set("metadata", "gpt-x", "newer", ttl=300)
    await client.execute("RPUSH", "shop:queue", "newer")

    report = imported(endpoint, data, replace=True)

    assert (report.entries, report.keys, report.existing) == (1, 1, 0)
    assert state(endpoint) == before


def test_nothing_is_left_beside_the_keys(wire: Wire, endpoint: Endpoint) -> None:
    """Neither of those stored, nor of those left or refused."""
    data = file_of(
        b'{"key":"shop:a","type":"list","items":["1"]}',
        b'{"key":"shop:b","type":"zset","items":["m","no number"]}',
        b'{"key":"shop:c","type":"set","items":["1"],"part":1,"more":true}',
        b'{"key":"shop:c","part":2,"void":true}',
        b'{"key":"shop:d","type":"set","items":["1"],"part":1,"more":true}',
    )
    wire.call("SADD", "shop:a", "there")

    report = imported(endpoint, data)

    assert (report.keys, report.existing, report.rejected) == (0, 1, 2)
    assert wire.call("KEYS", "*") == [b"shop:a"]
    assert "not a valid float" in report.rejects[0].reason
    assert "begins on line 6: the file ends before its last part" in report.rejects[1].reason


def test_a_key_is_not_seen_before_it_is_whole(wire: Wire, endpoint: Endpoint) -> None:
    """Until its last part it has another name, which expires by itself."""
    data = file_of(
        b'{"key":"shop:a","type":"list","items":["1"],"part":1,"more":true}',
        b'{"key":"shop:a","items":["2"],"part":2}',
    )
    seen: list[tuple[list[bytes], bool]] = []

    class Watched(RestoreRun):
        def take(self, block: Block, from_line: int) -> None:
            for number in range(len(block.items)):
                part = Block(block.first + number, b"", block.items[number : number + 1])
                super().take(part, from_line)
                keys = [key for key in wire.call("KEYS", "*") or [] if isinstance(key, bytes)]  # type: ignore[union-attr]
                lives = [wire.call("PTTL", key) for key in keys]
                seen.append((keys, all(isinstance(ms, int) and ms > 0 for ms in lives)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("valkeyctl.ops.keyspace.transfer.restore.RestoreRun", Watched)
        imported(endpoint, data)

    (building,), expires = seen[0]
    assert building.startswith(b"shop:a:~import:")
    assert expires
    assert seen[1][0] == [b"shop:a"]
    assert wire.call("LRANGE", "shop:a", 0, -1) == [b"1", b"2"]


async def test_an_application_can_be_renamed(client: ValkeyClient, endpoint: Endpoint) -> None:
    """Its entries and its other keys."""
    await CacheService(client, app="shop").set("metadata", "gpt-x", 1, ttl=300)
    await client.execute("RPUSH", "shop:queue", "a")
    data, _ = exported(endpoint)

    report = imported(endpoint, data, app="desk")

    assert (report.app, report.entries, report.keys) == ("desk", 1, 1)
    assert await CacheService(client, app="desk").get("metadata", "gpt-x") == 1
    assert await client.execute("LLEN", "desk:queue") == 1


def test_several_applications_cannot_have_one_name(endpoint: Endpoint) -> None:
    """An id that two of them have would be one entry."""
    with pytest.raises(UsageError, match="holds keys of several applications"):
        imported(endpoint, file_of().replace(b'"shop"', b"null"), app="desk")


async def test_an_encrypted_value_is_refused_under_another_key(
    client: ValkeyClient, endpoint: Endpoint
) -> None:
    """It is bound to its key, and nobody could read it there."""
    cache = CacheService(
        client,
        app="shop",
        policies={"sealed": NamespacePolicy(ttl=300, encrypt=True)},
        keyring=KeyRing({1: b"k" * 32}, 1),
    )
    await cache.set("sealed", "k", "secret")
    data, _ = exported(endpoint)

    report = imported(endpoint, data, app="desk")

    assert (report.entries, report.rejected) == (0, 1)
    assert "encrypted for the key shop:sealed:k" in report.rejects[0].reason


async def test_lives_go_on_where_they_were_or_to_their_deadline(
    client: ValkeyClient, endpoint: Endpoint
) -> None:
    """A day later an entry has as long left as it had, or it has expired."""
    cache = CacheService(
        client, app="shop", policies={"soft": NamespacePolicy(ttl=300, jitter=0, stale=60)}
    )
    await cache.set("soft", "k", 1, ttl=300)
    data, _ = exported(endpoint)
    header = msgspec.json.decode(data.splitlines()[0], type=dict[str, object])
    header["exported_at"] = "2026-01-02T03:04:05Z"
    old = msgspec.json.encode(header) + b"\n" + data.split(b"\n", 1)[1]
    await cache.delete("soft", "k")

    kept = imported(endpoint, old, keep_deadlines=True)
    moved = imported(endpoint, old, keep_deadlines=False)

    assert (kept.entries, kept.expired) == (0, 1)
    assert (moved.entries, moved.expired) == (1, 0)
    left_ms = await client.execute("PTTL", "shop:soft:k")
    assert isinstance(left_ms, int)
    assert 350_000 < left_ms <= 360_000
    stored = await client.execute("GET", "shop:soft:k")
    assert isinstance(stored, bytes)
    envelope = Envelope.unpack(stored)
    # It was created when it was, and is fresh for as long from now as it was from then.
    assert envelope.fresh_ms > 300_000


def test_refused_lines_have_numbers_reasons_and_a_file(
    wire: Wire, endpoint: Endpoint, tmp_path: Path
) -> None:
    """The others are stored."""
    rejects = tmp_path / "rejects.jsonl"
    data = file_of(
        b'{"namespace":"metadata","id":"k 1","value":1}',
        b'{"namespace":"metadata","id":"k2"}',
        b'{"namespace":"metadata","id":"k3","value":3}',
        b'{"key":"shop:x","type":"json","items":["1"]}',
        b'{"key":"shop:y","part":2,"items":["1"]}',
        b'{"key":"desk:z","type":"list","items":["1"]}',
        b'{"type":"list"}',
        b"not json",
    )

    report = imported(endpoint, data, rejects_file=rejects)

    assert (report.entries, report.rejected) == (1, 7)
    refused = {
        one["line"]: one["reason"] for one in map(json.loads, rejects.read_text().splitlines())
    }
    assert sorted(refused) == [2, 3, 5, 6, 7, 8, 9]
    assert "'value' or 'data' is missing" in refused[3]
    assert "needs the field 'dump'" in refused[5]
    assert "part 1 is not before it" in refused[6]
    assert "not JSON" in refused[9]


def test_a_file_that_was_cut_is_imported_and_said_to_be_cut(wire: Wire, endpoint: Endpoint) -> None:
    """What is there is stored; the report says that it is not all."""
    data = file_of(b'{"namespace":"metadata","id":"k1","value":1}')

    report = imported(endpoint, data[: data.rindex(b'{"end"')])

    assert (report.entries, report.whole) == (1, False)


def test_an_import_that_is_stopped_says_where_to_go_on(
    wire: Wire, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And nothing is lost or stored twice when it goes on there."""
    lines = [b'{"namespace":"metadata","id":"k%d","value":%d}' % (n, n) for n in range(20_000)]
    file = tmp_path / "shop.jsonl"
    file.write_bytes(file_of(*lines))
    take = RestoreRun.take
    taken: list[int] = []

    def broken(run: RestoreRun, block: Block, from_line: int) -> None:
        taken.append(block.first)
        if len(taken) == 3:
            raise UnreachableError("it went away")
        take(run, block, from_line)

    monkeypatch.setattr(RestoreRun, "take", broken)
    with pytest.raises(PartialError, match=r"stopped after line \d+ \(it went away\)") as stopped:
        restore(endpoint, file)
    monkeypatch.undo()
    line = int(str(stopped.value.hint).rsplit(" ", 1)[1])

    report = imported(endpoint, file.read_bytes(), from_line=line)

    assert 1 < line < 20_000
    assert f"keys import {file} --from-line {line}" in str(stopped.value.hint)
    assert report.entries + report.existing == 20_002 - line
    assert wire.call("DBSIZE") == 20_000 + len([b"shop:~version:metadata"])


def test_a_server_that_is_not_there_is_no_part_of_an_import() -> None:
    """Nothing was stored, so nothing is partly done."""
    with pytest.raises(UnreachableError):
        imported(Endpoint(port=1), file_of(b'{"namespace":"metadata","id":"k1","value":1}'))


async def test_a_very_long_entry_replaces_a_dead_one_and_not_a_living_one(
    client: ValkeyClient, endpoint: Endpoint
) -> None:
    """As short ones do."""
    cache = CacheService(client, app="shop")
    await cache.set("metadata", "k", b"x" * 2_500_000, ttl=300)
    data, _ = exported(endpoint)

    living = imported(endpoint, data)
    await cache.invalidate("metadata")
    dead = imported(endpoint, data)

    assert (living.entries, living.existing) == (0, 1)
    assert (dead.entries, dead.existing) == (1, 0)
    assert await cache.get("metadata", "k") == b"x" * 2_500_000
