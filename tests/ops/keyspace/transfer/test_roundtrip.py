"""An export that is imported: the same keys, byte for byte, whatever they hold and wherever."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.caching.deployments import ClusterDeployment
from tests.conftest import start_server
from tests.ops.keyspace.transfer.snapshots import exported, imported, state
from valkeyctl.caching import CacheService, KeyRing, NamespacePolicy, ValkeyClient
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.keyspace.nodes import primaries

# No shrinking: each example costs several servers some work, and would for minutes.
_FEW = settings(
    max_examples=20,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
_KEYS = KeyRing({1: b"k" * 32}, 1)
_POLICIES = {
    "plain": NamespacePolicy(ttl=3600),
    "soft": NamespacePolicy(ttl=3600, stale=600),
    "squeezed": NamespacePolicy(ttl=3600, compress_over=20),
    "sealed": NamespacePolicy(ttl=3600, encrypt=True, compress_over=20),
}
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
)
Stored: TypeAlias = tuple[str, str, object, float, frozenset[str]]
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
_ID = st.text(
    st.characters(exclude_categories=("C", "Z")) | st.sampled_from('"\\{}:.'),
    min_size=1,
    max_size=12,
).filter(lambda text: text.isprintable() and " " not in text)
_ENTRIES: st.SearchStrategy[list[Stored]] = st.lists(
    st.tuples(
        st.sampled_from(["plain", "soft", "squeezed", "sealed"]),
        _ID,
        _VALUES,
        st.floats(60, 10_000),
        st.frozensets(st.sampled_from(["red", "grün", 'a"b\\c']), max_size=3),
    ),
    max_size=12,
)
_WORD = st.binary(min_size=1, max_size=6)
_WORDS = st.lists(_WORD, min_size=1, max_size=5)


@pytest.fixture(scope="module")
def other_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A server of another version where this machine has one."""
    folder = tmp_path_factory.mktemp("other")
    binary = shutil.which("valkey-server", path="/usr/bin")
    process, endpoint = start_server(folder, binary=binary)
    yield endpoint
    process.terminate()
    process.wait(timeout=10)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """Three primaries."""
    with ClusterDeployment(tmp_path_factory.mktemp("cluster"), replicas=False) as made:
        yield made.endpoint


@given(entries=_ENTRIES)
@_FEW
def test_any_value_comes_back_the_same_on_another_version(
    entries: list[Stored], valkey_server: Endpoint, other_server: Endpoint
) -> None:
    """There and back: bytes, times, tags, compression and encryption."""
    _empty(valkey_server, other_server)
    asyncio.run(_store(valkey_server, entries))
    before = state(valkey_server)

    there, _ = exported(valkey_server)
    report = imported(other_server, there)
    back, _ = exported(other_server)
    _empty(valkey_server)
    imported(valkey_server, back)

    assert report.entries == len(before)
    assert (report.rejected, report.existing, report.whole) == (0, 0, True)
    assert state(other_server) == before == state(valkey_server)
    assert asyncio.run(_read(other_server, entries)) == _last(entries)


@given(entries=_ENTRIES.map(lambda found: [one for one in found if one[0] != "sealed"]))
@settings(_FEW, max_examples=8)
def test_any_value_comes_back_the_same_from_a_cluster(
    entries: list[Stored], valkey_server: Endpoint, cluster: Endpoint
) -> None:
    """Into 64 shards, each under its own version, and back into none."""
    _empty(valkey_server, cluster)
    asyncio.run(_store(valkey_server, entries))
    before = state(valkey_server)

    there, _ = exported(valkey_server)
    imported(cluster, there)
    back, report = exported(cluster)
    _empty(valkey_server)
    imported(valkey_server, back)

    assert report.entries == len(before)
    assert state(cluster) == before == state(valkey_server)
    assert asyncio.run(_read(cluster, entries)) == _last(entries)


@given(words=_WORDS, key=_WORD, scores=st.lists(st.floats(allow_nan=False), min_size=1, max_size=5))
@_FEW
def test_keys_of_other_types_come_back_the_same(
    words: list[bytes],
    key: bytes,
    scores: list[float],
    valkey_server: Endpoint,
    other_server: Endpoint,
) -> None:
    """With binary names and members, infinite scores, and lives."""
    _empty(valkey_server, other_server)
    with Wire(valkey_server) as wire:
        wire.call("RPUSH", b"shop:list" + key, *words)
        wire.call("SADD", b"shop:set" + key, *words)
        wire.call("HSET", b"shop:hash" + key, *(two for word in words for two in (word, key)))
        for score in scores:
            wire.call("ZADD", b"shop:zset" + key, repr(score), repr(score))
        wire.call("XADD", b"shop:stream" + key, "5-1", words[0], key)
        wire.call("SET", b"shop:string" + key, words[0], "PX", 600_000)
        wire.call("PEXPIRE", b"shop:hash" + key, 600_000)
    before = state(valkey_server)

    there, report = exported(valkey_server)
    imported(other_server, there)
    back, _ = exported(other_server)
    _empty(valkey_server)
    imported(valkey_server, back)

    assert report.keys == len(before) == 6
    assert state(other_server) == before == state(valkey_server)


@pytest.mark.parametrize("key", [b"shop:q", b"shop:{a}:q", b"shop:}{q", b"shop:{}q", b"{shop:q"])
def test_a_key_with_odd_braces_is_built_in_its_own_slot(
    key: bytes, endpoint: Endpoint, cluster: Endpoint
) -> None:
    """On a Cluster a key is renamed within a slot only."""
    _empty(cluster)
    with Wire(endpoint) as wire:
        wire.call("RPUSH", key, "a", "b")
    before = state(endpoint)

    data, _ = exported(endpoint, None)
    report = imported(cluster, data)

    assert report.keys == 1
    assert state(cluster) == before


def test_large_values_come_back_the_same(endpoint: Endpoint, other_server: Endpoint) -> None:
    """Those that are written on several lines: an entry, a string, and each collection."""
    _empty(other_server)
    entry = ("plain", "big", os.urandom(2_500_000), 3600.0, frozenset({"red"}))
    asyncio.run(_store(endpoint, [entry]))
    numbers = [str(number) for number in range(3000)]
    with Wire(endpoint) as wire:
        wire.call("SET", "shop:string", os.urandom(2_500_000))
        wire.call("RPUSH", "shop:list", *(f"{number}{'x' * 400}" for number in numbers))
        wire.call("SADD", "shop:set", *(f"{number}{'x' * 400}" for number in numbers))
        wire.call("HSET", "shop:hash", *(two for one in numbers for two in (one, "x" * 400)))
        wire.call("ZADD", "shop:zset", *(two for one in numbers for two in (one, f"{one}member")))
        wire.pipeline(("XADD", "shop:stream", f"1-{one}", "f", "x" * 400) for one in numbers[1:])
    before = state(endpoint)

    data, exported_report = exported(endpoint)
    report = imported(other_server, data)

    assert (exported_report.entries, exported_report.keys) == (1, 6)
    assert (report.entries, report.keys) == (1, 6)
    assert state(other_server) == before


def test_a_stream_keeps_its_groups_and_counters(endpoint: Endpoint, other_server: Endpoint) -> None:
    """Who has read what, what was not acknowledged, and which ids were used."""
    _empty(other_server)
    with Wire(endpoint) as wire:
        for number in (1, 2, 3, 4):
            wire.call("XADD", "shop:jobs", f"7-{number}", "n", number)
        wire.call("XGROUP", "CREATE", "shop:jobs", b"g\xff", "0")
        group = ("GROUP", b"g\xff", "worker", "COUNT", 2, "STREAMS", "shop:jobs", ">")
        wire.call("XREADGROUP", *group)
        wire.call("XACK", "shop:jobs", b"g\xff", "7-1")
        wire.call("XDEL", "shop:jobs", "7-4")
        wire.call("XGROUP", "CREATE", "shop:empty", "g", "$", "MKSTREAM")

    data, _ = exported(endpoint)
    imported(other_server, data)

    with Wire(other_server) as wire, Wire(endpoint) as origin:
        for words in (
            ("XPENDING", "shop:jobs", b"g\xff"),
            ("XRANGE", "shop:jobs", "-", "+"),
            ("XINFO", "GROUPS", "shop:jobs"),
            ("XINFO", "GROUPS", "shop:empty"),
        ):
            assert wire.call(*words) == origin.call(*words)
        facts = [_facts(one.call("XINFO", "STREAM", "shop:jobs")) for one in (wire, origin)]
        assert facts[0] == facts[1]


def test_fields_of_a_hash_keep_their_lives(endpoint: Endpoint, tmp_path: Path) -> None:
    """Where the server has them; to the millisecond."""
    process, target = start_server(tmp_path)
    try:
        with Wire(endpoint) as wire, Wire(target) as restored:
            wire.call("HSET", "shop:hash", "a", "1", "b", "2")
            wire.call("HPEXPIRE", "shop:hash", 600_000, "FIELDS", 1, "a")

            data, _ = exported(endpoint)
            imported(target, data)

            ask = ("HPEXPIRETIME", "shop:hash", "FIELDS", 2, "a", "b")
            assert restored.call(*ask) == wire.call(*ask)
    finally:
        process.terminate()
        process.wait(timeout=10)


def _facts(answer: object) -> dict[object, object]:
    assert isinstance(answer, list)
    fields = dict(zip(answer[::2], answer[1::2], strict=True))
    names = (b"length", b"last-generated-id", b"entries-added", b"max-deleted-entry-id", b"groups")
    return {name: fields[name] for name in names}


def _empty(*endpoints: Endpoint) -> None:
    for endpoint in endpoints:
        for node in primaries(endpoint).nodes:
            with Wire(node) as wire:
                wire.call("FLUSHALL")


async def _store(endpoint: Endpoint, entries: list[Stored]) -> None:
    async with ValkeyClient(endpoint) as client:
        cache = CacheService(client, app="shop", policies=_POLICIES, keyring=_KEYS, budget=5)
        for namespace, name, value, ttl, tags in entries:
            await cache.set(namespace, name, value, ttl=ttl, tags=sorted(tags))


async def _read(endpoint: Endpoint, entries: list[Stored]) -> list[object]:
    async with ValkeyClient(endpoint) as client:
        cache = CacheService(client, app="shop", policies=_POLICIES, keyring=_KEYS, budget=5)
        return [await cache.get(*name) for name in _names(entries)]


def _names(entries: list[Stored]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((namespace, name) for namespace, name, *_ in entries))


def _last(entries: list[Stored]) -> list[object]:
    values = {(namespace, name): value for namespace, name, value, *_ in entries}
    return [values[name] for name in _names(entries)]
