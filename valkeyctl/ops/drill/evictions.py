"""How many keys the servers evict while a drill runs: a full cache loses writes without a fault."""

from __future__ import annotations

import contextlib

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import ValkeyctlError
from valkeyctl.ops.topology.view import look

_DEADLINE = 2.0


class Evictions:
    """Counts evictions from here on, on all servers behind an endpoint.

    Each process counts from its start, so a server that is started again counts anew:
    what it evicted between the last `note` and its end is not known.

    Args:
        endpoint: Of any topology.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._before = self._counts()
        self._after = dict(self._before)

    def note(self) -> None:
        """Look now; to be called before something is broken, and at the end."""
        self._after |= self._counts()

    @property
    def count(self) -> int:
        """How many keys were evicted, of whomever, as far as was seen."""
        return sum(count - self._before.get(run, 0) for run, count in self._after.items())

    def _counts(self) -> dict[str, int]:
        """Return the evictions since its start of each process that answers, by its run id."""
        found: dict[str, int] = {}
        try:
            nodes = look(self._endpoint, deadline=_DEADLINE).nodes
        except ValkeyctlError:
            return found
        for node in nodes:
            if not node.reachable or node.role == "sentinel":
                continue
            server = self._endpoint.server(node.host, node.port)
            with contextlib.suppress(ValkeyctlError), Wire(server, timeout=_DEADLINE) as wire:
                found[node.run_id] = int(wire.info("stats").get("evicted_keys", "0"))
        return found
