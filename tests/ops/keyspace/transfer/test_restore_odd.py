"""What an import makes of lines that no export has, and of long strings."""

from __future__ import annotations

import base64
import gzip
import os

import pytest

from tests.ops.keyspace.transfer.snapshots import exported, imported
from tests.ops.keyspace.transfer.test_restore import file_of
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import PartialError, UsageError
from valkeyctl.ops.keyspace.transfer.exportlines import LONGEST_LIFE_MS
from valkeyctl.ops.keyspace.transfer.restorerun import RestoreRun

PART = b'{"key":"shop:%b","type":"list","items":["1"],"part":1,"more":true}'
REST = b'{"key":"shop:%b","items":["2"],"part":%d}'


def long_string(*pieces: bytes, size: int | None = None) -> list[bytes]:
    """Return the lines of the string ``shop:long`` in these pieces, said to have *size* bytes."""
    told = b"" if size is None else b',"type":"string","bytes":%d' % size
    lines = [
        b'{"key":"shop:long","data":"%b","part":%d,"more":true}' % (base64.b64encode(piece), part)
        for part, piece in enumerate(pieces, 1)
    ]
    lines[0] = lines[0].replace(b',"part"', told + b',"part"')
    lines[-1] = lines[-1].replace(b',"more":true', b"")
    return lines


def test_a_long_string_is_stored_by_one_command(wire: Wire, endpoint: Endpoint) -> None:
    """For an APPEND to a long one copies it, and holds the server up meanwhile."""
    value = os.urandom(3_000_000)
    wire.call("SET", "shop:long", value)
    data, _ = exported(endpoint)
    wire.call("FLUSHALL")
    wire.call("CONFIG", "RESETSTAT")

    report = imported(endpoint, data)

    counted = wire.info("commandstats")
    assert report.keys == 1
    assert wire.call("GET", "shop:long") == value
    assert counted["cmdstat_set"].startswith("calls=1,")
    assert "cmdstat_append" not in counted


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (long_string(b"a", b"b", size=3), "the string has 2 of its 3 bytes"),
        (long_string(b"a", b"b", size=1), "the string has more than its 1 bytes"),
        (long_string(b"a", b"b", size=10**12), "longer than the 512.0 MiB"),
        (long_string(b"a", b"b", size=0), "the field 'bytes', the size of all parts"),
    ],
)
def test_a_long_string_of_another_size_is_refused(
    wire: Wire, endpoint: Endpoint, lines: list[bytes], reason: str
) -> None:
    """Once, and nothing of it is stored."""
    report = imported(endpoint, file_of(*lines))

    assert [reason in one.reason for one in report.rejects] == [True]
    assert wire.call("DBSIZE") == 0


def test_a_long_string_that_ends_in_its_middle_is_not_stored(
    wire: Wire, endpoint: Endpoint
) -> None:
    """The file was cut off; what comes before is stored."""
    pieces = long_string(os.urandom(500_000), os.urandom(500_000), size=1_000_000)
    data = file_of(b'{"key":"shop:a","type":"set","items":["1"]}', *pieces)

    report = imported(endpoint, data[: data.index(b'"part":2')])

    assert (report.keys, report.whole) == (1, False)
    assert wire.call("KEYS", "*") == [b"shop:a"]


def test_a_long_string_that_is_there_is_not_sent(wire: Wire, endpoint: Endpoint) -> None:
    """All of it would be thrown away again, and that takes the server a while."""
    wire.call("SET", "shop:long", "there")
    wire.call("CONFIG", "RESETSTAT")

    report = imported(endpoint, file_of(*long_string(b"a", b"b", size=2)))

    assert (report.keys, report.existing) == (0, 1)
    assert wire.call("GET", "shop:long") == b"there"
    assert "cmdstat_set" not in wire.info("commandstats")


async def test_a_long_entry_that_is_there_is_not_sent(
    client: ValkeyClient, endpoint: Endpoint
) -> None:
    """If readers are given it; a dead one is replaced, as the other tests have it."""
    await CacheService(client, app="shop").set("metadata", "k", b"x" * 2_500_000, ttl=300)
    data, _ = exported(endpoint)
    await client.execute("CONFIG", "RESETSTAT")

    report = imported(endpoint, data)

    with Wire(endpoint) as wire:
        assert "cmdstat_set" not in wire.info("commandstats")
    assert report.existing == 1


def test_a_key_whose_parts_are_missing_costs_no_other_key(wire: Wire, endpoint: Endpoint) -> None:
    """It is refused by its first line; the key after it is stored."""
    data = file_of(PART % b"a", PART % b"b", REST % (b"b", 2))

    report = imported(endpoint, data)

    assert wire.call("KEYS", "*") == [b"shop:b"]
    (refused,) = report.rejects
    assert (refused.line, report.keys) == (2, 1)
    assert "begins on line 2: the parts after it are missing" in refused.reason


def test_a_key_that_is_refused_is_refused_once(wire: Wire, endpoint: Endpoint) -> None:
    """However many lines it has; a value of 100 MB has a hundred."""
    first = (PART % b"a").replace(b"shop:", b"desk:")
    rest = (REST % (b"a", 2)).replace(b"shop:", b"desk:")

    report = imported(endpoint, file_of(first, rest))

    assert [one.line for one in report.rejects] == [2]
    assert wire.call("DBSIZE") == 0


def test_a_part_that_is_refused_takes_its_key_along(wire: Wire, endpoint: Endpoint) -> None:
    """Its other lines are passed over, and it counts as nothing else."""
    data = file_of(
        b'{"key":"shop:z","type":"zset","items":["m","1"],"part":1,"more":true}',
        b'{"key":"shop:z","items":["n","no number"],"part":2,"more":true}',
        b'{"key":"shop:z","items":["o","1"],"part":3}',
    )

    report = imported(endpoint, data)

    assert [one.line for one in report.rejects] == [3]
    assert (report.keys, report.existing) == (0, 0)
    assert wire.call("DBSIZE") == 0


def test_a_refused_key_does_not_hold_back_where_to_go_on(
    wire: Wire, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes after it is stored, and need not be read again."""
    first = (PART % b"a").replace(b"shop:", b"desk:")
    entries = [b'{"namespace":"m","id":"k%d","value":1}' % number for number in range(20_000)]
    monkeypatch.setattr(RestoreRun, "end", _interrupted)

    with pytest.raises(PartialError) as stopped:
        imported(endpoint, file_of(first, *entries))

    assert int(str(stopped.value.hint).rsplit(" ", 1)[1]) > 2


def test_a_hash_whose_fields_have_all_expired_has_expired(wire: Wire, endpoint: Endpoint) -> None:
    """It is no key any more, and ends no import."""
    data = file_of(
        b'{"key":"shop:h","type":"hash","items":["f","v"],"expires_ms":[5]}',
        b'{"key":"shop:l","type":"list","items":["1"]}',
    )

    report = imported(endpoint, data)

    assert (report.keys, report.expired, report.rejected) == (1, 1, 0)
    assert wire.call("KEYS", "*") == [b"shop:l"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"key":"shop:~version:m","type":"string","text":"x"}', "holds a version"),
        (b'{"key":"desk:m","type":"string","text":"x"}', "does not begin with shop:"),
        (b'{"app":"desk","namespace":"m","id":"k","value":1}', "it is desk's"),
        (b'{"namespace":"m","id":"k","data":"wQ==","encoding":"msgpack"}', "is not msgpack"),
        (b'{"namespace":"m","id":"k","data":"ew==","encoding":"json"}', "is not json"),
        (b'{"key":"shop:s","type":"stream","entries":[]}', "there is nothing in it"),
        (
            b'{"key":"shop:s","type":"stream","entries":[],"stream":{"last_id":"1-1",'
            b'"entries_added":1,"max_deleted_id":"0-0","groups":[{"name_b64":"Zw==",'
            b'"last_id":"0-0","pending":[["1-1",7,1,1]]}]}}',
            "consumer 7, which is not there",
        ),
    ],
)
def test_a_line_that_no_export_has_is_refused(
    wire: Wire, endpoint: Endpoint, line: bytes, reason: str
) -> None:
    """It would change what holds for others, or be nothing that a reader finds."""
    report = imported(endpoint, file_of(line))

    assert [reason in one.reason for one in report.rejects] == [True]
    assert wire.call("DBSIZE") == 0


def test_a_key_on_its_way_is_not_exported(wire: Wire, endpoint: Endpoint) -> None:
    """An import that was killed leaves it for an hour."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("valkeyctl.ops.keyspace.transfer.rebuild.Rebuilder.finish", _interrupted)
        patch.setattr("valkeyctl.ops.keyspace.transfer.multipart.Parts.drop", lambda *_: None)
        with pytest.raises((PartialError, KeyboardInterrupt)):
            imported(endpoint, file_of(PART % b"a", REST % (b"a", 2)))

    data, report = exported(endpoint)

    assert wire.call("DBSIZE") == 1
    assert (report.keys, report.skipped) == (0, 0)
    assert b"~import" not in data


def test_an_interruption_leaves_no_key_on_its_way(wire: Wire, endpoint: Endpoint) -> None:
    """Of those that take one line each, too, of which many are built at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("valkeyctl.ops.keyspace.transfer.rebuild.Rebuilder._finish", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            imported(endpoint, file_of(b'{"key":"shop:a","type":"list","items":["1"]}'))

    assert wire.call("DBSIZE") == 0


def test_a_line_past_the_end_to_go_on_at_is_wrong_usage(wire: Wire, endpoint: Endpoint) -> None:
    """Nothing imported must not look like all imported; the line after the last one is past."""
    data = file_of(b'{"key":"shop:a","type":"list","items":["1"]}')

    with pytest.raises(UsageError, match="has 3 lines, and line 4 is past its end"):
        imported(endpoint, data, from_line=4)

    assert imported(endpoint, data, from_line=3).keys == 0


def test_a_header_of_a_time_to_come_makes_no_endless_life(wire: Wire, endpoint: Endpoint) -> None:
    """Of a clock that was wrong; a life is a hundred years at most."""
    entry = b'{"namespace":"m","id":"k","value":1,"ttl_ms":5000}'
    data = file_of(entry, b'{"key":"shop:a","type":"list","items":["1"],"ttl_ms":5000}')

    report = imported(endpoint, data.replace(b"2026-", b"9026-"))

    assert (report.entries, report.keys) == (1, 1)
    for key in ("shop:a", "shop:m:k"):
        left_ms = wire.call("PTTL", key)
        assert isinstance(left_ms, int)
        assert 0 < left_ms <= LONGEST_LIFE_MS


def test_a_damaged_file_is_to_be_got_again_before_it_goes_on(
    wire: Wire, endpoint: Endpoint
) -> None:
    """The hint says so beside the command."""
    keys = [b'{"key":"shop:%d","type":"list","items":["%b"]}' % (n, os.urandom(300).hex().encode())
            for n in range(3000)]  # fmt: skip
    data = gzip.compress(file_of(*keys))

    with pytest.raises(PartialError) as stopped:
        imported(endpoint, data[:-9])

    assert "Get the file again, and then run it again on" in str(stopped.value.hint)


def _interrupted(*_: object) -> bool:
    raise KeyboardInterrupt
