"""A look into values of any type: bounded for us and for the server, secrets masked."""

from __future__ import annotations

import json

from tests.ops.keyspace.scripted import bulk, scripted_server
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.keyspace.inspection.inspect import inspect_key

SECRET = "hunter2hunter2"


def test_foreign_types_are_previewed(endpoint: Endpoint, wire: Wire) -> None:
    """Hash, list, set, sorted set and stream show some elements, secrets masked."""
    wire.call("HSET", "h", "password", SECRET, "model", "gpt-x")
    wire.call("RPUSH", "l", "one", "two\nlines", json.dumps({"token": SECRET}))
    wire.call("SADD", "s", "member")
    wire.call("ZADD", "z", "1.5", "first", "2", "second")
    wire.call("XADD", "x", "1-1", "secret", SECRET, "n", "1")

    details = {name: inspect_key(endpoint, name) for name in "hlszx"}

    assert {name: detail.type for name, detail in details.items()} == {
        "h": "hash",
        "l": "list",
        "s": "set",
        "z": "zset",
        "x": "stream",
    }
    assert details["h"].preview.lines == ("password: ***", "model: gpt-x")
    assert details["l"].preview.lines == ("one", "two\\nlines", '{"token": "***"}')
    assert details["s"].preview.lines == ("member",)
    assert details["z"].preview.lines == ("first = 1.5", "second = 2")
    assert details["x"].preview.lines == ("1-1 secret: ***, n: 1",)
    assert all(detail.entry is None for detail in details.values())
    assert [detail.length for detail in details.values()] == [2, 3, 1, 2, 1]


def test_a_large_collection_shows_ten_elements(endpoint: Endpoint, wire: Wire) -> None:
    """Ten of a hundred thousand, and one cheap step to get them."""
    wire.pipeline(("HSET", "h", f"field{number}", "v" * 100) for number in range(20_000))
    wire.pipeline(("SADD", "s", f"member{number}") for number in range(20_000))

    for name in "hs":
        detail = inspect_key(endpoint, name)

        assert detail.encoding == "hashtable"
        assert detail.length == 20_000
        assert len(detail.preview.lines) == 10
        assert detail.preview.truncated


def test_huge_elements_are_left_alone(endpoint: Endpoint, wire: Wire) -> None:
    """A list of five-megabyte elements is described, not read."""
    wire.call("RPUSH", "l", b"x" * 5 * 2**20, b"y" * 5 * 2**20)

    preview = inspect_key(endpoint, "l").preview

    assert preview.lines == ()
    assert preview.note == "elements of about 5.0 MiB each are not read"


def test_a_huge_field_among_small_ones_is_left_alone(endpoint: Endpoint, wire: Wire) -> None:
    """Its size is shown instead, and the others are."""
    wire.call("HSET", "h", "huge", b"x" * 30 * 2**20, "password", SECRET, "model", "gpt-x")
    before = int(wire.info("stats")["total_net_output_bytes"])

    preview = inspect_key(endpoint, "h").preview

    assert sorted(preview.lines) == ["huge: (30.0 MiB)", "model: gpt-x", "password: ***"]
    assert int(wire.info("stats")["total_net_output_bytes"]) - before < 100_000


def test_a_huge_element_among_a_few_small_ones_is_left_alone(
    endpoint: Endpoint, wire: Wire
) -> None:
    """Few elements are all weighed, so the large one is known."""
    wire.call("RPUSH", "l", *["small"] * 99, b"x" * 30 * 2**20)
    wire.call("SADD", "s", *map(str, range(99)), b"x" * 30 * 2**20)

    for name in "ls":
        preview = inspect_key(endpoint, name).preview
        assert preview.lines == ()
        assert preview.note is not None
        assert "are not read" in preview.note


def test_a_large_listpack_is_left_alone(endpoint: Endpoint, wire: Wire) -> None:
    """The server gives it as a whole, whatever it is asked for."""
    wire.call("CONFIG", "SET", "hash-max-listpack-entries", 10_000)
    try:
        wire.call("HSET", "h", *(word for number in range(6_000) for word in (number, "v" * 60)))
    finally:
        wire.call("CONFIG", "SET", "hash-max-listpack-entries", 512)

    detail = inspect_key(endpoint, "h")

    assert (detail.encoding, detail.length, detail.preview.lines) == ("listpack", 6_000, ())
    assert detail.preview.note is not None
    assert detail.preview.note.startswith("a listpack of ")


def test_a_hash_is_read_where_the_server_cannot_leave_values_out() -> None:
    """Older servers know no NOVALUES; its names are asked for in another way."""
    answers = {
        b"HELLO": [b"-ERR unknown command\r\n"],
        b"TYPE": [b"+hash\r\n"],
        b"PTTL": [b":-1\r\n"],
        b"MEMORY": [b":50\r\n"],
        b"HLEN": [b":1\r\n"],
        b"HSCAN": [b"-ERR syntax error\r\n"],
        b"HRANDFIELD": [bulk("field")],
        b"HSTRLEN": [b":5\r\n"],
        b"HGET": [b"$5\r\nvalue\r\n"],
    }

    with scripted_server(answers) as endpoint:
        assert inspect_key(endpoint, "k").preview.lines == ("field: value",)


def test_a_big_foreign_string_is_read_from_its_beginning(endpoint: Endpoint, wire: Wire) -> None:
    """A hundred megabytes cost one small read."""
    wire.call("SETRANGE", "big", 100 * 2**20, "end")
    wire.call("SETRANGE", "big", 0, f"password={SECRET} ")

    detail = inspect_key(endpoint, "big")

    assert detail.length == 100 * 2**20 + 3
    assert detail.preview.truncated
    assert detail.preview.lines[0].startswith("password=*** ")
    assert SECRET not in repr(detail)
