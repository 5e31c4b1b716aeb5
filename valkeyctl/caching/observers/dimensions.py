"""What the adapters have in common: bounded labels and the steps of their histograms."""

from __future__ import annotations

OTHER = "other"
MAX_NAMESPACES = 32

# From a lookup in a database next door to a model that thinks for minutes.
LOAD_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
)  # fmt: skip
# One round trip, or one and the wait for replicas or for holders of near copies.
INVALIDATION_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
# Powers of four around the largest entry that a service stores by default, 8 MiB.
ENTRY_BYTES = tuple(float(4**power) for power in range(3, 13))


class NamespaceLabels:
    """The namespaces that get a label of their own: the first so many.

    An application that makes namespaces up, one per user perhaps, would otherwise fill
    the metrics system with series, and tell it its users.

    Args:
        most: How many; the rest is called ``other``.
    """

    def __init__(self, most: int = MAX_NAMESPACES) -> None:
        self._most = most
        self._own: set[str] = set()

    def label(self, namespace: str) -> str:
        """Return *namespace*, or ``other`` when there were enough before it."""
        if namespace in self._own:
            return namespace
        if len(self._own) >= self._most:
            return OTHER
        self._own.add(namespace)
        return namespace


def result_of(ok: bool) -> str:
    """Return the label for how a load or an invalidation ended."""
    return "ok" if ok else "failed"
