"""Locust's own totals, which must agree with the samples at the end.

Locust keeps two books of every request, of which each costs as much as sending it. A
closed loop is told of each request as any Locust user's is, by the ``request`` event. An
open loop must keep its schedule: its requests are entered once, and every quarter of a
second added to Locust's totals as those of a worker would be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from locust.env import Environment
from locust.stats import StatsEntry

from valkeyctl.bench.load.exchange import Exchange
from valkeyctl.bench.traffic.stream import Request


class Totals(Protocol):
    """Takes in every request that has ended."""

    def count(self, arm: int, request: Request, exchange: Exchange, error: str | None) -> None:
        """Enter one request."""

    def settle(self) -> None:
        """Add to Locust's totals what is not in them yet."""


class Told:
    """Fires Locust's ``request`` event."""

    def __init__(self, environment: Environment, names: Sequence[str]) -> None:
        self._fire = environment.events.request.fire
        self._names = names

    def count(self, arm: int, request: Request, exchange: Exchange, error: str | None) -> None:
        """See `Totals`."""
        self._fire(  # type: ignore[no-untyped-call]
            request_type=request.method,
            name=self._names[arm],
            response_time=(exchange.end - exchange.start) * 1000,
            response_length=exchange.size,
            exception=error,
            context={},
        )

    def settle(self) -> None:
        """See `Totals`; the event left nothing over."""


class Batched:
    """Keeps entries of its own, and merges them as Locust merges those of its workers."""

    def __init__(self, environment: Environment, names: Sequence[str]) -> None:
        self._stats = environment.stats
        self._names = names
        self._entries: dict[tuple[int, str], StatsEntry] = {}

    def count(self, arm: int, request: Request, exchange: Exchange, error: str | None) -> None:
        """See `Totals`."""
        entry = self._entries.get((arm, request.method))
        if entry is None:
            entry = StatsEntry(self._stats, self._names[arm], request.method)
            self._entries[arm, request.method] = entry
        # Locust types whole milliseconds, and takes any.
        entry.log((exchange.end - exchange.start) * 1000, exchange.size)  # type: ignore[arg-type]
        if error is not None:
            self._stats.log_error(request.method, self._names[arm], error)

    def settle(self) -> None:
        """See `Totals`."""
        for entry in self._entries.values():
            if entry.num_requests:
                self._stats.get(entry.name, entry.method).extend(entry)
                self._stats.total.extend(entry)
                entry.reset()  # type: ignore[no-untyped-call]
