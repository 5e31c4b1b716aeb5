"""What a Valkey server of a given size answers from memory, played entry by entry.

Valkey evicts by no exact LRU. It draws a few keys (``maxmemory-samples``), keeps the 16
best candidates that it has met, and removes the best of them; how long a key was idle is
known to the second. This is that, after ``src/evict.c`` and ``src/lrulfu.c``.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from valkeyctl.bench.sweep.entrymemory import EntryMemory
from valkeyctl.errors import UsageError

Policy: TypeAlias = Literal["allkeys-lru", "allkeys-lfu", "volatile-ttl"]

_POOL = 16
_LFU_FIRST = 5
_LFU_FACTOR = 10
_LFU_MOST = 255
# The tables' size changes slowly; looking at each entry would cost more than it tells.
_TABLE_CHECK = 16


@dataclass(frozen=True)
class Server:
    """How a server of the play evicts.

    Attributes:
        policy: Its ``maxmemory-policy``.
        samples: Its ``maxmemory-samples``.
        ttl: Seconds after which an entry expires; None: it never does.

    Raises:
        UsageError: A value that cannot be meant.
    """

    policy: Policy = "allkeys-lru"
    samples: int = 5
    ttl: float | None = None

    def __post_init__(self) -> None:
        if self.policy not in get_args(Policy):
            raise UsageError(
                f"the policy is {self.policy!r}", hint=f"Give one of {', '.join(get_args(Policy))}"
            )
        if not 1 <= self.samples <= 64:
            raise UsageError(f"samples is {self.samples}", hint="Give 1 to 64")
        if self.ttl is not None and not 0 < self.ttl <= 1e9:
            raise UsageError(f"the TTL is {self.ttl} s", hint="Give more than 0")


def count_hits(
    keys: Sequence[int],
    sizes: Sequence[int],
    times: Sequence[float] | None,
    room: int,
    memory: EntryMemory,
    server: Server,
    *,
    seed: int = 1,
) -> int:
    """Return how many of the accesses are hits: GET, and SET of what was not there.

    Args:
        keys: What is asked for, in order.
        sizes: Bytes of each key's entry, indexed by key.
        times: Seconds of each access, ascending; None is one access a second, so that
            the server's clock tells any two of them apart.
        room: Bytes for entries and hash tables: ``maxmemory`` less the server's own.
        memory: What the tables take.
        server: How it evicts.
        seed: Of its chance.

    Raises:
        UsageError: A TTL, and no times.
    """
    if server.ttl is not None and times is None:
        raise UsageError(
            "a TTL needs to know when the accesses happen", hint="Give --rate, in accesses a second"
        )
    cache = _Cache(sizes, room, memory, server, random.Random(seed))
    hits = 0
    for place, key in enumerate(keys):
        hits += cache.access(key, place if times is None else times[place])
    return hits


class _Cache:
    def __init__(
        self,
        sizes: Sequence[int],
        room: int,
        memory: EntryMemory,
        server: Server,
        rng: random.Random,
    ) -> None:
        self._sizes, self._room, self._memory, self._server = sizes, room, memory, server
        self._random = rng.random
        # Where each key stands in `_held`, from which one is drawn in constant time.
        self._place: dict[int, int] = {}
        self._held: list[int] = []
        # What the server keeps of each key: the second of its last use, or its counter
        # and the minute of that, or when it expires.
        self._last: dict[int, float] = {}
        self._minute: dict[int, int] = {}
        self._pool: list[tuple[float, int]] = []
        self._expiries: deque[tuple[float, int]] = deque()
        self._expires: dict[int, float] = {}
        self._used = 0
        self._slots = memory.slots(1)
        self._checks = 0
        self._limit = room - memory.table_bytes(1, self._slots)
        self._lfu = server.policy == "allkeys-lfu"
        self._by_ttl = server.policy == "volatile-ttl"

    def access(self, key: int, now: float) -> bool:
        """Ask for *key*, and store it when it is not there; say whether it was."""
        if self._server.ttl is not None:
            self._expire(now)
        if key in self._place:
            self._touch(key, now)
            return True
        # Before a write, as before any command; so the last entry may stand over the limit.
        while self._used > self._limit and self._held:
            self._evict(now)
        self._store(key, now)
        return False

    def _store(self, key: int, now: float) -> None:
        self._place[key] = len(self._held)
        self._held.append(key)
        self._used += self._sizes[key]
        if self._lfu:
            self._last[key], self._minute[key] = _LFU_FIRST, int(now) // 60
        elif not self._by_ttl:
            self._last[key] = int(now)
        if self._server.ttl is not None:
            self._expires[key] = now + self._server.ttl
            self._expiries.append((self._expires[key], key))
        if self._by_ttl:
            # Every entry lives as long as every other, so the oldest expires first.
            self._last[key] = now
        self._checks += 1
        if self._checks % _TABLE_CHECK == 0:
            self._fit_tables()

    def _fit_tables(self) -> None:
        """Let the hash tables grow with the entries, unless that would break the limit."""
        held, memory = len(self._held), self._memory
        self._slots = memory.grown(held, self._used, self._slots, self._room)
        self._limit = self._room - memory.table_bytes(held, self._slots)

    def _touch(self, key: int, now: float) -> None:
        if self._lfu:
            counter = self._decayed(key, now)
            over = max(0.0, counter - _LFU_FIRST)
            if counter < _LFU_MOST and self._random() * (over * _LFU_FACTOR + 1) < 1:
                counter += 1
            self._last[key], self._minute[key] = counter, int(now) // 60
        elif not self._by_ttl:
            self._last[key] = int(now)

    def _decayed(self, key: int, now: float) -> float:
        """Return the counter, less one for every minute that the key was not used."""
        return max(0.0, self._last[key] - (int(now) // 60 - self._minute[key]))

    def _evict(self, now: float) -> None:
        """Draw keys, note the better ones, and remove the best that is still there."""
        pool, held, last = self._pool, self._held, self._last
        second = int(now)
        while True:
            for _ in range(min(self._server.samples, len(held))):
                key = held[int(self._random() * len(held))]
                if self._lfu:
                    idle = _LFU_MOST - self._decayed(key, now)
                else:
                    idle = (now if self._by_ttl else second) - last[key]
                _note(pool, idle, key)
            while pool:
                key = pool.pop()[1]
                if key in self._place:
                    self._remove(key)
                    return

    def _remove(self, key: int) -> None:
        place, final = self._place.pop(key), self._held.pop()
        if final != key:
            self._held[place], self._place[final] = final, place
        self._used -= self._sizes[key]
        del self._last[key]
        self._minute.pop(key, None)
        self._expires.pop(key, None)

    def _expire(self, now: float) -> None:
        while self._expiries and self._expiries[0][0] <= now:
            due, key = self._expiries.popleft()
            # Not when it was evicted and stored anew since.
            if self._expires.get(key) == due:
                self._remove(key)


def _note(pool: list[tuple[float, int]], idle: float, key: int) -> None:
    """Put a candidate into the pool, the most idle last, if it is better than one there."""
    place = 0
    while place < len(pool) and pool[place][0] < idle:
        place += 1
    if len(pool) == _POOL:
        if not place:
            return
        del pool[0]
        place -= 1
    pool.insert(place, (idle, key))
