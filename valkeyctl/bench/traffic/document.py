"""A YAML text as a tree of plain data, and the line of each of its parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

from valkeyctl.bench.arm import Node
from valkeyctl.errors import UsageError
from valkeyctl.plainyaml import PlainLoader

Path_: TypeAlias = "tuple[str | int, ...]"

MAX_BYTES = 1024 * 1024
_MAX_DEPTH = 32
# Aliases may name a value many times over; nine of nine of nine of them fill a memory.
_MAX_VALUES = 20_000
_MERGE = "tag:yaml.org,2002:merge"
_STR = "tag:yaml.org,2002:str"
HINT = "docs/reference/scenario.md describes every field"


@dataclass(frozen=True)
class Document:
    """What a scenario is read from.

    Attributes:
        file: Its name in messages.
        tree: Mappings, lists, texts, numbers, booleans and nulls.
        lines: Where each part of the tree stands, from 1; empty for a tree that was no text.
    """

    file: str
    tree: Node
    lines: Mapping[Path_, int] = field(default_factory=dict, repr=False)

    def wrong(self, path: Path_, text: str, *, hint: str = HINT) -> UsageError:
        """Return the error that names file, line and field; a missing one has its parent's line."""
        line = next(
            (
                self.lines[path[:depth]]
                for depth in range(len(path), -1, -1)
                if path[:depth] in self.lines
            ),
            None,
        )
        place = self.file if line is None else f"{self.file}:{line}"
        name = dotted(path)
        return UsageError(f"{place}: {name} {text}" if name else f"{place}: {text}", hint=hint)


def dotted(path: Iterable[str | int]) -> str:
    """Return *path* as a person writes it: ``requests[1].path``; lists count from 1."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_document(text: str, file: str) -> Document:
    """Return the tree that *text* is; *file* names it in messages.

    Raises:
        UsageError: It is no YAML, too large, nested too deep, or writes a key twice.
    """
    if len(text) > MAX_BYTES:
        raise UsageError(f"{file}: is larger than the {MAX_BYTES:,} characters of a scenario")
    loader: _Loader | None = None
    lines: dict[Path_, int] = {}
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise UsageError(f"{file}: is empty", hint=HINT)
        _survey(node, (), file, lines)
        tree: Node = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        words = str(error.problem)
        if "'\\t'" in words:
            words += "; indent with blanks, not with tabs"
        raise UsageError(f"{file}{line}: is no YAML that a scenario can be: {words}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{file}: is no YAML: {str(error).splitlines()[0]}") from error
    finally:
        if loader is not None:
            loader.dispose()
    return Document(file, tree, lines)


class _Loader(PlainLoader):
    most_levels = _MAX_DEPTH


def _survey(node: yaml.Node, path: Path_, file: str, lines: dict[Path_, int]) -> None:
    """Note the line of everything beneath *node*, and refuse keys that are none or come twice."""
    if len(lines) > _MAX_VALUES:
        raise UsageError(f"{file}: holds more than {_MAX_VALUES:,} values")
    if len(path) > _MAX_DEPTH:
        raise UsageError(f"{file}: an alias (*) stands inside what it names")
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _survey(item, (*path, index), file, lines)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.tag == _MERGE:
            raise UsageError(f"{file}:{line}: << is not read; write the fields out", hint=HINT)
        if not isinstance(key, yaml.ScalarNode) or key.tag != _STR:
            raise UsageError(f"{file}:{line}: the name of a field must be text; quote it")
        if key.value in seen:
            raise UsageError(f"{file}:{line}: {dotted((*path, key.value))} stands there twice")
        seen.add(key.value)
        lines[*path, key.value] = line
        _survey(value, (*path, key.value), file, lines)
