"""A list of keys: right rows, safe to print, in constant memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from tests.conftest import start_server
from tests.ops.keyspace.scripted import page, scripted_server
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, InvalidKeyError, UnreachableError, UsageError
from valkeyctl.ops.keyspace.listing import list_keys


def test_a_row_says_type_ttl_and_memory(endpoint: Endpoint, wire: Wire) -> None:
    """Each key of the application comes with what the server knows about it."""
    wire.call("SET", "opencode:response:a", "v" * 1000, "PX", 60_000)
    wire.call("HSET", "opencode:session:b", "field", "v")

    rows = {row.display: row for row in list_keys(endpoint, app="opencode")}

    first, second = rows["opencode:response:a"], rows["opencode:session:b"]
    assert (first.app, first.namespace, first.type) == ("opencode", "response", "string")
    assert first.ttl_s == pytest.approx(60, abs=1)
    assert first.memory_bytes == wire.call("MEMORY", "USAGE", "opencode:response:a")
    assert (second.namespace, second.type, second.ttl_s) == ("session", "hash", None)


def test_keys_are_narrowed_by_app_namespace_and_glob(endpoint: Endpoint, wire: Wire) -> None:
    """Each filter narrows, all of them hold together, control keys stay hidden."""
    names = ["a:n:1", "a:n:2", "a:m:1", "b:n:1", "a:~version:n", "a:~tag:t", "loose", "a:n"]
    wire.pipeline(("SET", name, "v") for name in names)

    def listed(**filters: str | bool) -> list[str]:
        return sorted(row.display for row in list_keys(endpoint, **filters))  # type: ignore[arg-type]

    assert listed(app="a") == ["a:m:1", "a:n", "a:n:1", "a:n:2"]
    assert listed(app="a", namespace="n") == ["a:n:1", "a:n:2"]
    assert listed(namespace="n") == ["a:n:1", "a:n:2", "b:n:1"]
    assert listed(match="*:1") == ["a:m:1", "a:n:1", "b:n:1"]
    assert listed(app="a", namespace="n", match="*1") == ["a:n:1"]
    assert listed() == ["a:m:1", "a:n", "a:n:1", "a:n:2", "b:n:1", "loose"]
    assert listed(app="a", namespace="n", control=True) == ["a:n:1", "a:n:2", "a:~version:n"]
    assert listed(control=True) == sorted(names)


def test_a_hostile_key_cannot_reach_the_terminal(endpoint: Endpoint, wire: Wire) -> None:
    """Newlines, escapes and raw bytes are shown, not sent."""
    key = b"opencode:response:\x1b[2J\r\n\xff\x00" + "\u202e".encode()
    wire.call("SET", key, "v")

    (row,) = list_keys(endpoint, app="opencode", namespace="response")

    assert row.key == key
    assert row.display == r"opencode:response:\x1b[2J\x0d\x0a\xff\x00\xe2\x80\xae"


@pytest.mark.parametrize("limit", [0, 1, 7, 5000])
def test_a_limit_is_kept(endpoint: Endpoint, wire: Wire, limit: int) -> None:
    """At most so many rows, and all of them when there are fewer."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(2_000))

    rows = list(list_keys(endpoint, app="a", limit=limit))

    assert len({row.key for row in rows}) == len(rows) == min(limit, 2_000)


def test_a_wrong_limit_or_name_is_refused_at_once(endpoint: Endpoint) -> None:
    """Before any row is asked for."""
    with pytest.raises(UsageError, match="0 or more keys, not -1"):
        list_keys(endpoint, limit=-1)
    with pytest.raises(InvalidKeyError):
        list_keys(endpoint, app="a", namespace="n*")


def test_keys_that_vanish_while_they_are_looked_at_are_left_out() -> None:
    """Gone before any of the questions, or back after one: no row, and the next ones fit."""
    answers = {
        b"SCAN": [page(0, "a:n:1", "a:n:2", "a:n:3", "a:n:4", "a:n:5")],
        b"TYPE": [b"+none\r\n", b"+string\r\n"],
        b"PTTL": [b":-2\r\n", b":-2\r\n", b":5000\r\n", b":-2\r\n", b":7000\r\n"],
        b"MEMORY": [b"$-1\r\n", b"$-1\r\n", b"$-1\r\n", b":56\r\n"],
    }

    with scripted_server(answers) as endpoint:
        rows = list(list_keys(endpoint, app="a"))

    assert [(row.display, row.ttl_s, row.memory_bytes) for row in rows] == [("a:n:5", 7.0, 56)]


def test_keys_that_expire_in_mid_walk_are_left_out(endpoint: Endpoint, wire: Wire) -> None:
    """What has expired is no row; what lives on is there once."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(10_000))
    rows = list_keys(endpoint, app="a")

    first = next(rows)
    wire.pipeline(("PEXPIRE", f"a:n:{number}", 1) for number in range(10_000) if number % 2)
    rest = list(rows)

    keys = [row.key for row in (first, *rest)]
    assert len(set(keys)) == len(keys)
    assert {f"a:n:{number}".encode() for number in range(0, 10_000, 2)} <= set(keys)
    assert len(keys) < 6_000


def test_a_server_that_goes_away_is_one_sentence(tmp_path: Path) -> None:
    """Rows given until then stay right; then one typed failure."""
    process, endpoint = start_server(tmp_path)
    try:
        with Wire(endpoint) as wire:
            wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(20_000))
        rows = list_keys(endpoint, app="a")
        next(rows)

        process.kill()
        process.wait()

        with pytest.raises(UnreachableError, match=endpoint.address):
            list(rows)
    finally:
        process.kill()
        process.wait()


def test_a_refused_command_is_a_failure_not_a_short_list(endpoint: Endpoint, wire: Wire) -> None:
    """A user who may SCAN but not ask for memory gets told so."""
    wire.call("SET", "a:n:1", "v")
    wire.call("ACL", "SETUSER", "scanner", "reset", "on", ">pw", "~*", "+@all", "-memory|usage")
    try:
        scanner = Endpoint(port=endpoint.port, username="scanner", password="pw")
        with pytest.raises(AuthError, match="NOPERM"):
            list(list_keys(scanner))
    finally:
        wire.call("ACL", "DELUSER", "scanner")


def test_rows_are_fetched_as_they_are_read(endpoint: Endpoint, wire: Wire) -> None:
    """A reader who stops after ten rows has cost the server two steps, not a walk."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(20_000))
    wire.call("CONFIG", "RESETSTAT")
    rows = list_keys(endpoint, app="a")

    for _ in range(10):
        next(rows)

    assert "calls=2," in wire.info("commandstats")["cmdstat_scan"]


@pytest.mark.slow
def test_a_list_of_any_length_takes_little_memory(endpoint: Endpoint, wire: Wire) -> None:
    """The rows of a hundred thousand keys pass through in a few megabytes."""
    wire.pipeline(("SET", f"opencode:response:{number:040}", "v") for number in range(100_000))
    tracemalloc.start()

    rows = sum(1 for _ in list_keys(endpoint, app="opencode"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert rows == 100_000
    assert peak < 20 * 2**20
