"""From pydantic's errors to sentences with file, line, key and allowed values."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from valkeyctl.errors import Problem
from valkeyctl.profile.fields import PATTERN_WORDS
from valkeyctl.profile.schema import SWITCHES, Profile
from valkeyctl.profile.yamlfile import Document

_TYPES = {
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "path": "a path",
    "string": "text, in quotes if it looks like a number",
    "tuple": "a list",
}
_BOUNDS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "string_too_long": "{max_length} characters at most",
    "too_short": "{min_length} or more in the list",
}
_SHORT_FORMS = {
    **dict.fromkeys(SWITCHES, "true, false, or "),
    "persistence": "none, rdb, aof, rdb+aof, or ",
}
_SHOWN = 60  # characters of a wrong value that a message repeats


def problems_of(error: ValidationError, document: Document) -> tuple[Problem, ...]:
    """Return one problem for each key that is wrong, in file order."""
    found: dict[tuple[str, ...], Problem] = {}
    for detail in error.errors(include_url=False, include_context=True):
        path, text = _explain(detail)
        place = document.place(path)
        # A union reports each of its sides; the first says enough.
        found.setdefault(path, place.problem(".".join(path), text))
    # A list whose items are wrong is reported again as too short.
    inner = [
        problem
        for path, problem in found.items()
        if not any(other[: len(path)] == path and other != path for other in found)
    ]
    return tuple(sorted(inner, key=lambda problem: (problem.file, problem.line)))


def _explain(detail: ErrorDetails) -> tuple[tuple[str, ...], str]:
    path = tuple(str(part) for part in detail["loc"] if not _is_union_arm(part))
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return path, _unknown_key(path)
    if kind == "missing":
        return path, "this key is required"
    if kind == "value_error":
        text = str(context.get("error", detail["msg"]))
        if not path and ": " in text:
            # A check over the whole profile names its key first.
            key, text = text.split(": ", 1)
            return tuple(key.split(".")), text
        return path, text
    return path, f"{_shown(value, path)}; write {_allowed(kind, context, path, detail['msg'])}"


def _shown(value: object, path: tuple[str, ...]) -> str:
    """Return the beginning of the sentence, with *value* as YAML has it."""
    if value is None:
        return "there is no value"
    if path[:1] == ("auth",) or isinstance(value, (dict, list, tuple)):
        return "this is not allowed"  # a secret in the wrong place is still one
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    return f"{shown[:_SHOWN]}{'...' if len(shown) > _SHOWN else ''} is not allowed"


def _allowed(kind: str, context: Mapping[str, object], path: tuple[str, ...], message: str) -> str:
    if kind == "literal_error":
        expected = str(context.get("expected", "")).replace("'", "")
        # With `auto` or a size the second side of the union knows more.
        return "auto, or a size such as 512Mi" if expected == "auto" else expected
    if kind == "string_pattern_mismatch":
        pattern = str(context.get("pattern"))
        return PATTERN_WORDS.get(pattern, pattern)
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**{name: _bound(bound) for name, bound in context.items()})
    if kind in {"model_type", "dict_type", "model_attributes_type"}:
        keys = ", ".join(_keys_at(path)) or "names of your own"
        return (
            f"{_SHORT_FORMS.get(path[-1] if path else '', '')}a section with keys below it: {keys}"
        )
    return _TYPES.get(kind.partition("_")[0], message.removeprefix("Input should be "))


def _bound(bound: object) -> str:
    if isinstance(bound, int) and bound >= 2**20 and bound % 2**20 == 0:
        return f"{bound // 2**20}Mi"
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def _is_union_arm(part: int | str) -> bool:
    return isinstance(part, str) and (
        part.startswith(("literal[", "function-", "constrained-", "nullable[")) or part == "[key]"
    )


def _unknown_key(path: tuple[str, ...]) -> str:
    known = _keys_at(path[:-1])
    near = get_close_matches(path[-1], known, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    return f"there is no such key; {guess}allowed: {', '.join(known)}"


def _keys_at(path: tuple[str, ...]) -> list[str]:
    """Return the keys that the section at *path* knows; none where they are free."""
    model: type[BaseModel] = Profile
    names = iter(path)
    for name in names:
        annotation = model.model_fields[name].annotation
        section = _model_in(annotation)
        if section is None:
            return []
        model = section
        if get_origin(annotation) is dict and next(names, None) is None:
            return []
    keys = sorted(model.model_fields)
    return sorted([*keys, "extends"]) if model is Profile else keys


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in {dict, Union, UnionType, Annotated}:
        found = (_model_in(part) for part in get_args(annotation))
        return next((model for model in found if model), None)
    return None
