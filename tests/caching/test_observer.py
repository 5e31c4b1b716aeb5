"""The seam through which a cache is counted: observers cannot harm it."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from valkeyctl.caching.breaker import State
from valkeyctl.caching.observer import Cause, Guarded, Operation, Outcome, Written, guarded


class Recording:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []

    def read(self, namespace: str, outcome: Outcome, size: int) -> None:
        self.events.append(("read", namespace, outcome, size))

    def loaded(self, namespace: str, seconds: float, cause: Cause, *, ok: bool) -> None:
        self.events.append(("loaded", namespace, seconds, cause, ok))

    def wrote(self, namespace: str, outcome: Written, size: int) -> None:
        self.events.append(("wrote", namespace, outcome, size))

    def failed(self, namespace: str, operation: Operation, kind: str) -> None:
        self.events.append(("failed", namespace, operation, kind))

    def invalidated(self, namespace: str | None, seconds: float, *, ok: bool) -> None:
        self.events.append(("invalidated", namespace, seconds, ok))

    def breaker(self, state: State) -> None:
        self.events.append(("breaker", state))


class Raising:
    """Fails at everything."""

    def read(self, namespace: str, outcome: Outcome, size: int) -> None:
        raise RuntimeError("the metrics are on fire")

    def loaded(self, namespace: str, seconds: float, cause: Cause, *, ok: bool) -> None:
        raise RuntimeError

    def wrote(self, namespace: str, outcome: Written, size: int) -> None:
        raise RuntimeError

    def failed(self, namespace: str, operation: Operation, kind: str) -> None:
        raise RuntimeError

    def invalidated(self, namespace: str | None, seconds: float, *, ok: bool) -> None:
        raise RuntimeError

    def breaker(self, state: State) -> None:
        raise RuntimeError


def tell_everything(observer: Guarded) -> None:
    observer.read("context", "hit", 100)
    observer.loaded("context", 0.5, "miss", ok=True)
    observer.wrote("context", "stored", 90)
    observer.failed("context", "read", "deadline")
    observer.invalidated(None, 0.001, ok=False)
    observer.breaker("open")


def test_a_guarded_observer_hears_everything_as_it_is_told() -> None:
    """The guard changes nothing."""
    recording = Recording()
    (guard,) = guarded([recording])

    tell_everything(guard)

    assert guard.faults == 0
    assert recording.events == [
        ("read", "context", "hit", 100),
        ("loaded", "context", 0.5, "miss", True),
        ("wrote", "context", "stored", 90),
        ("failed", "context", "read", "deadline"),
        ("invalidated", None, 0.001, False),
        ("breaker", "open"),
    ]


def test_what_an_observer_raises_is_logged_once_counted_and_swallowed() -> None:
    """A broken dashboard takes no cache down, nor its log."""
    (guard,) = guarded([Raising()])

    with capture_logs() as log:
        tell_everything(guard)

    assert guard.faults == 6
    assert log == [
        {
            "event": "observer_failed",
            "observer": "Raising",
            "reason": "RuntimeError: the metrics are on fire",
            "log_level": "warning",
        }
    ]


def test_an_interruption_passes_a_guard() -> None:
    """Only an observer's own failures are swallowed."""

    class Interrupted(Recording):
        def read(self, namespace: str, outcome: Outcome, size: int) -> None:
            raise KeyboardInterrupt

    (guard,) = guarded([Interrupted()])

    with pytest.raises(KeyboardInterrupt):
        guard.read("context", "hit", 1)
    assert guard.faults == 0


def test_what_is_guarded_is_not_guarded_again() -> None:
    """Services may pass their observers on."""
    once = guarded([Recording()])

    assert guarded(once) == once
    assert guarded(()) == ()
