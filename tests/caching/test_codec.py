"""How values are stored: the bytes of today stay readable, other bytes are no entry."""

from __future__ import annotations

import enum
import json
import math
from contextlib import suppress
from dataclasses import replace

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.caching.sameness import same
from valkeyctl.caching.codec import (
    HEADER,
    JSON,
    MSGPACK,
    Envelope,
    UndecodableError,
    Value,
    decode,
    encode,
    head,
)
from valkeyctl.errors import UsageError

VERSION = bytes(range(16))
TAG_VERSION = bytes(range(16, 32))

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters())
)
VALUES = st.recursive(
    SCALARS, lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts), max_leaves=20
)
WITH_BYTES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters())
    | st.binary(),
    lambda parts: (
        st.lists(parts)
        | st.dictionaries(st.text() | st.integers(-(2**63), 2**64 - 1) | st.binary(), parts)
    ),
    max_leaves=20,
)


@given(VALUES)
@example("\ud800")
@example(["\ud800", 10**400, -0.0])
@example({"a\ud800": ["\x00\u2028", 1e16, 5e-324, 2**63, -(2**63) - 1]})
def test_values_come_back_as_they_were(value: object) -> None:
    """Equal, of the same type at every depth; JSON alone."""
    encoding, payload = encode(value)

    assert same(decode(encoding, payload), value)
    assert encoding in {1, 2} or r"\ud" in json.dumps(value)


def test_two_surrogates_do_not_become_a_character() -> None:
    """JSON would read the pair as one; msgpack keeps them apart."""
    value = ["\ud83d\ude00", "\U0001f600"]
    encoding, payload = encode(value)

    assert decode(encoding, payload) == value
    with pytest.raises(UsageError, match="cannot be stored"):
        encode([*value, 10**400])


@given(VALUES)
def test_what_json_writes_elsewhere_reads_the_same(value: object) -> None:
    """With spaces and with escapes, as other languages may write it."""
    written = json.dumps(value, indent=1).encode()

    assert same(decode(JSON, written), json.loads(written))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1, "b": 2, "a": 3}', {"a": 3, "b": 2}),
        ("-0.0", -0.0),
        ("-0", 0),
        ("1e400", math.inf),
        ("[" * 500 + "]" * 500, None),
    ],
)
def test_json_of_others_means_what_it_says(text: str, value: Value) -> None:
    """The last of a key given twice, the sign of zero, and depth that we do not write."""
    found = decode(JSON, text.encode())

    assert value is None or same(found, value)


@pytest.mark.parametrize("payload", ["1".encode("utf-16"), b"\xef\xbb\xbf1", b"\xff", b""])
def test_json_is_utf_8(payload: bytes) -> None:
    """Without a byte order mark, and never a guess at another encoding."""
    with pytest.raises(UndecodableError):
        decode(JSON, payload)


@given(WITH_BYTES)
@example(math.inf)
@example({1: "a", "1": "b", b"1": "c", None: "d"})
@example([b"", "\ud800"])
def test_values_with_bytes_and_other_keys_come_back_as_they_were(value: object) -> None:
    """Where JSON would change the value, msgpack is chosen."""
    encoding, payload = encode(value)

    assert same(decode(encoding, payload), value)


def test_not_a_number_comes_back() -> None:
    """JSON has none, so msgpack carries it."""
    encoding, payload = encode(math.nan)
    back = decode(encoding, payload)

    assert encoding == 3
    assert isinstance(back, float)
    assert math.isnan(back)


class Colour(enum.StrEnum):
    """A str that is more than a str."""

    RED = "red"


def nested(depth: int) -> list[object]:
    """Return lists within lists."""
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        {"a": (1,)},
        {1, 2},
        object(),
        Colour.RED,
        [True, {"a": Colour.RED}],
        bytearray(b"x"),
        {(1, 2): "x"},
        [b"x", 2**64],
        nested(5000),
        nested(129),
        10**4000,
        [{"a": -(10**5000)}],
    ],
)
def test_what_would_not_come_back_is_refused(value: object) -> None:
    """A changed value would be a wrong answer; the message says which type."""
    with pytest.raises(UsageError, match="cannot be stored"):
        encode(value)


def test_a_value_as_deep_as_may_be_comes_back() -> None:
    """A hundred and twenty-eight lists in one another, in both encodings."""
    for inner in (nested(127), [b"", nested(126)]):
        encoding, payload = encode(inner)

        assert decode(encoding, payload) == inner


def test_a_list_in_itself_is_refused() -> None:
    """And ends."""
    value: list[object] = []
    value.append(value)

    with pytest.raises(UsageError, match="cannot be stored"):
        encode(value)


@pytest.mark.parametrize(
    "payload",
    [
        msgpack.packb(msgpack.ExtType(5, b"x")),
        msgpack.packb([msgpack.Timestamp(1, 0)]),
        msgpack.packb({"a": msgpack.Timestamp(2**33, 5)}),
    ],
)
def test_extensions_of_msgpack_are_undecodable(payload: bytes) -> None:
    """They would come back as types that no caller expects."""
    with pytest.raises(UndecodableError):
        decode(MSGPACK, payload)


@given(st.binary(max_size=200))
@example(HEADER.pack(0xCB, 0x22, 0, 0, VERSION, 0, 0, 0, 0) + b"{")
@example(HEADER.pack(0xCB, 0x23, 0, 0, VERSION, 0, 0, 0, 0) + b"\xc1")
@example(HEADER.pack(0xCB, 0x23, 0, 0, VERSION, 0, 0, 0, 0) + b"\x81\x90\x01")
@example(HEADER.pack(0xCB, 0x22, 0, 3, VERSION, 0, 0, 0, 1) + b"\x05")
def test_any_bytes_are_an_envelope_or_undecodable(stored: bytes) -> None:
    """No input raises anything else, and what is one packs to the same bytes."""
    with suppress(UndecodableError):
        envelope = Envelope.unpack(stored)
        assert envelope.pack() == stored


@given(st.integers(0, 4), st.binary(max_size=200))
@example(JSON, b"{")
@example(MSGPACK, b"\xc1")
@example(MSGPACK, b"\x81\x90\x01")
@example(MSGPACK, b"\xdf\xff\xff\xff\xff")
@example(MSGPACK, b"\x91" * 3000)
@example(JSON, b"[" * 100_000)
def test_any_payload_is_a_value_or_undecodable(encoding: int, payload: bytes) -> None:
    """Nor does any encoding of any bytes."""
    with suppress(UndecodableError):
        decode(encoding, payload)


@given(VALUES, st.data())
def test_no_damage_to_a_header_goes_unnoticed(value: object, data: st.DataObject) -> None:
    """A cut or a changed layout byte is an error or, at worst, the payload's own problem."""
    encoding, payload = encode(value)
    form = head(encoding, 1)[1]
    stored = Envelope(form, VERSION, 5, payload, ((b"t", TAG_VERSION),)).pack()
    cut = data.draw(st.integers(0, HEADER.size + 17))

    with pytest.raises(UndecodableError):
        Envelope.unpack(stored[:cut])
    for place, change in ((0, 1), (1, 0x10), (2, 0x04), (3, 1), (36, 0x80), (37, 1)):
        changed = stored[:place] + bytes([stored[place] ^ change]) + stored[place + 1 :]
        with pytest.raises(UndecodableError):
            Envelope.unpack(changed)


@pytest.mark.parametrize("change", [{"format": 0x12}, {"format": 0x32}, {"flags": 4}])
def test_another_format_is_undecodable(change: dict[str, int]) -> None:
    """An entry of an older or a newer version is a miss for this one."""
    envelope = Envelope(0x22, VERSION, 5, b"{}")

    with pytest.raises(UndecodableError):
        Envelope.unpack(replace(envelope, **change).pack())  # type: ignore[arg-type]
