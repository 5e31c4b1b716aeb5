"""What an export writes, and what it leaves out."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import pytest

from tests.ops.keyspace.scripted import page, scripted_server
from tests.ops.keyspace.transfer.snapshots import exported
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import FolderError, UnreachableError, UsageError
from valkeyctl.ops.keyspace.transfer.export import export
from valkeyctl.ops.keyspace.transfer.exportsink import ExportSink


def lines(data: bytes) -> list[dict[str, object]]:
    """Return the lines of an export, decoded."""
    return [msgspec.json.decode(line, type=dict[str, object]) for line in data.splitlines()]


async def test_an_entry_is_a_line_that_a_person_can_read(
    client: ValkeyClient, endpoint: Endpoint
) -> None:
    """A plain value stands there as JSON, with its life and tags."""
    cache = CacheService(client, app="shop")
    await cache.set("metadata", "gpt-x", {"context": 128000}, ttl=300, tags=["models"])

    data, report = exported(endpoint)

    header, line, end = lines(data)
    assert header["valkeyctl_export"] == 1
    assert header["app"] == "shop"
    assert line.pop("created_ms")
    assert 290_000 < int(str(line.pop("ttl_ms"))) <= 300_000
    assert line == {
        "namespace": "metadata",
        "id": "gpt-x",
        "value": {"context": 128000},
        "tags": ["models"],
    }
    assert end == {"end": True, "lines": 1, "entry_count": 1}
    assert (report.entries, report.keys, report.skipped) == (1, 0, 0)


async def test_invalidated_entries_are_left_out_and_counted(
    client: ValkeyClient, endpoint: Endpoint
) -> None:
    """What no reader is given any more is dead, whether by its namespace or by a tag."""
    cache = CacheService(client, app="shop")
    await cache.set("metadata", "by-namespace", 1, ttl=300)
    await cache.invalidate("metadata")
    await cache.set("metadata", "by-tag", 2, ttl=300, tags=["models"])
    await cache.invalidate_tag("models")
    await cache.set("metadata", "alive", 3, ttl=300)

    data, report = exported(endpoint)

    assert [line.get("id") for line in lines(data)[1:-1]] == ["alive"]
    assert (report.entries, report.stale) == (1, 2)


def test_an_entry_that_readers_would_delete_is_left_out(wire: Wire, endpoint: Endpoint) -> None:
    """Bytes that only begin like an entry are counted, not exported."""
    wire.call("SET", "shop:metadata:cut", b"\xcb\x22\x00\x05" + b"v" * 40)
    wire.call("SET", "shop:metadata:new", b"\xcb\x92\x00\x00" + b"v" * 40)

    _, report = exported(endpoint)

    assert (report.entries, report.keys, report.undecodable) == (0, 0, 2)


def test_a_key_beside_the_entries_is_exported_by_its_type(wire: Wire, endpoint: Endpoint) -> None:
    """Text stands there as text, bytes as base64, and binary keys as well."""
    wire.call("RPUSH", "shop:queue", "a", "b")
    wire.call("HSET", b"shop:\xff", "name", b"\x00\xff")
    wire.call("SET", "shop:note", "hello", "PX", 60_000)
    wire.call("SET", "other:note", "not ours")

    data, report = exported(endpoint)

    found = {str(line.get("key", line.get("key_b64"))): line for line in lines(data)[1:-1]}
    assert found["shop:queue"] == {"key": "shop:queue", "type": "list", "items": ["a", "b"]}
    assert found["c2hvcDr/"]["items_b64"] == ["bmFtZQ==", "AP8="]
    assert found["shop:note"]["text"] == "hello"
    assert report.keys == len(found) == 3


def test_versions_and_leases_are_left_out(wire: Wire, endpoint: Endpoint) -> None:
    """What only means something where it is stays there."""
    wire.call("SET", "shop:~version:metadata", b"v" * 16)
    wire.call("SET", "shop:~load:metadata:gpt-x", "lease")
    wire.call("SET", "shop:~tag:models", b"v" * 16)

    _, report = exported(endpoint)

    assert (report.entries, report.keys) == (0, 0)


async def test_one_namespace_is_exported_alone(client: ValkeyClient, endpoint: Endpoint) -> None:
    """Its neighbours, and one whose name begins alike, are not."""
    cache = CacheService(client, app="shop")
    for namespace in ("metadata", "metadata2", "context"):
        await cache.set(namespace, "k", 1, ttl=300)

    data, report = exported(endpoint, namespace="metadata")

    assert report.entries == 1
    assert lines(data)[0]["namespace"] == lines(data)[1]["namespace"] == "metadata"


async def test_every_application_names_its_own_in_each_line(
    client: ValkeyClient, endpoint: Endpoint
) -> None:
    """With all of them in one file, the header names none."""
    for app in ("shop", "desk"):
        await CacheService(client, app=app).set("metadata", "k", app, ttl=300)

    data, _ = exported(endpoint, None)

    assert lines(data)[0]["app"] is None
    assert {line["app"] for line in lines(data)[1:-1]} == {"shop", "desk"}


def test_a_namespace_needs_an_application(endpoint: Endpoint) -> None:
    """Which of them is meant cannot be guessed."""
    with pytest.raises(UsageError, match="is one of an application's"):
        exported(endpoint, None, "metadata")


async def test_a_long_entry_takes_one_line_and_a_very_long_one_several(
    client: ValkeyClient, endpoint: Endpoint
) -> None:
    """A line never has more than a megabyte of a value."""
    cache = CacheService(client, app="shop")
    await cache.set("metadata", "long", "x" * 100_000, ttl=300)
    await cache.set("metadata", "very-long", os.urandom(3_000_000), ttl=300, tags=["big"])

    data, report = exported(endpoint)

    parts = [line for line in lines(data)[1:-1] if line["id"] == "very-long"]
    assert [line["part"] for line in parts] == [1, 2, 3]
    assert [line.get("more", False) for line in parts] == [True, True, False]
    assert parts[0]["tags"] == ["big"]
    assert "tags" not in parts[1]
    assert report.entries == 2


async def test_an_invalidated_very_long_entry_is_left_out(
    client: ValkeyClient, endpoint: Endpoint
) -> None:
    """It is dead like a short one, and not even read."""
    cache = CacheService(client, app="shop")
    await cache.set("metadata", "very-long", os.urandom(2_000_000), ttl=300)
    await cache.invalidate("metadata")

    _, report = exported(endpoint)

    assert (report.entries, report.keys, report.stale) == (0, 0, 1)


def test_a_large_collection_is_read_in_pieces(wire: Wire, endpoint: Endpoint) -> None:
    """Each type that the server has, thousands of elements."""
    numbers = [str(number) for number in range(5000)]
    pairs = [word for number in numbers for word in (number, "v" * 50)]
    wire.call("HSET", "shop:hash", *pairs)
    wire.call("ZADD", "shop:zset", *(word for number in numbers for word in (number, f"m{number}")))
    wire.call("SADD", "shop:set", *(f"member-{number}-{'x' * 30}" for number in numbers))
    wire.call("RPUSH", "shop:list", *(f"item-{number}-{'x' * 30}" for number in numbers))

    data, report = exported(endpoint)

    assert report.keys == 4
    for key in ("hash", "zset", "set", "list"):
        of_key = [line for line in lines(data)[1:-1] if line["key"] == f"shop:{key}"]
        assert len(of_key) > 1
        assert not of_key[-1].get("more")


def test_an_element_too_large_for_a_line_leaves_its_key_out(wire: Wire, endpoint: Endpoint) -> None:
    """The key is named with the reason, and not counted as exported."""
    wire.call("HSET", "shop:hash", "field", b"x" * 9_000_000)

    data, report = exported(endpoint)

    assert (report.keys, report.skipped) == (0, 1)
    assert report.skips[0].key == "shop:hash"
    assert "cannot be" in report.skips[0].reason
    assert lines(data)[-1] == {"end": True}


def test_a_file_appears_when_it_is_whole_and_is_its_owners_alone(
    wire: Wire, endpoint: Endpoint, tmp_path: Path
) -> None:
    """It replaces one of before, and nothing else is left in the folder."""
    wire.call("SET", "shop:note", "hello")
    file = tmp_path / "shop.jsonl"
    file.write_text("of before")

    with ExportSink(file) as sink:
        export(endpoint, sink, app="shop")
        assert file.read_text() == "of before"

    assert lines(file.read_bytes())[-1] == {"end": True, "lines": 1, "key_count": 1}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_an_export_that_fails_leaves_no_file(tmp_path: Path) -> None:
    """A server that goes away in the middle is told, and the part is removed."""
    answers = {
        b"SCAN": [page(7, "shop:a"), b"!\r\n"],
        b"DBSIZE": [b":1\r\n"],
        b"TIME": [b"*2\r\n$1\r\n1\r\n$1\r\n1\r\n"],
    }
    file = tmp_path / "shop.jsonl"

    with (
        scripted_server(answers) as endpoint,
        pytest.raises(UnreachableError, match="the export stopped after 0 keys"),
        ExportSink(file) as sink,
    ):
        export(endpoint, sink, app="shop")

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    """Before the server is asked for anything."""
    with (
        pytest.raises(FolderError, match=r"cannot be written to .*/none/shop\.jsonl"),
        ExportSink(tmp_path / "none" / "shop.jsonl"),
    ):
        pass


def test_a_compressed_file_is_one_zstd_stream(
    wire: Wire, endpoint: Endpoint, tmp_path: Path
) -> None:
    """The name says so, or whoever calls."""
    import zstandard

    wire.call("SET", "shop:note", "hello")
    file = tmp_path / "shop.jsonl.zst"

    with ExportSink(file) as sink:
        export(endpoint, sink, app="shop")

    data = zstandard.ZstdDecompressor().decompressobj().decompress(file.read_bytes())
    assert lines(data)[1]["text"] == "hello"


def test_lives_are_counted_from_the_time_in_the_header(wire: Wire, endpoint: Endpoint) -> None:
    """The header's time plus a key's ttl is when it expires, to the millisecond."""
    wire.call("SET", "shop:note", "hello", "PX", 60_000)

    data, _ = exported(endpoint)

    from valkeyctl.ops.keyspace.transfer.exportlines import read_header

    header = read_header(data.splitlines()[0])
    assert header is not None
    ttl_ms = lines(data)[1]["ttl_ms"]
    assert isinstance(ttl_ms, int)
    assert header.exported_ms + ttl_ms == wire.call("PEXPIRETIME", "shop:note")


def test_a_key_that_is_gone_when_it_is_read_is_left_out() -> None:
    """Whatever SCAN said of it; it is no key without content."""
    answers = {
        b"SCAN": [page(0, "shop:gone")],
        b"DBSIZE": [b":1\r\n"],
        b"TIME": [b"*2\r\n$1\r\n1\r\n$1\r\n1\r\n"],
        b"INFO": [b"$0\r\n\r\n"],
        b"GETRANGE": [b"$0\r\n\r\n"],
        b"PEXPIRETIME": [b":-2\r\n"],
    }

    with scripted_server(answers) as endpoint:
        data, report = exported(endpoint)

    assert (report.entries, report.keys, report.skipped) == (0, 0, 0)
    assert len(lines(data)) == 2
