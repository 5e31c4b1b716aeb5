"""Ctrl-C as a question between two steps, for work that must not be torn apart."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Halt:
    """Within its ``with``, Ctrl-C and SIGTERM set `asked`; a second one does as it did before.

    Signals that are ignored stay so; outside of the main thread it does nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, signal.Handlers | object] = {}

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if handler in (None, signal.SIG_IGN):
                continue
            try:
                signal.signal(number, self._ask)
            except ValueError:
                break  # not the main thread, which gets the signals
            self._before[number] = handler
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
        self._restore()

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)  # type: ignore[arg-type]  # what getsignal gave
