"""The entries of one namespace in this process, and which of them leave first.

Two queues with a second chance, the scheme of S3-FIFO without its ghosts: a new entry
is on probation, in a queue that may take a fifth of the bytes. Read again before it
reaches the end, it moves to the main queue; otherwise it leaves. In the main queue an
entry that was read since the last time round goes round once more. A hit only sets a
bit, which is quicker than moving the entry as LRU must, and entries that are read once
- most of them, in a cache of model answers - do not push out those that are read often.

Source: Yang et al., FIFO queues are all you need for cache eviction (SOSP 2023).
"""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass, field

from valkeyctl.caching.codec import Value
from valkeyctl.caching.near.held import Form

_PROBATION = 5
# What an entry costs beside its value and its id: the object here, its slots in a dict
# and a queue, its float and its int. What a tag costs the entry, and what it costs by
# itself. tests/caching/near/test_space.py weighs them.
_ENTRY_BYTES = 215
_TAGGED_BYTES = 85
_TAG_BYTES = 300
# Removed entries stay in their queue until they reach its end, or are this many more
# than the others.
_GONE = 64


@dataclass(eq=False, slots=True)
class Entry:
    """A held value.

    Attributes:
        id: Under which id.
        form: How it is held; see `held`.
        value: What is held.
        expires: Until when, by the near cache's clock.
        cost: Bytes that it takes in this process, about.
        tags: That it carries.
        read: Whether it was read since it was last considered for leaving.
        probation: Whether it is on probation.
        gone: Whether it has left, and is only still queued.
    """

    id: str
    form: Form
    value: Value
    expires: float
    cost: int
    tags: tuple[bytes, ...] = ()
    read: bool = False
    probation: bool = True
    gone: bool = False


@dataclass(eq=False, slots=True)
class Space:
    """The entries of one namespace.

    Attributes:
        max_age: Seconds that an entry is held at most.
        entries: By id.
        cost: Of all of them together.
        changed: Number of the last change that concerned all of them; see `NearCache`.
        hits: Reads answered.
        misses: Reads of what is not held, or no more.
        lapsed: Reads of what is held, while the lease had run out.
        evictions: Entries that had to leave.
        dropped: Entries that left because they, or what they depend on, changed.
    """

    max_age: float
    entries: dict[str, Entry] = field(default_factory=dict)
    cost: int = 0
    changed: int = 0
    hits: int = 0
    misses: int = 0
    lapsed: int = 0
    evictions: int = 0
    dropped: int = 0
    _probation: deque[Entry] = field(default_factory=deque)
    _main: deque[Entry] = field(default_factory=deque)
    _probation_bytes: int = 0
    _gone: int = 0
    _tagged: dict[bytes, set[Entry]] = field(default_factory=dict)

    def put(self, entry: Entry) -> None:
        """Hold *entry*, in the place of the one with its id."""
        before = self.entries.get(entry.id)
        if before is not None:
            self._leave(before)
        self.entries[entry.id] = entry
        self.cost += entry.cost
        self._probation_bytes += entry.cost
        self._probation.append(entry)
        for tag in entry.tags:
            tagged = self._tagged.get(tag)
            if tagged is None:
                tagged = self._tagged[tag] = set()
                self.cost += _TAG_BYTES
            tagged.add(entry)

    def drop(self, id: str) -> None:  # noqa: A002
        """Hold the entry of *id* no more."""
        entry = self.entries.get(id)
        if entry is not None:
            self.dropped += 1
            self._leave(entry)

    def drop_tag(self, tag: bytes) -> None:
        """Hold nothing with *tag* any more."""
        for entry in tuple(self._tagged.get(tag, ())):
            self.dropped += 1
            self._leave(entry)

    def expire(self, entry: Entry) -> None:
        """Hold *entry* no more, for its time is over."""
        self._leave(entry)

    def clear(self) -> None:
        """Hold nothing any more; takes no time that grows with what was held, save freeing it."""
        self.dropped += len(self.entries)
        self.entries = {}
        self._tagged = {}
        self._probation, self._main = deque(), deque()
        self.cost = self._probation_bytes = self._gone = 0

    def evict(self) -> None:
        """Let one entry leave; there must be one."""
        while True:
            share = self._probation_bytes * _PROBATION >= self.cost
            queue = self._probation if (share and self._probation) or not self._main else self._main
            entry = queue.popleft()
            if entry.gone:
                self._gone -= 1
                continue
            if not entry.read:
                self._leave(entry)
                self._gone -= 1  # it is not queued any more
                self.evictions += 1
                return
            entry.read = False
            if entry.probation:
                entry.probation = False
                self._probation_bytes -= entry.cost
            self._main.append(entry)

    def _leave(self, entry: Entry) -> None:
        del self.entries[entry.id]
        self.cost -= entry.cost
        if entry.probation:
            self._probation_bytes -= entry.cost
        for tag in entry.tags:
            tagged = self._tagged[tag]
            tagged.discard(entry)
            if not tagged:
                del self._tagged[tag]
                self.cost -= _TAG_BYTES
        entry.gone = True
        entry.value = None
        self._gone += 1
        if self._gone > len(self.entries) + _GONE:
            self._probation = deque(entry for entry in self._probation if not entry.gone)
            self._main = deque(entry for entry in self._main if not entry.gone)
            self._gone = 0


def cost_of(id: str, value_bytes: int, tags: tuple[bytes, ...]) -> int:  # noqa: A002
    """Return the bytes that an entry takes in this process, about."""
    return (
        _ENTRY_BYTES
        + sys.getsizeof(id)
        + value_bytes
        + sum(_TAGGED_BYTES + sys.getsizeof(tag) for tag in tags)
    )
