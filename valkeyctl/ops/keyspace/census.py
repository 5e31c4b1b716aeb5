"""What a database holds, by namespace: the result of counting, and the groups it is counted in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from valkeyctl.ops.keyspace.display import show_bytes
from valkeyctl.ops.keyspace.scope import owner_of
from valkeyctl.ops.keyspace.tally import Tally, TtlSpread

# Groups are counted apart up to this number: prefixes that are made up per key, such as
# a user's id in front, must not fill the memory of whoever counts them.
_MOST_GROUPS = 500
_SHOWN_PREFIX = 40
VERSION_GROUP = "(versions)"
LEASE_GROUP = "(leases)"
HOT_GROUP = "(hottest ids)"
UNPREFIXED_GROUP = "(no prefix)"
OVERFLOW_GROUP = "(other)"
_CONTROL_GROUPS = {"lease": LEASE_GROUP, "hot": HOT_GROUP}

Bounds = tuple[int, int]


@dataclass(frozen=True)
class Ci95:
    """Intervals that hold the truth in 95 of 100 samples, lower and upper end.

    Attributes:
        keys: For the number of keys.
        memory_bytes: For the memory that they take.
        without_expiry: For the number of those that never expire.
    """

    keys: Bounds
    memory_bytes: Bounds
    without_expiry: Bounds


@dataclass(frozen=True)
class NamespaceStats:
    """The keys of one namespace, or of one group of keys that are in none.

    Attributes:
        name: The namespace, after its application when every application is counted;
            of a group the printable prefix that its keys share, or a word in brackets.
        keys: How many.
        memory_bytes: What they take by MEMORY USAGE, key and overhead included.
        without_expiry: How many of them never expire.
        ttl_s: How long the others still live, of a sample those in it; None when there
            are none.
        ci95: How far a sample may be off; None when every key was asked.
    """

    name: str
    keys: int
    memory_bytes: int
    without_expiry: int
    ttl_s: TtlSpread | None
    ci95: Ci95 | None = None


@dataclass(frozen=True)
class Total:
    """All keys of the database, whosever they are.

    Attributes:
        keys: How many.
        memory_bytes: What they take.
        without_expiry: How many never expire.
        ci95: How far a sample may be off; None when every key was asked.
    """

    keys: int
    memory_bytes: int
    without_expiry: int
    ci95: Ci95 | None = None


@dataclass(frozen=True)
class KeyspaceStats:
    """What a database holds.

    Attributes:
        app: The application whose namespaces these are; None for every application.
        namespaces: The largest in memory first.
        foreign: Keys in no namespace of them, the largest group first: other applications'
            and unknown ones by their first word, version keys, leases, and in ``(other)`` what
            came after the first 500 groups. With *namespaces*, the parts add up to *total*,
            of a sample but for rounding.
        total: The sum.
        method: ``exact``: every key was asked; ``sample``: some thousands were, drawn at
            random, and namespaces too small to be drawn are not listed.
        asked: Keys that were asked.
    """

    app: str | None
    namespaces: tuple[NamespaceStats, ...]
    foreign: tuple[NamespaceStats, ...]
    total: Total
    method: Literal["exact", "sample"]
    asked: int


@dataclass(eq=False)
class Group:
    """Keys that are counted together.

    Attributes:
        name: As `NamespaceStats` calls it.
        foreign: Whether it is no namespace.
        tally: What was counted.
    """

    name: str
    foreign: bool
    tally: Tally


class Census:
    """Sorts keys into groups, of which there are never more than some hundreds.

    Args:
        app: Its namespaces are groups of their own, and all else is foreign; None tells
            the namespaces of every application apart.
    """

    def __init__(self, app: str | None) -> None:
        self.app = app
        self._groups: dict[tuple[bool, str], Group] = {}

    def __iter__(self) -> Iterator[Group]:
        """Yield the groups, the largest in memory first."""
        return iter(
            sorted(self._groups.values(), key=lambda group: (-group.tally.memory, group.name))
        )

    def group(self, key: bytes) -> Group:
        """Return the group of *key*."""
        place = self._place(key)
        found = self._groups.get(place)
        if found is None:
            if len(self._groups) >= _MOST_GROUPS:
                place = (True, OVERFLOW_GROUP)
            foreign, name = place
            found = self._groups.setdefault(place, Group(name, foreign, Tally()))
        return found

    def _place(self, key: bytes) -> tuple[bool, str]:
        owner = owner_of(key)
        if owner is None or (self.app is not None and owner.app != self.app):
            return True, _prefix(key)
        if owner.control:
            return True, _CONTROL_GROUPS.get(owner.kind, VERSION_GROUP)
        if self.app is not None:
            return False, owner.namespace
        return False, f"{owner.app}:{owner.namespace}"


def _prefix(key: bytes) -> str:
    """Return the first word of *key* as a group's name."""
    word, colon, _ = key[: 4 * _SHOWN_PREFIX].partition(b":")
    if not colon:
        return UNPREFIXED_GROUP
    shown = show_bytes(word)
    if len(shown) > _SHOWN_PREFIX:
        return f"{shown[:_SHOWN_PREFIX]}..."
    return f"{shown}:"
