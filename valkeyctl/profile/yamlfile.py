"""YAML with its line numbers kept, so that an error can say where."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import yaml

from valkeyctl.errors import Problem, ProfileError
from valkeyctl.plainyaml import PlainLoader

MAX_BYTES = 64 * 1024
_MAX_DEPTH = 16
# Aliases may name a value many times over; nine of nine of nine of them fill a memory.
_MAX_VALUES = 5000
_MERGE = "tag:yaml.org,2002:merge"
_STR = "tag:yaml.org,2002:str"
Path_ = tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """Where a key stands."""

    file: str
    line: int

    def problem(self, key: str, text: str) -> Problem:
        """Return what is wrong here."""
        return Problem(self.file, self.line, key, text)


@dataclass(frozen=True)
class Document:
    """The mapping that a YAML file holds, and where each of its keys stands."""

    file: str
    data: dict[str, object]
    places: dict[Path_, Place] = field(default_factory=dict)

    def place(self, path: Path_) -> Place:
        """Return where *path* stands, else the section that it is missing from."""
        for depth in range(len(path), 0, -1):
            if path[:depth] in self.places:
                return self.places[path[:depth]]
        return Place(self.file, 0)


class _Loader(PlainLoader):
    most_levels = _MAX_DEPTH


def read_document(path: Path) -> Document:
    """Return the YAML mapping at *path*.

    Raises:
        ProfileError: It is missing, unreadable, too large, no YAML, no mapping, or
            writes a key twice.
    """
    file = str(path)
    loader: _Loader | None = None
    try:
        loader = _Loader(_read(path, file))
        node = loader.get_single_node()
        if node is None:
            raise _refuse(file, 0, "", "the file is empty; it needs at least 'name: ...'")
        if not isinstance(node, yaml.MappingNode):
            line = node.start_mark.line + 1
            raise _refuse(file, line, "", "the file holds no 'key: value' lines")
        places: dict[Path_, Place] = {}
        _survey(node, (), file, places)
        data = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        text = f"is not YAML that a profile can hold: {error.problem}"
        if "'\\t'" in text:
            text += "; indent with blanks, not with tabs"
        raise _refuse(file, line, "", text) from error
    except yaml.YAMLError as error:
        raise _refuse(file, 0, "", f"is not YAML: {str(error).splitlines()[0]}") from error
    finally:
        if loader is not None:
            loader.dispose()
    return Document(file, data, places)


def _read(path: Path, file: str) -> str:
    try:
        with path.open("rb") as opened:
            raw = opened.read(MAX_BYTES + 1)  # never more: the path may be a device
    except FileNotFoundError:
        hint = "List the profiles: valkeyctl profiles ls"
        raise ProfileError((Problem(file, 0, "", "there is no such file"),), hint=hint) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _refuse(file, 0, "", f"cannot be read: {reason}") from error
    if len(raw) > MAX_BYTES:
        raise _refuse(
            file, 0, "", f"is larger than the {MAX_BYTES:,} bytes that a profile may have"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refuse(file, 0, "", f"is not UTF-8 text (byte {error.start})") from error


def _survey(node: yaml.Node, path: Path_, file: str, places: dict[Path_, Place]) -> None:
    """Note where every key under *node* stands; refuse a key written twice, or too many."""
    line = node.start_mark.line + 1
    if len(places) > _MAX_VALUES:
        text = f"the aliases (*) in this file make more than {_MAX_VALUES:,} values of it"
        raise _refuse(file, line, "", text)
    if len(path) > _MAX_DEPTH:
        raise _refuse(file, line, path[0], "an alias (*) stands inside what it names")
    if isinstance(node, yaml.MappingNode):
        _survey_mapping(node, path, file, places)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            here = (*path, str(index))
            places[here] = Place(file, item.start_mark.line + 1)
            _survey(item, here, file, places)


def _survey_mapping(
    mapping: yaml.MappingNode, path: Path_, file: str, places: dict[Path_, Place]
) -> None:
    seen: dict[str, int] = {}
    # What `<<` brings in first: a key that stands here itself wins over it.
    for key_node, value in sorted(mapping.value, key=lambda pair: pair[0].tag != _MERGE):
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag not in {_STR, _MERGE}:
            shown = repr(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "this"
            text = f"{shown} is no name of a key; put it in quotes if it is one"
            raise _refuse(file, line, ".".join(path), text)
        here = (*path, key_node.value)
        if key_node.value in seen:
            text = f"this key stands at line {seen[key_node.value]} already"
            raise _refuse(file, line, ".".join(here), text)
        seen[key_node.value] = line
        if key_node.tag == _MERGE:
            parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for part in parts:
                _survey(part, path, file, places)
            continue
        places[here] = Place(file, line)
        _survey(value, here, file, places)


def _refuse(file: str, line: int, key: str, text: str) -> ProfileError:
    return ProfileError((Problem(file, line, key, text),))


def merge(base: Document, over: Document) -> Document:
    """Return *over* laid on *base*: mappings key by key, all else replaced whole.

    Two keys are not inherited: extends, and the name, by which two deployments differ.
    """

    def lay(low: dict[str, object], high: dict[str, object]) -> dict[str, object]:
        both = {**low, **high}
        for key in low.keys() & high.keys():
            below, above = low[key], high[key]
            if isinstance(below, dict) and isinstance(above, dict):
                both[key] = lay(below, above)
        return both

    own = {"extends", "name"}
    inherited = {key: value for key, value in base.data.items() if key not in own}
    places = {path: place for path, place in base.places.items() if path[0] not in own}
    return Document(over.file, lay(inherited, over.data), {**places, **over.places})
