"""A value is stored as it came only where that reads back as the library's own encoding does."""

from __future__ import annotations

import json
import math
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from valkeyctl.caching.codec import ALWAYS_FRESH, JSON, MSGPACK, TEXT, ZSTD, decode, encode
from valkeyctl.caching.keys import SHARDS, KeyScheme
from valkeyctl.caching.namespaces import Namespaces
from valkeyctl.caching.policy import NamespacePolicy
from valkeyctl.caching.records import RecordError, parse_json
from valkeyctl.errors import InvalidKeyError, UsageError
from valkeyctl.ops.keyspace.loading.drafts import Draft, Drafting

POLICIES = {
    "plain": NamespacePolicy(100),
    "small": NamespacePolicy(100, compress_over=50),
    "grace": NamespacePolicy(100, jitter=0, stale=50),
    "tiny": NamespacePolicy(100, max_value_bytes=8),
}
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def drafting(shards: int = 1) -> Drafting:
    """Return the rules for the policies above."""
    spaces = Namespaces(
        POLICIES, keyring=None, max_value_bytes=2**20, observers=(), rng=random.Random(1)
    )
    return Drafting(KeyScheme("a", shards=shards), spaces)


def draft(raw: bytes, namespace: str = "plain") -> Draft:
    """Return the entry of a value that came as *raw*."""
    return drafting().json(namespace, "k", msgspec.Raw(raw), None, None)


def same(one: object, other: object) -> bool:
    """Say whether two values are equal with types, and minus zero is no zero."""
    return repr(one) == repr(other)


def finite(value: object) -> bool:
    """Say whether JSON can carry every float in *value*."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    return not isinstance(value, list) or all(map(finite, value))


@given(TREES.filter(finite), st.sampled_from([None, 1]), st.booleans())
def test_a_value_reads_back_as_if_the_library_had_stored_it(
    value: object, indent: int | None, ascii_only: bool
) -> None:
    """Spaces, escapes and all: both ways give entries that decode to the same."""
    raw = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()

    made = draft(raw)

    read = decode(made.kind.encoding, made.data)
    assert same(read, decode(*encode(json.loads(raw))))
    assert (made.kind.encoding == TEXT) == isinstance(value, str)


@given(
    st.binary(max_size=40) | st.text('[]{}:,"\\u0129.eE+- tnNaI\x7fé', max_size=30).map(str.encode)
)
def test_what_is_taken_is_what_the_standard_library_takes(raw: bytes) -> None:
    """No broken JSON gets in by the short way, and what it takes has the same value."""
    try:
        made = draft(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return

    assert same(decode(made.kind.encoding, made.data), parse_json(raw))


@pytest.mark.parametrize(
    "raw",
    [b"1e999", b"-1e999", b"1" * 400 + b".0", b"NaN", b"Infinity", b'"\\ud800"', b'["\xff"]', b""],
)
def test_what_json_cannot_say_is_left_to_the_careful_way(raw: bytes) -> None:
    """Numbers without a float, lone surrogates and bytes that are no text."""
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError)):
        draft(raw)


def test_what_no_reader_takes_is_refused() -> None:
    """Too deep a nesting and too long a number, as `CacheService.set` refuses them."""
    assert draft(b"[" * 128 + b"]" * 128).kind.encoding == JSON
    with pytest.raises(UsageError, match="more than 128 lists"):
        draft(b"[" * 130 + b"]" * 130)
    assert draft(b"[" * 1 + b"{}," * 200 + b"1]").kind.encoding == JSON
    with pytest.raises(UsageError, match="4,000 digits"):
        draft(b"[" + b"1" * 4100 + b"]")


def test_of_a_key_that_stands_twice_the_last_counts() -> None:
    """For this reader as for all others."""
    made = draft(b'{"a":1,"a":2}')

    assert decode(made.kind.encoding, made.data) == {"a": 2} == json.loads(b'{"a":1,"a":2}')


def test_spaces_take_no_memory_in_the_cache() -> None:
    """What an ordinary encoder puts between the parts is left out; texts keep theirs."""
    assert draft(b'{"a": [1, 2], "b": "x, y: z"}').data == b'{"a":[1,2],"b":"x, y: z"}'


def test_policies_are_kept() -> None:
    """Compression, grace and the largest value are as the library has them."""
    small, grace = draft(b'"%b"' % (b"x" * 500), "small"), draft(b"1", "grace")

    assert small.kind.flags == ZSTD
    assert len(small.data) < 100
    assert (grace.life.ttl_ms, grace.life.fresh_ms) == (150_000, 100_000)
    assert draft(b"1").life.fresh_ms == ALWAYS_FRESH
    with pytest.raises(RecordError, match="value of 9 B is larger than 8 B"):
        draft(b'"123456789"', "tiny")


def test_a_surrogate_is_stored_by_the_librarys_encoder() -> None:
    """As the slow way finds it, in the encoding that gives it back."""
    rules = drafting()

    pair = rules.value("plain", "k", ["\ud83d", "\udc00\ud800"], 5.0, None)

    assert decode(pair.kind.encoding, pair.data) == ["\ud83d", "\udc00\ud800"]
    assert pair.kind.encoding in (JSON, MSGPACK)
    assert pair.life.ttl_ms == 5000


@pytest.mark.parametrize("shards", [1, SHARDS])
@given(st.text(max_size=4) | st.sampled_from(["gpt-x", "ä" * 300, "k" * 503, "k" * 504]))
def test_keys_are_those_of_the_key_scheme(shards: int, id: str) -> None:  # noqa: A002
    """On every topology; what the scheme refuses is refused, the first time and the next."""
    scheme, rules = KeyScheme("a", shards=shards), drafting(shards)
    try:
        place = scheme.place("plain", id)
    except InvalidKeyError:
        place = None

    for _ in range(2):
        if place is None:
            with pytest.raises(InvalidKeyError):
                rules.value("plain", id, 1, 5.0, None)
        else:
            made = rules.value("plain", id, 1, 5.0, ("t",))
            assert made.key == place.key
            assert made.kind.version_keys == (place.version, place.tags + b"t")
