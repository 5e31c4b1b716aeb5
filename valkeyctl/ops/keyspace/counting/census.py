"""What a database holds, by namespace: the result of counting, and the groups it is counted in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from valkeyctl.ops.keyspace.counting.ranking import Ranking
from valkeyctl.ops.keyspace.counting.tally import Ledger, SizeSpread, Tally, TtlSpread
from valkeyctl.ops.keyspace.display import show_bytes, show_text
from valkeyctl.ops.keyspace.pages import Page
from valkeyctl.ops.keyspace.scope import owner_of

# Groups are counted apart up to this number: prefixes that are made up per key, such as
# a user's id in front, must not fill the memory of whoever counts them.
_MOST_GROUPS = 500
# Beginnings of keys whose group is remembered; the same is true of them.
_MOST_HEADS = 4096
_LONGEST_HEAD = 100
_SHOWN_PREFIX = 40
_SHOWN_KEY = 1024  # bytes; a key may have 512 MiB
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
class BigKey:
    """A key and what it takes.

    Attributes:
        key: As one printable line; of a key above 1 KiB the beginning.
        memory_bytes: By MEMORY USAGE; of a large collection an estimate from five elements.
        type: As TYPE names it, such as ``string``.
        ttl_s: Seconds that it still lives; None when it never expires.
    """

    key: str
    memory_bytes: int
    type: str
    ttl_s: float | None


@dataclass(frozen=True)
class NamespaceStats:
    """The keys of one namespace, or of one group of keys that are in none.

    Attributes:
        name: The namespace, after its application when every application is counted;
            of a group the printable prefix that its keys share, or a word in brackets.
        keys: How many.
        memory_bytes: What they take by MEMORY USAGE, key and overhead included.
        share: Of the memory of all keys of the database, 0 to 1.
        without_expiry: How many of them never expire.
        ttl_s: How long the others still live; None when there are none. Of a sample this,
            like the next three, is of the keys in it.
        size_bytes: What single ones take.
        types: How many are of which type, of a sample an estimate; the most frequent first.
        biggest: The key that takes most.
        ci95: How far a sample may be off; None when every key was asked.
    """

    name: str
    keys: int
    memory_bytes: int
    share: float
    without_expiry: int
    ttl_s: TtlSpread | None
    size_bytes: SizeSpread
    types: Mapping[str, int]
    biggest: BigKey
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
        biggest: The keys that take most, of a sample those in it.
        method: ``exact``: every key was asked; ``sample``: some thousands were, drawn at
            random, and namespaces too small to be drawn are not listed.
        asked: Keys that were asked.
        precise: Of a sample, whether its intervals are as narrow as promised; see `sample`.
        unseen_bytes: Of a sample, what the server says that its data takes beyond all that
            the sample can account for: keys too big and too rare to be drawn. The upper
            ends of the intervals for memory allow for it.
    """

    app: str | None
    namespaces: tuple[NamespaceStats, ...]
    foreign: tuple[NamespaceStats, ...]
    total: Total
    biggest: tuple[BigKey, ...]
    method: Literal["exact", "sample"]
    asked: int
    precise: bool = True
    unseen_bytes: int = 0


@dataclass(eq=False)
class Group:
    """Keys that are counted together.

    Attributes:
        name: As `NamespaceStats` calls it.
        foreign: Whether it is no namespace.
        biggest: Of its keys.
        types: How many of its keys are of a type that is not string.
    """

    name: str
    foreign: bool
    biggest: BigKey | None = None
    types: Counter[str] = field(default_factory=Counter)


class Census:
    """Sorts keys into groups, of which there are never more than some hundreds, and counts them.

    Args:
        app: Its namespaces are groups of their own, and all else is foreign; None tells
            the namespaces of every application apart.
        biggest: How many of the biggest keys to keep.

    Attributes:
        groups: By the numbers that `add` returns.
        counted: Keys so far.
    """

    def __init__(self, app: str | None, biggest: int = 10) -> None:
        self.app = app
        self.groups: list[Group] = []
        self.counted = 0
        self._own = b"" if app is None else f"{app}:".encode()
        self._numbers: dict[tuple[bool, str], int] = {}
        # What keys begin with, up to their second colon or their first, and their group.
        self._heads: dict[bytes, int] = {}
        self._words: dict[bytes, int] = {}
        self._ledger = Ledger()
        self._biggest: Ranking[BigKey] = Ranking(biggest)

    def add(self, page: Page) -> list[int]:
        """Count the keys of *page*; return the number of each one's group."""
        numbers = self._sort(page.keys)
        for group, place in self._ledger.add(numbers, page.memory, page.pttl).items():
            self.groups[group].biggest = big_key(page, place)
        for place, kind in page.odd.items():
            self.groups[numbers[place]].types[kind.decode("utf-8", "replace")] += 1
        self._biggest.add(page.memory, lambda place: big_key(page, place))
        self.counted += len(numbers)
        return numbers

    def biggest(self) -> tuple[BigKey, ...]:
        """Return the biggest keys counted so far, the biggest first."""
        return tuple(key for _, key in self._biggest.best())

    def tallies(self) -> dict[int, Tally]:
        """Return what was counted of each group, by number."""
        return self._ledger.tallies()

    def _sort(self, keys: list[bytes]) -> list[int]:
        # Up to the second colon; b"" for a key that has no two of them.
        heads = [key[: key.find(b":", key.find(b":") + 1) + 1] for key in keys]
        found = list(map(self._heads.get, heads))
        if None not in found:
            return found  # type: ignore[return-value]  # mypy does not follow the line above
        return [
            self._learn(key, head) if number is None else number
            for key, head, number in zip(keys, heads, found, strict=True)
        ]

    def _learn(self, key: bytes, head: bytes) -> int:
        """Return the number of the group of *key*, which begins with *head*."""
        if not head or not head.startswith(self._own):
            return self._by_word(key)
        owner = owner_of(key)
        if owner is None or (self.app is not None and owner.app != self.app):
            return self._by_word(key)
        if owner.control:
            # Whether it is one depends on the rest of the key, so its head is not remembered.
            return self._number(True, _CONTROL_GROUPS.get(owner.kind, VERSION_GROUP))
        name = owner.namespace if self.app is not None else f"{owner.app}:{owner.namespace}"
        number = self._number(False, name)
        if len(self._heads) < _MOST_HEADS:
            self._heads[head] = number
        return number

    def _by_word(self, key: bytes) -> int:
        """Return the number of the group of a key that is in no namespace."""
        word = key[: key.find(b":") + 1]
        number = self._words.get(word)
        if number is None:
            number = self._number(True, _prefix(key))
            if len(word) <= _LONGEST_HEAD and len(self._words) < _MOST_HEADS:
                self._words[word] = number
        return number

    def _number(self, foreign: bool, name: str) -> int:
        number = self._numbers.get((foreign, name))
        if number is None:
            if len(self.groups) >= _MOST_GROUPS and name != OVERFLOW_GROUP:
                return self._number(True, OVERFLOW_GROUP)
            number = self._numbers[foreign, name] = len(self.groups)
            self.groups.append(Group(name, foreign))
        return number


def big_key(page: Page, place: int) -> BigKey:
    """Return the key at a place of *page* as a result."""
    pttl = page.pttl[place]
    return BigKey(
        key=shown_key(page.keys[place]),
        memory_bytes=page.memory[place],
        type=show_text(page.odd.get(place, b"string").decode("utf-8", "replace")),
        ttl_s=None if pttl < 0 else pttl / 1000,
    )


def shown_key(key: bytes) -> str:
    """Return *key* as one printable line, of an endless one the beginning."""
    return show_bytes(key) if len(key) <= _SHOWN_KEY else f"{show_bytes(key[:_SHOWN_KEY])}..."


@dataclass(frozen=True)
class Measure:
    """What is said of a group: counted, or estimated with intervals.

    Attributes:
        keys: How many.
        memory: Their bytes.
        without_expiry: Those that never expire.
        ci95: For the three, of an estimate.
    """

    keys: int
    memory: int
    without_expiry: int
    ci95: Ci95 | None = None


def report(
    census: Census,
    measure: Callable[[int, Tally], Measure],
    total: Total,
    *,
    method: Literal["exact", "sample"],
    precise: bool = True,
    unseen_bytes: int = 0,
) -> KeyspaceStats:
    """Return the result of *census*.

    Args:
        census: All keys asked, counted.
        measure: Says how many a group has and what they take, from its number and tally.
        total: All groups together.
        method: As in the result.
        precise: As in the result.
        unseen_bytes: As in the result.
    """
    rows = []
    for number, tally in census.tallies().items():
        group = census.groups[number]
        measured = measure(number, tally)
        rows.append((group.foreign, _row(group, tally, measured, total.memory_bytes)))
    rows.sort(key=lambda row: (-row[1].memory_bytes, row[1].name))
    return KeyspaceStats(
        app=census.app,
        namespaces=tuple(row for foreign, row in rows if not foreign),
        foreign=tuple(row for foreign, row in rows if foreign),
        total=total,
        biggest=census.biggest(),
        method=method,
        asked=census.counted,
        precise=precise,
        unseen_bytes=unseen_bytes,
    )


def _row(group: Group, tally: Tally, measured: Measure, whole: int) -> NamespaceStats:
    assert group.biggest is not None  # noqa: S101 - a group is made for a key
    counts = Counter(group.types)
    counts["string"] = tally.keys - counts.total()
    scale = measured.keys / tally.keys
    types = {show_text(name): round(n * scale) for name, n in counts.most_common() if n}
    return NamespaceStats(
        name=group.name,
        keys=measured.keys,
        memory_bytes=measured.memory,
        share=round(measured.memory / whole, 4) if whole else 0.0,
        without_expiry=measured.without_expiry,
        ttl_s=tally.ttl,
        size_bytes=tally.size,
        types=types,
        biggest=group.biggest,
        ci95=measured.ci95,
    )


def _prefix(key: bytes) -> str:
    """Return the first word of *key* as a group's name."""
    word, colon, _ = key[: 4 * _SHOWN_PREFIX].partition(b":")
    if not colon:
        return UNPREFIXED_GROUP
    shown = show_bytes(word)
    if len(shown) > _SHOWN_PREFIX:
        return f"{shown[:_SHOWN_PREFIX]}..."
    return f"{shown}:"
