"""No order of writes, reads, pushes, proofs and losses lets a stale value through.

A walk through everything that can happen to one near cache, against a model of the
server. The steps are drawn with weights, so that most of them meet something held.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import pytest

from valkeyctl.caching import ValkeyClient
from valkeyctl.caching.keys import KeyScheme
from valkeyctl.caching.near import MISS, NearCache, Token
from valkeyctl.caching.near.tracking import Tracking
from valkeyctl.endpoint import Endpoint

LEASE = 0.05
IDS = ("a", "b")
KEYS = KeyScheme("app")

Numbers: TypeAlias = tuple[int, int, int]
"""Of the entry, of its namespace's version, of its tag's version; each only grows."""


@dataclass
class Ping:
    """Its place in the stream is that of its answer."""

    sent: float


@dataclass
class Read:
    """A read of the server, on another connection than the stream."""

    id: str
    token: Token | None
    numbers: Numbers | None = None


class Modelled(Tracking):
    """Tracking over the walk's stream."""

    walk: Walk

    @property
    def complete(self) -> bool:
        return self.walk.connected and self.walk.proven

    def start(self) -> None: ...

    def renew(self) -> None:
        self.walk.ping()


class Walk:
    """A near cache, the server, and the stream between them.

    What is served must be no older, in any of its numbers, than what had been confirmed
    to a writer one lease before.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 100.0
        self.hits = 0
        self.connected = self.asked = self.proven = False
        self.stream: deque[Ping | list[bytes] | None] = deque()
        self.reads: list[Read] = []
        self.entries = dict.fromkeys(IDS, 0)
        self.version = self.tag = 0
        self.confirmed: dict[str, list[tuple[float, Numbers]]] = {
            id: [(0.0, (0, 0, 0))]
            for id in IDS  # noqa: A001
        }
        client = ValkeyClient(Endpoint())
        self.near = NearCache(client, KEYS, {"m": 1000.0}, lease=LEASE, clock=lambda: self.now)
        tracking = self.near._tracking
        tracking.__class__ = Modelled
        cast("Modelled", tracking).walk = self

    def go(self, steps: int) -> None:
        kinds: dict[Callable[[], None], int] = {
            self.wait: 200,
            self.write: 50,
            self.begin_read: 150,
            self.serve_read: 200,
            self.end_read: 200,
            self.hear: 300,
            self.connect: 50,
            self.invalidate: 8,
            self.invalidate_tag: 8,
            self.flush: 3,
            self.lose: 5,
        }
        for step in self.rng.choices(list(kinds), weights=list(kinds.values()), k=steps):
            step()
            for id in IDS:  # noqa: A001
                self.check(id)

    def check(self, id: str) -> None:  # noqa: A002
        served = self.near.get("m", id)
        if served is MISS:
            return
        self.hits += 1
        known = [numbers for at, numbers in self.confirmed[id] if at <= self.now - LEASE][-1]
        for number, least in zip(cast("list[int]", served), known, strict=True):
            assert number >= least, f"{served!r} where {known} was known"

    def wait(self) -> None:
        self.now += self.rng.choice([0.0005, 0.001, 0.002, 0.004, 0.01, 0.02, 0.04])

    def connect(self) -> None:
        self.connected = True
        self.ping()

    def lose(self) -> None:
        self.connected = self.asked = self.proven = False
        self.stream.clear()
        self.near.lost()

    def ping(self) -> None:
        if self.connected and not self.asked:
            self.asked = True
            self.stream.append(Ping(self.now))

    def hear(self) -> None:
        if not self.stream:
            return
        head = self.stream.popleft()
        if isinstance(head, Ping):
            self.asked = False
            self.proven = True
            self.near.proven(head.sent)
        else:
            self.near.changed(head)

    def write(self) -> None:
        id = self.rng.choice(IDS)  # noqa: A001
        self.entries[id] += 1
        self.tell([KEYS.place("m", id).key])

    def invalidate(self) -> None:
        self.version += 1
        self.tell([*KEYS.versions("m")])

    def invalidate_tag(self) -> None:
        self.tag += 1
        self.tell([*KEYS.tag_versions("models")])

    def flush(self) -> None:
        for id in IDS:  # noqa: A001
            self.entries[id] += 1
        self.tell(None)

    def begin_read(self) -> None:
        if len(self.reads) < 4:
            self.reads.append(Read(self.rng.choice(IDS), self.near.begin()))

    def serve_read(self) -> None:
        if self.reads:
            read = self.rng.choice(self.reads)
            if read.numbers is None:
                read.numbers = self.numbers(read.id)

    def end_read(self) -> None:
        served = [read for read in self.reads if read.numbers is not None]
        if served:
            read = self.rng.choice(served)
            self.reads.remove(read)
            place = KEYS.place("m", read.id)
            value = list(read.numbers or ())
            self.near.put(read.token, "m", read.id, value, place=place, ttl=60, tags=(b"models",))

    def numbers(self, id: str) -> Numbers:  # noqa: A002
        return self.entries[id], self.version, self.tag

    def tell(self, keys: Sequence[bytes] | None) -> None:
        """Put a change into the stream, and then confirm it to its writer.

        A PING at the end of the stream may not have reached the server; then the change
        comes before its answer. It may have, and then the change comes after: also where
        the change was made before it, but in the same cycle of the server.
        """
        if self.connected:
            change = None if keys is None else list(keys)
            last = self.stream[-1] if self.stream else None
            if isinstance(last, Ping) and self.rng.random() < 0.5:
                self.stream.insert(len(self.stream) - 1, change)
            else:
                self.stream.append(change)
        for id in IDS:  # noqa: A001
            self.confirmed[id].append((self.now, self.numbers(id)))
            del self.confirmed[id][:-200]


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_served_that_was_stale_a_lease_ago(seed: int) -> None:
    """Twenty walks of two thousand steps."""
    walk = Walk(seed)

    walk.go(2000)

    assert walk.hits > 200, walk.hits  # so it was worth the walk
