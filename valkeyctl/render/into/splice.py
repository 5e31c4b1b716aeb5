"""Change one thing in a YAML text, and leave every other character of it as it is.

A library that loads and dumps a file keeps comments, but not the way the file is laid
out: it indents anew, closes gaps and folds lines. Here the parser only says where things
stand. Each change is checked: the new text must parse to the old documents with exactly
that change, or the file is refused and nothing is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TypeAlias

import yaml

from valkeyctl.errors import UsageError
from valkeyctl.render.into.nodes import composed, named, parse, position, same, shape, uses
from valkeyctl.render.yamltext import yaml_text

Path: TypeAlias = tuple[str | int, ...]
"""The way from the root of a document: keys of mappings, positions in sequences."""
_DASH = re.compile(r"^ *(?=-(?:\s|$))", re.MULTILINE)
_HINT = "Write that part of the file out in full, one key a line, and try again"


class Spliced:
    """A YAML text under change; `text` is always valid.

    Args:
        text: The file, with its own line ends.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._parsed: list[yaml.Node] | None = None  # of the present text, where it is known
        self._newline = "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"

    def put_key(self, document: int, path: Path, key: str, value: object) -> None:
        """Make *key* of the mapping at *path* hold *value*; a new key comes last.

        Raises:
            UsageError: The place cannot be changed without changing something else.
        """
        roots = self._roots()
        mapping = self._mapping(roots[document], path)
        index = position(mapping, key)
        wanted = composed(value)
        if index is None:
            self._refuse_merged(mapping, key)
            if mapping.flow_style:
                edit = self._before_end(mapping, f"{json.dumps(key)}: {_json(value)}")
            else:
                lines = _indented(yaml_text({key: value}), _column(mapping))
                edit = self._after(mapping, lines)
            mapping.value.append((composed(key), wanted))
        else:
            name, old = mapping.value[index]
            if same(old, wanted):
                return
            self._refuse_alias(old, name.end_mark.index, mapping.end_mark.index, key)
            if mapping.flow_style:
                edit = (old.start_mark.index, old.end_mark.index, _json(value))
            else:
                lines = _indented(yaml_text({key: value}), _column(mapping))
                edit = self._entry(name, old, lines.lstrip(" "))
            mapping.value[index] = (name, wanted)
        self._apply(edit, roots)

    def put_item(self, document: int, path: Path, name: str, value: object) -> None:
        """Make the item called *name* of the sequence at *path* be *value*, or append it.

        Raises:
            UsageError: The place cannot be changed without changing something else.
        """
        roots = self._roots()
        parent = self._mapping(roots[document], path[:-1])
        index = position(parent, str(path[-1]))
        found = None if index is None else parent.value[index][1]
        if not isinstance(found, yaml.SequenceNode) or not found.value:
            # Absent, null or []: written as a block, as people do.
            self.put_key(document, path[:-1], str(path[-1]), [value])
            return
        sequence = self._sequence(roots[document], path)
        wanted = composed(value)
        at = named(sequence, name)
        if at is not None and same(sequence.value[at], wanted):
            return
        if sequence.flow_style:
            edit = self._flow_item(sequence, at, value)
        else:
            lines = _indented(_dashed(value), self._dashes(sequence))
            if at is None:
                edit = self._after(sequence, lines)
            else:
                start, end = self._item(sequence, at)
                edit = (start, end, lines.lstrip(" "))
        if at is None:
            sequence.value.append(wanted)
        else:
            sequence.value[at] = wanted
        self._apply(edit, roots)

    def drop_item(self, document: int, path: Path, name: str) -> None:
        """Take the item called *name* out of the sequence at *path*, if it is there.

        Raises:
            UsageError: The place cannot be changed without changing something else.
        """
        roots = self._roots()
        sequence = self._sequence(roots[document], path)
        at = named(sequence, name)
        if at is None:
            return
        if len(sequence.value) == 1:
            self.put_key(document, path[:-1], str(path[-1]), [])
            return
        if sequence.flow_style:
            first, second = (at, at + 1) if at == 0 else (at - 1, at)
            one, two = sequence.value[first], sequence.value[second]
            if at == 0:
                edit = (one.start_mark.index, two.start_mark.index, "")
            else:
                edit = (one.end_mark.index, two.end_mark.index, "")
        else:
            edit = self._lines(*self._item(sequence, at), name)
        del sequence.value[at]
        self._apply(edit, roots)

    def drop_key(self, document: int, path: Path, key: str) -> None:
        """Take *key* out of the mapping at *path*, if it is there.

        Raises:
            UsageError: The place cannot be changed without changing something else.
        """
        roots = self._roots()
        mapping = self._mapping(roots[document], path)
        index = position(mapping, key)
        if index is None:
            return
        if len(mapping.value) == 1 and path:
            self.put_key(document, path[:-1], str(path[-1]), {})
            return
        name, value = mapping.value[index]
        if mapping.flow_style:
            entries = mapping.value
            edit = (
                (name.start_mark.index, entries[1][0].start_mark.index, "")
                if index == 0
                else (entries[index - 1][1].end_mark.index, value.end_mark.index, "")
            )
        else:
            edit = self._lines(name.start_mark.index, self._end(value), key)
        del mapping.value[index]
        self._apply(edit, roots)

    def put_document(self, index: int | None, value: dict[str, object], comment: str) -> None:
        """Make document *index* be *value*, or append it below *comment*.

        Raises:
            UsageError: The place cannot be changed without changing something else.
        """
        roots = self._roots()
        wanted = composed(value)
        if index is None:
            gap = "" if not self.text or self.text.endswith("\n") else "\n"
            edit = (len(self.text), len(self.text), f"{gap}---\n{comment}\n{yaml_text(value)}")
            roots.append(wanted)
        else:
            if same(roots[index], wanted):
                return
            edit = (roots[index].start_mark.index, self._end(roots[index]), yaml_text(value))
            roots[index] = wanted
        self._apply(edit, roots)

    def drop_document(self, index: int) -> None:
        """Take document *index* out, with the line that separates it from the one before.

        Raises:
            UsageError: The place cannot be changed without changing something else.
        """
        roots = self._roots()
        start = roots[index].start_mark.index
        separator = self.text.rfind("\n---", 0, start) + 1
        edit = (separator, self._end(roots[index]), "")
        del roots[index]
        self._apply(edit, roots)

    def _roots(self) -> list[yaml.Node]:
        """Return the documents, to be changed: after a change that fails they are parsed anew."""
        roots, self._parsed = self._parsed, None
        return parse(self.text) if roots is None else roots

    def _apply(self, edit: tuple[int, int, str], expected: Sequence[yaml.Node]) -> None:
        start, end, new = edit
        text = self.text[:start] + new.replace("\n", self._newline) + self.text[end:]
        try:
            found = parse(text)
        except UsageError as error:
            raise UsageError(
                f"the file is laid out in a way that cannot be changed safely: {error}", hint=_HINT
            ) from error
        table: dict[object, int] = {}
        if [shape(root, table) for root in found] != [shape(root, table) for root in expected]:
            line = self.text.count("\n", 0, start) + 1
            raise UsageError(
                f"line {line} is laid out in a way that cannot be changed safely", hint=_HINT
            )
        self.text, self._parsed = text, found

    def _mapping(self, root: yaml.Node, path: Path) -> yaml.MappingNode:
        node = self._walk(root, path)
        if not isinstance(node, yaml.MappingNode):
            raise UsageError(f"{_shown(path)} is no mapping", hint=_HINT)
        return node

    def _sequence(self, root: yaml.Node, path: Path) -> yaml.SequenceNode:
        node = self._walk(root, path)
        if not isinstance(node, yaml.SequenceNode):
            raise UsageError(f"{_shown(path)} is no list", hint=_HINT)
        return node

    def _walk(self, root: yaml.Node, path: Path) -> yaml.Node:
        """Return the node at *path*; refuse one that stands in a second place too."""
        node, counts = root, uses(root)
        for step in path:
            inside = node.end_mark.index
            if isinstance(node, yaml.MappingNode):
                index = position(node, str(step))
                if index is None:
                    raise UsageError(f"there is no {_shown(path)}", hint=_HINT)
                key, child = node.value[index]
                self._refuse_alias(child, key.end_mark.index, inside, _shown(path))
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
                child = node.value[step]
                self._refuse_alias(child, node.start_mark.index, inside, _shown(path))
            else:
                raise UsageError(f"there is no {_shown(path)}", hint=_HINT)
            if counts[id(child)] > 1:
                raise UsageError(f"{_shown(path)} is used by an alias too", hint=_HINT)
            node = child
        return node

    @staticmethod
    def _refuse_alias(node: yaml.Node, after: int, before: int, what: str) -> None:
        # An alias is the very node that its anchor names, with the anchor's place.
        if not after <= node.start_mark.index <= before:
            raise UsageError(f"{what} is an alias", hint=_HINT)

    @staticmethod
    def _refuse_merged(mapping: yaml.MappingNode, key: str) -> None:
        """Refuse to write a key that would hide one that comes in through ``<<``."""
        for name, value in mapping.value:
            if name.tag != "tag:yaml.org,2002:merge":
                continue
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                nested = isinstance(source, yaml.MappingNode) and any(
                    one.tag == name.tag for one, _ in source.value
                )
                if nested or position(source, key) is not None:
                    raise UsageError(f"{key} comes in through << and an alias", hint=_HINT)

    def _after(self, node: yaml.CollectionNode, lines: str) -> tuple[int, int, str]:
        """Return the edit that puts *lines* below the last line of a block."""
        end = self._end(node)
        gap = "" if end == 0 or self.text[end - 1] == "\n" else "\n"
        return end, end, gap + lines

    def _before_end(self, node: yaml.CollectionNode, new: str) -> tuple[int, int, str]:
        """Return the edit that puts *new* last into ``[...]`` or ``{...}``."""
        at = node.end_mark.index - 1
        if not node.value:
            return at, at, new
        at = len(self.text[:at].rstrip())
        return at, at, f"{' ' if self.text[at - 1] == ',' else ', '}{new}"

    def _flow_item(
        self, sequence: yaml.SequenceNode, at: int | None, value: object
    ) -> tuple[int, int, str]:
        if at is None:
            return self._before_end(sequence, _json(value))
        old = sequence.value[at]
        return old.start_mark.index, old.end_mark.index, _json(value)

    def _entry(self, key: yaml.Node, old: yaml.Node, lines: str) -> tuple[int, int, str]:
        """Return the edit that writes *lines* over a key of a block and its value.

        A comment behind a value that was empty is about the key, and stays.
        """
        end, head = self._end(old), lines.partition("\n")[0]
        empty = not old.value or old.tag.endswith(":null")
        if not empty or not head.endswith(":"):
            return key.start_mark.index, end, lines
        comment = self.text[old.end_mark.index : end].rstrip()
        body = lines.partition("\n")[2]
        start = len(self.text[: old.start_mark.index].rstrip(" "))
        return start, end, f"{' ' if comment else ''}{comment.lstrip()}\n{body}"

    def _lines(self, start: int, end: int, what: str) -> tuple[int, int, str]:
        """Return the edit that takes whole lines away."""
        line = self.text.rfind("\n", 0, start) + 1
        if self.text[line:start].strip():
            raise UsageError(f"{what} shares its line with something else", hint=_HINT)
        return line, end, ""

    def _item(self, sequence: yaml.SequenceNode, at: int) -> tuple[int, int]:
        """Return where an item of a block begins, at its dash, and where the next line does."""
        item = sequence.value[at]
        self._refuse_alias(item, sequence.start_mark.index, sequence.end_mark.index, "the item")
        start = item.start_mark.index
        while start >= sequence.start_mark.index:
            line = self.text.rfind("\n", 0, start) + 1
            dash = line + self._dashes(sequence)
            if self.text[dash : dash + 1] == "-" and not self.text[line:dash].strip(" -"):
                return dash, self._end(item)
            start = line - 1
        raise UsageError("a list is laid out in a way that cannot be changed safely", hint=_HINT)

    def _dashes(self, sequence: yaml.SequenceNode) -> int:
        """Return the column of a block's dashes."""
        # With an anchor or a tag it begins there, on the line of its key.
        found = _DASH.search(self.text, sequence.start_mark.index)
        if self.text[sequence.start_mark.index] in "&!" and found is not None:
            return found.end() - found.start()
        return int(sequence.start_mark.column)

    def _end(self, node: yaml.Node) -> int:
        """Return where the line after a node's last one begins, or where the text ends."""
        last = node
        while isinstance(last, yaml.CollectionNode) and not last.flow_style and last.value:
            final = last.value[-1]
            child = final[1] if isinstance(final, tuple) else final
            if not last.start_mark.index <= child.start_mark.index <= last.end_mark.index:
                # An alias: the parser tells no end of it, only where the next thing begins.
                return self._back_over_comments(last.end_mark.index)
            last = child
        end = int(last.end_mark.index)
        if isinstance(last, yaml.ScalarNode) and last.style in {"|", ">"}:
            return self.text.rfind("\n", 0, end) + 1 if end < len(self.text) else end
        newline = self.text.find("\n", end)
        return len(self.text) if newline < 0 else newline + 1

    def _back_over_comments(self, end: int) -> int:
        lines = self.text[:end].splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n") and end < len(self.text):
            lines.pop()  # the blanks before the next thing on its line
        while lines and re.fullmatch(r"\s*(#.*)?\s*", lines[-1]):
            lines.pop()
        return sum(map(len, lines))


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _dashed(value: object) -> str:
    """Return *value* as an item of a block."""
    if not isinstance(value, dict):
        return f"- {_json(value)}\n"
    lines = yaml_text(value).splitlines(keepends=True)
    return "".join(f"{'- ' if not n else '  '}{line}" for n, line in enumerate(lines))


def _indented(text: str, column: int) -> str:
    return "".join(
        f"{' ' * column}{line}" if line.strip() else line for line in text.splitlines(keepends=True)
    )


def _column(mapping: yaml.MappingNode) -> int:
    # That of its first key: with an anchor or a tag it begins there, on the line above.
    first = mapping.value[0][0] if mapping.value else mapping
    return int(first.start_mark.column)


def _shown(path: Path) -> str:
    return ".".join(str(step) for step in path) or "the document"
