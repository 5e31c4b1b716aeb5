"""Typed values: stored plain, given back as what they were, or refused."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import ipaddress
import math
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    PlainSerializer,
    PrivateAttr,
    RootModel,
    SecretStr,
    computed_field,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypedDict

from valkeyctl.caching.codec import UndecodableError, Value, decode, encode
from valkeyctl.caching.values import Typed, plain
from valkeyctl.errors import UsageError

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)


class Colour(enum.StrEnum):
    RED = "red"


class Turn(BaseModel):
    role: Literal["user", "assistant"]
    at: dt.datetime
    raw: bytes = b""


class Session(BaseModel):
    """With aliases, strictness and a computed field, each a way to lose a value."""

    model_config = ConfigDict(strict=True, extra="forbid", serialize_by_alias=True)

    id: uuid.UUID = Field(validation_alias="sessionId", serialization_alias="sid")
    turns: list[Turn] = []
    price: decimal.Decimal = decimal.Decimal("1.10")
    colour: Colour = Colour.RED
    tags: frozenset[str] = frozenset()
    limits: dict[dt.date, int] = {}
    settings: Json[list[int]] = Field(default=[1])

    @computed_field  # type: ignore[prop-decorator]
    @property
    def length(self) -> int:
        """What is computed is not stored."""
        return len(self.turns)


@dataclasses.dataclass(slots=True)
class Point:
    x: float
    at: dt.timedelta = dt.timedelta(days=3, microseconds=1)
    inner: list[Point] = dataclasses.field(default_factory=list)


@pydantic_dataclass
class Strict:
    path: Path


class Row(NamedTuple):
    name: str
    when: dt.date


class Item(TypedDict, total=False):
    id: int
    colour: Colour


class Text(BaseModel):
    kind: Literal["text"] = "text"
    text: str


class Image(BaseModel):
    kind: Literal["image"] = "image"
    data: bytes


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow")


class Numbers(RootModel[list[int]]):
    pass


SESSION = Session(
    sessionId=uuid.UUID(int=5),
    turns=[Turn(role="user", at=NOW, raw=b"\xff\x00")],
    tags=frozenset({"a"}),
    limits={dt.date(2026, 1, 2): 3},
)
CASES: list[tuple[object, object]] = [
    (Session, SESSION),
    (list[Session], [SESSION, SESSION]),
    (dict[str, Turn], {"a": SESSION.turns[0]}),
    (dict[int, Turn], {1: SESSION.turns[0]}),
    (Point, Point(math.nan, inner=[Point(-0.0)])),
    (Strict, Strict(Path("/a/b"))),
    (Row, Row("a", dt.date(2026, 1, 2))),
    (list[Item], [{"id": 1, "colour": Colour.RED}, {}]),
    (Annotated[Text | Image, Field(discriminator="kind")], Image(data=b"\xff")),
    (Extra, Extra.model_validate({"more": [1, "two", None]})),
    (Numbers, Numbers([1, 2])),
    (dt.datetime, NOW),
    (dt.time, dt.time(1, 2, 3, 4)),
    (decimal.Decimal, decimal.Decimal("1.0E+400")),
    (Colour, Colour.RED),
    (dict[Colour, uuid.UUID], {Colour.RED: uuid.UUID(int=1)}),
    (ipaddress.IPv6Address, ipaddress.ip_address("::1")),
    (tuple[int, ...], (1, 2)),
    (set[str], {"a"}),
    (collections.deque[bytes], collections.deque([b"\xff"])),
    (int | str | None, None),
    (bytes, b"\xff"),
    (float, math.inf),
    (complex, 1 + 2j),
]


@pytest.mark.parametrize(("form", "value"), CASES, ids=lambda case: str(case)[:40])
def test_a_typed_value_comes_back_as_it_was(form: object, value: object) -> None:
    """Through the codec, as a new object, for any type that pydantic knows."""
    typed = Typed[object](form)

    back = typed.load(decode(*encode(typed.plain(value))))

    assert type(back) is type(value)
    # Points have a NaN, which equals nothing; a time zone may be another object for the same.
    assert back == value or repr(back) == repr(value)


@given(st.builds(Turn, role=st.sampled_from(["user", "assistant"]), at=st.datetimes()))
def test_any_instance_of_a_model_comes_back(turn: Turn) -> None:
    """Dates before 1970 and far ahead, and any bytes."""
    typed = Typed(Turn)

    assert typed.load(typed.plain(turn)) == turn


def test_bytes_stay_bytes() -> None:
    """Base64 would take a third more room, and text would lose what is none."""
    assert Typed(Turn).plain(SESSION.turns[0]) == {
        "role": "user",
        "at": "2026-01-02T03:04:05.678901Z",
        "raw": b"\xff\x00",
    }


class Hidden(BaseModel):
    secret: SecretStr = SecretStr("hunter2")


class Left(BaseModel):
    kept: int = 1
    left: int = Field(default=2, exclude=True)


class Private(BaseModel):
    _count: int = PrivateAttr(default=0)


class Base(BaseModel):
    x: int = 1


class Derived(Base):
    y: int = 2


class Loose(BaseModel):
    anything: Any = None


class Either(BaseModel):
    value: dt.datetime | str


class Raising(BaseModel):
    x: Annotated[int, PlainSerializer(lambda _: 1 / 0)] = 1


def counted() -> Private:
    """Return a model with an attribute that is not stored."""
    private = Private()
    private._count = 1
    return private


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (Hidden, Hidden()),
        (Left, Left(left=5)),
        (Private, counted()),
        (Base, Derived()),
        (Loose, Loose(anything=NOW)),
        (Loose, Loose(anything=Colour.RED)),
        (Loose, Loose(anything=object())),
        (Either, Either(value=NOW)),
        (Raising, Raising()),
        (Base, {"x": 1}),
        (int, "1"),
        (str | Colour, Colour.RED),
    ],
    ids=lambda case: str(case)[:30],
)
def test_what_would_not_come_back_is_refused(form: object, value: object) -> None:
    """Stars for a secret, a field left out, text for a date: each would be a wrong answer."""
    with pytest.raises(UsageError, match="would not come back as it is") as caught:
        Typed[object](form).plain(value)

    assert "hunter2" not in str(caught.value)


class Renamed(BaseModel):
    role: Literal["system"]
    at: dt.datetime


class More(Turn):
    user: str


def failing(value: object) -> object:
    """Fail as a validator of an application may."""
    raise KeyError(value)


@pytest.mark.parametrize(
    "form", [Renamed, More, list[Turn], int, Annotated[int, BeforeValidator(failing)]]
)
def test_a_value_of_an_older_type_is_undecodable(form: object) -> None:
    """A new version of a model never sees old fields; the message does not repeat the value."""
    stored = Typed(Turn).plain(SESSION.turns[0])

    with pytest.raises(UndecodableError, match="does not fit") as caught:
        Typed[object](form).load(stored)

    assert "assistant" not in str(caught.value)


@pytest.mark.parametrize("stored", [None, "text", [], {"role": 1}, b"\xff", 5])
def test_any_plain_value_is_of_the_type_or_undecodable(stored: Value) -> None:
    """Whoever wrote it."""
    with pytest.raises(UndecodableError):
        Typed(Turn).load(stored)


def test_a_type_without_a_schema_is_refused() -> None:
    """When it is declared, with its name."""

    class Foreign:
        pass

    with pytest.raises(UsageError, match="values of Foreign cannot be stored"):
        Typed(Foreign)
    with pytest.raises(UsageError, match="cannot be stored"):
        Typed[object]("Nowhere")


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ([SESSION.turns[0]], [Typed(Turn).plain(SESSION.turns[0])]),
        ({"p": Point(1.5)}, {"p": {"x": 1.5, "at": "P3DT0.000001S", "inner": []}}),
        (Numbers([1]), [1]),
        (Strict(Path("/a")), {"path": "/a"}),
    ],
)
def test_models_are_stored_without_a_declared_type(value: object, stored: Value) -> None:
    """As dicts of their fields, wherever they are in a value."""
    assert plain(value) == stored


@pytest.mark.parametrize("value", [{"a": [1, b"x"]}, "text", (1, 2), {1}, NOW, Colour.RED, Point])
def test_all_else_stays_what_it_is(value: object) -> None:
    """A tuple that became a list unasked would be another value; the codec refuses it."""
    assert plain(value) == value


def loop() -> object:
    """Return a list that is in itself."""
    value: list[object] = []
    value.append(value)
    return value


def ring() -> object:
    """Return a dataclass that is in itself."""
    point = Point(1)
    point.inner.append(point)
    return point


@pytest.mark.parametrize("make", [loop, ring])
def test_a_value_in_itself_is_refused(make: Callable[[], object]) -> None:
    """And ends."""
    with pytest.raises(UsageError, match="cannot be stored"):
        plain(make())


def test_pydantic_is_imported_for_typed_values_only() -> None:
    """Who stores plain values does not wait for it."""
    script = "import sys, valkeyctl.caching.payload as p; p.Payloads().pack(b'k', {'a': 1})"

    subprocess.run(
        [sys.executable, "-c", f"{script}; sys.exit('pydantic' in sys.modules)"], check=True
    )
