"""One mapping of a document, whose values are asked for by type."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from valkeyctl.bench.arm import Node, Pairs
from valkeyctl.bench.traffic.document import Document, Path_
from valkeyctl.errors import UsageError
from valkeyctl.units import parse_duration, parse_size


class Section:
    """A mapping inside a document; every way out of it is a value of the asked type.

    Raises:
        UsageError: It is no mapping, has a field that is not allowed, or lacks one.
    """

    def __init__(
        self,
        document: Document,
        path: Path_,
        node: Node,
        needed: Sequence[str] = (),
        optional: Sequence[str] | None = None,
    ) -> None:
        self.document = document
        self.path = path
        if not isinstance(node, Mapping):
            raise document.wrong(path, "must be a mapping of names to values")
        self.node = node
        if optional is not None:
            self.allow(needed, optional)

    def allow(self, needed: Sequence[str], optional: Sequence[str]) -> None:
        """Refuse fields that are neither *needed* nor *optional*, and the lack of a needed one."""
        allowed = (*needed, *optional)
        for key in self.node:
            if key not in allowed:
                raise self.wrong(key, f"is unknown{meant(key, allowed)}")
        missing = [key for key in needed if key not in self.node]
        if missing:
            first, *others = missing
            also = f", and so is {', '.join(others)}" if others else ""
            raise self.wrong(first, f"is missing{also}")

    def wrong(self, key: str, text: str) -> UsageError:
        """Return the error that says *text* of the field *key*."""
        return self.document.wrong((*self.path, key), text)

    def has(self, key: str) -> bool:
        """Say whether the field *key* is given, and not null."""
        return self.node.get(key) is not None

    def section(self, key: str, needed: Sequence[str], optional: Sequence[str]) -> Section:
        """Return the mapping at *key*; an empty one when it is not given."""
        node = self.node.get(key)
        path = (*self.path, key)
        return Section(self.document, path, {} if node is None else node, needed, optional)

    def sections(self, key: str, *, least: int = 0) -> list[Section]:
        """Return the mappings of the list at *key*."""
        node = self.node.get(key)
        listed = [] if node is None else node
        if not isinstance(listed, list) or len(listed) < least:
            raise self.wrong(key, "must be a list" + (" of at least one" if least else ""))
        return [
            Section(self.document, (*self.path, key, place), one)
            for place, one in enumerate(listed)
        ]

    def text(self, key: str, *, default: str | None = None, empty: bool = False) -> str:
        """Return the text at *key*, of one line or more; empty only where that may be."""
        value = self.node.get(key)
        value = default if value is None else value
        if not isinstance(value, str) or not (value or empty):
            raise self.wrong(key, f"must be text{_seen(value)}")
        return value

    def choice(self, key: str, allowed: Sequence[str], default: str | None = None) -> str:
        """Return the text at *key*, one of *allowed*."""
        value = self.text(key, default=default)
        if value not in allowed:
            raise self.wrong(key, f"is {value!r}{meant(value, allowed)}")
        return value

    def flag(self, key: str) -> bool:
        """Return the boolean at *key*; false when it is not given."""
        value = self.node.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, f"must be true or false{_seen(value)}")
        return bool(value)

    def pairs(self, key: str) -> Pairs:
        """Return names and values of the mapping at *key*; numbers and booleans as JSON text."""
        node = self.node.get(key)
        if node is None:
            return ()
        if not isinstance(node, Mapping):
            raise self.wrong(key, "must be a mapping of names to values")
        found = []
        for name, value in node.items():
            if isinstance(value, (list, dict)) or value is None:
                raise self.document.wrong(
                    (*self.path, key, name), "must be text, a number or a boolean"
                )
            found.append((name, value if isinstance(value, str) else json.dumps(value)))
        return tuple(found)

    def number(self, key: str, *, least: float, most: float, default: float | None = None) -> float:
        """Return the number at *key*, from *least* to *most*."""
        value = self.node.get(key)
        value = default if value is None else value
        # bool is an int in Python, not in YAML. NaN compares false with everything.
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not least <= value <= most
        ):
            raise self.wrong(key, f"must be a number from {least:g} to {most:g}{_seen(value)}")
        return value

    def whole(self, key: str, *, least: int, most: int, default: int | None = None) -> int:
        """Return the whole number at *key*, from *least* to *most*."""
        value = self.node.get(key)
        value = default if value is None else value
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(
                key, f"must be a whole number from {least:,} to {most:,}{_seen(value)}"
            )
        return value

    def seconds(self, key: str, *, least: float, most: float) -> float:
        """Return the seconds at *key*: a number, or a duration such as ``250ms``."""
        value = self.node.get(key)
        if isinstance(value, str):
            try:
                value = parse_duration(value)
            except ValueError as error:
                raise self.wrong(key, str(error)) from error
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not least <= value <= most
        ):
            raise self.wrong(key, f"must be {least:g} to {most:g} seconds{_seen(value)}")
        return float(value)

    def size(self, key: str, *, least: int, most: int) -> int:
        """Return the bytes at *key*: a whole number, or a size such as ``4KiB``."""
        value = self.node.get(key)
        if isinstance(value, str):
            try:
                value = parse_size(value)
            except ValueError as error:
                raise self.wrong(key, str(error)) from error
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(key, f"must be a size from {least:,} to {most:,} bytes{_seen(value)}")
        return value


def meant(word: str, allowed: Sequence[str]) -> str:
    """Return how a message about an unknown *word* goes on: what may have been meant."""
    near = get_close_matches(word, allowed, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    return f"; {guess}allowed are {', '.join(allowed)}"


def _seen(value: Node) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return f", and is {text if len(text) <= 40 else text[:40] + '...'}"
