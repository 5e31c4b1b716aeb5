"""The text of a value: one for each, and the same everywhere."""

from __future__ import annotations

import datetime
import enum
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import PurePosixPath
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, PrivateAttr, SecretStr

from valkeyctl.caching.canonical import NoStableFormError, canonical

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
VALUES = st.recursive(
    SCALARS,
    lambda parts: (
        st.lists(parts)
        | st.tuples(parts, parts)
        | st.dictionaries(st.text() | st.integers(), parts)
        | st.frozensets(st.text())
    ),
    max_leaves=8,
)


class Colour(enum.Enum):
    RED = 1


class Shade(enum.StrEnum):
    RED = "red"


class Rights(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Cat(BaseModel):
    name: str
    lives: int = 9


class Dog(BaseModel):
    name: str
    lives: int = 9


class Open(BaseModel, extra="allow"):
    name: str
    _mood: str = PrivateAttr(default="good")


class Locked(BaseModel):
    password: SecretStr


@dataclass
class Point:
    x: int
    y: int
    cache: list[int] = field(default_factory=list, compare=False)


class Subpoint(Point):
    """Not a dataclass of its own, so it may be more than its fields."""


class Pair(NamedTuple):
    left: int
    right: int


DIFFERENT: list[object] = [
    *(None, True, False, 0, 1, 1.0, -0.0, "1", "None", "", b"", b"1", "b'1'"),
    *([], [[]], [1, 2], (1, 2), ["1,2"], [1, [2]], (), {}, set(), frozenset()),
    *({"a": 1}, {"a": "1"}, {1: "a"}, {"a": {"b": 1}}, {"a:1": 2}, ["a", "b"], ['a","b']),
    *(Colour.RED, Shade.RED, Rights.READ, Rights.READ | Rights.WRITE, Rights(0)),
    *(Cat(name="x"), Cat(name="y"), Dog(name="x"), Point(1, 2), Point(2, 1), Pair(1, 2)),
    *(Open(name="x"), Open(name="x", colour="red")),
    *(datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1), datetime.time(1)),
    datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    *(datetime.timedelta(seconds=1), datetime.timedelta(days=1)),
    *(Decimal(1), Decimal("1.0"), uuid.UUID(int=1), str(uuid.UUID(int=1)), PurePosixPath("1")),
]


def test_values_that_a_function_may_tell_apart_have_different_texts() -> None:
    """Between any two of them there is no room for a wrong answer."""
    texts = [canonical(value) for value in DIFFERENT]

    assert len(set(texts)) == len(DIFFERENT)


@given(VALUES, VALUES)
def test_two_values_share_a_text_only_if_they_are_the_same(one: object, other: object) -> None:
    """Quotes, brackets and commas in a text forge nothing."""
    if canonical(one) == canonical(other):
        assert repr(one) == repr(other) or one == other


def test_the_order_of_dicts_and_sets_does_not_count() -> None:
    """They are equal whatever their order."""
    assert canonical({"a": 1, "b": [2]}) == canonical({"b": [2], "a": 1})
    assert canonical({"a", "b", "c"}) == canonical({"c", "b", "a"})


def test_what_is_not_compared_is_not_in_the_text() -> None:
    """A dataclass says itself which of its fields do not count."""
    assert canonical(Point(1, 2, cache=[3])) == canonical(Point(1, 2))


def test_private_attributes_of_a_model_count() -> None:
    """As they do when two models are compared."""
    moody = Open(name="x")
    moody._mood = "bad"

    assert canonical(moody) != canonical(Open(name="x"))


@pytest.mark.parametrize(
    "value",
    [
        object(),
        Subpoint(1, 2),
        Locked(password=SecretStr("x")),
        [SecretStr("x")],
        print,
        int,
        Exception("x"),
        type("Text", (str,), {})("x"),
        Pair(1, object()),  # type: ignore[arg-type]
        iter(()),
    ],
)
def test_what_has_no_text_of_its_own_is_refused(value: object) -> None:
    """An object's address, or a secret's stars, would be shared by different values."""
    with pytest.raises(NoStableFormError, match="has no stable form"):
        canonical(value)


def test_a_value_that_holds_itself_is_refused() -> None:
    """Instead of never coming to an end."""
    loop: list[object] = []
    loop.append(loop)

    with pytest.raises(NoStableFormError):
        canonical(loop)


def test_a_text_is_the_same_in_another_process() -> None:
    """Where hashes, and with them the order of sets, are different ones."""
    program = (
        "from valkeyctl.caching.canonical import canonical;"
        "print(canonical({'b': {'x', 'y', 'z'}, 'a': (1, 2.5, None, b'z')}))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(texts) == 1
