"""Lines of JSON: every line is an entry, or is refused for a reason that says what to mend."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valkeyctl.caching.records import Record, RecordError, parse_record, read_lines

GOOD = {"namespace": "metadata", "id": "k", "value": 1}


@given(
    lines=st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line)), end=st.booleans()
)
def test_every_line_has_its_number_whatever_its_length(lines: list[bytes], end: bool) -> None:
    """Lines over the bound are told apart and cost no neighbour; all bytes are accounted for."""
    text = b"\n".join(lines) + (b"\n" if end else b"")

    read = list(read_lines(io.BytesIO(text), longest=10))

    expected = [line + b"\n" for line in text.split(b"\n")]
    expected[-1] = expected[-1].removesuffix(b"\n")
    expected = [line for line in expected if line]
    assert [line.number for line in read] == list(range(1, len(expected) + 1))
    assert sum(line.size for line in read) == len(text)
    for line, whole in zip(read, expected, strict=True):
        assert line.size == len(whole)
        assert line.too_long == (len(whole.removesuffix(b"\n")) > 10)
        assert len(line.raw) <= 10


def test_line_ends_and_a_byte_order_mark_are_no_content() -> None:
    """Files written on Windows read the same."""
    stream = io.BytesIO(b"\xef\xbb\xbf{}\r\n\r\nlast")

    assert [line.raw for line in read_lines(stream, longest=10)] == [b"{}", b"", b"last"]


def test_a_good_line_is_a_record() -> None:
    """With its ttl in seconds or as a duration, and its tags in their order."""
    line = {**GOOD, "ttl": "5m", "tags": ["b", "a"]}

    assert parse_record(json.dumps(line).encode()) == Record("metadata", "k", 1, 300.0, ("b", "a"))
    assert parse_record(json.dumps(GOOD).encode()) == Record("metadata", "k", 1, None, ())
    assert parse_record(b'{"namespace":"n","id":"k","value":null,"ttl":null}').value is None


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"{", "not JSON at character 2"),
        (b'{"namespace": "n"', "not JSON"),
        (b"\xff{}", "byte 1 is not UTF-8"),
        (b"[]", "must be an object, not a list"),
        (b"7", "must be an object, not a number"),
        (b'{"namespace":"n","id":"k","value":NaN}', "NaN is not JSON"),
        (
            b'{"namespace":"n","id":"k","value":1,"tll":5}',
            "unknown field 'tll'; allowed: namespace",
        ),
        (b'{"id":"k","value":1}', "the field 'namespace' is missing"),
        (b'{"namespace":"n","value":1}', "the field 'id' is missing"),
        (b'{"namespace":"n","id":"k"}', "the field 'value' is missing"),
        (b'{"namespace":"n","id":7,"value":1}', "id must be text, not a number"),
        (b'{"namespace":true,"id":"k","value":1}', "namespace must be text, not true or false"),
        (b'{"namespace":"n","id":"k","value":1,"ttl":0}', "ttl must be above zero, not 0"),
        (b'{"namespace":"n","id":"k","value":1,"ttl":-1}', "ttl: -1 is not a duration"),
        (b'{"namespace":"n","id":"k","value":1,"ttl":true}', "not true or false"),
        (b'{"namespace":"n","id":"k","value":1,"ttl":"soon"}', "'soon' is not a duration"),
        (b'{"namespace":"n","id":"k","value":1,"ttl":1e999}', "1e999 is too large"),
        (b'{"namespace":"n","id":"k","value":-1e400}', "the number -1e400 is too large"),
        (b'{"namespace":"n","id":"k","value":1,"ttl":1e15}', "1e+15 s is longer than a hundred"),
        (b'{"namespace":"n","id":"k","value":1,"tags":"a"}', "tags must be a list of texts"),
        (b'{"namespace":"n","id":"k","value":1,"tags":[1]}', "tags must be a list of texts"),
        (b"[" * 100_000, "nested too deep"),
        (b"1" * 5_000, "4300 digits"),
        (b'{"namespace":"n","id":"k","value":1,"ttl":' + b"1" * 400 + b"}", "ttl"),
    ],
)
def test_a_wrong_line_is_refused_for_its_reason(raw: bytes, reason: str) -> None:
    """The reason names the field and what is wrong with it."""
    with pytest.raises(RecordError) as caught:
        parse_record(raw)

    assert reason in str(caught.value)


@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["namespace", "id", "value", "ttl", "tags", "x"]), inner
            )
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_are_a_record_or_a_reason(raw: bytes) -> None:
    """Nothing in a file is a crash."""
    try:
        record = parse_record(raw)
    except RecordError as error:
        assert str(error)
    else:
        assert isinstance(record.id, str)
