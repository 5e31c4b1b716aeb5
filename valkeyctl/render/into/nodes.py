"""What the parser makes of a YAML text: nodes, what is in them, and whether two are equal."""

from __future__ import annotations

import json

import yaml

from valkeyctl.errors import UsageError


def parse(text: str) -> list[yaml.Node]:
    """Return the root of each document of *text*.

    Raises:
        UsageError: It is not YAML; the message has the line.
    """
    try:
        return list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError) as error:
        raise no_yaml(error) from error


def no_yaml(error: Exception) -> UsageError:
    """Return what the parser's *error* means to who wrote the file."""
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}: " if mark else ""
    if isinstance(error, RecursionError):
        reason = "it is nested too deeply"
    else:
        # Of a value that is none, such as the 13th month, Python says what is wrong.
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
    return UsageError(f"not YAML: {place}{reason}", hint="Mend the file, and try again")


def composed(value: object) -> yaml.Node:
    """Return the node of plain data."""
    (root,) = yaml.compose_all(json.dumps(value, sort_keys=True), Loader=yaml.SafeLoader)
    return root


def position(node: yaml.Node, key: str) -> int | None:
    """Return which entry of a mapping is *key*; of two it is the last, which counts."""
    entries = node.value if isinstance(node, yaml.MappingNode) else []
    found = [
        n
        for n, (name, _) in enumerate(entries)
        if isinstance(name, yaml.ScalarNode) and name.value == key
    ]
    return found[-1] if found else None


def named(sequence: yaml.SequenceNode, name: str) -> int | None:
    """Return which item of a sequence has this ``name``; None when none has."""
    for n, item in enumerate(sequence.value):
        at = position(item, "name")
        if at is not None and item.value[at][1].value == name:
            return n
    return None


def uses(root: yaml.Node) -> dict[int, int]:
    """Return how often each node stands in a document, by its identity."""
    counts: dict[int, int] = {id(root): 1}
    pending = [root]
    while pending:
        node = pending.pop()
        for child in children(node):
            counts[id(child)] = counts.get(id(child), 0) + 1
            if counts[id(child)] == 1:
                pending.append(child)
    return counts


def children(node: yaml.Node) -> list[yaml.Node]:
    """Return what is directly in a node, keys too."""
    if isinstance(node, yaml.MappingNode):
        return [part for entry in node.value for part in entry]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def same(one: yaml.Node, other: yaml.Node) -> bool:
    """Say whether two nodes mean the same, however they are written."""
    table: dict[object, int] = {}
    return shape(one, table) == shape(other, table)


def shape(root: yaml.Node, table: dict[object, int]) -> int:
    """Return a number that is equal for equal nodes, whatever their layout.

    Each node is looked at once however many aliases name it: a file of a kilobyte can
    stand for one of a terabyte.
    """
    known: dict[int, int] = {}

    def number(node: yaml.Node) -> int:
        if id(node) in known:
            return known[id(node)]
        known[id(node)] = -1  # an alias inside of what it names
        inside = (
            node.value
            if isinstance(node, yaml.ScalarNode)
            else tuple(number(child) for child in children(node))
        )
        tag = "null" if node.tag.endswith(":null") else node.tag
        # null has many spellings, of which none means anything else.
        what: object = (tag, "" if tag == "null" else inside)
        known[id(node)] = table.setdefault(what, len(table))
        return known[id(node)]

    return number(root)
