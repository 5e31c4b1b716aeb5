"""The key scheme: what is built, what is refused, what is read back."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from valkeyctl.caching.keys import SHARDS, KeyScheme, ParsedKey, parse_key
from valkeyctl.errors import InvalidKeyError, UsageError

APPS = st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?\Z")
NAMESPACES = st.from_regex(r"\A[a-z][a-z0-9_-]{0,39}\Z")
IDS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=60).filter(
    str.isprintable
)


def test_keys_are_plain_on_one_server() -> None:
    """What an operator types is what the library writes."""
    keys = KeyScheme("opencode")

    assert keys.place("metadata", "gpt-x") == (
        b"opencode:metadata:gpt-x",
        b"opencode:~version:metadata",
        b"opencode:~tag:",
        b"opencode:~load:metadata:gpt-x",
    )
    assert keys.versions("metadata") == (b"opencode:~version:metadata",)
    assert keys.tag_versions("models") == (b"opencode:~tag:models",)


@pytest.mark.parametrize("shards", [1, SHARDS])
def test_the_hottest_ids_have_one_key_on_any_topology(shards: int) -> None:
    """No entry is touched together with them."""
    key = KeyScheme("opencode", shards=shards).hottest("metadata")

    assert key == b"opencode:~hot:metadata"
    assert parse_key(key) == ParsedKey("opencode", "metadata", "", "hot")
    with pytest.raises(InvalidKeyError):
        KeyScheme("opencode").hottest("Bad")


def test_keys_on_cluster_are_as_documented() -> None:
    """A client in another language builds the same, so these bytes never change."""
    keys = KeyScheme("opencode", shards=SHARDS)

    assert keys.place("metadata", "gpt-x") == (
        b"opencode:metadata:{opencode.49}:gpt-x",
        b"opencode:~version:{opencode.49}:metadata",
        b"opencode:~tag:{opencode.49}:",
        b"opencode:~load:metadata:{opencode.49}:gpt-x",
    )


@given(APPS, NAMESPACES, IDS, IDS)
def test_all_that_one_operation_touches_lies_in_one_slot(
    app: str,
    namespace: str,
    id: str,  # noqa: A002
    tag: str,
) -> None:
    """An entry, its version, its tags' and its lease, whatever braces the id has."""
    keys = KeyScheme(app, shards=SHARDS)

    place = keys.place(namespace, id)
    touched = (place.key, place.version, place.tags + tag.encode(), place.lease)

    assert len({key_slot(key) for key in touched}) == 1
    assert place.version in keys.versions(namespace)
    assert place.tags + tag.encode() in keys.tag_versions(tag)


def test_namespaces_share_the_slots_of_their_application() -> None:
    """That is what lets an entry of any namespace be checked against the same tag."""
    keys = KeyScheme("t", shards=SHARDS)

    slots = {
        frozenset(map(key_slot, names))
        for names in (keys.versions("a"), keys.versions("b"), keys.tag_versions("x"))
    }

    assert len(slots) == 1
    assert len(slots.pop()) == SHARDS


def test_shards_are_used_evenly() -> None:
    """No node holds much more of a namespace than another."""
    keys = KeyScheme("t", shards=SHARDS)
    counts: dict[bytes, int] = {}
    for n in range(6400):
        version = keys.place("ns", f"id-{n}").version
        counts[version] = counts.get(version, 0) + 1

    assert len(counts) == 64
    assert max(counts.values()) < 200


@pytest.mark.parametrize("app", ["", "A", "a_b", "-a", "a-", "a:b", "a" * 41, "ä", "a\n"])
def test_an_application_name_that_breaks_the_rule_is_refused(app: str) -> None:
    """It is the first part of every key."""
    with pytest.raises(InvalidKeyError, match="application name"):
        KeyScheme(app)


@pytest.mark.parametrize("namespace", ["", "A", "1a", "~version", "a:b", "a" * 41, "a b", "a\n"])
def test_a_namespace_that_breaks_the_rule_is_refused(namespace: str) -> None:
    """Above all one that could be taken for a control key."""
    with pytest.raises(InvalidKeyError, match="namespace"):
        KeyScheme("t").place(namespace, "id")
    with pytest.raises(InvalidKeyError, match="namespace"):
        KeyScheme("t").versions(namespace)


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "a\tb", "a\nb", "\x00", "\x7f", "\u00a0", "\ud800"]
)
def test_ids_and_tags_are_printable_and_without_spaces(text: str) -> None:
    """Whatever would break a line in a terminal or a log is refused."""
    keys = KeyScheme("t")

    with pytest.raises(InvalidKeyError, match="the id"):
        keys.place("ns", text)
    with pytest.raises(InvalidKeyError, match="the tag"):
        keys.tag_versions(text)


def test_a_key_has_at_most_512_bytes() -> None:
    """Bytes of UTF-8, not characters; the hint says what to do."""
    keys = KeyScheme("t")
    room = 512 - len("t:ns:")

    assert len(keys.place("ns", "x" * room).key) == 512
    with pytest.raises(InvalidKeyError, match="513 bytes") as caught:
        keys.place("ns", "x" * (room + 1))
    with pytest.raises(InvalidKeyError, match="bytes"):
        keys.place("ns", "ä" * (room // 2 + 1))
    assert "digest" in str(caught.value.hint)


def test_tags_are_few_short_and_no_single_string() -> None:
    """A string is a collection of strings, and never what was meant."""
    keys = KeyScheme("t")

    assert keys.tag_words(["b", "a", "b"]) == (b"a", b"b")
    with pytest.raises(UsageError, match="list of strings"):
        keys.tag_words("models")
    with pytest.raises(InvalidKeyError, match="33 tags"):
        keys.tag_words([str(n) for n in range(33)])
    with pytest.raises(InvalidKeyError, match="129"):
        keys.tag_words(["x" * 129])


@given(APPS, NAMESPACES, IDS, st.sampled_from([1, SHARDS]))
def test_every_key_reads_back(app: str, namespace: str, id: str, shards: int) -> None:  # noqa: A002
    """parse_key undoes place, whatever the id holds, colons and braces included."""
    keys = KeyScheme(app, shards=shards)

    place = keys.place(namespace, id)

    shard = None if shards == 1 else keys.versions(namespace).index(place.version)
    assert parse_key(place.key) == ParsedKey(app, namespace, id, "entry", shard)
    assert parse_key(place.version) == ParsedKey(app, namespace, "", "version", shard)
    assert parse_key(place.tags + id.encode()) == ParsedKey(app, "", id, "tag", shard)
    assert parse_key(place.lease) == ParsedKey(app, namespace, id, "lease", shard)


@pytest.mark.parametrize(
    "id", ["{t.64}:x", "{t.07}:x", "{other.7}:x", "{t.7}", "{t.7}:", "{t.0}:x"]
)
def test_an_id_that_looks_like_a_shard_stays_an_id(id: str) -> None:  # noqa: A002
    """A group counts only where the rest of the id chooses exactly that shard."""
    key = KeyScheme("t").place("ns", id).key

    assert parse_key(key) == ParsedKey("t", "ns", id)


def test_keys_have_one_shard_or_64() -> None:
    """Another number would put entries where no other client looks for them."""
    with pytest.raises(UsageError, match="64 shards, not 3"):
        KeyScheme("t", shards=3)


def test_made_up_namespaces_do_not_fill_the_memory() -> None:
    """What is remembered about namespaces is bounded, and rebuilt when needed."""
    keys = KeyScheme("t")
    first = keys.place("n0", "id")

    for number in range(10_000):
        keys.place(f"n{number}", "id")

    assert len(keys._known) <= 4096
    assert keys.place("n0", "id") == first


@pytest.mark.parametrize("value", [0, 7, None, True, b"x", ["a"]])
def test_what_is_no_text_is_refused_in_one_sentence(value: object) -> None:
    """A row's number is the commonest wrong id."""
    keys = KeyScheme("app")
    name = cast("str", value)  # as from a program without types

    for build in (keys.tag_word, KeyScheme):
        with pytest.raises(InvalidKeyError):
            build(name)
    with pytest.raises(InvalidKeyError, match=f"no text but of the type {type(value).__name__}"):
        keys.place("metadata", name)


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"a",
        b"a:b",
        b"a:b:",
        b":b:c",
        b"A:b:c",
        b"a:B:c",
        b"a:~x:c",
        b"\xff:b:c",
        b"a:~version:B",
        b"a:~load:ns",
        b"a:~load:ns:",
        b"a:~load:B:x",
        b"a:~hot:",
        b"a:~hot:B",
    ],
)
def test_foreign_keys_are_none_of_ours(key: bytes) -> None:
    """An operator's scan meets all sorts of keys."""
    assert parse_key(key) is None


@given(st.binary(max_size=80))
def test_no_bytes_break_the_parser(key: bytes) -> None:
    """A scan never stops at a strange key."""
    parse_key(key)
