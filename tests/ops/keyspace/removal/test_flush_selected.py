"""A flush by tag or by pattern deletes exactly what is meant, on every topology."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.caching.deployments import ClusterDeployment, SentinelDeployment
from tests.ops.keyspace.scripted import page, scripted_server
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.codec import Envelope
from valkeyctl.caching.driver.slots import slot_of
from valkeyctl.caching.keys import SHARDS, KeyScheme
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, PartialError, ServerReplyError
from valkeyctl.ops.keyspace.pace import Impact, Pace
from valkeyctl.ops.keyspace.removal.doomed import doomed_by
from valkeyctl.ops.keyspace.removal.flush import flush
from valkeyctl.ops.keyspace.removal.flushplan import plan_flush
from valkeyctl.ops.keyspace.removal.selection import Selection

FAST = Pace(duty=1.0)
TAG = Selection("a", tag="t")
SPACE = Selection("a", namespace="n")


def _entry(*tags: bytes, payload: bytes = b"v") -> bytes:
    """Return what lies in the server for an entry with these tags."""
    return Envelope(0x21, b"v" * 16, 0, payload, tuple((tag, b"w" * 16) for tag in tags)).pack()


async def test_a_tag_is_flushed_in_all_namespaces(
    client: ValkeyClient, endpoint: Endpoint, wire: Wire
) -> None:
    """Its entries go, whatever other tags they have; the rest stays and stays valid."""
    cache = CacheService(client, app="a", budget=5.0)
    await cache.set("n", "with", "v", ttl=300, tags=["t"])
    await cache.set("m", "with", "v", ttl=300, tags=["s", "t", "u"])
    await cache.set("n", "without", "v", ttl=300, tags=["tt", "T"])
    await cache.set("m", "plain", "v", ttl=300)

    report = flush(endpoint, TAG, pace=FAST)

    assert (report.tag, report.invalidated, report.deleted) == ("t", True, 2)
    assert wire.call("EXISTS", "a:n:with", "a:m:with") == 0
    assert await cache.get("n", "without") == "v"
    assert await cache.get("m", "plain") == "v"


def test_what_only_looks_like_a_tagged_entry_stays(endpoint: Endpoint, wire: Wire) -> None:
    """The bytes decide: of the header, of the tag block, and not of the value."""
    kept: dict[str | bytes, bytes] = {
        "a:n:payload": _entry(payload=b"\x01t" + b"w" * 16),
        "a:n:version": _entry(b"x" * 3, payload=b""),
        "a:n:longer": _entry(b"tt"),
        "a:n:other-format": b"\xcb\x31" + _entry(b"t")[2:],
        "a:n:no-entry": b"\x00" + _entry(b"t")[1:],
        "a:n:short": _entry(b"t")[:30],
        "a:n:cut": _entry(b"t")[:38],
        "a:n:empty": b"",
        "b:n:1": _entry(b"t"),
        "a:~load:n:1": _entry(b"t"),
        "aa:n:1": _entry(b"t"),
    }
    wire.pipeline(("SET", key, value) for key, value in kept.items())
    wire.call("HSET", "a:n:hash", "t", "t")
    wire.call("RPUSH", "a:n:list", _entry(b"t"))
    many = [b"%03d" % number for number in range(31)]
    gone: dict[str | bytes, bytes] = {
        "a:n:1": _entry(b"t"),
        "a:UPPER:1": _entry(b"t"),
        b"a:n:\xff\n*": _entry(b"s", b"t"),
        "a:n:many": _entry(*many, b"t", payload=b"v" * 1000),
    }
    wire.pipeline(("SET", key, value) for key, value in gone.items())

    report = flush(endpoint, TAG, pace=FAST)

    assert report.deleted == len(gone)
    assert wire.call("DBSIZE") == len(kept) + 2


def test_an_entry_written_anew_without_the_tag_stays(endpoint: Endpoint, wire: Wire) -> None:
    """The check and the delete are one step in the server, after the walk has found the key."""
    wire.call("SET", "a:n:1", _entry(b"t"))
    doomed = doomed_by(TAG, has_slots=False)
    commands = doomed.commands([b"a:n:1"])
    wire.call("SET", "a:n:1", _entry(b"s"))

    answers = wire.pipeline(commands)

    assert doomed.deleted([b"a:n:1"], answers) == 0
    assert wire.call("EXISTS", "a:n:1") == 1


def test_a_pattern_is_of_whole_keys(endpoint: Endpoint, wire: Wire) -> None:
    """With wildcards, sets and escapes as the server has them; nothing is invalidated."""
    gone = ["a:n:1", "a:m:1", "a:n*1", "a:n[1]:1"]
    kept = ["a:n:12", "a:~version:n1", "b:n:1", "xa:n:1", "a:n:2", "A:n:1"]
    wire.pipeline(("SET", name, "v") for name in (*gone, *kept))
    wire.call("SET", "a:~version:n", "v")

    report = flush(endpoint, Selection("a", pattern=b"a:*1"), pace=FAST)

    assert (report.pattern, report.invalidated, report.deleted) == ("a:*1", False, len(gone))
    assert wire.call("EXISTS", *kept, "a:~version:n") == len(kept) + 1


def test_a_pattern_with_escapes_means_the_character(endpoint: Endpoint, wire: Wire) -> None:
    """Not every key that the wildcard would match."""
    wire.pipeline(("SET", name, "v") for name in ("a:n:*", "a:n:1", b"a:n:\xff", "a:n:[x]"))

    first = flush(endpoint, Selection("a", pattern=b"a:n:\\*"), pace=FAST)
    second = flush(endpoint, Selection("a", pattern=b"a:n:\xff"), pace=FAST)
    third = flush(endpoint, Selection("a", pattern=b"a:n:\\[x]"), pace=FAST)

    assert (first.deleted, second.deleted, third.deleted) == (1, 1, 1)
    assert wire.call("EXISTS", "a:n:1") == wire.call("DBSIZE") == 1


def test_control_keys_go_when_they_are_named(endpoint: Endpoint, wire: Wire) -> None:
    """And everybody's keys when that is said."""
    wire.pipeline(("SET", name, "v") for name in ("a:~load:n:1", "a:~version:n", "b:n:1", "x"))

    named = flush(endpoint, Selection("a", pattern=b"a:~load:*"), pace=FAST)
    every = flush(endpoint, Selection("a", pattern=b"*", foreign=True), pace=FAST)

    assert (named.deleted, every.deleted) == (1, 2)
    assert wire.call("EXISTS", "a:~version:n") == wire.call("DBSIZE") == 1


def test_keys_that_go_meanwhile_are_not_counted(endpoint: Endpoint, wire: Wire) -> None:
    """The count is of the server's own answers, not of what the walk has found."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(5_000))
    others = 0

    def delete_some(_: object) -> None:
        nonlocal others
        answers = wire.pipeline(("DEL", f"a:n:{number}") for number in range(1, 5_000, 100))
        others += sum(answer for answer in answers if isinstance(answer, int))

    report = flush(endpoint, SPACE, pace=Pace(largest=100), progress=delete_some)

    assert others > 0
    assert report.deleted + others == 5_000
    assert wire.call("DBSIZE") == 0


@contextmanager
def _user(wire: Wire, *rules: str) -> Iterator[Endpoint]:
    """Yield the server as seen by a user with these rules."""
    wire.call("ACL", "SETUSER", "u", "on", ">password", "~*", "&*", "+@all", *rules)
    port = wire.endpoint.port
    try:
        yield Endpoint(port=port, username="u", password="password")
    finally:
        wire.call("ACL", "DELUSER", "u")


@pytest.mark.parametrize(
    ("chosen", "rule"),
    [
        (SPACE, "-unlink"),
        (SPACE, "-scan"),
        (TAG, "-eval"),
        (TAG, "-getrange"),
        (TAG, "-unlink"),
        (TAG, "-scan"),
        (Selection("a", pattern=b"a:*"), "-unlink"),
        (Selection("a", pattern=b"a:*"), "-scan"),
    ],
)
def test_a_user_without_the_right_changes_nothing(
    endpoint: Endpoint, wire: Wire, chosen: Selection, rule: str
) -> None:
    """One sentence, and neither keys nor versions have gone."""
    wire.pipeline(("SET", f"a:n:{number}", _entry(b"t")) for number in range(100))
    wire.pipeline(("SET", name, "v") for name in ("a:~version:n", "a:~tag:t"))

    with _user(wire, rule) as user, pytest.raises(AuthError, match="no permissions to run"):
        flush(user, chosen, pace=FAST)

    assert wire.call("DBSIZE") == 102


def test_a_plan_never_takes_a_missing_right_for_no_keys(endpoint: Endpoint, wire: Wire) -> None:
    """Who may not read headers is told so, and not that nothing carries the tag."""
    wire.call("SET", "a:n:1", _entry(b"t"))

    with _user(wire, "-getrange") as user, pytest.raises(AuthError, match="getrange"):
        plan_flush(user, TAG)


def test_a_user_with_some_of_the_keys_leaves_a_part(endpoint: Endpoint, wire: Wire) -> None:
    """A batch may be refused in part: what went is within what is told."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(3_000))
    wire.call("SET", "a:m:1", "v")

    with (
        _user(wire, "resetkeys", "~a:n:*") as user,
        pytest.raises(PartialError, match="NOPERM") as caught,
    ):
        flush(user, Selection("a", pattern=b"a:*"), pace=Pace(target=1.0))
    gone = 3_001 - int(str(wire.call("DBSIZE")))

    said = re.search(r"([\d,]+) keys are deleted, and up to ([\d,]+) more", str(caught.value))
    assert said is not None
    sure, perhaps = (int(number.replace(",", "")) for number in said.groups())
    assert sure <= gone <= sure + perhaps


@pytest.mark.parametrize("chosen", [SPACE, Selection("a", pattern=b"a:n*")])
def test_rights_to_the_keys_that_are_meant_are_enough(
    endpoint: Endpoint, wire: Wire, chosen: Selection
) -> None:
    """Whatever the flush tries before it begins, it asks for no more than it needs."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(10))

    with _user(wire, "resetkeys", "~a:n:*", "~a:~version:n") as user:
        assert flush(user, chosen, pace=FAST).deleted == 10


@pytest.mark.parametrize("chosen", [SPACE, TAG, Selection("a", pattern=b"a:*")])
def test_a_replica_refuses(endpoint: Endpoint, wire: Wire, chosen: Selection) -> None:
    """Whatever is selected, before anything is done; what would go can still be seen."""
    wire.call("SET", "a:n:1", _entry(b"t"))
    wire.call("REPLICAOF", "127.0.0.1", 1)
    try:
        with pytest.raises(ServerReplyError, match="READONLY"):
            flush(endpoint, chosen, pace=FAST)
        assert plan_flush(endpoint, chosen).keys == 1
    finally:
        wire.call("REPLICAOF", "NO", "ONE")


def test_a_command_that_fails_in_the_middle_leaves_a_part() -> None:
    """What was confirmed before it is told, and what may be, too."""
    answers = {
        b"SCAN": [page(0), page(2, "a:1", "a:2"), page(1, "a:3"), page(0)],
        b"UNLINK": [b":0\r\n", b":2\r\n", b"-OOM no\r\n"],
        b"DBSIZE": [b":3\r\n"],
        b"HELLO": [b"*0\r\n"],
        b"INFO": [b"$0\r\n\r\n"],
    }
    with (
        scripted_server(answers) as server,
        pytest.raises(PartialError, match=r"OOM.*; 2 keys are deleted, and up to 1 more"),
    ):
        flush(server, Selection("a", pattern=b"a:*"), pace=FAST)


def test_a_batch_that_was_refused_in_part_is_no_refusal() -> None:
    """It has deleted, whatever the count: one command of a few may have gone through."""
    keys = [f"a:{number}" for number in range(300)]
    answers = {
        b"SCAN": [page(0), page(0, *keys)],
        b"UNLINK": [b":0\r\n", b":256\r\n", b"-NOPERM no\r\n"],
        b"DBSIZE": [b":300\r\n"],
        b"HELLO": [b"*0\r\n"],
        b"INFO": [b"$0\r\n\r\n"],
    }
    with (
        scripted_server(answers) as server,
        pytest.raises(PartialError, match="0 keys are deleted, and up to 300 more"),
    ):
        flush(server, Selection("a", pattern=b"a:*"), pace=FAST)


def test_what_fails_after_the_version_went_is_a_part() -> None:
    """Nothing is deleted yet, but readers miss already."""
    answers = {
        b"SCAN": [page(0), b"-BUSY no\r\n"],
        b"UNLINK": [b":0\r\n"],
        b"DBSIZE": [b":1\r\n"],
        b"HELLO": [b"*0\r\n"],
        b"INFO": [b"$0\r\n\r\n"],
        b"PUBLISH": [b":0\r\n"],
    }
    with (
        scripted_server(answers) as server,
        pytest.raises(PartialError, match=r"BUSY.*its entries are invalid already, and 0 keys"),
    ):
        flush(server, SPACE, pace=FAST)


def test_others_are_watched(endpoint: Endpoint, wire: Wire) -> None:
    """At `low` and `normal` what a PING waited is told; at `max` nobody is watched."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(2_000))

    low = flush(endpoint, SPACE, pace=Pace.of(Impact.LOW))
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(2_000))
    most = flush(endpoint, SPACE, pace=Pace.of(Impact.MAX))

    assert low.deleted == most.deleted == 2_000
    assert low.effect is not None
    assert 0 < low.effect.p99_ms <= low.effect.worst_ms
    assert most.effect is None


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterDeployment]:
    """Three primaries."""
    with ClusterDeployment(tmp_path_factory.mktemp("cluster"), replicas=False) as made:
        yield made


@pytest.mark.slow
class TestOnACluster:
    """Where keys lie on three primaries, and a command names keys of one slot only."""

    async def test_a_namespace_is_flushed(self, cluster: ClusterDeployment) -> None:
        """On all of them, with its versions; another one stays."""
        await self._fill(cluster)

        report = flush(cluster.endpoint, SPACE, pace=FAST)

        assert report.deleted == 1_000
        left = [key for node in cluster.nodes for key in _keys(node.endpoint)]
        assert len([key for key in left if key.startswith(b"a:m:")]) == 100
        assert not [key for key in left if b":~version:" in key and key.endswith(b":n")]

    async def test_a_tag_is_flushed(self, cluster: ClusterDeployment) -> None:
        """Its entries in all namespaces and shards."""
        await self._fill(cluster)

        plan = plan_flush(cluster.endpoint, TAG)
        report = flush(cluster.nodes[1].endpoint, TAG, pace=FAST)

        assert plan.keys == report.deleted == 550
        async with ValkeyClient(cluster.endpoint) as client:
            cache = CacheService(client, app="a", budget=5.0)
            assert await cache.get("n", "1") == "v"
            assert await cache.get("n", "2") is None

    async def test_a_pattern_is_flushed(self, cluster: ClusterDeployment) -> None:
        """Whatever slots its keys are in, those of no shard included."""
        await self._fill(cluster)
        async with ValkeyClient(cluster.endpoint) as client:
            for number in range(50):
                await client.set(f"a:n:foreign{number}", "v")

        report = flush(cluster.endpoint, Selection("a", pattern=b"a:n:*"), pace=FAST)

        assert report.deleted == 1_050

    async def _fill(self, cluster: ClusterDeployment) -> None:
        async with ValkeyClient(cluster.endpoint) as client:
            await client.execute("FLUSHALL")
            cache = CacheService(client, app="a", budget=5.0)
            for namespace, count in (("n", 1_000), ("m", 100)):
                for tags, start in ((["t"], 0), ((), 1)):
                    values = {str(number): "v" for number in range(start, count, 2)}
                    await cache.set_many(namespace, values, ttl=300, tags=tags)


def _keys(endpoint: Endpoint) -> list[bytes]:
    with Wire(endpoint) as wire:
        reply = wire.call("SCAN", 0, "COUNT", 100_000)
    assert isinstance(reply, list)
    assert isinstance(reply[1], list)
    return [key for key in reply[1] if isinstance(key, bytes)]


def test_slots_are_the_servers(endpoint: Endpoint) -> None:
    """By its own examples: the tag in braces counts, if there is something in it."""
    assert slot_of(b"123456789") == 12739
    assert slot_of(b"{user1000}.following") == slot_of(b"user1000")
    assert slot_of(b"foo{}{bar}") == slot_of(b"foo{}{bar}x"[:-1]) != slot_of(b"bar")
    places = KeyScheme("a", shards=SHARDS).place("n", "1")
    assert slot_of(places.key) == slot_of(places.version)


@pytest.mark.slow
def test_behind_sentinels_the_primary_is_flushed(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The one that they name; its replica follows."""
    folder = tmp_path_factory.mktemp("sentinel")
    with SentinelDeployment(folder, servers=2, sentinels=1) as deployment:
        primary = deployment.primary()
        with Wire(primary.endpoint) as wire:
            wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(1_000))

        report = flush(deployment.endpoint, SPACE, pace=FAST)

        assert report.deleted == 1_000
        assert primary.call("DBSIZE") == 0
        # A replica that is made primary has to know of the version, too.
        assert primary.field("commandstats", "cmdstat_wait")
