"""YAML with its line numbers kept, so that an error can say where."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from valkeyctl.errors import Problem, ProfileError

MAX_BYTES = 256 * 1024
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


class _Loader(yaml.SafeLoader):
    """SafeLoader in which 1:30 is text and yes is text, as YAML 1.2 has them."""


# YAML 1.1 reads `publish: 6379:6379` as a base-60 number and `on` as true.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if not tag.endswith((":int", ":bool", ":timestamp"))]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool",
    re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"),
    list("tTfF"),
)


def read_document(path: Path) -> Document:
    """Return the YAML mapping at *path*.

    Raises:
        ProfileError: It is missing, unreadable, too large, no YAML, no mapping, or
            writes a key twice.
    """
    file = str(path)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ProfileError(
            (Problem(file, 0, "", "there is no such file"),),
            hint="List the profiles: valkeyctl profiles ls",
        ) from None
    except OSError as error:
        raise ProfileError((Problem(file, 0, "", f"cannot be read: {error.strerror}"),)) from error
    if len(raw) > MAX_BYTES:
        text = f"{len(raw):,} bytes are more than the {MAX_BYTES:,} that a profile may have"
        raise ProfileError((Problem(file, 0, "", text),))
    loader: _Loader | None = None
    try:
        loader = _Loader(raw.decode("utf-8-sig"))
        node = loader.get_single_node()
        if node is None:
            raise ProfileError((Problem(file, 0, "", "the file is empty; it needs a name:"),))
        if not isinstance(node, yaml.MappingNode):
            text = "the file holds no 'key: value' lines"
            raise ProfileError((Problem(file, node.start_mark.line + 1, "", text),))
        places: dict[Path_, Place] = {}
        _walk(node, (), file, places)
        data = loader.construct_document(node)
    except UnicodeDecodeError as error:
        text = f"is not UTF-8 text (byte {error.start})"
        raise ProfileError((Problem(file, 0, "", text),)) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        raise ProfileError((Problem(file, line, "", f"is not YAML: {error.problem}"),)) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        text = f"is not YAML: {str(error).splitlines()[0]}"
        raise ProfileError((Problem(file, 0, "", text),)) from error
    finally:
        if loader is not None:
            loader.dispose()
    return Document(file, data, places)


def _walk(node: yaml.Node, path: Path_, file: str, places: dict[Path_, Place]) -> None:
    """Note where every key under *node* stands, and refuse a key written twice."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            here = (*path, key)
            if key in seen:
                text = f"this key stands at line {seen[key]} already"
                raise ProfileError((Problem(file, line, ".".join(here), text),))
            seen[key] = line
            places[here] = Place(file, line)
            _walk(value_node, here, file, places)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            here = (*path, str(index))
            places[here] = Place(file, item.start_mark.line + 1)
            _walk(item, here, file, places)


def merge(base: Document, over: Document) -> Document:
    """Return *over* laid on *base*: mappings key by key, all else replaced whole."""

    def lay(low: object, high: object) -> object:
        if isinstance(low, dict) and isinstance(high, dict):
            both = {**low, **high}
            return {
                key: lay(low[key], high[key]) if key in low and key in high else value
                for key, value in both.items()
            }
        return high

    data = lay({k: v for k, v in base.data.items() if k != "extends"}, over.data)
    assert isinstance(data, dict)  # noqa: S101 - both sides are mappings
    return Document(over.file, data, {**base.places, **over.places})
