"""Counts by namespace: every key once, in the right group, in bounded memory."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import start_server
from tests.ops.keyspace.scripted import page, scripted_server
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import InvalidKeyError, UnreachableError
from valkeyctl.ops.keyspace.counting.census import NamespaceStats
from valkeyctl.ops.keyspace.counting.stats import stats


def by_name(groups: tuple[NamespaceStats, ...]) -> dict[str, int]:
    """Return the number of keys per group."""
    return {group.name: group.keys for group in groups}


def test_namespaces_are_counted_apart(endpoint: Endpoint, wire: Wire) -> None:
    """Keys, bytes and lives of each namespace of the application, largest first."""
    wire.pipeline(("SET", f"a:big:{n}", "v" * 500, "PX", 100_000 + n) for n in range(100))
    wire.pipeline(("SET", f"a:small:{n}", "v") for n in range(10))
    sizes = [wire.call("MEMORY", "USAGE", f"a:big:{n}") for n in range(100)]

    found = stats(endpoint, "a")

    big, small = found.namespaces
    assert (big.name, big.keys, big.without_expiry) == ("big", 100, 0)
    assert big.memory_bytes == sum(size for size in sizes if isinstance(size, int))
    assert (small.name, small.keys, small.without_expiry, small.ttl_s) == ("small", 10, 10, None)
    assert big.ttl_s is not None
    assert big.ttl_s.max == pytest.approx(100.1, abs=2)
    assert big.ttl_s.min <= big.ttl_s.p50 <= big.ttl_s.p90 <= big.ttl_s.p99 <= big.ttl_s.max
    assert (found.total.keys, found.method) == (110, "exact")


def test_sizes_types_and_the_biggest_keys_are_told(endpoint: Endpoint, wire: Wire) -> None:
    """Of each namespace and, as far as asked for, of all keys."""
    wire.pipeline(("SET", f"a:n:{n}", "v" * 10 * n) for n in range(50))
    wire.pipeline(("HSET", f"a:h:{n}", "field", "v" * 5_000) for n in range(3))
    wire.pipeline([("SADD", "a:n:set", "member"), ("SET", "a:n:giant", "v" * 90_000, "EX", 500)])

    found = stats(endpoint, "a", biggest=2)

    rows = {row.name: row for row in found.namespaces}
    assert rows["n"].types == {"string": 51, "set": 1}
    assert rows["h"].types == {"hash": 3}
    assert found.biggest[0].key == "a:n:giant"
    assert [key.type for key in found.biggest] == ["string", "hash"]
    giant = rows["n"].biggest
    assert (giant.key, giant.type, giant.ttl_s is not None) == ("a:n:giant", "string", True)
    assert giant.memory_bytes == wire.call("MEMORY", "USAGE", "a:n:giant")
    sizes = rows["n"].size_bytes
    assert sizes.min <= sizes.p50 <= sizes.p90 <= sizes.p99 <= sizes.max == giant.memory_bytes
    assert sizes.p90 < 1_000 < sizes.mean
    assert sum(row.share for row in found.namespaces) == pytest.approx(1, abs=0.001)


def test_an_endless_key_is_shown_by_its_beginning(endpoint: Endpoint, wire: Wire) -> None:
    """A key of a megabyte is no line of a report."""
    wire.call("SET", b"a:n:" + b"\n" * 2**20, "v")

    (biggest,) = stats(endpoint, "a").biggest

    assert biggest.key.startswith("a:n:\\x0a")
    assert biggest.key.endswith("...")
    assert len(biggest.key) < 5_000


def test_what_is_in_no_namespace_is_grouped_honestly(endpoint: Endpoint, wire: Wire) -> None:
    """Other applications, versions and strangers are counted, by what they begin with."""
    names = ["a:n:1", "a:~version:n", "a:~tag:t", "b:n:1", "b:m:1", "a:Bad:1", "loose"]
    names += ["\x1b[2J:x", "w" * 100 + ":1", "a:~load:n:1", "a:~hot:n"]
    wire.pipeline(("SET", name, "v") for name in names)

    found = stats(endpoint, "a")

    assert by_name(found.namespaces) == {"n": 1}
    assert by_name(found.foreign) == {
        "(versions)": 2,
        "(leases)": 1,
        "(hottest ids)": 1,
        "b:": 2,
        "a:": 1,
        "(no prefix)": 1,
        "\\x1b[2J:": 1,
        "w" * 40 + "...": 1,
    }
    assert found.total.keys == len(names)


def test_without_an_application_every_one_is_told_apart(endpoint: Endpoint, wire: Wire) -> None:
    """Namespaces then carry their application's name."""
    wire.pipeline(("SET", name, "v") for name in ("a:n:1", "b:n:1", "b:n:2", "a:~version:n", "x"))

    found = stats(endpoint)

    assert by_name(found.namespaces) == {"a:n": 1, "b:n": 2}
    assert by_name(found.foreign) == {"(versions)": 1, "(no prefix)": 1}


def test_an_empty_database_has_no_namespaces(endpoint: Endpoint) -> None:
    """Nothing is a result, too."""
    found = stats(endpoint, "a")

    assert (found.namespaces, found.foreign, found.total.keys) == ((), (), 0)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    keys=st.dictionaries(
        st.one_of(
            st.binary(min_size=1, max_size=12),
            st.tuples(
                st.sampled_from([b"a:n:", b"a:m:", b"b:n:", b"a:~tag:"]), st.binary(max_size=6)
            ).map(b"".join),
        ),
        st.tuples(st.integers(0, 300), st.booleans()),
        max_size=40,
    )
)
def test_the_parts_add_up_to_the_whole(
    endpoint: Endpoint, keys: dict[bytes, tuple[int, bool]]
) -> None:
    """Whatever the keys are, each is in one group, with its bytes and its expiry."""
    with Wire(endpoint) as wire:
        wire.call("FLUSHALL")
        for key, (size, expires) in keys.items():
            wire.call("SET", key, b"v" * size)
            if expires:
                wire.call("EXPIRE", key, 1000)
        sizes = [wire.call("MEMORY", "USAGE", key) for key in keys]

    found = stats(endpoint, "a")

    groups = (*found.namespaces, *found.foreign)
    assert found.total.keys == len(keys) == sum(group.keys for group in groups)
    assert found.total.memory_bytes == sum(size for size in sizes if isinstance(size, int))
    assert found.total.memory_bytes == sum(group.memory_bytes for group in groups)
    assert found.total.without_expiry == sum(not expires for _, expires in keys.values())
    expected: dict[str, int] = defaultdict(int)
    for key in keys:
        for name in ("n", "m"):
            expected[name] += key.startswith(f"a:{name}:".encode())
    assert by_name(found.namespaces) == {name: n for name, n in expected.items() if n}


def test_prefixes_without_end_are_bounded(endpoint: Endpoint, wire: Wire) -> None:
    """A keyspace whose every key has a prefix of its own does not fill the memory."""
    wire.pipeline(("SET", f"user{number}:x", "v") for number in range(3_000))
    wire.pipeline(("SET", f"a:n{number}:x", "v") for number in range(3_000))

    found = stats(endpoint, "a")

    assert len(found.namespaces) + len(found.foreign) <= 501
    assert by_name(found.foreign)["(other)"] >= 5_400
    assert found.total.keys == 6_000


def test_a_hundred_thousand_keys_are_counted_exactly(endpoint: Endpoint, wire: Wire) -> None:
    """No key is lost or doubled over many steps, and progress ends at one."""
    wire.pipeline(
        ("SET", f"a:n{number % 5}:{number}", "v", "PX", 3_600_000) for number in range(100_000)
    )
    steps: list[tuple[float, int]] = []

    found = stats(endpoint, "a", progress=lambda visited, keys: steps.append((visited, keys)))

    assert by_name(found.namespaces) == {f"n{number}": 20_000 for number in range(5)}
    assert steps == sorted(steps)
    assert steps[-1] == (1.0, 100_000)


def test_keys_that_vanish_are_not_counted() -> None:
    """Gone before either question: not a key any more, and not a wrong expiry."""
    answers = {
        b"EVAL": [b"-ERR unknown command\r\n"],
        b"SCAN": [page(0, "a:n:1", "a:n:2", "a:n:3")],
        b"MEMORY": [b"$-1\r\n", b":50\r\n", b":60\r\n"],
        b"PTTL": [b":-2\r\n", b":-2\r\n", b":-1\r\n"],
        b"TYPE": [b"+none\r\n", b"+none\r\n", b"+hash\r\n"],
    }

    with scripted_server(answers) as endpoint:
        found = stats(endpoint, "a")

    (row,) = found.namespaces
    assert (row.name, row.keys, row.memory_bytes, row.without_expiry) == ("n", 1, 60, 1)
    assert (row.ttl_s, row.types, row.biggest.key) == (None, {"hash": 1}, "a:n:3")


def test_a_server_that_goes_away_gives_no_half_count(tmp_path: Path) -> None:
    """A part of a count is not passed off as one."""
    process, endpoint = start_server(tmp_path)

    def kill(visited: float, _keys: int) -> None:
        if visited < 1:
            process.kill()
            process.wait()

    try:
        with Wire(endpoint) as wire:
            wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(20_000))

        with pytest.raises(UnreachableError):
            stats(endpoint, "a", progress=kill)
    finally:
        process.kill()
        process.wait()


def test_a_wrong_application_is_refused(endpoint: Endpoint) -> None:
    """A name that no key can have would count nothing and call it empty."""
    with pytest.raises(InvalidKeyError):
        stats(endpoint, "Not An App")


def test_few_keys_are_always_counted_exactly(endpoint: Endpoint, wire: Wire) -> None:
    """Where a sample would ask as many keys as there are, all of them are asked."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(300))

    found = [stats(endpoint, "a", method=method) for method in ("auto", "exact", "sample")]

    assert {one.method for one in found} == {"exact"}
    assert found[0] == found[1] == found[2]
    assert found[0].asked == 300
