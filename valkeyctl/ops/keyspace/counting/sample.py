"""What a database holds, judged from some thousand of its keys.

Runs of keys are drawn in rounds (`draws`), until the half-width of the 95 % interval is
at most 5 % of the bytes of every namespace that holds at least 5 % of all bytes. How many
more runs that takes is reckoned from those at hand, with a margin, so that there are few
rounds: stopping whenever the interval happens to look narrow would make it dishonest. A
namespace of a few big keys may need more than can be drawn in a moment; the result then
says that it is not precise.

What a sample cannot see, it asks the server for. Keys that are so rare that none was
drawn have left no trace in the sample, however much they take. But the server knows how
much memory its data takes altogether: where that is more than the sample can account
for, the upper ends of the intervals are raised by what is missing, and the result says so.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from valkeyctl.errors import AuthError, ServerReplyError
from valkeyctl.ops.keyspace.counting.census import (
    Bounds,
    Census,
    Ci95,
    KeyspaceStats,
    Measure,
    Total,
    report,
)
from valkeyctl.ops.keyspace.counting.draws import Draws, Run
from valkeyctl.ops.keyspace.counting.estimate import Drawn, Estimates, Part
from valkeyctl.ops.keyspace.counting.tally import Tally
from valkeyctl.ops.keyspace.pace import Pace
from valkeyctl.ops.keyspace.pages import Page
from valkeyctl.ops.keyspace.scan import Walker

_FIRST_KEYS = 15_000
_MOST_KEYS = 195_000
SAMPLED_KEYS = 2 * _FIRST_KEYS
"""Below twice a first round all keys are asked as quickly."""
# Fewer say nothing of how they differ.
_LEAST_KEYS = 200
_LARGE_SHARE = 0.05
_HALF_WIDTH = 0.05
_ROUNDS = 4
# More runs than reckoned, so that one more round is seldom needed.
_MARGIN = 1.15
# MEMORY USAGE and the server's own books differ by some per cent, and by more in
# collections, of which it asks five elements.
_BOOKS_DIFFER = 1.25
_BOOKS_BYTES = 16 * 2**20


class Sample:
    """Runs of keys and what they say of all keys, by group.

    Args:
        draws: Where the runs come from.
        size: How many keys there are.
        sort: Counts the keys of a page, and returns the number of each one's group; -1 for
            a key that is in none.
        parents: The groups that a group is in, besides itself.
        root: The group whose bytes are all that the intervals are about; None for all keys.
    """

    def __init__(
        self,
        draws: Draws,
        size: int,
        sort: Callable[[Page], list[int]],
        *,
        parents: Callable[[int], tuple[int, ...]] = lambda _: (),
        root: int | None = None,
    ) -> None:
        self.size = size
        self.drawn = Drawn()
        self.estimates: dict[int, Estimates] = {}
        self.whole = Estimates()
        self._draws = draws
        self._sort = sort
        self._parents = parents
        self._root = root

    def draw(self) -> bool:
        """Draw until the intervals are narrow; say whether they are."""
        runs = _FIRST_KEYS // self._draws.keys_per_run
        for _ in range(_ROUNDS):
            for run in self._draws.take(runs):
                self._add(run)
            if not self.drawn.keys:
                return False
            needed = self._needed_runs()
            if needed <= self.drawn.runs:
                return True
            runs = min(needed, self._most_runs()) - self.drawn.runs
            if runs <= 0:
                return False
        return self._needed_runs() <= self.drawn.runs

    def _most_runs(self) -> int:
        # A sample half as large as the whole takes as long, and says less.
        return min(_MOST_KEYS, self.size // 2) // self._draws.keys_per_run

    def _needed_runs(self) -> int:
        """Return how many runs make all intervals narrow; those drawn, when they do."""
        root = self.whole if self._root is None else self.estimates.get(self._root)
        if root is None:
            return self._most_runs()  # none of its keys was drawn
        whole = root.measure(self.drawn, self.size).memory
        widest = 0.0
        for estimates in (*self.estimates.values(), root):
            measured = estimates.measure(self.drawn, self.size)
            if measured.memory >= _LARGE_SHARE * whole and measured.ci95 is not None:
                low, high = measured.ci95.memory_bytes
                widest = max(widest, (high - low) / 2 / measured.memory)
        if widest <= _HALF_WIDTH:
            return self.drawn.runs
        return round(self.drawn.runs * (widest / _HALF_WIDTH) ** 2 * _MARGIN) + 1

    def _add(self, run: Run) -> None:
        page, scale = run
        whole, parts = Part(), dict[int, Part]()
        for group, memory, pttl in zip(self._sort(page), page.memory, page.pttl, strict=True):
            whole.add(memory, pttl)
            if group < 0:
                continue
            part = parts.get(group)
            if part is None:
                part = parts[group] = Part()
            part.add(memory, pttl)
        self.drawn.add(whole.keys, scale)
        self.whole.add(whole, whole.keys, scale)
        for group, part in self._with_parents(parts):
            estimates = self.estimates.get(group)
            if estimates is None:
                estimates = self.estimates[group] = Estimates()
            estimates.add(part, whole.keys, scale)

    def _with_parents(self, parts: dict[int, Part]) -> Iterator[tuple[int, Part]]:
        sums = dict(parts)
        for group, part in parts.items():
            for parent in self._parents(group):
                held = sums.get(parent)
                sums[parent] = part if held is None else held.plus(part)
        yield from sums.items()


def sampled_stats(
    walker: Walker,
    app: str | None,
    rng: random.Random,
    pace: Pace,
    *,
    biggest: int = 10,
) -> KeyspaceStats | None:
    """Return what some thousand keys, drawn at random, say about all of them.

    None when they say too little: hardly any key lives. Keys that have expired and
    are not yet removed count as the server itself counts them, in DBSIZE.

    Raises:
        UnreachableError, AuthError, ServerReplyError: as `Walker.survey`.
    """
    draws = Draws(walker, rng, pace)
    if not draws.possible:
        return None
    census = Census(app, biggest)
    sample = Sample(draws, walker.size(), census.add)
    precise = sample.draw()
    drawn, size = sample.drawn, sample.size
    if drawn.keys < _LEAST_KEYS:
        return None
    unseen = unseen_bytes(walker, sample.whole.measure(drawn, size))

    def measure(group: int, _: Tally) -> Measure:
        return sample.estimates[group].measure(drawn, size, unseen)

    return report(
        census,
        measure,
        whole_of(sample, unseen),
        method="sample",
        precise=precise and not unseen,
        unseen_bytes=unseen,
    )


def whole_of(sample: Sample, unseen: int) -> Total:
    """Return what *sample* says of all keys together, whose number is known."""
    found = sample.whole.measure(sample.drawn, sample.size, unseen)
    assert found.ci95 is not None  # noqa: S101 - it is an estimate
    every: Bounds = (sample.size, sample.size)
    ci95 = Ci95(every, found.ci95.memory_bytes, found.ci95.without_expiry)
    return Total(sample.size, found.memory, found.without_expiry, ci95)


def unseen_bytes(walker: Walker, whole: Measure) -> int:
    """Return what the servers' data takes beyond all that a sample of them accounts for.

    0 where it accounts for it, and where they do not say: their books are of all
    databases, so of one among several they tell nothing.
    """
    held = 0
    for node in walker.nodes:
        try:
            fields = node.wire.info("memory") | node.wire.info("keyspace")
        except (AuthError, ServerReplyError):
            return 0
        if sum(name.startswith("db") for name in fields) > 1:
            return 0
        dataset = fields.get("used_memory_dataset", "")
        held += int(dataset) if dataset.isdigit() else 0
    accounted = whole.ci95.memory_bytes[1] if whole.ci95 else 0
    if held <= accounted * _BOOKS_DIFFER + _BOOKS_BYTES:
        return 0
    return held - accounted
