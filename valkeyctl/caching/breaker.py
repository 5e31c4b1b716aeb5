"""The circuit breaker: after a few failures in a row, calls are refused at once.

::

    closed --(failures in a row)--> open --(cooldown)--> half-open --(success)--> closed
                                      ^                      |
                                      +-----(failure)--------+

It lives in the process, never in the store it guards: a dead store could not open it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, TypeAlias

from valkeyctl.errors import BreakerOpenError, UsageError

State: TypeAlias = Literal["closed", "open", "half-open"]
Permit: TypeAlias = int
"""Proof of admission; a result is ignored when the state changed since it was given."""


class Breaker:
    """Counts failures in a row and refuses calls while the server is thought gone.

    Args:
        failures: How many in a row open it; one success in between starts anew.
        cooldown: Seconds that it stays open before a call may probe.
        probes: How many calls may probe at the same time.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        failures: int = 3,
        cooldown: float = 2.0,
        probes: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if failures < 1 or probes < 1 or not cooldown >= 0:
            raise UsageError(
                f"a breaker needs failures >= 1, probes >= 1 and cooldown >= 0, "
                f"not {failures}, {probes} and {cooldown}"
            )
        self._threshold = failures
        self._cooldown = cooldown
        self._probes = probes
        self._clock = clock
        self._state: State = "closed"
        self._failures = 0
        self._opened_at = 0.0
        self._probing = 0
        self._generation = 0
        self._watchers: list[Callable[[State], None]] = []

    @property
    def state(self) -> State:
        """Where it stands now; an open one turns half-open when a call comes after the cooldown."""
        return self._state

    def admit(self) -> Permit:
        """Return a permit for one call; hand it to exactly one of the three results below.

        Raises:
            BreakerOpenError: Recent calls failed, and it is too early or others probe already.
        """
        if self._state == "closed":
            return self._generation
        if self._state == "open":
            left = self._opened_at + self._cooldown - self._clock()
            if left > 0:
                raise BreakerOpenError(
                    f"the call was not sent: the last {self._failures} failed "
                    f"(the next try is due in {left:.1f} s)"
                )
            self._move("half-open")
        if self._probing >= self._probes:
            raise BreakerOpenError("the call was not sent: another one probes the server")
        self._probing += 1
        return self._generation

    def succeeded(self, permit: Permit) -> None:
        """Note that the server answered, whatever it said."""
        if permit != self._generation:
            return  # an answer to a call of another time says nothing about now
        self._failures = 0
        if self._state != "closed":
            self._move("closed")

    def failed(self, permit: Permit) -> None:
        """Note that the server did not answer."""
        if permit != self._generation:
            return
        self._failures += 1
        if self._state == "half-open" or self._failures >= self._threshold:
            self.trip()

    def released(self, permit: Permit) -> None:
        """Note that the call ended without an answer to judge by, such as cancelled."""
        if permit == self._generation and self._state == "half-open":
            self._probing -= 1

    def trip(self) -> None:
        """Open it, or start the cooldown of an open one again."""
        self._failures = max(self._failures, 1)
        self._opened_at = self._clock()
        if self._state != "open":
            self._move("open")

    def reset(self) -> None:
        """Close it: somebody saw the server answer."""
        self._failures = 0
        if self._state != "closed":
            self._move("closed")

    def watch(self, told: Callable[[State], None]) -> None:
        """Call *told* with each state that it moves to, from now on; *told* must not raise."""
        self._watchers.append(told)

    def unwatch(self, told: Callable[[State], None]) -> None:
        """Stop calling *told*; does nothing when it was not called."""
        if told in self._watchers:
            self._watchers.remove(told)

    def _move(self, state: State) -> None:
        self._state = state
        self._generation += 1
        self._probing = 0
        for told in self._watchers:
            told(state)
