"""One text for each value: the same in every process, and for no other value.

It tells apart what a function may tell apart: 1, 1.0, True and "1"; a list and a tuple;
two models with the same fields. What has no such text is refused, for a wrong text is a
wrong answer: the ``repr`` of an object holds its address, which another object gets next.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from uuid import UUID

_quoted = json.JSONEncoder(ensure_ascii=False).encode


class NoStableFormError(ValueError):
    """Something in the value has no text of its own; `kind` is its type's name."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"{kind} has no stable form")
        self.kind = kind


def canonical(value: object) -> str:
    """Return the text of *value*.

    It has one if it is None, bool, int, float, str, bytes, an enum member, a date, time,
    datetime or timedelta, a Decimal, UUID or path; or a list, tuple, set, dict, named
    tuple, dataclass or pydantic model of those. The order of a dict or set does not count,
    nor do fields of a dataclass that are declared with ``compare=False``.

    Raises:
        NoStableFormError: It is of another type, or holds itself.
    """
    try:
        return _text(value)
    except RecursionError as error:
        raise NoStableFormError(f"a {type(value).__name__} nested so deep") from error


def _text(value: object) -> str:
    write = _WRITERS.get(type(value))
    return write(value) if write is not None else _composed(value)


def _composed(value: object) -> str:
    kind = type(value)
    if isinstance(value, Enum):
        # The name, as values may be objects; a combination of flags may have none.
        return f"{_name(kind)}.{value.name}" if value.name else _call(kind, {"": value.value})
    if isinstance(value, PurePath):
        return f"{kind.__name__}({_quoted(str(value))})"
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return _call(kind, dict(zip(kind._fields, value, strict=True)))
    # Of this very class: a subclass may have attributes that are no fields.
    if "__dataclass_fields__" in vars(kind) and dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return _call(kind, {f.name: getattr(value, f.name) for f in fields if f.compare})
    if "__pydantic_fields__" in vars(kind) and hasattr(kind, "model_fields"):
        return _call(kind, _parts_of_model(value))
    raise NoStableFormError(kind.__qualname__)


def _parts_of_model(model: object) -> dict[str, object]:
    """Return all that two equal models have in common."""
    names: Iterable[str] = vars(type(model))["__pydantic_fields__"]
    parts = {name: getattr(model, name) for name in names}
    for name in ("__pydantic_extra__", "__pydantic_private__"):
        more = getattr(model, name, None)
        if more:
            parts[name] = more
    return parts


def _call(kind: type, parts: Mapping[str, object]) -> str:
    inner = ",".join(f"{name}={_text(part)}" for name, part in sorted(parts.items()))
    return f"{_name(kind)}({inner})"


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _list(value: list[object]) -> str:
    return f"[{','.join(map(_text, value))}]"


def _tuple(value: tuple[object, ...]) -> str:
    return f"({','.join(map(_text, value))})"


def _set(value: set[object]) -> str:
    return f"set({','.join(sorted(map(_text, value)))})"


def _frozenset(value: frozenset[object]) -> str:
    return f"frozen{_set(set(value))}"


def _dict(value: dict[object, object]) -> str:
    pairs = sorted((_text(key), _text(part)) for key, part in value.items())
    return f"{{{','.join(f'{key}:{part}' for key, part in pairs)}}}"


def _timedelta(value: timedelta) -> str:
    return f"timedelta({value.days},{value.seconds},{value.microseconds})"


def _moment(value: datetime | date | time) -> str:
    return f"{type(value).__name__}({value.isoformat()})"


# By exact type: a subclass may be more than its value.
_WRITERS: dict[type, Callable[..., str]] = {
    str: _quoted,
    int: str,
    bool: str,
    type(None): str,
    float: repr,
    list: _list,
    dict: _dict,
    tuple: _tuple,
    set: _set,
    frozenset: _frozenset,
    bytes: lambda value: f"bytes({value.hex()})",
    datetime: _moment,
    date: _moment,
    time: _moment,
    timedelta: _timedelta,
    Decimal: lambda value: f"Decimal({value})",
    UUID: lambda value: f"UUID({value})",
}
