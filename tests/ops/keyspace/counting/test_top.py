"""The first keys of a keyspace, by the best source that there is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ops.keyspace.scripted import bulk, page, scripted_server
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UsageError
from valkeyctl.ops.keyspace.counting.ranking import Ranking
from valkeyctl.ops.keyspace.counting.top import By, top


@pytest.fixture
def by_use(endpoint: Endpoint, wire: Wire) -> Iterator[Endpoint]:
    """A server that evicts by frequency."""
    wire.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu", "lfu-log-factor", 0)
    yield endpoint
    wire.call("CONFIG", "SET", "maxmemory-policy", "noeviction", "lfu-log-factor", 10)


def test_the_biggest_keys_of_all(endpoint: Endpoint, wire: Wire) -> None:
    """The biggest first, with what there is to say of each."""
    wire.pipeline(("SET", f"a:n:{number}", "v" * number) for number in range(2_000))
    wire.pipeline([("SET", "a:n:big", "v" * 50_000, "EX", 100), ("RPUSH", "b:l:1", "v" * 20_000)])

    found = top(endpoint, places=3)

    assert [key.key for key in found.keys] == ["a:n:big", "b:l:1", found.keys[2].key]
    assert (found.by, found.source, found.asked) == ("memory", "memory", 2_002)
    first, second, _ = found.keys
    assert first.memory_bytes == wire.call("MEMORY", "USAGE", "a:n:big")
    assert first.ttl_s is not None
    assert (first.type, second.type, second.ttl_s) == ("string", "list", None)


def test_only_what_was_asked_for_is_compared(endpoint: Endpoint, wire: Wire) -> None:
    """One application, or one namespace of any."""
    wire.pipeline(("SET", key, "v") for key in ("a:n:1", "a:m:1", "b:n:1", "a:~version:n", "x"))

    def keys(app: str | None, namespace: str | None) -> set[str]:
        return {key.key for key in top(endpoint, app=app, namespace=namespace).keys}

    assert keys("a", None) == {"a:n:1", "a:m:1", "a:~version:n"}
    assert keys("a", "n") == {"a:n:1"}
    assert keys(None, "n") == {"a:n:1", "b:n:1"}
    assert len(keys(None, None)) == 5


def test_the_server_knows_the_hottest_where_it_evicts_by_use(by_use: Endpoint, wire: Wire) -> None:
    """By its own counters."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(100))
    wire.pipeline(("GET", "a:n:7") for _ in range(50))
    wire.pipeline(("GET", "a:n:8") for _ in range(20))

    found = top(by_use, By.FREQ, places=2)

    assert [key.key for key in found.keys] == ["a:n:7", "a:n:8"]
    assert (found.source, found.asked) == ("lfu", 100)
    hot, warm = (key.frequency or 0 for key in found.keys)
    assert hot > warm > 5
    with pytest.raises(UsageError, match="LFU"):
        top(by_use, By.IDLE)


def test_what_applications_counted_comes_next(endpoint: Endpoint, wire: Wire) -> None:
    """Over all namespaces that are counted; a key that is gone is still named."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(100))
    wire.call("SET", "b:m:x", "v")
    wire.call("ZADD", "a:~hot:n", 40, "7", 10, "gone", 5, "8", 3, "not an id")
    wire.call("ZADD", "b:~hot:m", 20.5, "x")

    found = top(endpoint, By.FREQ, places=3)

    assert [(key.key, key.reads) for key in found.keys] == [
        ("a:n:7", 40.0),
        ("b:m:x", 20.5),
        ("a:n:gone", 10.0),
    ]
    assert found.source == "counters"
    assert [key.type for key in found.keys] == ["string", "string", None]
    assert [key.key for key in top(endpoint, By.FREQ, app="b").keys] == ["b:m:x"]


def test_idle_times_are_what_is_left() -> None:
    """Used last where the hottest are asked for, unused for longest where idle ones are."""
    info = b"maxmemory_policy:allkeys-lru\r\n"
    answers = {
        b"HELLO": [bulk("mode", "standalone")],
        b"DBSIZE": [b":3\r\n"],
        b"INFO": [b"$%d\r\n%b\r\n" % (len(info), info)],
        b"SCAN": [page(0, "a:n:1", "a:n:2", "a:n:3")],
        b"OBJECT": [b":50\r\n", b"$-1\r\n", b":9\r\n"],
        b"MEMORY": [b":60\r\n"],
        b"PTTL": [b":-1\r\n"],
        b"TYPE": [b"+string\r\n"],
    }

    with scripted_server(answers) as endpoint:
        idle = top(endpoint, By.IDLE)
    with scripted_server({**answers, b"SCAN": [page(0), answers[b"SCAN"][0]]}) as endpoint:
        hottest = top(endpoint, By.FREQ)

    assert [(key.key, key.idle_s) for key in idle.keys] == [("a:n:1", 50), ("a:n:3", 9)]
    assert [(key.key, key.idle_s) for key in hottest.keys] == [("a:n:3", 9), ("a:n:1", 50)]
    assert (idle.source, hottest.source) == ("idle", "idle")


def test_an_empty_database_has_no_first_keys(endpoint: Endpoint) -> None:
    """Nothing is a result, too."""
    assert [top(endpoint, by).keys for by in By] == [(), (), ()]


@pytest.mark.parametrize("places", [0, 10_001])
def test_a_number_out_of_range_is_refused(endpoint: Endpoint, places: int) -> None:
    """Memory is that of the keys asked for, so they are bounded."""
    with pytest.raises(UsageError):
        top(endpoint, places=places)


@given(st.lists(st.lists(st.integers(0, 20), max_size=8), max_size=8), st.integers(1, 5))
def test_a_ranking_keeps_the_highest(columns: list[list[int]], places: int) -> None:
    """Of equal scores those that came first."""
    ranking: Ranking[tuple[int, int]] = Ranking(places)

    for number, column in enumerate(columns):
        ranking.add(column, lambda at, number=number: (number, at))  # type: ignore[misc]

    every = [
        (score, (n, at)) for n, column in enumerate(columns) for at, score in enumerate(column)
    ]
    assert ranking.best() == sorted(every, key=lambda one: (-one[0], one[1]))[:places]
