"""Lines that are alike become the same commands as a draft for each of them would."""

from __future__ import annotations

import io
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valkeyctl.caching.codec import ALWAYS_FRESH
from valkeyctl.caching.keys import SHARDS, KeyScheme
from valkeyctl.caching.namespaces import Namespaces
from valkeyctl.caching.policy import NamespacePolicy
from valkeyctl.caching.records import RecordError
from valkeyctl.errors import UsageError
from valkeyctl.ops.keyspace.loading.batches import Format, batches
from valkeyctl.ops.keyspace.loading.drafts import Draft, Drafting
from valkeyctl.ops.keyspace.loading.fronts import Fronts, lives_of
from valkeyctl.ops.keyspace.loading.source import Source
from valkeyctl.ops.keyspace.loading.stretch import Stretch, Stretches
from valkeyctl.ops.keyspace.transfer.exportlines import BadLine, decode_lines

POLICIES = {
    "plain": NamespacePolicy(100),
    "other": NamespacePolicy(100),
    "small": NamespacePolicy(100, compress_over=50),
    "tiny": NamespacePolicy(100, max_value_bytes=8),
}
HEADER = b'{"valkeyctl_export":1,"app":"a","namespace":null,"exported_at":"2026-01-01T00:00:00Z"}'
USUAL = {"namespace": "plain", "id": "k", "value": "text", "created_ms": 5, "ttl_ms": 1000}

VALUES = st.text() | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner | st.text()) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
USUAL_LINES = st.fixed_dictionaries(
    {
        "namespace": st.just("plain"),
        "id": st.text("abcä€😀:{}1%", min_size=1, max_size=9),
        "value": VALUES,
        "created_ms": st.integers(1, 2**53),
        "ttl_ms": st.integers(1, 10**6) | st.integers(1, 100 * 365 * 86_400_000),
    },
    optional={
        "fresh_ms": st.integers(0, ALWAYS_FRESH),
        "cost_ms": st.integers(0, ALWAYS_FRESH),
    },
).map(lambda line: json.dumps(line).encode())
ODD_LINES = st.fixed_dictionaries(
    {
        "namespace": st.sampled_from(["plain", "other", "small", "tiny", "Bad", ""]),
        "id": st.text(max_size=3) | st.sampled_from(["k" * 504, "k" * 505, "ä" * 253, "a b"]),
        "value": VALUES,
    },
    optional={
        "app": st.sampled_from(["a", "b"]),
        "created_ms": st.integers(-1, 3),
        "ttl_ms": st.none() | st.integers(0, 3) | st.just(10**14),
        "tags": st.lists(st.sampled_from(["t", "u", " "]), max_size=2),
        "fresh_ms": st.integers(-1, 9) | st.just(2**32),
        "end": st.booleans(),
    },
).map(lambda line: json.dumps(line).encode())
RAW_LINES = st.sampled_from(
    [b"", b" ", b"{", b"[]", b"1", b'{"end":true}', b'{"id":"\xff"}', b"{} \r", b"\xef"]
)


def drafting(shards: int = 1) -> Drafting:
    """Return the rules for the policies above."""
    spaces = Namespaces(
        POLICIES, keyring=None, max_value_bytes=2**20, observers=(), rng=random.Random(1)
    )
    return Drafting(KeyScheme("a", shards=shards), spaces)


def line_of(**fields: object) -> bytes:
    """Return a usual line with other fields; None takes one away."""
    line = {name: value for name, value in (USUAL | fields).items() if value is not None}
    return json.dumps(line, ensure_ascii=False).encode()


def one_by_one(raw: bytes, rules: Drafting) -> tuple[list[Draft], list[int], list[int]]:
    """Return the entries of lines, their numbers, and those of the refused ones."""
    drafts: list[Draft] = []
    numbers: list[int] = []
    refused: list[int] = []
    for number, line in enumerate(decode_lines(raw), 2):
        if line is None or (not isinstance(line, BadLine) and line.end):
            continue
        if isinstance(line, BadLine):
            refused.append(number)
            continue
        try:
            drafts.append(rules.exported(line))
        except (RecordError, UsageError):
            refused.append(number)
        else:
            numbers.append(number)
    return drafts, numbers, refused


def fronts_for(lives: dict[bytes, int]) -> Fronts:
    """Return fronts with made-up versions."""
    return Fronts({key: key[-16:].ljust(16, b"\0") for key in lives}, lives, 1_700_000_000_000)


@given(st.lists(USUAL_LINES, min_size=1, max_size=12), st.booleans())
def test_alike_lines_become_the_same_bytes_as_one_by_one(lines: list[bytes], replace: bool) -> None:
    """Commands, sizes, versions asked for, and the drafts that are made of it afterwards."""
    rules = drafting()
    raw = b"\n".join(lines) + b"\n"
    drafts, _, refused = one_by_one(raw, rules)

    found = Stretches(rules, replace=replace).find(raw, len(lines))

    assert found is not None
    assert not refused
    assert lives_of(found) == lives_of(drafts)
    fronts = fronts_for(lives_of(drafts))
    assert fronts.packed(found, replace=replace) == fronts.packed(drafts, replace=replace)
    assert [*found] == drafts == found[:]
    assert found[-1] == drafts[-1]


@given(st.lists(USUAL_LINES | ODD_LINES | RAW_LINES, max_size=8), st.sampled_from([1, SHARDS]))
def test_whatever_the_lines_are_they_ask_for_the_same(lines: list[bytes], shards: int) -> None:
    """Whichever way they go: the same entries, on the same lines, and the same refused."""
    rules = drafting(shards)
    raw = b"".join(line + b"\n" for line in lines)

    with Source(io.BytesIO(HEADER + b"\n" + raw)) as source:
        found = list(batches(source, rules, Format.EXPORT, most=3))

    drafts, numbers, refused = one_by_one(raw, rules)
    assert [draft for batch in found for draft in batch.drafts] == drafts
    assert [number for batch in found for number in batch.numbers] == numbers
    assert [line.number for batch in found for line, _ in batch.refused] == refused


@pytest.mark.parametrize(
    "line",
    [
        line_of(namespace="other"),
        line_of(namespace="Bad"),
        line_of(tags=["t"]),
        line_of(app="a"),
        line_of(id=""),
        line_of(id="a b"),
        line_of(id="a\u2028b"),
        line_of(id="k" * 505),
        line_of(ttl_ms=None),
        line_of(created_ms=None),
        line_of(value=None, data="AAAA", encoding="bytes"),
        line_of(value="v" * (2**20 + 1)),
        line_of(value=[[]]).replace(b"[[]]", b"[" * 130 + b"]" * 130),
        b'{"end":true}',
        b"",
    ],
)
def test_one_special_line_leaves_all_to_the_careful_way(line: bytes) -> None:
    """What it cannot take it does not take in part."""
    raw = b"\n".join([line_of(), line, line_of()]) + b"\n"

    assert Stretches(drafting()).find(raw, 3) is None


@pytest.mark.parametrize(("namespace", "shards"), [("small", 1), ("plain", SHARDS)])
def test_other_policies_and_clusters_go_the_careful_way(namespace: str, shards: int) -> None:
    """Values to be compressed, and entries that lie in several slots."""
    raw = line_of(namespace=namespace) + b"\n"

    assert Stretches(drafting(shards)).find(raw, 1) is None


def test_bounds_are_those_of_keys_and_values() -> None:
    """The longest key, the longest value, and one byte more."""
    stretches = Stretches(drafting())
    longest = 512 - len("a:plain:")

    for id_bytes, value_bytes, taken in (
        (longest, 8, True),
        (longest + 1, 8, False),
        (1, 2**20, True),
        (1, 2**20 + 1, False),
    ):
        raw = line_of(id="k" * id_bytes, value="v" * value_bytes) + b"\n"
        for _ in range(2):
            assert (stretches.find(raw, 1) is not None) is taken


def test_what_an_export_holds_most_goes_the_quick_way() -> None:
    """Texts of any script, and JSON beside text."""
    for value in ("plain", 'äöü 🦀 \\ " \n', {"a": [1, 2.5, None]}, 7):
        raw = line_of() + b"\n" + line_of(id="ä", value=value) + b"\n"

        assert isinstance(Stretches(drafting()).find(raw, 2), Stretch)


def test_versions_do_for_a_later_batch_that_lives_no_longer() -> None:
    """By no more than the slack that every version has; for ever is longer than all."""
    fronts = fronts_for({b"v": 100_000, b"w": 0})

    assert fronts.cover({b"v": 100_000})
    assert fronts.cover({b"v": 130_000, b"w": 0})
    assert fronts.cover({b"w": 10**12})
    assert not fronts.cover({b"v": 130_001})
    assert not fronts.cover({b"v": 0})
    assert not fronts.cover({b"x": 1})
