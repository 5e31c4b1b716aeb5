"""Options and arguments that cost nothing to check where their text is plain.

Typer checks every value by pydantic, whose import takes longer than a whole command
such as ``keys stats``. What is plainly right is taken as it is here; everything else,
what is wrong above all, is left to typer and its sentences.
"""

from __future__ import annotations

import math
import os
import re
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, get_args, get_origin

import typer
from typer.core import TyperArgument, TyperOption

from valkeyctl.errors import UsageError

if TYPE_CHECKING:
    from typer._click import Parameter
    from typer.models import ParameterInfo

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_REAL = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?", re.IGNORECASE)


class NotPlainError(Exception):
    """A value that only typer's own check can tell something of."""


class PlainOption(TyperOption):
    """An option whose plain values are taken as they are."""

    def process_value(self, ctx: typer.Context, value: object) -> object:  # type: ignore[override]  # typer's own Context
        """Return the checked value."""
        try:
            checked = _checked(self, value)
        except NotPlainError:
            return super().process_value(ctx, value)
        return self.callback(ctx, self, checked) if self.callback else checked


class PlainArgument(TyperArgument):
    """An argument whose plain values are taken as they are."""

    def process_value(self, ctx: typer.Context, value: object) -> object:  # type: ignore[override]  # as above
        """Return the checked value."""
        try:
            checked = _checked(self, value)
        except NotPlainError:
            return super().process_value(ctx, value)
        return self.callback(ctx, self, checked) if self.callback else checked


def plainly(params: list[Parameter]) -> list[Parameter]:
    """Return *params*, as typer made them, after they were told to take plain values quickly."""
    for param in params:
        # Typer names its classes itself; the two of ours add a method and no state.
        if type(param) is TyperOption:
            param.__class__ = PlainOption
        elif type(param) is TyperArgument:
            param.__class__ = PlainArgument
    return params


def _checked(param: TyperOption | TyperArgument, value: object) -> object:
    several = param.multiple or param.nargs == -1
    if value is None and not param.required:
        return () if several else None
    annotation: object = param.type_descriptor.annotation
    info = param.type_descriptor.parameter_info
    if annotation is Path and value == "":
        # Of a variable that is not set; as a path it would be the working folder.
        what = max(param.opts, key=len)
        raise UsageError(f"{what} is empty", hint="Name a file or folder, or leave it out")
    if get_origin(annotation) is list and several and isinstance(value, (list, tuple)) and value:
        (of,) = get_args(annotation)
        return [_plain(of, info, one) for one in value]
    return _plain(annotation, info, value)


def _plain(of: object, info: ParameterInfo, value: object) -> object:
    """Return *value* as *of*, as pydantic would.

    Raises:
        NotPlainError: Pydantic is to look at it.
    """
    if info.parser is not None or not isinstance(of, type):
        raise NotPlainError
    if of is str and isinstance(value, str):
        return value
    if of is bool and isinstance(value, bool):
        return value
    if of is int or of is float:
        return _number(int if of is int else float, info, value)
    if issubclass(of, Enum):
        for member in of:
            if value is member or (isinstance(value, str) and str(member.value) == value):
                return member
    if of is Path and isinstance(value, (str, Path)) and not info.path_type:
        return _path(info, Path(value))
    raise NotPlainError


def _number(of: type[int | float], info: ParameterInfo, value: object) -> object:
    if isinstance(value, bool) or info.clamp:
        raise NotPlainError
    if isinstance(value, str) and (_WHOLE if of is int else _REAL).fullmatch(value):
        number: float = of(value)
    elif isinstance(value, of):
        number = value  # a default
    else:
        raise NotPlainError
    low = -math.inf if info.min is None else info.min
    high = math.inf if info.max is None else info.max
    if not low <= number <= high:
        raise NotPlainError
    return number


def _path(info: ParameterInfo, path: Path) -> Path:
    if info.resolve_path or info.writable or info.exists or str(path) == "-":
        raise NotPlainError
    if path.exists():
        allowed = info.dir_okay if path.is_dir() else info.file_okay
        if not allowed or not os.access(path, os.R_OK):
            raise NotPlainError
    return path
