"""Entries in bulk: what is fresh is left, all else is replaced, nothing new is lost."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec
import pytest

from tests.ops.conftest import Start
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.codec import Envelope
from valkeyctl.caching.keys import KeyScheme
from valkeyctl.caching.namespaces import Namespaces
from valkeyctl.caching.policy import NamespacePolicy
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import ServerReplyError
from valkeyctl.ops.keyspace.loading.bulk import BulkWriter
from valkeyctl.ops.keyspace.loading.drafts import Draft, Drafting, Life
from valkeyctl.ops.keyspace.loading.verify import verify
from valkeyctl.ops.keyspace.nodes import primaries

POLICIES = {"metadata": NamespacePolicy(300), "grace": NamespacePolicy(100, jitter=0, stale=500)}


@pytest.fixture
def rules() -> Drafting:
    """The rules of an application."""
    spaces = Namespaces(
        POLICIES, keyring=None, max_value_bytes=2**20, observers=(), rng=random.Random(1)
    )
    return Drafting(KeyScheme("a"), spaces)


@pytest.fixture
def writer(endpoint: Endpoint) -> Iterator[BulkWriter]:
    """A writer that leaves what is fresh."""
    with BulkWriter(primaries(endpoint)) as made:
        yield made


def draft(rules: Drafting, id: str, *tags: str, value: bytes = b'"file"') -> Draft:  # noqa: A002
    """Return the entry of a line of a file."""
    return rules.json("metadata", id, msgspec.Raw(value), 60.0, tags)


async def test_only_what_is_not_fresh_is_written(
    client: ValkeyClient, writer: BulkWriter, rules: Drafting, wire: Wire
) -> None:
    """Absent, foreign and of another kind: replaced; set by an application: left."""
    cache = CacheService(client, app="a", budget=5.0)
    await cache.set("metadata", "fresh", "application")
    wire.call("SET", "a:metadata:foreign", "not an entry")
    wire.call("HSET", "a:metadata:hash", "field", "value")
    ids = ["absent", "fresh", "foreign", "hash"]

    written = writer.write([draft(rules, name) for name in ids])

    assert written.skipped == [1]
    assert await cache.get_many("metadata", ids) == {
        "absent": "file",
        "fresh": "application",
        "foreign": "file",
        "hash": "file",
    }
    assert all(int(str(wire.call("PTTL", f"a:metadata:{name}"))) > 0 for name in ids)


async def test_what_was_invalidated_is_replaced(
    client: ValkeyClient, writer: BulkWriter, rules: Drafting
) -> None:
    """By its namespace, or by one of its tags; what has other tags is left."""
    cache = CacheService(client, app="a", budget=5.0)
    await cache.set("metadata", "one", 1, tags=["x", "gone"])
    await cache.set("metadata", "two", 2, tags=["x"])
    await cache.invalidate_tag("gone")

    tagged = writer.write([draft(rules, "one", "new"), draft(rules, "two", "new")])
    await cache.invalidate("metadata")
    spaced = writer.write([draft(rules, "one"), draft(rules, "two")])

    assert (tagged.skipped, spaced.skipped) == ([1], [])
    assert await cache.get_many("metadata", ["one", "two"]) == {"one": "file", "two": "file"}


async def test_what_is_stale_by_age_is_replaced(
    writer: BulkWriter, rules: Drafting, wire: Wire
) -> None:
    """An entry in its grace is there, and is not fresh."""
    old = rules.json("grace", "k", msgspec.Raw(b'"old"'), Life(600_000, 100_000, 1_000), None)
    new = rules.json("grace", "k", msgspec.Raw(b'"new"'), None, None)

    writer.write([old])
    written = writer.write([new])

    stored = Envelope.unpack(wire.call("GET", "a:grace:k"))  # type: ignore[arg-type]
    assert written.skipped == []
    assert stored.payload == b"new"


async def test_a_value_set_meanwhile_is_never_written_over(
    client: ValkeyClient, writer: BulkWriter, rules: Drafting, wire: Wire
) -> None:
    """Between the first look and the second an application has stored a newer one."""
    cache = CacheService(client, app="a", budget=5.0)
    wire.call("SET", "a:metadata:k", "not an entry")
    posted = writer.post([draft(rules, "k")])
    await cache.set("metadata", "k", "application")

    written = writer.settle(posted)

    assert written.skipped == [0]
    assert await cache.get("metadata", "k") == "application"


def test_to_replace_is_to_write_over_everything(
    endpoint: Endpoint, writer: BulkWriter, rules: Drafting, wire: Wire
) -> None:
    """Of an id that stands twice the last value stays; else the first."""
    twice = [draft(rules, "k", value=b"1"), draft(rules, "k", value=b"2")]

    kept = writer.write(twice)
    first = Envelope.unpack(wire.call("GET", "a:metadata:k"))  # type: ignore[arg-type]
    with BulkWriter(primaries(endpoint), replace=True) as replacing:
        replaced = replacing.write(twice)
    last = Envelope.unpack(wire.call("GET", "a:metadata:k"))  # type: ignore[arg-type]

    assert (kept.skipped, first.payload) == ([1], b"1")
    assert (replaced.skipped, last.payload) == ([], b"2")


def test_many_that_are_not_fresh_are_written_in_several_steps(
    writer: BulkWriter, rules: Drafting, wire: Wire
) -> None:
    """Hundreds of them, small and large, each under its own tags."""
    drafts = [
        draft(rules, f"k{n}", f"t{n % 3}", value=b'"%b"' % (b"x" * (n * 500))) for n in range(300)
    ]
    for made in drafts:
        wire.call("SET", made.key, "not an entry")

    posted = writer.post(drafts)
    written = writer.settle(posted)

    assert written.skipped == []
    sizes = [len(made.key) + int(str(wire.call("STRLEN", made.key))) for made in drafts]
    assert written.bytes == sum(sizes)
    assert verify(posted, ()).same == 300


def test_what_never_expires_stays_so(writer: BulkWriter, rules: Drafting, wire: Wire) -> None:
    """From an export: neither the entry nor the version that it lives under ends."""
    raw = msgspec.Raw(b"1")
    wire.call("SET", "a:metadata:foreign", "x")
    wire.call("SET", "a:~tag:t", b"t" * 16, "PX", 5_000)

    writer.write(
        [rules.json("metadata", name, raw, Life(0), ("t",)) for name in ("new", "foreign")]
    )

    keys = ["a:metadata:new", "a:metadata:foreign", "a:~version:metadata", "a:~tag:t"]
    assert [wire.call("PTTL", key) for key in keys] == [-1] * 4


def test_reading_back_names_what_is_not_as_it_was_written(
    writer: BulkWriter, rules: Drafting, wire: Wire
) -> None:
    """Gone, written over, and invalidated by a tag; the rest is counted."""
    posted = writer.post([draft(rules, f"k{n}", "t" if n == 3 else "u") for n in range(5)])
    skipped = writer.settle(posted).skipped
    wire.call("UNLINK", "a:metadata:k1")
    wire.call("APPEND", "a:metadata:k2", "x")
    wire.call("UNLINK", "a:~tag:t")

    found = verify(posted, skipped)

    assert found.same == 2
    assert [difference.place for difference in found.differences] == [1, 2, 3]
    reasons = [difference.reason for difference in found.differences]
    for reason, word in zip(reasons, ("not there", "written over", "invalidated"), strict=True):
        assert word in reason


def test_a_replica_takes_no_entries(start: Start, rules: Drafting) -> None:
    """One sentence, with what to do."""
    primary = start()
    replica = start("--replicaof", f"{primary.host} {primary.port}")
    with (
        BulkWriter(primaries(replica)) as writer,
        pytest.raises(ServerReplyError, match="READONLY") as caught,
    ):
        writer.write([draft(rules, "k")])

    assert "primary" in str(caught.value.hint)


def test_a_batch_that_follows_at_once_need_not_ask_for_versions(
    writer: BulkWriter, rules: Drafting
) -> None:
    """While one before it is on its way; after that, or for another tag, it is asked anew."""
    first = writer.post([draft(rules, "one")])
    second = writer.post([draft(rules, "two")])
    tagged = writer.post([draft(rules, "three", "t")])
    for posted in (first, second, tagged):
        assert writer.settle(posted).skipped == []
    later = writer.post([draft(rules, "four", "t")])
    writer.settle(later)

    fronts = [posted.parts[0].fronts for posted in (first, second, tagged, later)]
    assert fronts[0] is fronts[1]
    assert len({id(one) for one in fronts}) == 3
