"""How long the entries of a namespace live."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from valkeyctl.errors import InvalidKeyError, UsageError


@dataclass(frozen=True)
class NamespacePolicy:
    """The rule for one namespace.

    Attributes:
        ttl: Seconds that an entry lives at most.
        jitter: Share of the ttl, 0 to below 1, that is taken off at random, so that
            entries written together do not expire together.

    Raises:
        UsageError: A number is out of range.
    """

    ttl: float
    jitter: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.ttl < float("inf"):
            raise UsageError(f"a ttl must be above zero seconds, not {self.ttl}")
        if not 0 <= self.jitter < 1:
            raise UsageError(f"jitter is a share from 0 to below 1, not {self.jitter}")

    def lifetime(self, rng: random.Random) -> float:
        """Return the seconds that the next entry shall live."""
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


class Policies:
    """Answers how long the next entry of a namespace lives.

    Args:
        policies: By namespace; None takes `DEFAULT_POLICIES`.
        rng: Source of the jitter.
    """

    def __init__(self, policies: Mapping[str, NamespacePolicy] | None, rng: random.Random) -> None:
        self._policies = dict(DEFAULT_POLICIES if policies is None else policies)
        self._rng = rng

    def lifetime(self, namespace: str, ttl: float | None) -> float:
        """Return *ttl*, or else what the policy of *namespace* gives.

        Raises:
            InvalidKeyError: There is neither.
            UsageError: The ttl is not above zero seconds.
        """
        if ttl is not None:
            return NamespacePolicy(ttl, jitter=0).ttl  # asked for, so no jitter
        policy = self._policies.get(namespace)
        if policy is None:
            known = ", ".join(sorted(self._policies)) or "none"
            raise InvalidKeyError(
                f"the namespace {namespace!r} has no policy and no ttl was given",
                hint=f"Give a ttl or a policy; namespaces with one: {known}",
            )
        return policy.lifetime(self._rng)
