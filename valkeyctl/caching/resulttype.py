"""What type the results of a function have, by its return annotation."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from types import FunctionType, SimpleNamespace

from valkeyctl.caching.codec import Value
from valkeyctl.caching.values import Typed
from valkeyctl.errors import UsageError

_UNDEFINED = "class-not-fully-defined"


class NotYetDefinedError(Exception):
    """A name in the annotation means nothing so far; `hint` is for the user it stays so for."""


def result_form(function: FunctionType, name: str) -> object:
    """Return the type to store results as; None for plain values, where nothing is said.

    Args:
        function: The function.
        name: How messages call it.

    Raises:
        NotYetDefinedError: A name in the annotation is not defined.
        UsageError: It returns nothing, or what no cache can hold.
    """
    written = inspect.unwrap(function).__annotations__.get("return", typing.Any)
    form = _resolved(inspect.unwrap(function), written, name)
    if form in (type(None), typing.NoReturn, typing.Never):
        raise UsageError(
            f"{name} returns nothing that could be cached",
            hint="Annotate what it returns, or leave the decorator away",
        )
    if form in (typing.Any, object) or form == Value:
        return None
    check_form(form, name)
    return form


def check_form(form: object, name: str) -> None:
    """See that values of a type can be stored.

    Raises:
        NotYetDefinedError: A name in it is not defined.
        UsageError: They cannot.
    """
    try:
        Typed(form)
    except UsageError as error:
        cause = error.__cause__
        if isinstance(cause, NameError) or getattr(cause, "code", None) == _UNDEFINED:
            raise NotYetDefinedError(str(error)) from error
        raise UsageError(
            f"what {name} returns cannot be cached: {error}", hint=error.hint
        ) from error


def is_plain(value: object) -> bool:
    """Say whether nothing in *value* would come back as something else.

    What cannot be stored at all is not looked for.
    """
    if isinstance(value, dict):
        return all(map(is_plain, value.values()))
    if isinstance(value, list):
        return all(map(is_plain, value))
    kind = type(value)
    return not dataclasses.is_dataclass(kind) and not hasattr(kind, "__pydantic_serializer__")


def _resolved(function: FunctionType, written: object, name: str) -> object:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    around: dict[str, object] = {}
    for variable, cell in cells:
        try:
            around[variable] = cell.cell_contents
        except ValueError:  # assigned later
            continue
    # This annotation alone: those of the parameters may name what only a type checker imports.
    holder = SimpleNamespace(__annotations__={"return": written})
    try:
        hints = typing.get_type_hints(holder, function.__globals__, around, include_extras=True)
    except NameError as error:
        raise NotYetDefinedError(str(error)) from error
    except (AttributeError, SyntaxError, TypeError) as error:
        raise UsageError(
            f"the return annotation of {name} cannot be understood: {error}",
            hint="Say the type of its results with form=",
        ) from error
    return hints["return"]
