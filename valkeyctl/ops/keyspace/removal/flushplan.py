"""What a flush would remove, counted exactly, and nothing changed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import RefusedError
from valkeyctl.ops.keyspace.display import show_bytes
from valkeyctl.ops.keyspace.pace import Pace
from valkeyctl.ops.keyspace.removal.doomed import doomed_by
from valkeyctl.ops.keyspace.removal.selection import Selection
from valkeyctl.ops.keyspace.scan import Walker

_SAMPLE_SHOWN = 5


@dataclass(frozen=True)
class FlushPlan:
    """What a flush would remove at this moment.

    Attributes:
        app: The application.
        namespace: What is selected, if a namespace.
        tag: What is selected, if a tag.
        pattern: What is selected, if a pattern, as a printable line.
        keys: Exact count.
        sample: Up to five of them, drawn at random, as printable lines.
        memory_bytes: What they take, by MEMORY USAGE of each.
        ttl_min_s: Seconds until the first of them expires by itself; None when none does.
        ttl_max_s: Likewise the last one.
        without_expiry: How many never expire.
    """

    app: str
    namespace: str | None
    tag: str | None
    pattern: str | None
    keys: int
    sample: tuple[str, ...]
    memory_bytes: int
    ttl_min_s: float | None
    ttl_max_s: float | None
    without_expiry: int


def plan_flush(
    endpoint: Endpoint,
    selection: Selection,
    *,
    max_keys: int | None = None,
    pace: Pace | None = None,
    progress: Callable[[float, int], None] | None = None,
    rng: random.Random | None = None,
) -> FlushPlan:
    """Return what `flush` would remove, by a bounded walk that changes nothing.

    Args:
        endpoint: Of any topology.
        selection: What would be flushed.
        max_keys: More than so many are refused, as soon as they are found.
        pace: How hard to work the servers.
        progress: Told the fraction of the keyspace seen, and the keys found.
        rng: Draws the sample.

    Raises:
        RefusedError: There are more than *max_keys*.
        UnreachableError, AuthError, ServerReplyError: as `Walker.survey`.
    """
    drawn = _Draw(_SAMPLE_SHOWN, rng or random.Random())
    memory = without_expiry = 0
    shortest = longest = -1
    with Walker(endpoint) as walker:
        doomed = doomed_by(selection, has_slots=walker.has_slots)
        for facts, visited in doomed.facts(walker, pace):
            drawn.add(fact.key for fact in facts)
            memory += sum(fact.memory for fact in facts)
            lives = [fact.pttl for fact in facts if fact.pttl >= 0]
            without_expiry += len(facts) - len(lives)
            if lives:
                shortest = min(lives) if shortest < 0 else min(shortest, *lives)
                longest = max(longest, *lives)
            if max_keys is not None and drawn.seen > max_keys:
                raise RefusedError(
                    f"{selection} has more than {max_keys:,} keys",
                    hint="Look first with --dry-run, or raise --max-keys",
                )
            if progress:
                progress(visited, drawn.seen)
    return FlushPlan(
        app=selection.app,
        namespace=selection.namespace,
        tag=selection.tag,
        pattern=None if selection.pattern is None else show_bytes(selection.pattern),
        keys=drawn.seen,
        sample=tuple(sorted(map(show_bytes, drawn.keys))),
        memory_bytes=memory,
        ttl_min_s=None if shortest < 0 else shortest / 1000,
        ttl_max_s=None if longest < 0 else longest / 1000,
        without_expiry=without_expiry,
    )


class _Draw:
    """Draws keys of a stream at random, each with the same chance.

    Source: Vitter, Random Sampling with a Reservoir (1985), algorithm R.
    """

    def __init__(self, size: int, rng: random.Random) -> None:
        self.keys: list[bytes] = []
        self.seen = 0
        self._size = size
        self._rng = rng

    def add(self, keys: Iterable[bytes]) -> None:
        """Draw from *keys*, too."""
        for key in keys:
            self.seen += 1
            if len(self.keys) < self._size:
                self.keys.append(key)
            elif (place := self._rng.randrange(self.seen)) < self._size:
                self.keys[place] = key
