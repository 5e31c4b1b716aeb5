"""`NearCache`: valid entries in this process, served only while it has heard of every change.

All that is not known for certain counts as changed: a lost connection, a word of the
server that nobody expects, too many changes to remember.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from marshal import loads
from typing import Final, Literal, NamedTuple, TypeAlias, cast

from valkeyctl.caching.announcement import (
    LEASE,
    acknowledgement,
    near_channel,
    read_announcement,
)
from valkeyctl.caching.client import ValkeyClient
from valkeyctl.caching.codec import Value
from valkeyctl.caching.keys import KeyScheme, Place
from valkeyctl.caching.near.held import AS_IS, NESTED, hold
from valkeyctl.caching.near.space import Entry, Space, cost_of
from valkeyctl.caching.near.tracking import Tracking
from valkeyctl.caching.replies import Word
from valkeyctl.errors import UsageError

_NEVER = -math.inf
# An entry larger than this share of the bound would push out too much.
_LARGEST = 8
# Changes that are remembered for fills on their way: so many, and at most twice so many.
_REMEMBERED = 4096
# Announcements that are remembered; those on their way at one time are fewer.
_ANNOUNCED = 128


class _Miss(Enum):
    MISS = "miss"


MISS: Final = _Miss.MISS
"""What `NearCache.get` returns instead of a value; None is a value."""
Miss: TypeAlias = Literal[_Miss.MISS]


class Token(NamedTuple):
    """The moment before a read of the server.

    Attributes:
        number: Of the last change heard of.
        at: By the near cache's clock.
    """

    number: int
    at: float


@dataclass(frozen=True)
class NearStats:
    """What a near cache holds, and what it has done since it was made.

    Attributes:
        entries: Held now.
        bytes: What they take in this process, about.
        tracking: Whether all primaries are listened to.
        hits: Reads answered.
        misses: Reads of what is not held, or no more.
        lapsed: Reads of what is held, while the lease had run out.
        fills: Entries put.
        refused: Entries not put: changed while they were read, too large, not plain, or
            without tracking.
        evictions: Entries that had to leave for others.
        dropped: Entries that left because they, or what they depend on, changed.
        emptied: How often all of it left at once, for tracking was lost or all keys deleted.
    """

    entries: int
    bytes: int
    tracking: bool
    hits: int
    misses: int
    lapsed: int
    fills: int
    refused: int
    evictions: int
    dropped: int
    emptied: int


class NearCache:
    """Entries of some namespaces, kept in this process.

    It connects on the first `begin`. An event loop that reads nothing sends nothing.

    Args:
        client: Closing it closes the near cache.
        keys: Of the application.
        max_age: Seconds that an entry is held at most, by namespace; others are not held.
        max_bytes: What all entries take in this process at most, about.
        lease: Seconds for which a proof of having heard everything holds. The same in
            all processes of the application: `Quorum` waits that long for one of them
            that does not answer.
        clock: Monotonic seconds.

    Raises:
        InvalidKeyError: A namespace breaks the rules.
        UsageError: No namespace, or a number is out of range.
    """

    def __init__(
        self,
        client: ValkeyClient,
        keys: KeyScheme,
        max_age: Mapping[str, float],
        *,
        max_bytes: int = 64 * 2**20,
        lease: float = LEASE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not max_age or not all(0 < age < math.inf for age in max_age.values()):
            raise UsageError(f"a near cache needs namespaces with ages above 0 s, not {max_age}")
        if max_bytes < 1 or not 0 < lease < math.inf:
            raise UsageError(
                f"a near cache needs max_bytes >= 1 and a lease above 0 s, "
                f"not {max_bytes} and {lease}"
            )
        for namespace in max_age:
            keys.versions(namespace)  # checks its name
        self._max_bytes = max_bytes
        self._lease = lease
        self._clock = clock
        self._spaces = {name: Space(age) for name, age in max_age.items()}
        self._by_word = {name.encode(): space for name, space in self._spaces.items()}
        self._app_bytes = len(keys.app) + 1
        self._sharded = keys.shards > 1
        self._app = keys.app.encode()
        self._name = os.urandom(8).hex().encode()
        # Until when a hit may be served, and from when a new proof is asked for.
        self._valid_until = self._renew_at = _NEVER
        # Changes have numbers. Those of single keys are in two dicts; when the newer is
        # full it takes the place of the older, and tokens from before are worthless.
        self._number = 0
        self._worthless = 0
        self._newer: dict[bytes, int] = {}
        self._older: dict[bytes, int] = {}
        self._newer_since = 0
        self._fills = self._refused = self._emptied = 0
        self._announced: deque[tuple[bytes, bytes]] = deque(maxlen=_ANNOUNCED)
        app = self._app
        self._tracking = Tracking(
            client,
            self,
            prefixes=(
                *(b"%s:%s:" % (app, word) for word in self._by_word),
                b"%s:~version:" % app,
                b"%s:~tag:" % app,
            ),
            channel=near_channel(keys.app),
            clock=clock,
        )

    def get(self, namespace: str, id: str) -> Value | Miss:  # noqa: A002
        """Return the value of a held entry, the caller's own to change, or `MISS`."""
        # The quickest way to a value, so written out. Everything else can wait.
        space = self._spaces.get(namespace)
        if space is None:
            return MISS
        entry = space.entries.get(id)
        if entry is None:
            space.misses += 1
            return MISS
        now = self._clock()
        if now >= self._renew_at:
            self._renew_at = self._valid_until
            self._tracking.renew()
            if now >= self._valid_until:
                space.lapsed += 1
                return MISS
        if now >= entry.expires:
            space.expire(entry)
            space.misses += 1
            return MISS
        entry.read = True
        space.hits += 1
        form = entry.form
        if form == NESTED:
            # Bytes that `hold` made in this process.
            return cast("Value", loads(entry.value))  # type: ignore[arg-type] # noqa: S302
        if form == AS_IS:
            return entry.value
        return entry.value.copy()  # type: ignore[union-attr]

    def begin(self) -> Token | None:
        """Return what `put` needs to know of the moment before a read; None: do not put.

        Take it before the command that reads is sent.
        """
        now = self._clock()
        if now >= self._renew_at:
            self._tracking.start()
            self._tracking.renew()
        return Token(self._number, now) if self._tracking.complete else None

    def put(
        self,
        token: Token | None,
        namespace: str,
        id: str,  # noqa: A002
        value: object,
        *,
        place: Place,
        ttl: float,
        tags: Collection[bytes] = (),
        size: int = 0,
    ) -> bool:
        """Hold a valid entry that was read; False when that would be unsafe, or not worth it.

        Args:
            token: From before the read.
            namespace: Where it lies.
            id: Under which id.
            value: What it says; the caller may change it afterwards.
            place: Its keys.
            ttl: Seconds for which the server, when it answered, would have kept it; or
                for which it is fresh, if that is less.
            tags: That it carries, as envelopes have them.
            size: Bytes of its payload, where known: what is far too large is then refused
                without the time that weighing it takes.
        """
        space = self._spaces.get(namespace)
        if space is None:
            return False
        largest = self._max_bytes // _LARGEST
        if (
            token is None
            or size > largest
            or not self._unchanged(token.number, space, place.key, tags)
            or (held := hold(value)) is None
        ):
            self._refused += 1
            return False
        form, kept, value_bytes = held
        labels = tuple(tags)
        cost = cost_of(id, value_bytes, labels)
        if cost > largest:
            self._refused += 1
            return False
        expires = token.at + min(ttl, space.max_age)
        space.put(Entry(id, form, kept, expires, cost, labels))
        self._fills += 1
        while sum(space.cost for space in self._spaces.values()) > self._max_bytes:
            max(self._spaces.values(), key=lambda space: space.cost).evict()
        return True

    def forget(self, namespace: str, id: str, *, place: Place) -> None:  # noqa: A002
        """Hold an entry no more that this process has just set or deleted.

        Call it when the server has confirmed that. It would hear of it by itself, but
        perhaps a moment later, and a caller may well read what it has just written.
        """
        space = self._spaces.get(namespace)
        if space is not None:
            self._number += 1
            self._note(place.key)
            space.drop(id)

    async def aclose(self) -> None:
        """Listen and hold no more; closing the client does the same."""
        await self._tracking.aclose()

    def stats(self) -> NearStats:
        """Return what is held, and the counts so far."""
        spaces = self._spaces.values()
        return NearStats(
            entries=sum(len(space.entries) for space in spaces),
            bytes=sum(space.cost for space in spaces),
            tracking=self._tracking.complete,
            hits=sum(space.hits for space in spaces),
            misses=sum(space.misses for space in spaces),
            lapsed=sum(space.lapsed for space in spaces),
            fills=self._fills,
            refused=self._refused,
            evictions=sum(space.evictions for space in spaces),
            dropped=sum(space.dropped for space in spaces),
            emptied=self._emptied,
        )

    def changed(self, keys: Sequence[bytes] | None) -> None:
        """Hold no more what depends on *keys*; the tracking calls it."""
        self._number += 1
        if keys is None:
            self._empty()
            return
        for key in keys:
            word, _, rest = key[self._app_bytes :].partition(b":")
            if self._sharded:
                rest = rest.partition(b"}:")[2]
            space = self._by_word.get(word)
            if space is not None:
                self._note(key)
                space.drop(rest.decode(errors="replace"))
            elif word == b"~version":
                self._invalidate(rest)
            elif word == b"~tag":
                self._invalidate_tag(rest)

    def announced(self, announcement: bytes) -> Sequence[Word] | None:
        """Hold no more what is announced to be invalid; the tracking calls it."""
        self._number += 1
        parts = read_announcement(announcement)
        if parts is None:  # not ours; whatever it wants to say
            self._empty()
            return None
        # In a cluster it comes once from each primary; what was read since the first of
        # them is as it should be.
        if (parts.asker, parts.number) not in self._announced:
            self._announced.append((parts.asker, parts.number))
            if parts.kind == b"namespace":
                self._invalidate(parts.name)
            else:
                self._invalidate_tag(parts.name)
        return acknowledgement(self._app, parts, self._name)

    def proven(self, at: float) -> None:
        """Serve hits for one lease from *at*; the tracking calls it."""
        self._valid_until = at + self._lease
        self._renew_at = at + self._lease / 2

    def lost(self) -> None:
        """Hold nothing, and serve nothing until the next proof; the tracking calls it."""
        self._valid_until = self._renew_at = _NEVER
        self._number += 1
        self._empty()

    def _unchanged(self, number: int, space: Space, key: bytes, tags: Collection[bytes]) -> bool:
        """Say whether nothing that an entry depends on has changed since this change."""
        if number < self._worthless or number < space.changed:
            return False
        names = (key, *(b"~" + tag for tag in tags))  # no key of ours begins with ~
        return all(
            self._newer.get(name, 0) <= number and self._older.get(name, 0) <= number
            for name in names
        )

    def _note(self, name: bytes) -> None:
        if len(self._newer) >= _REMEMBERED:
            self._older, self._newer = self._newer, {}
            self._worthless = max(self._worthless, self._newer_since)
            self._newer_since = self._number
        self._newer[name] = self._number

    def _invalidate(self, word: bytes) -> None:
        space = self._by_word.get(word)
        if space is not None:
            space.changed = self._number
            space.clear()

    def _invalidate_tag(self, tag: bytes) -> None:
        self._note(b"~" + tag)
        for space in self._spaces.values():
            space.drop_tag(tag)

    def _empty(self) -> None:
        self._worthless = self._number
        self._emptied += any(space.entries for space in self._spaces.values())
        for space in self._spaces.values():
            space.clear()
