"""From a name or a path to a `Profile`: find, read, extend, interpolate, check."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from valkeyctl.errors import Problem, ProfileError
from valkeyctl.profile.explain import problems_of
from valkeyctl.profile.fields import NAME_PATTERN, has_variable, secret_variable
from valkeyctl.profile.schema import Profile, expand_short_forms
from valkeyctl.profile.yamlfile import Document, merge, read_document

# The only places where ${NAME} may stand: what it becomes is never shown.
SECRET_PATHS = frozenset({("auth", "password")})
_DEPTH = 8
_LIST = "List the profiles: valkeyctl profiles ls"


def _folders() -> list[Path]:
    """Return where profiles are looked for, nearest first."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    package = Path(__file__).resolve().parents[1]
    # An installed wheel carries the profiles inside; a checkout has them beside the package.
    return [
        Path("profiles"),
        config / "valkeyctl" / "profiles",
        package / "profiles",
        package.parent / "profiles",
    ]


def profile_names() -> dict[str, Path]:
    """Return every profile that can be named without a path, the nearest of a name first."""
    found: dict[str, Path] = {}
    for folder in _folders():
        for file in sorted(folder.glob("*.yaml")):
            found.setdefault(file.stem, file)
    return found


def locate(name: str) -> Path:
    """Return the file of the profile that *name* names, or *name* itself as a path.

    Raises:
        ProfileError: There is no such profile; the message lists those there are.
    """
    if _is_path(name):
        return Path(name)
    names = profile_names()
    if name not in names:
        text = f"there is no profile of this name; there are {', '.join(sorted(names)) or 'none'}"
        named = re.fullmatch(NAME_PATTERN, name) is not None
        hint = f"Write a starter: valkeyctl init {name}" if named else _LIST
        raise ProfileError((Problem(_shown(name), 0, "", text),), hint=hint)
    return names[name]


def load(name: str | Path, environ: Mapping[str, str] | None = None) -> Profile:
    """Return the checked profile that *name* names.

    Args:
        name: A profile's name, or the path of its YAML file; a Path is always a path.
        environ: Where ``${NAME}`` is looked up; the process environment by default.

    Raises:
        ProfileError: The file is missing or invalid; it carries every problem
            with its file, line and key.
    """
    document = _resolve(name if isinstance(name, Path) else locate(name), ())
    data = _interpolate(document, os.environ if environ is None else environ)
    try:
        return Profile.model_validate(data).placed_in(document)
    except ValidationError as error:
        raise ProfileError(
            problems_of(error, document), hint="See every field: docs/reference/profile.md"
        ) from error


def name_in(file: Path) -> str | None:
    """Return the name that *file* gives its deployment, whatever else is wrong with it.

    None where it cannot be read at all.
    """
    try:
        name = read_document(file).data.get("name")
    except ProfileError:
        return None
    return name if isinstance(name, str) else None


def _shown(name: str) -> str:
    """Return what was given for a name as a message repeats it."""
    return repr(name[:80]) if not name or len(name) > 80 or not name.isprintable() else name


def _is_path(text: str) -> bool:
    return "/" in text or text.endswith((".yaml", ".yml"))


def _resolve(path: Path, seen: tuple[Path, ...]) -> Document:
    """Return the document at *path* laid over all that it extends."""
    document = read_document(path)
    # Before the merge: a parent's `tls: true` and a child's section must become one.
    document = replace(document, data=expand_short_forms(document.data))
    if "extends" not in document.data:
        return document
    parent, place = document.data["extends"], document.place(("extends",))
    if not isinstance(parent, str) or not parent:
        text = "write a profile's name, or a path relative to this file"
        raise ProfileError((place.problem("extends", text),))
    base = _find(path, parent)
    chain = (*seen, path.resolve())
    if base is None:
        raise ProfileError((place.problem("extends", _nothing(path, parent)),))
    if base.resolve() in chain:
        names = " -> ".join(file.stem for file in (*chain, base))
        raise ProfileError((place.problem("extends", f"this goes round in a circle: {names}"),))
    if len(chain) > _DEPTH:
        text = f"more than {_DEPTH} profiles extend one another"
        raise ProfileError((place.problem("extends", text),))
    return merge(_resolve(base, chain), document)


def _nothing(child: Path, parent: str) -> str:
    shown = repr(parent[:80])
    if _is_path(parent):
        return f"there is no file {shown} (seen from {child.parent}/)"
    other = "other " if child.stem == parent else ""
    return f"there is no {other}profile {shown}; there are {', '.join(sorted(profile_names()))}"


def _find(child: Path, parent: str) -> Path | None:
    """Return the file that ``extends: parent`` in *child* means; None when there is none."""
    if _is_path(parent):
        # Relative to the file that writes it, so that profiles move together.
        places = [child.parent / parent]
    else:
        folders = [child.parent, *_folders()]
        places = [folder / f"{parent}.yaml" for folder in folders]
        # `extends: default` in a default.yaml of one's own means the shipped one.
        if child.stem == parent:
            places = [place for place in places if place.resolve() != child.resolve()]
    return next((place for place in places if _exists(place)), None)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False


def _interpolate(document: Document, environ: Mapping[str, str]) -> dict[str, object]:
    """Return the data with secrets filled in from the environment, and nothing else."""
    problems: list[Problem] = []

    def walk(node: object, path: tuple[str, ...]) -> object:
        if path in SECRET_PATHS and node is not None:
            return secret(node, path)
        if isinstance(node, dict):
            return {key: walk(value, (*path, key)) for key, value in node.items()}
        if isinstance(node, list):
            return [walk(value, (*path, str(index))) for index, value in enumerate(node)]
        if isinstance(node, str) and has_variable(node):
            refuse(path, "variables are for secrets only (auth.password); write the value here")
        return node

    def secret(node: object, path: tuple[str, ...]) -> str:
        variable = secret_variable(node) if isinstance(node, str) else None
        if variable is None:
            refuse(path, "a secret never stands in a profile; write ${NAME} and export NAME")
        elif not environ.get(variable):
            refuse(path, f"the environment variable {variable} is not set, or empty")
        return environ.get(variable or "", "")

    def refuse(path: tuple[str, ...], text: str) -> None:
        problems.append(document.place(path).problem(".".join(path), text))

    data = {key: value for key, value in document.data.items() if key != "extends"}
    filled = {key: walk(value, (key,)) for key, value in data.items()}
    if problems:
        raise ProfileError(tuple(problems))
    return filled
