"""Typed values: pydantic models, dataclasses and what they are made of, stored as plain values.

What a type cannot be given back from, such as a secret that prints as stars or a field
that is left out, is refused when it is stored: a changed value would be a wrong answer.
Bytes stay bytes, so that they take no more room than they have.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Collection, Hashable
from typing import TYPE_CHECKING, Generic, TypeVar, cast, overload

from valkeyctl.caching.codec import Scalar, UndecodableError, Value
from valkeyctl.errors import UsageError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

V = TypeVar("V")

_SCALARS = frozenset({str, int, float, bool, bytes, type(None)})
# An application has so many types that it caches; the bound is against one that makes them up.
_TYPES = 1024


class Typed(Generic[V]):
    """Turns values of one type into plain ones, and those back.

    Any type that pydantic knows: models, dataclasses, TypedDicts, ``list[Model]``,
    datetime, Decimal, UUID, enums, and so on.

    Args:
        form: The type.

    Raises:
        UsageError: Pydantic has no schema for it.
    """

    @overload
    def __init__(self, form: type[V]) -> None: ...

    # What is no class: unions, ``Annotated`` and the like.
    @overload
    def __init__(self, form: object) -> None: ...

    def __init__(self, form: object) -> None:
        from pydantic import PydanticUserError, TypeAdapter

        self._name = getattr(form, "__name__", str(form))
        try:
            self._adapter: TypeAdapter[V] = TypeAdapter(cast("type[V]", form))
            # A name in it that means nothing yet is met here and not at the first value.
            self._adapter.rebuild()
        except (PydanticUserError, NameError) as error:
            raise UsageError(
                f"values of {self._name} cannot be stored: {str(error).splitlines()[0]}",
                hint="Declare a type that pydantic has a schema for",
            ) from error

    def __repr__(self) -> str:
        return f"Typed({self._name})"

    def plain(self, value: V) -> Value:
        """Return *value* as `CacheService` stores it, having seen that it comes back equal.

        Raises:
            UsageError: It is not of the type, or would not come back as it is.
        """
        try:
            # Field names, not aliases: what is written by one and read by another name
            # would not load. Without computed fields, for the same reason.
            dumped = self._adapter.dump_python(
                value, round_trip=True, by_alias=False, warnings="error"
            )
            stored = _stored(dumped)
            fits = _same(self.load(stored), value)
        # Serializers and ``__eq__`` are the application's own code, and may raise anything.
        except Exception as error:
            raise self._refusal(value) from error
        if not fits:
            raise self._refusal(value)
        return stored

    def load(self, stored: Value) -> V:
        """Return the value that `plain` made *stored* of.

        Raises:
            UndecodableError: It does not fit the type, as after the type was changed.
        """
        try:
            # Lax, even for a strict model: a stored datetime is text.
            return self._adapter.validate_python(stored, strict=False, by_name=True, by_alias=False)
        # Validators are the application's own code, and what they raise over an old value
        # says that it does not fit.
        except Exception as error:
            raise UndecodableError(f"the stored value does not fit {self._name}") from error

    def _refusal(self, value: object) -> UsageError:
        return UsageError(
            f"this {type(value).__name__} cannot be stored as {self._name}: "
            "it would not come back as it is",
            hint="Declare the type that the value has, with fields that JSON can carry",
        )


def plain(value: object) -> Value:
    """Return *value* with the models and dataclasses in it as plain values, by field name.

    They are read back as dicts; see `Typed` for reading them back as what they were. All
    else stays, for `codec.encode` to refuse.

    Raises:
        UsageError: A model or dataclass would not come back as it is, were it read back.
    """
    try:
        return _plain(value)
    except RecursionError as error:
        raise UsageError(
            f"this {type(value).__name__} cannot be stored: {error}", hint="Store a flatter value"
        ) from error


def _plain(value: object) -> Value:
    kind = type(value)
    if isinstance(value, list) and kind is list:
        return [_plain(part) for part in value]
    if isinstance(value, dict) and kind is dict:
        return {key: _plain(part) for key, part in value.items()}
    if dataclasses.is_dataclass(kind) or hasattr(kind, "__pydantic_serializer__"):
        return _typed(cast("Hashable", kind)).plain(value)
    return cast("Value", value)


@functools.lru_cache(maxsize=_TYPES)
def _typed(kind: Hashable) -> Typed[object]:
    return Typed(kind)


def _stored(value: object) -> Value:
    """Return what pydantic dumped with bytes left as they are and all else as JSON has it."""
    kind = type(value)
    if kind in _SCALARS:
        return cast("Scalar", value)
    if isinstance(value, dict):
        return {cast("Scalar", _stored(key)): _stored(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, collections.deque)):
        return [_stored(part) for part in value]
    from pydantic_core import to_jsonable_python

    return cast("Value", to_jsonable_python(value))


def _same(one: object, other: object) -> bool:
    """Say whether two values are equal and of the same type at every depth.

    Not by ``==`` alone: text equals an enum of text, 1 equals True, and no NaN itself.
    """
    kind = type(one)
    if kind is not type(other):
        return False
    if kind in _SCALARS:
        return one == other or (one != one and other != other)  # noqa: PLR0124
    if isinstance(one, dict) and isinstance(other, dict):
        return _all_same(one.keys(), other.keys()) and _all_same(one.values(), other.values())
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return _all_same(one, other)
    fields = _fields(one)
    if fields is not None:
        return _all_same(fields, _fields(other) or ())
    return one == other or (one != one and other != other)  # noqa: PLR0124


def _all_same(ones: Collection[object], others: Collection[object]) -> bool:
    return len(ones) == len(others) and all(map(_same, ones, others))


def _fields(value: object) -> list[object] | None:
    """Return what makes up a model or a dataclass; None for anything else."""
    kind = type(value)
    names = getattr(kind, "__pydantic_fields__", None)
    if names is not None and hasattr(kind, "model_fields"):
        fields = [getattr(value, name) for name in names]
        # Of a model: fields that it did not declare, and attributes that are not stored.
        fields.append(getattr(value, "__pydantic_extra__", None))
        fields.append(getattr(value, "__pydantic_private__", None))
        return fields
    if dataclasses.is_dataclass(value):
        return [getattr(value, field.name) for field in dataclasses.fields(value) if field.compare]
    return None
