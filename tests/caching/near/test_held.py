"""What is held is given to each reader anew, equal and of the same type."""

from __future__ import annotations

import collections
import enum
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valkeyctl.caching import ValkeyClient
from valkeyctl.caching.codec import Value
from valkeyctl.caching.keys import KeyScheme
from valkeyctl.caching.near import MISS, NearCache
from valkeyctl.caching.near.held import AS_IS, FLAT, NESTED, hold
from valkeyctl.caching.near.tracking import Tracking
from valkeyctl.endpoint import Endpoint

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(SCALARS, inner),
    max_leaves=20,
)


class Standing(Tracking):
    """Tracking that has heard everything, for ever."""

    complete = True

    def start(self) -> None: ...

    def renew(self) -> None: ...


def standing_cache(**options: float) -> tuple[NearCache, KeyScheme]:
    """Return a near cache that needs no server, and its keys."""
    keys = KeyScheme("app")
    near = NearCache(ValkeyClient(Endpoint()), keys, {"m": 1000.0}, **options)  # type: ignore[arg-type]
    near._tracking.__class__ = Standing
    near.proven(math.inf)
    return near, keys


@given(VALUES)
def test_a_value_comes_back_equal_and_of_the_same_type(value: Value) -> None:
    """`repr` knows True from 1 and 1.0 from 1, at any depth."""
    near, keys = standing_cache()

    assert near.put(near.begin(), "m", "x", value, place=keys.place("m", "x"), ttl=60)

    assert repr(near.get("m", "x")) == repr(value)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ({"a": 1, "b": "two"}, FLAT),
        ([1, 2.5, None], FLAT),
        ({"a": {"b": []}}, NESTED),
        ([[1], [2]], NESTED),
    ],
)
def test_no_reader_gets_what_another_can_change(value: Value, form: int) -> None:
    """Nor does it matter what becomes of the object that was put."""
    near, keys = standing_cache()
    before = repr(value)
    held = hold(value)
    assert held is not None
    assert held[0] == form
    near.put(near.begin(), "m", "x", value, place=keys.place("m", "x"), ttl=60)

    for victim in (value, near.get("m", "x"), near.get("m", "x")):
        assert isinstance(victim, (dict, list))
        for part in victim.values() if isinstance(victim, dict) else victim:
            if isinstance(part, (dict, list)):
                part.clear()
        victim.clear()

    assert repr(near.get("m", "x")) == before


def test_what_cannot_be_changed_is_handed_out_as_it_is() -> None:
    """No copy of a long text, whoever asks."""
    near, keys = standing_cache()
    text = "x" * 10_000

    near.put(near.begin(), "m", "x", text, place=keys.place("m", "x"), ttl=60)

    assert near.get("m", "x") is text
    assert hold(text) == (AS_IS, text, text.__sizeof__())


class Number(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        {1, 2},
        bytearray(b"x"),
        [bytearray(b"x")],
        [{"a": (1,)}],
        collections.OrderedDict(a=1),
        Number.ONE,
        [Number.ONE],
        {Number.ONE: 1},
        {(1, 2): 3},
        object(),
        3j,
    ],
)
def test_what_would_come_back_as_something_else_is_not_held(value: object) -> None:
    """Its reader goes to the server, as without a near cache."""
    near, keys = standing_cache()

    assert not near.put(near.begin(), "m", "x", value, place=keys.place("m", "x"), ttl=60)

    assert near.get("m", "x") is MISS
    assert near.stats().refused == 1


def test_a_value_nested_without_end_is_not_held() -> None:
    """It is refused, and does not break the process."""
    deep: list[object] = []
    for _ in range(2000):
        deep = [deep]
    ring: list[object] = []
    ring.append(ring)

    assert hold(deep) is None
    assert hold(ring) is None
