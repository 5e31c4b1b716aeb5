"""CSV: what is right is an entry under its line's number, what is wrong costs its line alone."""

from __future__ import annotations

import csv
import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valkeyctl.caching.codec import decode
from valkeyctl.caching.keys import KeyScheme
from valkeyctl.caching.namespaces import Namespaces
from valkeyctl.errors import UsageError
from valkeyctl.ops.keyspace.loading import csvlines
from valkeyctl.ops.keyspace.loading.batches import Batch
from valkeyctl.ops.keyspace.loading.csvlines import csv_batches
from valkeyctl.ops.keyspace.loading.drafts import Drafting
from valkeyctl.ops.keyspace.loading.source import Source, slices

HEAD = "namespace,id,value,ttl,tags\n"


def batches(
    text: str | bytes, *, from_line: int = 1, json_values: bool = False, longest: int = 2**24
) -> list[Batch]:
    """Return what lines of CSV ask for."""
    spaces = Namespaces(
        None, keyring=None, max_value_bytes=2**20, observers=(), rng=random.Random(1)
    )
    raw = text.encode() if isinstance(text, str) else text
    with Source(io.BytesIO(raw)) as source:
        lines = slices(source, most=3, longest=longest)
        found = csv_batches(
            lines, Drafting(KeyScheme("a"), spaces), from_line=from_line, json_values=json_values
        )
        return list(found)


def entries(found: list[Batch]) -> dict[int, object]:
    """Return the values by the numbers of their lines."""
    return {
        number: decode(draft.kind.encoding, draft.data)
        for batch in found
        for number, draft in zip(batch.numbers, batch.drafts, strict=True)
    }


def refused(found: list[Batch]) -> dict[int, str]:
    """Return the reasons by the numbers of the lines."""
    return {line.number: reason for batch in found for line, reason in batch.refused}


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r")), max_size=8),
    st.sampled_from(["\n", "\r\n"]),
)
def test_values_come_back_as_they_were_written(values: list[str], end: str) -> None:
    """Quotes, commas, line ends inside and all, as the standard library writes them."""
    stream = io.StringIO(newline="")
    rows = csv.writer(stream, lineterminator=end)
    rows.writerow(("namespace", "id", "value"))
    for number, value in enumerate(values):
        rows.writerow(("metadata", f"k{number}", value))

    found = batches(stream.getvalue())

    assert list(entries(found).values()) == values
    assert refused(found) == {}


def test_line_ends_of_windows_end_lines_and_stay_in_quotes() -> None:
    """As the file has them."""
    found = batches(HEAD.replace("\n", "\r\n") + 'metadata,k,"a\r\nb",,\r\nmetadata,l,c,,t\r\n')

    assert entries(found) == {2: "a\r\nb", 4: "c"}
    assert [draft.kind.tags for batch in found for draft in batch.drafts] == [(), (b"t",)]


def test_columns_stand_in_any_order_and_say_all() -> None:
    """A ttl in seconds or as a duration, tags, and neither."""
    found = batches(
        "tags,ttl,id,namespace,value\na|b,90,k,metadata,v\n,5m,l,metadata,\n,,m,metadata,1"
    )
    drafts = [draft for batch in found for draft in batch.drafts]

    assert [draft.key for draft in drafts] == [b"a:metadata:k", b"a:metadata:l", b"a:metadata:m"]
    assert [draft.kind.tags for draft in drafts] == [(b"a", b"b"), (), ()]
    assert [draft.life.ttl_ms for draft in drafts[:2]] == [90_000, 300_000]
    assert entries(found) == {2: "v", 3: "", 4: "1"}


def test_numbers_are_those_of_the_file() -> None:
    """Of a record over several lines, its first; empty lines count."""
    text = HEAD + 'metadata,k1,"a\nb\n\nc",,\n\nmetadata,k2,v,,\nmetadata,,v,,\n'

    found = batches(text)

    assert entries(found) == {2: "a\nb\n\nc", 7: "v"}
    assert list(refused(found)) == [8]
    assert found[-1].last == 8
    assert found[-1].read == len(text)


def test_what_is_wrong_costs_its_line_alone() -> None:
    """A stray quote, bytes that are no text, too few fields, a ttl that is none."""
    wrong = (
        'metadata,k1,"open,,\nmetadata,k2,v,,\n',
        "metadata,k3\nmetadata,k4,v,soon,\n",
        'metadata,k5,"a"b,,\nmetadata,k6,v,,\n',
    )
    raw = (HEAD + "".join(wrong)).encode() + b"metadata,k7,\xff,,\nmetadata,k8,v,,"

    found = batches(raw)

    assert entries(found) == {3: "v", 7: "v", 9: "v"}
    reasons = refused(found)
    assert list(reasons) == [2, 4, 5, 6, 8]
    for number, word in ((2, "not CSV"), (4, "2 fields, where"), (5, "duration"), (8, "UTF-8")):
        assert word in reasons[number]


def test_a_line_over_the_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone, and where a quote reaches into it."""
    monkeypatch.setattr(csvlines, "LONGEST_LINE", 100)
    long = "x" * 150
    text = (
        HEAD
        + f'metadata,k1,{long},,\nmetadata,k2,v,,\nmetadata,k3,"a\n{long}",,\nmetadata,k4,v,,\n'
    )

    found = batches(text, longest=100)

    assert entries(found) == {3: "v", 6: "v"}
    assert list(refused(found)) == [2, 4, 5]


def test_a_resumed_run_begins_at_its_line() -> None:
    """And still reads the names of the columns."""
    text = HEAD + "".join(f"metadata,k{n},{n},,\n" for n in range(2, 10))

    assert entries(batches(text, from_line=7)) == {7: "7", 8: "8", 9: "9"}


def test_values_may_be_json() -> None:
    """Where it is asked for; what is none is refused."""
    text = HEAD + 'metadata,k1,"{""n"": 1}",,\nmetadata,k2,nope,,\nmetadata,k3,"""\\ud800""",,\n'

    found = batches(text, json_values=True)

    assert entries(found) == {2: {"n": 1}, 4: "\ud800"}
    assert refused(found)[3].startswith("not JSON")


@pytest.mark.parametrize(
    ("head", "what"),
    [
        ("namespace,id\n", "no column 'value'"),
        ("namespace;id;value\n", "is unknown"),
        ("namespace,id,value,id\n", "'id' of the CSV is twice"),
        ('"namespace,id,value\n', "cannot be read"),
    ],
)
def test_columns_that_nobody_names_are_an_error(head: str, what: str) -> None:
    """Of the file, not of each of its lines."""
    with pytest.raises(UsageError, match=what):
        batches(head + "metadata,k,v\n")


def test_an_empty_file_asks_for_nothing() -> None:
    """Which is no failure."""
    assert entries(batches("")) == {}
