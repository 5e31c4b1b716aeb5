"""What the cache did for the request that is being answered."""

from __future__ import annotations

from contextvars import ContextVar

from valkeyctl.caching.breaker import State
from valkeyctl.caching.observer import Cause, Operation, Outcome, Written

# Each request is a task, and so has a value of its own.
_current: ContextVar[Outcome] = ContextVar("outcome", default="miss")


class OutcomeObserver:
    """Remembers how the last read of the running request ended; see `last_outcome`."""

    def read(self, namespace: str, outcome: Outcome, size: int) -> None:
        """Take it in; the caller of the cache is in the same task. See `Observer.read`."""
        del namespace, size
        _current.set(outcome)

    def loaded(self, namespace: str, seconds: float, cause: Cause, *, ok: bool) -> None:
        """Nothing; see `Observer.loaded`."""

    def wrote(self, namespace: str, outcome: Written, size: int) -> None:
        """Nothing; see `Observer.wrote`."""

    def failed(self, namespace: str, operation: Operation, kind: str) -> None:
        """Nothing; see `Observer.failed`."""

    def invalidated(self, namespace: str | None, seconds: float, *, ok: bool) -> None:
        """Nothing; see `Observer.invalidated`."""

    def breaker(self, state: State) -> None:
        """Nothing; see `Observer.breaker`."""


def last_outcome() -> Outcome:
    """Return how the last read of the running request ended; ``miss`` before any."""
    return _current.get()
