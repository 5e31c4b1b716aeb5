"""Keys that an export or an import leaves out: how many, and the first few with the reasons."""

from __future__ import annotations

from dataclasses import dataclass

from valkeyctl.ops.keyspace.display import show_bytes

_SHOWN = 20


@dataclass(frozen=True)
class Skip:
    """A key that was left out.

    Attributes:
        key: As one printable line; see `display.show_bytes`.
        reason: Why, for a person.
    """

    key: str
    reason: str


class Skips:
    """Collects them.

    Attributes:
        count: How many.
        first: The first 20 of them.
    """

    def __init__(self) -> None:
        self.count = 0
        self.first: list[Skip] = []

    def add(self, key: bytes, reason: str) -> None:
        """Leave *key* out."""
        self.count += 1
        if len(self.first) < _SHOWN:
            self.first.append(Skip(show_bytes(key), reason))
