"""From pydantic's errors to sentences with file, line, key and allowed values."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from valkeyctl.errors import Problem
from valkeyctl.profile.fields import NAME_PATTERN, NAMESPACE_PATTERN
from valkeyctl.profile.schema import Profile
from valkeyctl.profile.yamlfile import Document

_PATTERNS = {
    NAME_PATTERN: "lower-case letters, digits and inner hyphens, 40 at most",
    NAMESPACE_PATTERN: "a lower-case letter, then letters, digits, _ or -, 40 at most",
    r"^\d+ \d+$": "'<seconds> <changes>', such as '300 100'",
}


def problems_of(error: ValidationError, document: Document) -> tuple[Problem, ...]:
    """Return one problem for each key that is wrong, in file order."""
    found: dict[tuple[str, ...], Problem] = {}
    for detail in error.errors(include_url=False, include_context=True):
        path, text = _explain(detail)
        place = document.place(path)
        # A union reports each of its sides; the first says enough.
        found.setdefault(path, place.problem(".".join(path), text))
    return tuple(sorted(found.values(), key=lambda problem: (problem.file, problem.line)))


def _explain(detail: ErrorDetails) -> tuple[tuple[str, ...], str]:
    path = tuple(str(part) for part in detail["loc"] if not _is_union_arm(part))
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return path, _unknown_key(path)
    if kind == "missing":
        return path, "this key is required"
    if kind == "literal_error":
        # With `auto` or a size the second side of the union knows more.
        return path, f"{value!r} is not allowed; write {_allowed(context)}"
    if kind == "value_error":
        text = str(context.get("error", detail["msg"]))
        if not path and ": " in text:
            # A check over the whole profile names its key first.
            key, text = text.split(": ", 1)
            return tuple(key.split(".")), text
        return path, text
    if kind == "string_pattern_mismatch":
        pattern = str(context.get("pattern"))
        return path, f"{value!r} is not allowed; write {_PATTERNS.get(pattern, pattern)}"
    if kind in {"model_type", "dict_type", "model_attributes_type"}:
        return path, f"{value!r} is not allowed here; this is a section with keys of its own"
    message = detail["msg"].removeprefix("Input should be ")
    return path, f"{value!r} is not allowed; it must be {message}"


def _is_union_arm(part: int | str) -> bool:
    return isinstance(part, str) and (
        part.startswith(("literal[", "function-", "constrained-", "nullable[")) or part == "[key]"
    )


def _allowed(context: Mapping[str, object]) -> str:
    expected = str(context.get("expected", "")).replace("'", "")
    return "auto or a size such as 512Mi" if expected == "auto" else expected


def _unknown_key(path: tuple[str, ...]) -> str:
    known = _keys_at(path[:-1])
    near = get_close_matches(path[-1], known, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    return f"there is no such key; {guess}allowed: {', '.join(known)}"


def _keys_at(path: tuple[str, ...]) -> list[str]:
    """Return the keys that the section at *path* knows."""
    model: type[BaseModel] = Profile
    names = iter(path)
    for name in names:
        annotation = model.model_fields[name].annotation
        section = _model_in(annotation)
        if section is None:
            return []
        model = section
        if get_origin(annotation) is dict:
            next(names, None)
    keys = sorted(model.model_fields)
    return [*keys, "extends"] if model is Profile else keys


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in {dict, Union, UnionType, Annotated}:
        found = (_model_in(part) for part in get_args(annotation))
        return next((model for model in found if model), None)
    return None
