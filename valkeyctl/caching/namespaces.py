"""What a cache knows of each of its namespaces, at hand for every call."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Mapping
from typing import Literal, TypeAlias

from valkeyctl.caching.codec import ALWAYS_FRESH, Value
from valkeyctl.caching.heat import Heat
from valkeyctl.caching.keyring import KeyRing
from valkeyctl.caching.names import Names
from valkeyctl.caching.observer import Observer
from valkeyctl.caching.payload import Opened, Payload, Payloads
from valkeyctl.caching.policy import DEFAULT_POLICIES, NamespacePolicy
from valkeyctl.caching.stats import CacheStats, Tally
from valkeyctl.caching.values import Typed
from valkeyctl.errors import InvalidKeyError, UsageError

Freshness: TypeAlias = Literal["fresh", "early", "stale", "expired"]
"""``fresh``; ``early``: fresh, and to be renewed; ``stale``: to be served and renewed;
``expired``: to be served only if no new value can be had."""


# Of a namespace without a policy, where each write brings its ttl.
_PLAIN = NamespacePolicy(1.0)
# Namespaces are few: the bound is against a caller who makes them up.
_KEPT = 4096


class Namespace:
    """One namespace of a service.

    Attributes:
        name: As callers say it.
        policy: Its rule; one without grace and with a meaningless ttl where none was given.
        form: Type of its values; None takes and gives plain ones.
        payloads: Packs and opens plain values.
        tally: Its counters.
        max_value_bytes: Encoded values larger than this are not stored.
        heat: Counts which ids are read most; None where the policy does not ask for it.
        names: Of the functions whose results are stored here.
    """

    __slots__ = (
        *("_known", "_named", "_rng"),
        *("form", "heat", "max_value_bytes", "name", "names", "payloads", "policy", "tally"),
    )

    def __init__(
        self,
        name: str,
        policy: NamespacePolicy | None,
        *,
        known: Mapping[str, NamespacePolicy],
        keyring: KeyRing | None,
        max_value_bytes: int,
        observers: tuple[Observer, ...],
        rng: random.Random,
    ) -> None:
        self.name = name
        self.policy = policy or _PLAIN
        self._named = policy is not None
        self._known = known
        self._rng = rng
        self.max_value_bytes = self.policy.max_value_bytes or max_value_bytes
        self.form: Typed[object] | None = None
        self.payloads = Payloads(
            compress_over=self.policy.compress_over,
            keyring=keyring if self.policy.encrypt else None,
            max_value_bytes=self.max_value_bytes,
        )
        self.tally = Tally(name, observers)
        self.heat = Heat(self.policy.hottest) if self.policy.hottest else None
        self.names = Names()

    def typed(self, form: Typed[object]) -> Namespace:
        """Return the same namespace, for values of one type."""
        twin = copy.copy(self)
        twin.form = form
        return twin

    def pack(self, key: bytes, value: object, tags: int = 0) -> Payload:
        """Return *value*, ready to be stored at *key* with so many tags.

        Raises:
            UsageError: It is not of the namespace's type, or cannot be stored.
        """
        stored = value if self.form is None else self.form.plain(value)
        return self.payloads.pack(key, stored, tags)

    def shaped(self, value: Value) -> object:
        """Return a stored *value* as one of the namespace's type.

        Raises:
            UndecodableError: It does not fit.
        """
        return value if self.form is None else self.form.load(value)

    def lifetime(self, ttl: float | None) -> float:
        """Return the seconds that the next entry is fresh: *ttl*, or else what the policy gives.

        Raises:
            InvalidKeyError: There is neither.
            UsageError: The ttl is not above zero seconds.
        """
        if ttl is not None:
            if not 0 < ttl < math.inf:
                raise UsageError(f"a ttl must be above zero seconds, not {ttl}")
            return ttl  # asked for, so no jitter
        if not self._named:
            known = ", ".join(sorted(self._known)) or "none"
            raise InvalidKeyError(
                f"the namespace {self.name!r} has no policy and no ttl was given",
                hint=f"Give a ttl or a policy; namespaces with one: {known}",
            )
        return self.policy.lifetime(self._rng)

    def spans(self, ttl: float, *, negative: bool = False) -> tuple[float, float | None]:
        """Return how many seconds an entry lives, and how many of them it is fresh, None for all.

        Args:
            ttl: As `lifetime` gave it.
            negative: Whether it is a loader's None.
        """
        policy = self.policy
        if negative and policy.negative_ttl:
            return min(policy.negative_ttl, ttl), None
        if policy.grace or policy.early:
            return ttl + policy.grace, ttl
        return ttl, None

    def freshness(self, entry: Opened, now_ms: int) -> Freshness:
        """Say what may be done with *entry* at *now_ms* of the server's clock."""
        if entry.fresh_ms == ALWAYS_FRESH:
            return "fresh"
        left_ms = entry.created_ms + entry.fresh_ms - now_ms
        policy = self.policy
        if left_ms > 0:
            if policy.early and entry.cost_ms:
                # 1 - random() is above 0, which has no logarithm.
                ahead_ms = -entry.cost_ms * policy.early * math.log(1 - self._rng.random())
                if ahead_ms >= left_ms:
                    return "early"
            return "fresh"
        return "stale" if -left_ms < policy.stale * 1000 else "expired"

    def fresh_seconds(self, entry: Opened, now_ms: int) -> float:
        """Return for how long *entry* stays fresh; infinity: as long as it exists."""
        if entry.fresh_ms == ALWAYS_FRESH:
            return math.inf
        return max(entry.created_ms + entry.fresh_ms - now_ms, 0) / 1000

    def keeps_on_error(self, entry: Opened, now_ms: int) -> bool:
        """Say whether *entry*, which is expired, may be served when a load fails."""
        over_ms = now_ms - entry.created_ms - entry.fresh_ms
        return over_ms < self.policy.stale_if_error * 1000


class Namespaces:
    """The namespaces of one service, made when they are first asked for.

    Args:
        policies: By namespace; None takes `DEFAULT_POLICIES`.
        keyring: For those that encrypt.
        max_value_bytes: Bound of a value where the policy has none.
        observers: Who hears what is counted, guarded.
        rng: Source of the jitter.

    Raises:
        UsageError: A policy encrypts and there is no key ring.
        MissingError: A policy needs an extra that is not installed.
    """

    def __init__(
        self,
        policies: Mapping[str, NamespacePolicy] | None,
        *,
        keyring: KeyRing | None,
        max_value_bytes: int,
        observers: tuple[Observer, ...],
        rng: random.Random,
    ) -> None:
        self._policies = dict(DEFAULT_POLICIES if policies is None else policies)
        self._keyring = keyring
        self._max_value_bytes = max_value_bytes
        self._observers = observers
        self._rng = rng
        self._made: dict[str, Namespace] = {}
        for name, policy in self._policies.items():
            if policy.encrypt and keyring is None:
                raise UsageError(
                    f"the namespace {name!r} is to be encrypted, and there are no keys",
                    hint="Give a keyring",
                )
            self[name]  # here, so that a missing extra is told at once

    def __getitem__(self, name: str) -> Namespace:
        made = self._made.get(name)
        if made is None:
            if len(self._made) >= _KEPT:
                self._made = {known: self._made[known] for known in self._policies}
            made = self._made[name] = Namespace(
                name,
                self._policies.get(name),
                known=self._policies,
                keyring=self._keyring,
                max_value_bytes=self._max_value_bytes,
                observers=self._observers,
                rng=self._rng,
            )
        return made

    def near_ages(self) -> dict[str, float]:
        """Return how many seconds entries may be kept in this process, where they may."""
        return {
            name: policy.near for name, policy in self._policies.items() if policy.near is not None
        }

    def heats(self) -> dict[str, Heat]:
        """Return what counts the reads of ids, by namespace."""
        return {name: made.heat for name, made in self._made.items() if made.heat is not None}

    def stats(self) -> dict[str, CacheStats]:
        """Return the counts so far, by namespace: those with a policy and those used."""
        return {name: made.tally.frozen() for name, made in sorted(self._made.items())}
