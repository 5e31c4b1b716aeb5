"""Plain Locust: FastHttpUser at a constant throughput, or as fast as it can.

GENERATOR_RATE is the requests per second of all users together, 0 for no wait; at its end
it writes what it saw to the file GENERATOR_OUT. Run by ``locust -f``.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from locust import FastHttpUser, constant, constant_throughput, events, task

_RATE = float(os.environ["GENERATOR_RATE"])
_USERS = int(os.environ["GENERATOR_USERS"])
_latencies: list[float] = []
_starts: dict[int, list[float]] = {}


class Plain(FastHttpUser):
    """A user as Locust's documentation writes it, with its own start times noted."""

    wait_time = constant_throughput(_RATE / _USERS) if _RATE else constant(0)

    @task
    def ask(self) -> None:
        """Send one request."""
        _starts.setdefault(id(self), []).append(time.perf_counter())
        self.client.get("/")


def _note(response_time: float, **_: object) -> None:
    _latencies.append(response_time)


def _write(**_: object) -> None:
    # A user's k-th request is due k periods after its first one.
    period = _USERS / _RATE if _RATE else 0.0
    late = [
        start - starts[0] - number * period
        for starts in _starts.values()
        for number, start in enumerate(starts)
    ]
    begun = [starts[0] for starts in _starts.values()]
    ended = [starts[-1] for starts in _starts.values()]
    document = {
        "latencies_ms": _latencies,
        "lateness_ms": [one * 1000 for one in late] if _RATE else [],
        "seconds": max(ended) - min(begun) if begun else 0.0,
        "cpu": time.process_time(),
    }
    Path(os.environ["GENERATOR_OUT"]).write_text(json.dumps(document))


events.request.add_listener(_note)  # type: ignore[no-untyped-call]
events.quitting.add_listener(_write)  # type: ignore[no-untyped-call]
