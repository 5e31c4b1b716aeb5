"""Where text for people goes."""

from __future__ import annotations

import shutil
from typing import TextIO

_WIDE = 200  # columns; nothing is fitted into a file or a pipe


class Console:
    """Writes lines to a terminal, a pipe or a file, as they are.

    Rich has a console that does much more, but 70 ms of import are much for a table that
    is done in 20; it draws our progress bars, which live long enough.

    Args:
        stream: Where the lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def width(self) -> int:
        """Return how many columns a line may have."""
        return shutil.get_terminal_size((80, 24)).columns if self._stream.isatty() else _WIDE

    def print(self, text: str = "", *, markup: bool = False, soft_wrap: bool = True) -> None:
        """Write *text* as a line; a terminal wraps a long one by itself.

        The options are those of Rich's console, and may only have the values that they have.
        """
        if markup or not soft_wrap:
            raise ValueError("this console prints text as it is")
        self._stream.write(f"{text}\n")
