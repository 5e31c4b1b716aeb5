"""The key scheme: what is built, what is refused, what is read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valkeyctl.caching.keys import KeyScheme, ParsedKey, parse_key
from valkeyctl.errors import InvalidKeyError, UsageError

APPS = st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?\Z")
NAMESPACES = st.from_regex(r"\A[a-z][a-z0-9_-]{0,39}\Z")
IDS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=60).filter(
    str.isprintable
)


def test_keys_are_plain_on_one_server() -> None:
    """What an operator types is what the library writes."""
    keys = KeyScheme("opencode")

    assert keys.entry("metadata", "gpt-x") == (
        b"opencode:metadata:gpt-x",
        b"opencode:~version:metadata",
    )
    assert keys.versions("metadata") == (b"opencode:~version:metadata",)
    assert keys.tag("models") == b"opencode:~tag:models"


def test_shards_keep_an_entry_and_its_version_in_one_slot() -> None:
    """The hash tag is the same; the shards of a namespace are a constant number."""
    keys = KeyScheme("opencode", shards=64)

    entry, version = keys.entry("metadata", "gpt-x")

    assert entry.partition(b"{")[2].partition(b"}")[0] == version.partition(b"{")[2].rstrip(b"}")
    assert version in keys.versions("metadata")
    assert len(set(keys.versions("metadata"))) == 64
    assert parse_key(entry) == ParsedKey("opencode", "metadata", "gpt-x")
    assert parse_key(version) == ParsedKey("opencode", "metadata", "", control=True)


def test_shards_are_used_evenly() -> None:
    """No node holds much more of a namespace than another."""
    keys = KeyScheme("t", shards=64)
    counts: dict[bytes, int] = {}
    for n in range(6400):
        version = keys.entry("ns", f"id-{n}")[1]
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
        KeyScheme("t").entry(namespace, "id")


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "a\tb", "a\nb", "\x00", "\x7f", "\u00a0", "\ud800"]
)
def test_ids_and_tags_are_printable_and_without_spaces(text: str) -> None:
    """Whatever would break a line in a terminal or a log is refused."""
    keys = KeyScheme("t")

    with pytest.raises(InvalidKeyError, match="the id"):
        keys.entry("ns", text)
    with pytest.raises(InvalidKeyError, match="the tag"):
        keys.tag(text)


def test_a_key_has_at_most_512_bytes() -> None:
    """Bytes of UTF-8, not characters; the hint says what to do."""
    keys = KeyScheme("t")
    room = 512 - len("t:ns:")

    assert len(keys.entry("ns", "x" * room)[0]) == 512
    with pytest.raises(InvalidKeyError, match="513 bytes") as caught:
        keys.entry("ns", "x" * (room + 1))
    with pytest.raises(InvalidKeyError, match="bytes"):
        keys.entry("ns", "ä" * (room // 2 + 1))
    assert "digest" in str(caught.value.hint)


def test_tags_are_few_short_and_no_single_string() -> None:
    """A string is a collection of strings, and never what was meant."""
    keys = KeyScheme("t")

    assert keys.tag_words(["b", "a", "b"]) == (b"b", b"a")
    with pytest.raises(UsageError, match="list of strings"):
        keys.tag_words("models")
    with pytest.raises(InvalidKeyError, match="33 tags"):
        keys.tag_words([str(n) for n in range(33)])
    with pytest.raises(InvalidKeyError, match="129"):
        keys.tag_words(["x" * 129])


@given(APPS, NAMESPACES, IDS, st.sampled_from([1, 64]))
def test_every_key_reads_back(app: str, namespace: str, id: str, shards: int) -> None:  # noqa: A002
    """parse_key undoes entry, whatever the id holds, colons and braces included."""
    key, version = KeyScheme(app, shards=shards).entry(namespace, id)

    assert parse_key(key) == ParsedKey(app, namespace, id)
    assert parse_key(version) == ParsedKey(app, namespace, "", control=True)
    assert parse_key(KeyScheme(app).tag(id)) == ParsedKey(app, "", id, control=True)


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
    ],
)
def test_foreign_keys_are_none_of_ours(key: bytes) -> None:
    """An operator's scan meets all sorts of keys."""
    assert parse_key(key) is None


@given(st.binary(max_size=80))
def test_no_bytes_break_the_parser(key: bytes) -> None:
    """A scan never stops at a strange key."""
    parse_key(key)
