"""Names of requests that nobody knows beforehand, as the numbers that samples carry."""

from __future__ import annotations

from collections.abc import Callable

# A sample has one byte for it, and the last number is of all that come too late.
_MOST = 255
OTHER = "other"


class Kinds:
    """Numbers names in the order in which they come.

    Args:
        changed: Called with all names when there is one more.
    """

    def __init__(self, changed: Callable[[list[str]], None] | None = None) -> None:
        self.names: list[str] = []
        self._codes: dict[str, int] = {}
        self._changed = changed

    def code(self, name: str) -> int:
        """Return the number of *name*: 0 to 254, or 255 for all beyond the first 255."""
        code = self._codes.get(name)
        if code is not None:
            return code
        if len(self._codes) >= _MOST:
            if len(self.names) == _MOST:
                self._learn(OTHER)
            return _MOST
        self._codes[name] = len(self.names)
        self._learn(name)
        return self._codes[name]

    def _learn(self, name: str) -> None:
        self.names.append(name)
        if self._changed is not None:
            self._changed(self.names)
