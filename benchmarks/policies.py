"""What a `NamespacePolicy` does to callers, to the origin, and to the age of what is served.

One key, read at random moments, and an origin that takes its time, on a clock that is only
a number: a week takes a second. Whether an entry is fresh, early, stale or expired, and how
long it lives, is decided by the library's own code. Seeded, so each run prints the same
tables; they stand in docs/explanation/choosing-a-policy.md, and a test compares.

    python -m benchmarks.policies
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from valkeyctl.caching.codec import ALWAYS_FRESH
from valkeyctl.caching.namespaces import Namespaces
from valkeyctl.caching.payload import Opened
from valkeyctl.caching.policy import NamespacePolicy

TTL = 300.0
LOAD = 2.0
NEVER = (math.inf, math.inf)
EULER = 0.5772


@dataclass
class Seen:
    """What the readers of one key and its origin went through.

    Attributes:
        seconds: How long it lasted.
        reads: How many there were.
        waited: Reads that waited for a load, their own or another's.
        errors: Reads that got the loader's exception.
        loads: Calls of the origin.
        awaited: Those of them that a reader waited for.
        oldest: Most seconds that a served value had been stored.
    """

    seconds: float = 0.0
    reads: int = 0
    waited: int = 0
    errors: int = 0
    loads: int = 0
    awaited: int = 0
    oldest: float = 0.0


@dataclass
class Loading:
    """A call of the origin under way.

    Attributes:
        until: When it ends.
        succeeds: Whether it brings a value.
        awaited: Whether a reader waits for it.
    """

    until: float
    succeeds: bool
    awaited: bool = False


class Key:
    """One key behind single-flight, read as `Shelf.get_or_load` does.

    Args:
        policy: Of its namespace.
        load: Seconds that the origin takes, also to fail.
        down: From when to when it fails, in seconds.
    """

    def __init__(
        self, policy: NamespacePolicy, *, load: float, down: tuple[float, float] = NEVER
    ) -> None:
        self._rng = random.Random(2)
        self._space = Namespaces(
            {"key": policy}, keyring=None, max_value_bytes=1, observers=(), rng=self._rng
        )["key"]
        self._load = load
        self._down = down
        self._entry: Opened | None = None
        self._stored_at = self._gone_at = -math.inf
        self._loading: Loading | None = None
        self._land(Loading(0.0, succeeds=True))  # a cold start would be in every row
        self.seen = Seen()

    def read(self, now: float) -> None:
        """Play one read."""
        seen = self.seen
        seen.seconds = now
        seen.reads += 1
        if self._loading is not None and self._loading.until <= now:
            self._land(self._loading)
        entry = self._entry if now < self._gone_at else None
        freshness = "expired" if entry is None else self._space.freshness(entry, _ms(now))
        if freshness != "expired":
            if freshness != "fresh":
                self._begin(now)
            seen.oldest = max(seen.oldest, now - self._stored_at)
            return
        loading = self._begin(now)
        seen.waited += 1
        seen.awaited += not loading.awaited
        loading.awaited = True
        if not loading.succeeds:
            if entry is not None and self._space.keeps_on_error(entry, _ms(now)):
                seen.oldest = max(seen.oldest, loading.until - self._stored_at)
            else:
                seen.errors += 1

    def _begin(self, now: float) -> Loading:
        if self._loading is None:
            self.seen.loads += 1
            fails = self._down[0] <= now < self._down[1]
            self._loading = Loading(now + self._load, succeeds=not fails)
        return self._loading

    def _land(self, loading: Loading) -> None:
        self._loading = None
        if loading.succeeds:
            life, fresh = self._space.spans(self._space.policy.lifetime(self._rng))
            fresh_ms = ALWAYS_FRESH if fresh is None else _ms(fresh)
            self._entry = Opened(None, _ms(loading.until), fresh_ms, _ms(self._load), 0)
            self._stored_at, self._gone_at = loading.until, loading.until + life


def play(
    policy: NamespacePolicy, rate: float, reads: int, *, down: tuple[float, float] = NEVER
) -> Seen:
    """Return what so many reads go through, *rate* a second, that know nothing of each other."""
    key = Key(policy, load=LOAD, down=down)
    rng = random.Random(1)
    now = 0.0
    for _ in range(reads):
        now += rng.expovariate(rate)
        key.read(now)
    return key.seen


def strategies() -> Iterator[Sequence[object]]:
    """Yield what policies do for keys that are read often, now and then, and rarely."""
    policies = {
        "`ttl=300`": NamespacePolicy(TTL),
        "`ttl=300, stale=60`": NamespacePolicy(TTL, stale=60),
        "`ttl=300, stale=3600`": NamespacePolicy(TTL, stale=3600),
        "`ttl=300, early=1`": NamespacePolicy(TTL, early=1),
        "`ttl=300, early=2`": NamespacePolicy(TTL, early=2),
    }
    for often, rate in (("10 a second", 10.0), ("1 in 10 s", 0.1), ("1 in 10 min", 1 / 600)):
        for name, policy in policies.items():
            seen = play(policy, rate, 20_000)
            waited = f"{100 * seen.waited / seen.reads:.3g} %"
            loads = f"{3600 * seen.loads / seen.seconds:.1f}"
            yield often, name, waited, loads, f"{seen.oldest:.0f} s"


def outages() -> Iterator[Sequence[object]]:
    """Yield what ten minutes without an origin are for a key that is read once a second."""
    policies = {
        "`ttl=300`": NamespacePolicy(TTL),
        "`ttl=300, stale=60`": NamespacePolicy(TTL, stale=60),
        "`ttl=300, stale=3600`": NamespacePolicy(TTL, stale=3600),
        "`ttl=300, stale_if_error=3600`": NamespacePolicy(TTL, stale_if_error=3600),
        "`ttl=300, stale=60, stale_if_error=3600`": NamespacePolicy(
            TTL, stale=60, stale_if_error=3600
        ),
    }
    for name, policy in policies.items():
        seen = play(policy, 1.0, 1800, down=(600.0, 1200.0))
        yield name, seen.errors, seen.waited, seen.loads, f"{seen.oldest:.0f} s"


def crowds() -> Iterator[Sequence[object]]:
    """Yield how many of 10,000 entries written together expire within the same second."""
    for jitter in (0.0, 0.1, 0.3):
        policy = NamespacePolicy(TTL, jitter=jitter)
        rng = random.Random(3)
        ends = Counter(math.ceil(policy.lifetime(rng)) for _ in range(10_000))
        yield f"{jitter:g}", max(ends.values()), f"{min(ends)} to {max(ends)} s"


def early() -> Iterator[Sequence[object]]:
    """Yield how often somebody waits in spite of early refreshes: by the formula, and played."""
    for beta in (1.0, 2.0, 4.0):
        policy = NamespacePolicy(TTL, jitter=0, early=beta)
        for rate in (0.5, 1.0, 2.0, 4.0):
            seen = play(policy, rate, int(rate * TTL * 200))
            weight = rate * LOAD * beta
            lead = LOAD * beta * (math.log(weight) + EULER)
            formula = math.exp(-weight * math.exp(-1 / beta))
            yield (
                f"{beta:g}",
                f"{rate * LOAD:g}",
                f"{100 * formula:.1f} %",
                f"{100 * seen.awaited / seen.loads:.1f} %",
                f"{lead:.0f} s",
                f"{seen.seconds / seen.loads:.0f} s",
            )


TABLES: dict[Callable[[], Iterator[Sequence[object]]], str] = {
    strategies: "key is read | policy | reads that wait | origin calls an hour | oldest served",
    outages: "policy | errors | reads that wait | origin calls | oldest served",
    crowds: "jitter | most in one second | lifetimes",
    early: "early | reads during a load | somebody waits, at most | played | lead | between loads",
}


def table(rows: Callable[[], Iterator[Sequence[object]]]) -> str:
    """Return a table of the guide, in Markdown."""
    heads = TABLES[rows]
    lines = [f"| {heads} |", "| --- " * (heads.count("|") + 1) + "|"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows()]
    return "\n".join(lines)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


if __name__ == "__main__":
    print("\n\n".join(map(table, TABLES)))
