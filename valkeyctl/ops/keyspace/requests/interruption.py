"""Ctrl-C and SIGTERM while an event loop runs: everything is cancelled, then one exception."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import TypeVar

Result = TypeVar("Result")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_until_interrupted(work: Coroutine[None, None, Result]) -> Result:
    """Run *work* in an event loop of its own and return what it returns.

    Raises:
        KeyboardInterrupt: A signal ended it; nothing that it started goes on.
    """

    async def guarded() -> Result:
        with _cancelled_by_signals():
            return await work

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError as error:
        raise KeyboardInterrupt from error


@contextmanager
def _cancelled_by_signals() -> Iterator[None]:
    """Cancel the current task on a signal.

    A handler that raises would do so in whichever task runs at that moment, and asyncio
    would report that one's failure, with its traceback, as a bug.
    """
    task = asyncio.current_task()
    if task is None or threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        for number in _SIGNALS:
            loop.add_signal_handler(number, task.cancel)
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
