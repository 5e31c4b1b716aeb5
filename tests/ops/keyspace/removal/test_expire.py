"""Keys without expiry are found exactly, and given one that nobody's own TTL loses to."""

from __future__ import annotations

import random

import pytest

from tests.ops.keyspace.scripted import page, scripted_server
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import PartialError, ServerReplyError, UsageError
from valkeyctl.ops.keyspace.removal.expire import (
    EndlessKeys,
    ExpireReport,
    find_endless,
    give_expiry,
)

HOUR = 3600.0


def _hour(_: str) -> float:
    return HOUR


def _ttl(wire: Wire, key: str | bytes) -> int:
    return int(str(wire.call("TTL", key)))


def test_keys_without_expiry_are_found_by_namespace(endpoint: Endpoint, wire: Wire) -> None:
    """Of every type, with count, bytes and samples; what expires is not among them."""
    wire.pipeline(("SET", f"a:n:{number}", "v" * 100) for number in range(20))
    wire.pipeline(("SET", f"a:n:mortal{number}", "v", "EX", 100) for number in range(20))
    wire.call("HSET", "a:n:hash", "field", "v")
    wire.call("RPUSH", "a:m:list", "v")
    memory = sum(int(str(wire.call("MEMORY", "USAGE", f"a:n:{n}"))) for n in range(20))
    memory += int(str(wire.call("MEMORY", "USAGE", "a:n:hash")))

    found = find_endless(endpoint, "a")

    n, m = found.namespaces
    assert (found.found, found.left, found.fixed) == (22, 22, {})
    assert (n.namespace, n.keys, n.memory_bytes) == ("n", 21, memory)
    assert n.types == {"string": 20, "hash": 1}
    assert len(n.sample) == 5
    assert (m.namespace, m.keys, m.types, m.sample) == ("m", 1, {"list": 1}, ("a:m:list",))


def test_control_keys_and_other_applications_are_no_findings(
    endpoint: Endpoint, wire: Wire
) -> None:
    """Versions have no expiry by design, and others' keys are their business."""
    kept = ["a:~version:n", "a:~tag:t", "a:~hot:n", "a:~load:n:1", "b:n:1", "aa:n:1", "x"]
    wire.pipeline(("SET", name, "v") for name in kept)

    assert find_endless(endpoint, "a").found == 0


def test_keys_in_no_namespace_are_findings_too(endpoint: Endpoint, wire: Wire) -> None:
    """They are the application's, whatever it is that wrote them; shown safely."""
    wire.pipeline(("SET", name, "v") for name in (b"a:UPPER:1", b"a:plain", b"a:n\n:\xff"))

    (space,) = find_endless(endpoint, "a").namespaces

    assert (space.namespace, space.keys) == ("", 3)
    assert set(space.sample) == {"a:UPPER:1", "a:plain", "a:n\\x0a:\\xff"}


def test_one_namespace_alone(endpoint: Endpoint, wire: Wire) -> None:
    """Its neighbours are neither found nor changed."""
    wire.pipeline(("SET", name, "v") for name in ("a:n:1", "a:m:1", "a:nn:1"))

    found = find_endless(endpoint, "a", "n")
    done = give_expiry(endpoint, found, _hour, "n")

    assert (found.found, done.fixed, done.left) == (1, {"n": 1}, 0)
    assert [_ttl(wire, f"a:{name}:1") for name in ("m", "nn")] == [-1, -1]


def test_each_gets_a_ttl_with_jitter(endpoint: Endpoint, wire: Wire) -> None:
    """About the one asked for, and not all the same."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(200))

    done = give_expiry(endpoint, find_endless(endpoint, "a"), _hour, rng=random.Random(7))

    lives = [int(str(ttl)) for ttl in wire.pipeline(("PTTL", f"a:n:{n}") for n in range(200))]
    assert (done.found, done.fixed, done.left) == (200, {"n": 200}, 0)
    assert 0.89 * HOUR * 1000 < min(lives) < 0.95 * HOUR * 1000
    assert 1.05 * HOUR * 1000 < max(lives) <= 1.1 * HOUR * 1000
    assert len(set(lives)) > 150
    assert find_endless(endpoint, "a").found == 0


def test_a_ttl_that_a_key_has_is_kept(endpoint: Endpoint, wire: Wire) -> None:
    """Also one that it was given between finding and fixing."""
    wire.call("SET", "a:n:mortal", "v", "EX", 50)
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(2))
    found = find_endless(endpoint, "a")
    wire.call("EXPIRE", "a:n:0", 60)

    done = give_expiry(endpoint, found, _hour)

    assert (done.found, done.fixed) == (2, {"n": 1})
    assert _ttl(wire, "a:n:mortal") <= 50
    assert _ttl(wire, "a:n:0") <= 60


def test_a_namespace_without_a_ttl_to_give_is_left(endpoint: Endpoint, wire: Wire) -> None:
    """And said to be."""
    wire.pipeline(("SET", name, "v") for name in ("a:n:1", "a:m:1", "a:m:2"))

    done = give_expiry(endpoint, find_endless(endpoint, "a"), {"n": HOUR}.get)

    assert (done.fixed, done.left) == ({"n": 1}, 2)
    assert _ttl(wire, "a:m:1") == -1


def test_running_it_again_finds_nothing_to_do(endpoint: Endpoint, wire: Wire) -> None:
    """It is idempotent: the first TTL stays."""
    wire.call("SET", "a:n:1", "v")
    found = find_endless(endpoint, "a")
    give_expiry(endpoint, found, lambda _: 100.0, jitter=0)

    again = give_expiry(endpoint, found, _hour)

    assert again.fixed == {}
    assert _ttl(wire, "a:n:1") <= 100


@pytest.mark.parametrize("ttl", [0.0, -1.0, float("nan"), float("inf")])
def test_a_ttl_that_cannot_be_meant_is_refused(endpoint: Endpoint, wire: Wire, ttl: float) -> None:
    """PEXPIRE of zero would be a delete; nothing is touched."""
    wire.call("SET", "a:n:1", "v")

    with pytest.raises(UsageError, match="a ttl"):
        give_expiry(endpoint, find_endless(endpoint, "a"), lambda _: ttl)

    assert _ttl(wire, "a:n:1") == -1


def test_a_replica_refuses(endpoint: Endpoint, wire: Wire) -> None:
    """In its own words, before anything was changed."""
    wire.call("SET", "a:n:1", "v")
    found = find_endless(endpoint, "a")
    wire.call("REPLICAOF", "127.0.0.1", 1)
    try:
        with pytest.raises(ServerReplyError, match="READONLY"):
            give_expiry(endpoint, found, _hour)
    finally:
        wire.call("REPLICAOF", "NO", "ONE")


def test_stopped_in_the_middle_it_says_how_many(endpoint: Endpoint, wire: Wire) -> None:
    """And that the same command does the rest."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(5_000))
    found = find_endless(endpoint, "a")

    def interrupt(share: float, fixed: int) -> None:
        if fixed:
            raise KeyboardInterrupt

    with pytest.raises(PartialError, match="interrupted") as caught:
        give_expiry(endpoint, found, _hour, progress=interrupt)
    rest = find_endless(endpoint, "a").found
    done = give_expiry(endpoint, found, _hour)

    assert "valkeyctl keys expire --app a --yes" in str(caught.value.hint)
    assert 0 < rest < 5_000
    assert done.fixed == {"n": rest}


def test_a_server_that_fails_in_the_middle_leaves_a_part() -> None:
    """What was confirmed before is told."""
    found = ExpireReport("a", (EndlessKeys("n", 2, 0, {"string": 2}, ()),), 2)
    answers = {
        b"SCAN": [page(2, "a:n:1"), page(1, "a:n:2"), page(0)],
        b"PEXPIRE": [b":1\r\n", b"-READONLY no\r\n"],
        b"DBSIZE": [b":2\r\n"],
        b"HELLO": [b"*0\r\n"],
    }
    with (
        scripted_server(answers) as endpoint,
        pytest.raises(PartialError, match=r"at least 1 keys of a .* READONLY"),
    ):
        give_expiry(endpoint, found, _hour)
