"""What a cache tells those who count and trace it: the `Observer` seam.

A cache holds ``guarded(observers)``, a tuple, and goes through it at each event; an
empty one costs nothing worth measuring. Adapters for Prometheus and OpenTelemetry are
in `valkeyctl.caching.observers`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol, TypeAlias

from valkeyctl.caching.breaker import State

Outcome: TypeAlias = Literal["hit", "near", "stale", "miss", "collapsed"]
"""How one read of one entry ended.

``hit``: fresh, from the server; ``near``: fresh, from this process; ``stale``: past its
freshness and served all the same; ``miss``: nothing usable, failed reads included;
``collapsed``: a miss that another caller's load answered, not counted as a miss.
"""

Cause: TypeAlias = Literal["miss", "forced", "stale", "early"]
"""Why a load ran.

``miss``: a caller waited for it; ``forced``: a caller asked for it (``refresh=True``, a
warming); ``stale``: behind a caller that got a stale value; ``early``: behind a caller
that got a fresh value close to its end.
"""

Written: TypeAlias = Literal["stored", "refused", "too_large", "failed"]
"""How one write of one entry ended.

``refused``: an invalidation came while the value was loaded; ``too_large``: over the
namespace's bound; ``failed``: the server did not store it (`Observer.failed` says why).
"""

Operation: TypeAlias = Literal["read", "write"]


class Observer(Protocol):
    """Hears what a cache does, at the moment it happens.

    The methods are called on the event loop, between the cache's own steps: they return
    at once, never block and never raise. One that raises all the same does no harm: the
    first exception of an observer is logged, later ones are counted, all are swallowed.

    They get namespaces, of which a deployment has few, and never a key, a tag, a user or
    a value: what they are given may become a label.
    """

    def read(self, namespace: str, outcome: Outcome, size: int) -> None:
        """One entry was looked up; each entry of a bulk read is told by itself.

        Args:
            namespace: Where.
            outcome: See `Outcome`.
            size: Bytes of the stored entry that the server sent; 0 when it sent none.
        """

    def loaded(self, namespace: str, seconds: float, cause: Cause, *, ok: bool) -> None:
        """A loader ended.

        Args:
            namespace: Whose value it loads.
            seconds: How long it took.
            cause: Why it ran.
            ok: Whether it brought a value; False when it raised or was cancelled.
        """

    def wrote(self, namespace: str, outcome: Written, size: int) -> None:
        """One entry was written, or was to be.

        Args:
            namespace: Where.
            outcome: See `Written`.
            size: Bytes of the payload as it was to be sent: after compression.
        """

    def failed(self, namespace: str, operation: Operation, kind: str) -> None:
        """A read or a write went wrong and was swallowed; one call per failed operation.

        Args:
            namespace: Where.
            operation: Which of the two.
            kind: A word of a small set: the code of a `ValkeyctlError`, ``deadline``,
                ``breaker_open``, ``encoding``, or ``corrupt`` for an undecodable entry.
        """

    def invalidated(self, namespace: str | None, seconds: float, *, ok: bool) -> None:
        """An invalidation ended.

        Args:
            namespace: Which; None when it was a tag, whose name is not told.
            seconds: How long the caller waited for it.
            ok: Whether the server confirmed it; if not, the caller got the exception.
        """

    def breaker(self, state: State) -> None:
        """The breaker of the cache's client has just moved to *state*."""


class Guarded:
    """An observer that never raises, around one that may.

    Attributes:
        faults: How many of its calls raised.
    """

    def __init__(self, observer: Observer) -> None:
        self.faults = 0
        self._observer = observer

    def read(self, namespace: str, outcome: Outcome, size: int) -> None:
        """As `Observer.read`."""
        try:
            self._observer.read(namespace, outcome, size)
        except Exception as error:  # noqa: BLE001 - foreign code must not cost a caller its answer
            self._swallow(error)

    def loaded(self, namespace: str, seconds: float, cause: Cause, *, ok: bool) -> None:
        """As `Observer.loaded`."""
        try:
            self._observer.loaded(namespace, seconds, cause, ok=ok)
        except Exception as error:  # noqa: BLE001 - as above
            self._swallow(error)

    def wrote(self, namespace: str, outcome: Written, size: int) -> None:
        """As `Observer.wrote`."""
        try:
            self._observer.wrote(namespace, outcome, size)
        except Exception as error:  # noqa: BLE001 - as above
            self._swallow(error)

    def failed(self, namespace: str, operation: Operation, kind: str) -> None:
        """As `Observer.failed`."""
        try:
            self._observer.failed(namespace, operation, kind)
        except Exception as error:  # noqa: BLE001 - as above
            self._swallow(error)

    def invalidated(self, namespace: str | None, seconds: float, *, ok: bool) -> None:
        """As `Observer.invalidated`."""
        try:
            self._observer.invalidated(namespace, seconds, ok=ok)
        except Exception as error:  # noqa: BLE001 - as above
            self._swallow(error)

    def breaker(self, state: State) -> None:
        """As `Observer.breaker`."""
        try:
            self._observer.breaker(state)
        except Exception as error:  # noqa: BLE001 - as above
            self._swallow(error)

    def _swallow(self, error: Exception) -> None:
        self.faults += 1
        if self.faults == 1:
            import structlog  # 70 ms, which a command that counts nothing can do without

            structlog.get_logger("valkeyctl.caching").warning(
                "observer_failed",
                observer=type(self._observer).__qualname__,
                reason=f"{type(error).__name__}: {error}",
            )


def guarded(observers: Iterable[Observer]) -> tuple[Guarded, ...]:
    """Return *observers* so that none of them can raise into a cache; what is guarded stays."""
    return tuple(
        observer if isinstance(observer, Guarded) else Guarded(observer) for observer in observers
    )
