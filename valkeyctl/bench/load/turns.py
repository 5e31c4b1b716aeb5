"""Users of a locustfile take turns: those of one arm work, and those of the others rest.

A user is held between two tasks, never within one, and its thinking time passes only
while it is its arm's turn. So no request of one arm runs into the turn of the next, and
nobody comes back from a pause all at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import gevent
from gevent.event import Event

if TYPE_CHECKING:
    from locust import TaskSet, User

ATTRIBUTE = "valkeyctl_turn"
_clock = time.perf_counter


class Turn:
    """When the users of one arm may work."""

    def __init__(self) -> None:
        self.resting: set[User] = set()
        self._open = Event()
        self._closed = Event()
        self._closed.set()

    def open(self) -> None:
        """Let the users work."""
        self._closed.clear()
        self._open.set()

    def close(self) -> None:
        """Let every user finish its task, and rest."""
        self._open.clear()
        self._closed.set()

    def wait(self, user: User) -> None:
        """Return when *user* may begin a task."""
        while not self._open.is_set():
            self._rest(user, self._open.wait)

    def sleep(self, user: User, seconds: float) -> None:
        """Return when *seconds* have passed in which the users of this arm could work."""
        if seconds <= 0:
            # Others get their turn all the same, or a user who only fails would keep it.
            gevent.sleep(0)
        while seconds > 0:
            self.wait(user)
            begin = _clock()
            self._rest(user, partial(self._closed.wait, seconds))
            seconds -= _clock() - begin
        self.wait(user)

    def _rest(self, user: User, wait: Callable[[], object]) -> None:
        self.resting.add(user)
        try:
            wait()
        finally:
            self.resting.discard(user)


def hold_between_tasks(task_set: type[TaskSet]) -> None:
    """Make every task set of this process ask its user's turn before a task and a pause.

    Locust has no hook there; these two methods are what each of its task sets goes through.
    """
    execute, sleep = task_set.execute_next_task, task_set._sleep

    def execute_next_task(self: TaskSet) -> None:
        turn = getattr(self.user, ATTRIBUTE, None)
        if isinstance(turn, Turn):
            turn.wait(self.user)
        execute(self)  # type: ignore[no-untyped-call]

    def _sleep(self: TaskSet, seconds: float) -> None:
        turn = getattr(self.user, ATTRIBUTE, None)
        if isinstance(turn, Turn):
            turn.sleep(self.user, seconds)
        else:
            sleep(self, seconds)  # type: ignore[no-untyped-call]

    task_set.execute_next_task = execute_next_task  # type: ignore[method-assign]
    task_set._sleep = _sleep  # type: ignore[method-assign]
