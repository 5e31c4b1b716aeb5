"""From a name or a path to a `Profile`: find, read, extend, interpolate, check."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from valkeyctl.errors import Problem, ProfileError
from valkeyctl.profile.explain import problems_of
from valkeyctl.profile.fields import has_variable, secret_variable
from valkeyctl.profile.schema import Profile
from valkeyctl.profile.yamlfile import Document, merge, read_document

# The only places where ${NAME} may stand: what it becomes is never shown.
SECRET_PATHS = frozenset({("auth", "password")})
_DEPTH = 8


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
    if "/" in name or name.endswith((".yaml", ".yml")):
        return Path(name)
    names = profile_names()
    if name not in names:
        text = f"there is no profile of this name; there are {', '.join(sorted(names)) or 'none'}"
        raise ProfileError(
            (Problem(name, 0, "", text),), hint=f"Write a starter: valkeyctl init {name}"
        )
    return names[name]


def load(name: str | Path, environ: Mapping[str, str] | None = None) -> Profile:
    """Return the checked profile that *name* names.

    Args:
        name: A profile's name, or the path of its YAML file.
        environ: Where ``${NAME}`` is looked up; the process environment by default.

    Raises:
        ProfileError: The file is missing or invalid; it carries every problem
            with its file, line and key.
    """
    document = _resolve(locate(str(name)), ())
    data = _interpolate(document, os.environ if environ is None else environ)
    try:
        return Profile.model_validate(data)
    except ValidationError as error:
        raise ProfileError(
            problems_of(error, document), hint="See every field: valkeyctl profiles schema"
        ) from error


def _resolve(path: Path, seen: tuple[Path, ...]) -> Document:
    """Return the document at *path* laid over all that it extends."""
    document = read_document(path)
    parent = document.data.get("extends")
    if parent is None:
        return document
    place = document.place(("extends",))
    if not isinstance(parent, str):
        raise ProfileError((place.problem("extends", "write a profile's name or path"),))
    if path.resolve() in seen or len(seen) >= _DEPTH:
        chain = " -> ".join(file.stem for file in (*seen, path))
        raise ProfileError((place.problem("extends", f"this goes round in a circle: {chain}"),))
    is_path = "/" in parent or parent.endswith((".yaml", ".yml"))
    # A path is relative to the file that writes it, so that profiles move together.
    base = path.parent / parent if is_path else _beside(path, parent)
    return merge(_resolve(base, (*seen, path.resolve())), document)


def _beside(path: Path, name: str) -> Path:
    sibling = path.parent / f"{name}.yaml"
    # `extends: default` in profiles/default.yaml means the shipped one, not itself.
    return sibling if sibling.exists() and sibling.resolve() != path.resolve() else locate(name)


def _interpolate(document: Document, environ: Mapping[str, str]) -> dict[str, object]:
    """Return the data with secrets filled in from the environment, and nothing else."""

    def walk(node: object, path: tuple[str, ...]) -> object:
        if isinstance(node, dict):
            return {key: walk(value, (*path, str(key))) for key, value in node.items()}
        if isinstance(node, list):
            return [walk(value, (*path, str(index))) for index, value in enumerate(node)]
        if not isinstance(node, str):
            return node
        key, place = ".".join(path), document.place(path)
        if path not in SECRET_PATHS:
            if has_variable(node):
                text = "variables are for secrets only (auth.password); write the value here"
                raise ProfileError((place.problem(key, text),))
            return node
        variable = secret_variable(node)
        if variable is None:
            text = "a secret never stands in a profile; write ${NAME} and set the variable NAME"
            raise ProfileError((place.problem(key, text),))
        if not environ.get(variable):
            text = f"the environment variable {variable} is not set"
            raise ProfileError((place.problem(key, text),), hint=f"Set it: export {variable}=...")
        return environ[variable]

    data = {key: value for key, value in document.data.items() if key != "extends"}
    return {key: walk(value, (key,)) for key, value in data.items()}
