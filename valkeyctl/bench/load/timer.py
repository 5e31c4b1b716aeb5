"""A timer that fires within microseconds, for arrivals that follow a schedule.

The event loop's own timers are rounded to whole milliseconds where it waits in
``epoll_wait``; at 5,000 arrivals a second that would be five arrivals of error. A Linux
``timerfd`` becomes readable when its time has come, and a readable file wakes the loop at
once. Source: timerfd_create(2), Linux man-pages.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Protocol

import gevent

_CLOCK_MONOTONIC = 1
_NON_BLOCKING = 0o4000
_CLOSE_ON_EXEC = 0o2000000
# A delay of zero would disarm a timerfd.
_SHORTEST = 1e-6


class Timer(Protocol):
    """Calls back once for every `set`, from the event loop."""

    def set(self, delay: float) -> None:
        """Call back in *delay* seconds, at once when it is below zero; replaces an earlier."""

    def close(self) -> None:
        """Never call back again."""


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("interval", _Time), ("value", _Time))


class FileTimer:
    """A Linux timerfd.

    Raises:
        OSError: This system has none.
    """

    def __init__(self, callback: Callable[[], None]) -> None:
        try:
            library = ctypes.CDLL(None, use_errno=True)
            create, self._settime = library.timerfd_create, library.timerfd_settime
        except AttributeError as error:
            raise OSError("this system has no timerfd") from error
        self._fd: int = create(_CLOCK_MONOTONIC, _NON_BLOCKING | _CLOSE_ON_EXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "no timerfd")
        self._setting = _Setting()
        self._callback = callback
        self._watcher = gevent.get_hub().loop.io(self._fd, 1)
        self._watcher.start(self._fire)

    def set(self, delay: float) -> None:
        """See `Timer`."""
        delay = max(delay, _SHORTEST)
        whole = int(delay)
        self._setting.value.seconds = whole
        self._setting.value.nanoseconds = int((delay - whole) * 1e9)
        self._settime(self._fd, 0, ctypes.byref(self._setting), None)

    def close(self) -> None:
        """See `Timer`."""
        self._watcher.stop()
        self._watcher.close()
        os.close(self._fd)

    def _fire(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return  # it was set anew between the wake-up and now
        self._callback()


class LoopTimer:
    """The event loop's own timer, for systems without a timerfd; good to a millisecond."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._watcher = gevent.get_hub().loop.timer(0)

    def set(self, delay: float) -> None:
        """See `Timer`."""
        self._watcher.stop()
        self._watcher.close()
        loop = gevent.get_hub().loop
        # The loop counts from the time at which it woke up last.
        loop.update_now()
        self._watcher = loop.timer(max(delay, 0.0))
        self._watcher.start(self._callback)

    def close(self) -> None:
        """See `Timer`."""
        self._watcher.stop()
        self._watcher.close()


def timer(callback: Callable[[], None]) -> Timer:
    """Return the finest timer that this system has."""
    try:
        return FileTimer(callback)
    except OSError:
        return LoopTimer(callback)
