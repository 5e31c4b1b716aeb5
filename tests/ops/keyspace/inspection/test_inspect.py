"""One key, whatever it is: its facts, its envelope, and a look inside that harms nobody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ops.keyspace.scripted import scripted_server
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.codec import ALWAYS_FRESH, SCHEMA, ZSTD, Envelope, encode, head
from valkeyctl.caching.keyring import KeyRing
from valkeyctl.caching.keys import SHARDS, KeyScheme
from valkeyctl.caching.payload import Payload, Payloads
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, NotFoundError, UnreachableError
from valkeyctl.ops.keyspace.inspection.home import EntryName
from valkeyctl.ops.keyspace.inspection.inspect import inspect_key
from valkeyctl.ops.keyspace.inspection.preview import Preview

SECRET = "hunter2hunter2"


def store(
    wire: Wire, key: bytes, payload: Payload, *, fresh_ms: int = ALWAYS_FRESH, cost_ms: int = 0
) -> None:
    """Store an entry as the write script would, under a version that nobody holds."""
    envelope = Envelope(
        head(payload.encoding, 0)[1],
        b"v" * 16,
        1_700_000_000_000,
        payload.data,
        flags=payload.flags,
        fresh_ms=fresh_ms,
        cost_ms=cost_ms,
    )
    wire.call("SET", key, envelope.pack())


@pytest.fixture
def lfu(wire: Wire) -> Iterator[None]:
    """The server counts uses instead of keeping times."""
    wire.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
    yield
    wire.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    wire.call("CONFIG", "SET", "lfu-log-factor", 10)


async def test_an_entry_is_taken_apart(client: ValkeyClient, endpoint: Endpoint) -> None:
    """Namespace, tags, age, version, format and value of what the library stored."""
    cache = CacheService(client, app="opencode", budget=5.0)
    await cache.set("metadata", "gpt-x", {"context": 128000}, ttl=300, tags=["models", "openai"])

    detail = inspect_key(endpoint, "opencode:metadata:gpt-x")

    assert (detail.app, detail.namespace, detail.type) == ("opencode", "metadata", "string")
    assert detail.ttl_s == pytest.approx(300, abs=2)
    assert detail.entry is not None
    assert (detail.entry.version, detail.entry.format) == ("current", "json")
    assert (detail.entry.tags, detail.entry.stale_tags) == (("models", "openai"), ())
    assert 0 <= detail.entry.age_s < 5
    assert detail.entry.payload_bytes == len(b'{"context":128000}')
    assert detail.length is not None
    assert detail.length > detail.entry.payload_bytes
    assert detail.preview.lines == ('{"context": 128000}',)
    assert not detail.preview.truncated


async def test_an_invalidated_entry_is_stale(client: ValkeyClient, endpoint: Endpoint) -> None:
    """By its namespace or by one of its tags, each said apart."""
    cache = CacheService(client, app="opencode", budget=5.0)
    await cache.set("metadata", "a", "v", ttl=300, tags=["models", "openai"])
    await cache.set("response", "b", "v", ttl=300)
    await cache.invalidate_tag("models")
    await cache.invalidate("response")

    by_tag = inspect_key(endpoint, "opencode:metadata:a").entry
    by_namespace = inspect_key(endpoint, "opencode:response:b").entry

    assert by_tag is not None
    assert (by_tag.version, by_tag.stale_tags) == ("current", ("models",))
    assert by_namespace is not None
    assert by_namespace.version == "stale"


def test_an_entry_in_a_shard_knows_its_version(endpoint: Endpoint, wire: Wire) -> None:
    """On a Cluster each shard of a namespace has a version of its own."""
    place = KeyScheme("opencode", shards=SHARDS).place("metadata", "a")
    encoding, payload = encode("v")
    wire.call("SET", place.version, b"v" * 16)
    wire.call("SET", place.key, Envelope(SCHEMA << 4 | encoding, b"v" * 16, 0, payload).pack())

    entry = inspect_key(endpoint, place.key).entry

    assert entry is not None
    assert entry.version == "current"


def test_a_compressed_entry_is_read_and_both_sizes_said(endpoint: Endpoint, wire: Wire) -> None:
    """What lies there and what it is made of, with the value itself."""
    key = b"opencode:response:k"
    payload = Payloads(compress_over=100).pack(key, {"text": "word " * 1000})
    store(wire, key, payload, fresh_ms=60_000, cost_ms=1500)

    detail = inspect_key(endpoint, key)

    assert detail.entry is not None
    assert (detail.entry.format, detail.entry.compressed, detail.entry.key_id) == (
        ("json", True, None)
    )
    assert detail.entry.payload_bytes == len(payload.data) < 200
    assert detail.entry.raw_bytes == len('{"text":""}') + 5000
    assert detail.entry.fresh_until_s == pytest.approx(detail.entry.created_s + 60)
    assert detail.entry.load_s == 1.5
    assert detail.preview.lines[0].startswith('{"text": "word word')


@pytest.mark.parametrize("compress_over", [None, 0])
def test_an_encrypted_entry_is_described_and_not_shown(
    endpoint: Endpoint, wire: Wire, compress_over: int | None
) -> None:
    """The id of its key is no secret, and that there is none here no failure."""
    key = b"opencode:response:k"
    payloads = Payloads(keyring=KeyRing({7: bytes(32)}, 7), compress_over=compress_over)
    store(wire, key, payloads.pack(key, SECRET * 10))

    detail = inspect_key(endpoint, key)

    assert detail.entry is not None
    assert (detail.entry.key_id, detail.entry.format) == (7, "str")
    assert detail.entry.raw_bytes == (len(SECRET) * 10 if compress_over is None else None)
    assert detail.entry.fresh_until_s is None
    assert detail.preview == Preview(truncated=True, note="encrypted (key id 7)")


def test_an_entry_whose_payload_is_no_frame_is_none(endpoint: Endpoint, wire: Wire) -> None:
    """It calls itself compressed and is not: shown as the foreign string that it is."""
    store(wire, b"opencode:response:k", Payload(1, ZSTD, b"no frame"))

    detail = inspect_key(endpoint, "opencode:response:k")

    assert detail.entry is None
    assert "no frame" in detail.preview.lines[0]


@pytest.mark.parametrize(
    ("value", "form", "line"),
    [
        ("plain text", "str", "plain text"),
        (b"\x00\xff", "bytes", "\\x00\\xff"),
        ({"raw": b"\xff", 1: 2.5}, "msgpack", '{"raw": "\\xff", "1": 2.5}'),
        ([None, True], "json", "[null, true]"),
        ({"api_key": SECRET, "max_tokens": 5}, "json", '{"api_key": "***", "max_tokens": 5}'),
        (f"Authorization: Bearer {SECRET}", "str", "Authorization: *** ***"),
        ({b"password": SECRET.encode()}, "msgpack", '{"password": "***"}'),
        ("one\n\x1b[31mtwo", "str", "one"),
    ],
)
async def test_a_value_is_shown_as_far_as_it_may_be(
    client: ValkeyClient, endpoint: Endpoint, value: object, form: str, line: str
) -> None:
    """Every format of the codec, secrets masked, controls escaped."""
    await CacheService(client, app="opencode", budget=5.0).set("metadata", "k", value, ttl=300)

    detail = inspect_key(endpoint, "opencode:metadata:k")

    assert detail.entry is not None
    assert detail.entry.format == form
    assert detail.preview.lines[0] == line
    assert "\x1b" not in "".join(detail.preview.lines)
    assert SECRET not in repr(detail)


async def test_a_large_entry_is_read_in_pieces(client: ValkeyClient, endpoint: Endpoint) -> None:
    """A secret deep inside of a megabyte is masked, for the value was decoded whole."""
    cache = CacheService(client, app="opencode", budget=5.0)
    value = {"a": "x" * 1500, "password": SECRET, "z": "y" * 2**20}
    assert await cache.set("response", "k", value, ttl=300)

    detail = inspect_key(endpoint, "opencode:response:k")

    assert detail.preview.truncated
    assert len(detail.preview.lines[0]) == 2000
    assert '"password": "***"' in detail.preview.lines[0]


@pytest.mark.parametrize(
    ("value", "lines", "note"),
    [
        ("begin ", ("begin " + "\\x00" * 1994,), None),
        ({1: "begin"}, (), "100.0 MiB of msgpack are not decoded for a preview"),
    ],
)
def test_a_huge_entry_is_not_read_whole(
    endpoint: Endpoint, wire: Wire, value: object, lines: tuple[str, ...], note: str | None
) -> None:
    """Of a hundred megabytes only the first piece travels."""
    encoding, payload = encode(value)
    envelope = Envelope(SCHEMA << 4 | encoding, b"v" * 16, 0, payload)
    wire.call("SET", "opencode:response:huge", envelope.pack())
    wire.call("SETRANGE", "opencode:response:huge", 100 * 2**20, "end")
    before = int(wire.info("stats")["total_net_output_bytes"])

    detail = inspect_key(endpoint, "opencode:response:huge")

    assert (detail.preview.lines, detail.preview.note) == (lines, note)
    assert detail.preview.truncated
    assert int(wire.info("stats")["total_net_output_bytes"]) - before < 200_000


def test_a_key_that_vanishes_meanwhile_is_not_found() -> None:
    """It was there for the first question, and not for the last."""
    answers = {
        b"HELLO": [b"-ERR unknown command\r\n"],
        b"TYPE": [b"+hash\r\n"],
        b"PTTL": [b":-1\r\n"],
        b"MEMORY": [b":50\r\n"],
        b"HLEN": [b":0\r\n"],
        b"HSCAN": [b"*2\r\n$1\r\n0\r\n*0\r\n"],
        b"EXISTS": [b":0\r\n"],
    }

    with scripted_server(answers) as endpoint, pytest.raises(NotFoundError):
        inspect_key(endpoint, "k")


async def test_the_lease_of_a_loader_is_told(
    client: ValkeyClient, endpoint: Endpoint, wire: Wire
) -> None:
    """Somebody loads the value anew at this moment."""
    await CacheService(client, app="opencode", budget=5.0).set("metadata", "k", "v", ttl=300)
    place = KeyScheme("opencode").place("metadata", "k")
    assert inspect_key(endpoint, place.key).entry is not None
    wire.call("SET", place.lease, "token", "PX", 60_000)

    detail = inspect_key(endpoint, EntryName("opencode", "metadata", "k"))

    assert detail.entry is not None
    assert detail.entry.loading_s == pytest.approx(60, abs=5)
    assert detail.refcount == 1


def test_a_foreign_string_in_a_namespace_is_no_entry(endpoint: Endpoint, wire: Wire) -> None:
    """Another program's value under our prefix is shown as what it is."""
    wire.call("SET", "opencode:metadata:k", "token: hunter2")

    detail = inspect_key(endpoint, "opencode:metadata:k")

    assert (detail.namespace, detail.entry) == ("metadata", None)
    assert detail.preview.lines == ("token: ***",)


def test_an_entry_that_does_not_decode_says_so(endpoint: Endpoint, wire: Wire) -> None:
    """A right envelope around a broken payload keeps its facts and names the fault."""
    wire.call("SET", "opencode:metadata:k", Envelope(SCHEMA << 4 | 2, b"v" * 16, 0, b"{").pack())

    detail = inspect_key(endpoint, "opencode:metadata:k")

    assert detail.entry is not None
    assert (detail.entry.format, detail.entry.version) == ("json", "stale")
    assert detail.preview.note is not None
    assert detail.preview.note.startswith("the value cannot be decoded")


def test_a_key_that_changes_its_type_meanwhile_is_no_failure() -> None:
    """A hash that became a string between two questions is described as far as it was seen."""
    answers = {
        b"TYPE": [b"+hash\r\n"],
        b"PTTL": [b":-1\r\n"],
        b"MEMORY": [b":50\r\n"],
        b"HLEN": [b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"],
    }

    with scripted_server(answers) as endpoint:
        detail = inspect_key(endpoint, "k")

    assert (detail.type, detail.length) == ("hash", None)
    assert detail.preview.note == "it changed while it was read"


def test_a_module_type_is_named(endpoint: Endpoint) -> None:
    """What is not the server's own type is not read."""
    answers = {b"TYPE": [b"+ReJSON-RL\r\n"], b"PTTL": [b":-1\r\n"], b"MEMORY": [b":50\r\n"]}

    with scripted_server(answers) as scripted:
        detail = inspect_key(scripted, "k")

    assert (detail.type, detail.length) == ("ReJSON-RL", None)
    assert detail.preview.note == "values of type ReJSON-RL are not shown"


def test_a_user_who_may_not_hide_may_still_look(endpoint: Endpoint, wire: Wire) -> None:
    """Where CLIENT is refused, looking counts as a use; where MEMORY is, it is told."""
    wire.call("SET", "k", "v")
    wire.call("ACL", "SETUSER", "looker", "reset", "on", ">pw", "~*", "+@all", "-client")
    looker = Endpoint(port=endpoint.port, username="looker", password="pw")
    try:
        detail = inspect_key(looker, "k")
        wire.call("ACL", "SETUSER", "looker", "-memory")
        with pytest.raises(AuthError, match="NOPERM"):
            inspect_key(looker, "k")
    finally:
        wire.call("ACL", "DELUSER", "looker")

    assert detail.preview.lines == ("v",)


def test_times_are_kept_under_lru_and_counts_under_lfu(
    endpoint: Endpoint, wire: Wire, lfu: None
) -> None:
    """The one that the eviction policy does not keep is none, not a failure."""
    wire.call("SET", "k", "v")

    detail = inspect_key(endpoint, "k")

    assert detail.idle_s is None
    assert detail.frequency is not None


def test_looking_is_no_use(endpoint: Endpoint, wire: Wire, lfu: None) -> None:
    """A key that was looked at counts no more uses than before."""
    wire.call("CONFIG", "SET", "lfu-log-factor", 0)  # every use counts one
    wire.call("HSET", "k", "field", "v")
    wire.call("HGET", "k", "field")

    looks = [inspect_key(endpoint, "k").frequency for _ in range(3)]
    wire.call("HGET", "k", "field")

    assert len(set(looks)) == 1
    assert inspect_key(endpoint, "k").frequency == (looks[0] or 0) + 1


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        (b"plain", "plain"),
        (b"a\nb\x1b", "a\\x0ab\\x1b"),
        (b"back\\slash", "back\\slash"),
        (b"back\\slash", "back\\\\slash"),
        (b"\xff\xfe", b"\xff\xfe"),
        ("größe".encode(), "größe"),
    ],
)
def test_a_key_is_found_as_typed_or_as_shown(
    endpoint: Endpoint, wire: Wire, stored: bytes, asked: bytes | str
) -> None:
    """What a list shows can be pasted; what a program names is taken as it is."""
    wire.call("SET", stored, "v")

    assert inspect_key(endpoint, asked).key == stored


def test_a_key_that_is_not_there_is_not_found(endpoint: Endpoint) -> None:
    """The message names it, safely."""
    with pytest.raises(NotFoundError, match=r"no key gone\\x1b on 127"):
        inspect_key(endpoint, "gone\x1b")


def test_a_server_that_is_not_there_is_unreachable() -> None:
    """Which is not the same as a key that is not there."""
    with pytest.raises(UnreachableError):
        inspect_key(Endpoint(port=1), "k")
