"""What a namespace does with its entries: how long they live, and what may be served when."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from valkeyctl.errors import UsageError


@dataclass(frozen=True)
class NamespacePolicy:
    """The rule for one namespace.

    An entry is fresh for its ttl. With ``stale`` or ``stale_if_error`` it is kept longer
    than that, and takes memory for as long.

    Attributes:
        ttl: Seconds that an entry is fresh at most.
        jitter: Share of the ttl, 0 to below 1, that is taken off at random, so that
            entries written together do not expire together.
        stale: Seconds after the ttl in which an entry is still served, at once, while one
            caller of all processes renews it (stale-while-revalidate).
        stale_if_error: Seconds after the ttl in which an entry is served if loading a new
            one fails.
        early: How eagerly an entry is renewed before its ttl is over, in the background and
            at random, more likely the nearer its end and the longer its load took; 1 is
            usual, more is earlier, 0 not at all. Source: Vattani, Chierichetti, Lowenstein,
            Optimal Probabilistic Cache Stampede Prevention (2015), "XFetch".
        negative_ttl: Seconds that a None that a loader returned is fresh, without grace;
            0 does not store it, None treats it as any value.
        max_value_bytes: Encoded values larger than this are not stored; None takes the
            service's bound.
        compress_over: Encoded values of more bytes are compressed with zstd where that
            makes them smaller; None compresses none. Needs the extra ``compression``.
        encrypt: Whether values are encrypted with the service's key ring, and plain ones
            refused. Needs the extra ``encryption``.
        near: Seconds that an entry may be kept in this process as well; None keeps none.
        hottest: Of how many ids it is counted how often they are read, for `warm_hottest` and
            `Refresher`; at most 10,000. 0 counts none.

    Raises:
        UsageError: A number is out of range.
    """

    ttl: float
    jitter: float = 0.1
    stale: float = 0.0
    stale_if_error: float = 0.0
    early: float = 0.0
    negative_ttl: float | None = None
    max_value_bytes: int | None = None
    compress_over: int | None = None
    encrypt: bool = False
    near: float | None = None
    hottest: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.ttl < math.inf:
            raise UsageError(f"a ttl must be above zero seconds, not {self.ttl}")
        if not 0 <= self.jitter < 1:
            raise UsageError(f"jitter is a share from 0 to below 1, not {self.jitter}")
        for name in ("stale", "stale_if_error", "early", "negative_ttl"):
            number = getattr(self, name)
            if number is not None and not 0 <= number < math.inf:
                raise UsageError(f"{name} must not be below zero, not {number}")
        if self.near is not None and not 0 < self.near < math.inf:
            raise UsageError(f"near must be above zero seconds, not {self.near}")
        if not 0 <= self.hottest <= 10_000:
            raise UsageError(f"hottest is a number of ids from 0 to 10,000, not {self.hottest}")
        if self.compress_over is not None and self.compress_over < 0:
            raise UsageError(f"compress_over must not be below zero, not {self.compress_over}")
        if self.max_value_bytes is not None and self.max_value_bytes < 1:
            raise UsageError(f"max_value_bytes must be at least 1, not {self.max_value_bytes}")

    @property
    def grace(self) -> float:
        """Seconds that an entry is kept after its ttl."""
        return max(self.stale, self.stale_if_error)

    def lifetime(self, rng: random.Random) -> float:
        """Return the seconds that the next entry shall be fresh."""
        return self.ttl * (1 - rng.uniform(0, self.jitter))


DEFAULT_POLICIES: Mapping[str, NamespacePolicy] = MappingProxyType(
    {
        "response": NamespacePolicy(3600),
        "session": NamespacePolicy(86400),
        "context": NamespacePolicy(1800),
        "metadata": NamespacePolicy(300),
        "ratelimit": NamespacePolicy(60),
    }
)
"""What a `CacheService` without policies of its own goes by."""
