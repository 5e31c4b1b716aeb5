"""The keyspace as a tree of the words that its keys are made of."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UsageError
from valkeyctl.ops.keyspace.counting.census import Ci95, Measure
from valkeyctl.ops.keyspace.counting.draws import Draws
from valkeyctl.ops.keyspace.counting.sample import SAMPLED_KEYS, Sample, unseen_bytes
from valkeyctl.ops.keyspace.counting.stats import SAMPLE_ABOVE
from valkeyctl.ops.keyspace.display import read_bytes, show_bytes
from valkeyctl.ops.keyspace.pace import Pace
from valkeyctl.ops.keyspace.pages import Page
from valkeyctl.ops.keyspace.scan import Walker, escape_glob

OTHER = "(other)"
MOST_DEPTH = 32
# The branches of one branch that are told apart, and all of them: words that are made up
# per key, such as a user's id, must not fill the memory of whoever counts them. Keys come
# in random order, so a branch of any size is there before its place is taken.
_MOST_CHILDREN = 256
_MOST_BRANCHES = 8192
_LONGEST_WORD = 256
# Beginnings of keys whose branch is remembered.
_MOST_KNOWN = 16_384


@dataclass(frozen=True)
class Branch:
    """The keys that begin with the same words.

    Attributes:
        name: The last of these words with the separator, printable; ``(other)`` for the
            smaller branches of the same branch, put together.
        prefix: All of the words: what `tree` takes to look at this branch.
        keys: How many keys begin so.
        memory_bytes: What they take by MEMORY USAGE.
        share: Of the memory of the whole tree, 0 to 1.
        without_expiry: How many of them never expire.
        ci95: How far a sample may be off; None when every key was asked, and of what was
            put together.
        branches: Into which they part, the largest in memory first and ``(other)`` last.
        folded: How many branches were put together here; of more than 256 beside each
            other, the first 256.
    """

    name: str
    prefix: str
    keys: int
    memory_bytes: int
    share: float
    without_expiry: int
    ci95: Ci95 | None = None
    branches: tuple[Branch, ...] = ()
    folded: int = 0


@dataclass(frozen=True)
class KeyspaceTree:
    """What a database holds, by the words of its keys.

    Attributes:
        root: All keys that begin with the prefix; its name is the prefix.
        separator: What stands between words.
        depth: How many words deep the tree is.
        method: ``exact`` or ``sample``; as for `stats`.
        asked: Keys that were asked.
        precise: As for `stats`, of the branches of the tree.
        unseen_bytes: As for `stats`.
    """

    root: Branch
    separator: str
    depth: int
    method: Literal["exact", "sample"]
    asked: int
    precise: bool = True
    unseen_bytes: int = 0


@dataclass(eq=False)
class _Node:
    """A branch while keys are counted.

    Attributes:
        name: Its word with the separator; None for what is not told apart.
        parents: The numbers of the branches that it is in, from the root on.
        children: The number of each of its branches, by word.
        other: The number of those that are not told apart; 0 while there are none.
    """

    name: bytes | None
    parents: tuple[int, ...] = ()
    children: dict[bytes, int] = field(default_factory=dict)
    other: int = 0
    keys: int = 0
    memory: int = 0
    without_expiry: int = 0


def tree(
    endpoint: Endpoint,
    prefix: str = "",
    *,
    depth: int = 3,
    separator: str = ":",
    width: int = 20,
    method: Literal["auto", "exact", "sample"] = "auto",
    pace: Pace | None = None,
    progress: Callable[[float, int], None] | None = None,
    rng: random.Random | None = None,
) -> KeyspaceTree:
    r"""Return the keys of a database by the words that they begin with, in bounded memory.

    The last word of a key is its name and no branch. On a Cluster, the shard group of a
    key of ours is no word.

    Args:
        endpoint: The server, of any topology.
        prefix: Only keys that begin with these words; with ``\xNN`` as `display` shows it.
        depth: How many words deep, 1 to 32.
        separator: What stands between words.
        width: How many branches of one branch to give; smaller ones are put together.
        method: As for `stats`. ``auto`` asks every key, too, where a sample of the keys
            with the prefix would not be precise.
        pace: How hard to work the servers.
        progress: As for `stats`.
        rng: Source of the random places of a sample.

    Raises:
        UsageError: A number is out of range, or the separator is empty.
        UnreachableError, AuthError, ServerReplyError: as `stats`.
    """
    if not separator:
        raise UsageError("the separator is empty", hint="Give one or more characters, such as :")
    for name, number, most in (("depth", depth, MOST_DEPTH), ("width", width, _MOST_CHILDREN)):
        if not 1 <= number <= most:
            raise UsageError(f"{name} is 1 to {most}, not {number}")
    start, mark = read_bytes(prefix), read_bytes(separator)
    if start and not start.endswith(mark):
        start += mark
    pace = pace or Pace()
    with Walker(endpoint) as walker:
        least = {"exact": math.inf, "auto": SAMPLE_ABOVE, "sample": SAMPLED_KEYS}[method]
        if walker.size() > least:
            branches = _Branches(start, mark, depth, sharded=walker.has_slots)
            draws = Draws(walker, rng or random.Random(), pace)
            found = _sampled(walker, draws, branches, width)
            if found is not None and (found.precise or not start or method == "sample"):
                return found
        branches = _Branches(start, mark, depth, sharded=walker.has_slots)
        glob = escape_glob(start) + b"*" if start else None
        for page in walker.survey(match=glob, pace=pace):
            branches.add(page)
            if progress:
                progress(page.visited, branches.counted)
    root = branches.grown(width, branches.counts)
    return KeyspaceTree(root, separator, depth, "exact", branches.counted)


def _sampled(walker: Walker, draws: Draws, branches: _Branches, width: int) -> KeyspaceTree | None:
    """Return the tree by a sample; None when hardly a key of it was drawn."""
    if not draws.possible:
        return None
    sample = Sample(draws, walker.size(), branches.add, parents=branches.parents, root=0)
    precise = sample.draw()
    drawn, size = sample.drawn, sample.size
    if 0 not in sample.estimates:
        return None
    unseen = unseen_bytes(walker, sample.whole.measure(drawn, size))

    def measure(number: int) -> Measure:
        return sample.estimates[number].measure(drawn, size, unseen)

    return KeyspaceTree(
        root=branches.grown(width, measure),
        separator=show_bytes(branches.mark),
        depth=branches.depth,
        method="sample",
        asked=drawn.keys,
        precise=precise and not unseen,
        unseen_bytes=unseen,
    )


class _Branches:
    """Sorts keys into branches, and counts them.

    Args:
        start: What all of the keys begin with.
        mark: What stands between words.
        depth: How many words deep.
        sharded: Whether keys of ours have a shard group.
    """

    def __init__(self, start: bytes, mark: bytes, depth: int, *, sharded: bool) -> None:
        self.counted = 0
        self.mark = mark
        self.depth = depth
        self._start = start
        self._sharded = sharded
        # As many words as there are, a shard group besides: one match at C speed.
        words = rb"(?:.*?%b){0,%d}" % (re.escape(mark), depth + sharded)
        self._beginning = re.compile(words, re.DOTALL).match
        self._known: dict[bytes, int] = {}
        self._nodes = [_Node(start)]

    def add(self, page: Page) -> list[int]:
        """Count the keys of *page*; return the number of each one's branch, -1 for none."""
        skip, beginning = len(self._start), self._beginning
        if skip and not all(key.startswith(self._start) for key in page.keys):
            found = [self._number(key) if key.startswith(self._start) else -1 for key in page.keys]
        else:
            # `match` finds at least the empty beginning.
            begins = [beginning(key, skip)[0] for key in page.keys]  # type: ignore[index]
            known = list(map(self._known.get, begins))
            found = [
                self._number(key) if number is None else number
                for key, number in zip(page.keys, known, strict=True)
            ]
        nodes = self._nodes
        for number, memory, pttl in zip(found, page.memory, page.pttl, strict=True):
            if number >= 0:
                node = nodes[number]
                node.keys += 1
                node.memory += memory
                if pttl < 0:
                    node.without_expiry += 1
        self.counted += len(found) - found.count(-1)
        return found

    def parents(self, number: int) -> tuple[int, ...]:
        """Return the branches that a branch is in."""
        return self._nodes[number].parents

    def counts(self, number: int) -> Measure:
        """Return what was counted of a branch; right after all was counted and `grown` asks."""
        node = self._nodes[number]
        return Measure(node.keys, node.memory, node.without_expiry)

    def grown(self, width: int, measure: Callable[[int], Measure]) -> Branch:
        """Return the root with all that is in it.

        Args:
            width: Most branches of one branch; the smaller ones are put together.
            measure: Says what a branch has, those in it included.
        """
        for node in self._nodes:
            for parent in node.parents:
                above = self._nodes[parent]
                above.keys += node.keys
                above.memory += node.memory
                above.without_expiry += node.without_expiry
        return self._branch(0, self._start, width, measure, measure(0).memory)

    def _number(self, key: bytes) -> int:
        """Return the number of the branch of *key*, which begins with the start."""
        found = self._beginning(key, len(self._start))
        begin = found[0] if found else b""
        number = self._known.get(begin)
        if number is None:
            number = self._grow(begin)
            if len(self._known) < _MOST_KNOWN and len(begin) <= _LONGEST_WORD:
                self._known[begin] = number
        return number

    def _grow(self, begin: bytes) -> int:
        number = 0
        for word in self._words(begin):
            node = self._nodes[number]
            child = node.children.get(word)
            if child is None:
                if (
                    len(node.children) >= _MOST_CHILDREN
                    or len(self._nodes) >= _MOST_BRANCHES
                    or len(word) > _LONGEST_WORD
                ):
                    node.other = node.other or self._new(None, number)
                    return node.other
                child = node.children[word] = self._new(word, number)
            number = child
        return number

    def _words(self, begin: bytes) -> list[bytes]:
        """Return the words of a beginning, each with its separator, no shard group among them."""
        before = self._start.split(self.mark)[:-1]
        words = [*before, *begin.split(self.mark)[:-1]]
        if self._sharded and len(before) <= 2 < len(words):
            group = words[2]
            if group.startswith(b"{" + words[0] + b".") and group.endswith(b"}"):
                del words[2]
        return [word + self.mark for word in words[len(before) : len(before) + self.depth]]

    def _new(self, name: bytes | None, parent: int) -> int:
        self._nodes.append(_Node(name, (*self._nodes[parent].parents, parent)))
        return len(self._nodes) - 1

    def _branch(
        self,
        number: int,
        prefix: bytes,
        width: int,
        measure: Callable[[int], Measure],
        whole: int,
    ) -> Branch:
        node, own = self._nodes[number], measure(number)
        sizes = {child: measure(child) for child in node.children.values()}
        ordered = sorted(node.children.items(), key=lambda pair: (-sizes[pair[1]].memory, pair[0]))
        kept = [
            self._branch(child, prefix + word, width, measure, whole)
            for word, child in ordered[:width]
        ]
        rest = [sizes[child] for _, child in ordered[width:]]
        if node.other:
            rest.append(measure(node.other))
        if rest:
            folded = _sum(rest)
            kept.append(
                Branch(
                    name=OTHER,
                    prefix=show_bytes(prefix),
                    keys=folded.keys,
                    memory_bytes=folded.memory,
                    share=_share(folded.memory, whole),
                    without_expiry=folded.without_expiry,
                    folded=len(ordered[width:]),
                )
            )
        return Branch(
            name=show_bytes(node.name or b""),
            prefix=show_bytes(prefix),
            keys=own.keys,
            memory_bytes=own.memory,
            share=_share(own.memory, whole),
            without_expiry=own.without_expiry,
            ci95=own.ci95,
            branches=tuple(kept),
        )


def _sum(parts: list[Measure]) -> Measure:
    return Measure(
        sum(part.keys for part in parts),
        sum(part.memory for part in parts),
        sum(part.without_expiry for part in parts),
    )


def _share(memory: int, whole: int) -> float:
    return round(memory / whole, 4) if whole else 0.0
