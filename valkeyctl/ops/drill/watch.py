"""Looking at a deployment all through a drill: who takes the writes, and whether all is well."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import RefusedError, ValkeyctlError
from valkeyctl.ops.checks import HealthReport
from valkeyctl.ops.drill.shards import Finder, Shard
from valkeyctl.ops.health import probe

_LOOK_EVERY = 0.1
_CHECK_EVERY = 0.2
_DEADLINE = 2.0
_LONG = 0.7  # seconds that a check takes when somebody does not answer
_END = 5.0
# What load and time alone turn to a warning; a failure of one of them counts.
_RESTLESS = frozenset({"ping", "memory", "eviction", "persistence", "lag", "replication_lag"})


class Redundancy:
    """What a deployment was like before the drill, to tell when it is like that again.

    Args:
        endpoint: Of any topology.
        app: First part of the keys that a check writes.

    Raises:
        RefusedError: It is not healthy now, so that a drill would prove nothing.
        UnreachableError, AuthError, TlsError: As `ops.health.probe`.
    """

    def __init__(self, endpoint: Endpoint, app: str) -> None:
        self._endpoint = endpoint
        self._app = app
        before = self._probe()
        failed = [check for check in before.checks if check.verdict == "fail"]
        if failed:
            raise RefusedError(
                f"{endpoint.address} is not healthy before the drill: "
                f"{failed[0].name} is {failed[0].value}",
                hint="Look at it first: valkeyctl health",
            )
        self._good = {check.name for check in before.checks} - {
            check.name for check in before.checks if check.verdict != "ok"
        }
        self._nodes, self._online = _counts(before)

    def troubles(self) -> tuple[str, ...]:
        """Return what is worse than before, each as a few words; empty when nothing is."""
        try:
            report = self._probe()
        except ValkeyctlError as error:
            return (str(error),)
        found = [
            f"{check.name}: {check.value}"
            for check in report.checks
            if check.verdict == "fail"
            or (check.verdict == "warn" and check.name in self._good - _RESTLESS)
        ]
        nodes, online = _counts(report)
        if nodes < self._nodes:
            found.append(f"{nodes} of {self._nodes} nodes answer")
        if online < self._online:
            found.append(f"{online} of {self._online} replicas follow")
        return tuple(found)

    def _probe(self) -> HealthReport:
        return probe(self._endpoint, deadline=_DEADLINE, app=self._app)


@dataclass(frozen=True)
class Change:
    """Another server took over the writes of a shard.

    Attributes:
        at: When it was seen, on the monotonic clock.
        before: Address of the primary until then.
        after: And since.
    """

    at: float
    before: str
    after: str


class Watch:
    """Watches from entering to leaving it.

    Args:
        finder: Who takes the writes.
        shards: Of which keys.
        redundancy: What the deployment was like before.
        tick: Called about once a second, from a thread of its own.

    Attributes:
        primaries: Addresses of the primaries, as they were seen last.
        changes: Of primaries, in order.
        troubles: What was wrong at the last look.
    """

    def __init__(
        self,
        finder: Finder,
        shards: tuple[Shard, ...],
        redundancy: Redundancy,
        tick: Callable[[], None],
    ) -> None:
        self.primaries = tuple(server.address for server in finder.all_primaries(shards))
        self.changes: list[Change] = []
        self.troubles: tuple[str, ...] = ()
        self._finder = finder
        self._shards = shards
        self._redundancy = redundancy
        self._tick = tick
        self._looks: list[tuple[float, bool]] = []
        self._checking: float | None = None
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=call, name="drill-watch", daemon=True)
            for call in (self._look, self._check, self._talk)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(_END)

    def healthy_since(self, moment: float) -> float | None:
        """Return from when on, after *moment*, each look found all well; None when not yet.

        One look is not enough: a server that is about to notice its loss looks well, too.
        """
        good: float | None = None
        looks = 0
        for began, well in list(self._looks):
            if began < moment:
                continue
            if not well:
                good, looks = None, 0
                continue
            good, looks = good if good is not None else began, looks + 1
        return good if looks > 1 else None

    @property
    def state(self) -> str:
        """How it stands, in a few words."""
        if self.troubles:
            return self.troubles[0]
        began = self._checking
        if began is not None and time.monotonic() - began > _LONG:
            return "no answer to the health check"
        return "healthy"

    def _look(self) -> None:
        while not self._ending.wait(_LOOK_EVERY):
            try:
                found = self._finder.all_primaries(self._shards)
            except ValkeyctlError:
                continue  # nobody can tell just now
            now = tuple(server.address for server in found)
            for before, after in zip(self.primaries, now, strict=True):
                if before != after:
                    self.changes.append(Change(time.monotonic(), before, after))
                    self._finder.news += 1
            self.primaries = now

    def _check(self) -> None:
        while not self._ending.wait(_CHECK_EVERY):
            began = self._checking = time.monotonic()
            self.troubles = self._redundancy.troubles()
            self._looks.append((began, not self.troubles))
            self._checking = None

    def _talk(self) -> None:
        while not self._ending.wait(1.0):
            self._tick()


def _counts(report: HealthReport) -> tuple[int, int]:
    """Return how many nodes answer, and how many replicas follow with all their data."""
    nodes = report.view.nodes if report.view is not None else ()
    return sum(node.reachable for node in nodes), sum(node.online for node in nodes)
