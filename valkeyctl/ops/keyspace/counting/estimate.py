"""Estimates from a few keys of many, and how far they may be off.

The draws are runs of neighbouring keys. An amount, such as the bytes of a namespace, is
estimated as a ratio to the keys drawn, and its variance from the differences between
runs (Cochran, Sampling Techniques, 1977, sections 6.3 and 9A). On a Cluster a run comes
from a slot drawn in proportion to its keys, and the estimate is the mean of the runs'
means (Hansen and Hurwitz, 1943); that is the same ratio, with every run of weight 1.

The interval is not "estimate +- 1.96 standard errors": an amount that few big keys make
up is skewed, and a sample that has seen three of them knows less about its upper end than
about its lower one. So the amount is taken for a sum of rare keys of different weights,
whose interval is a gamma distribution's, and whose upper end allows for one more key of
the largest weight seen (Fay and Feuer, Confidence intervals for directly standardized
rates, Statistics in Medicine 16, 1997). Where many keys were seen it is the plain
interval again; where none was it is 3.7 keys of those drawn, the rule of three.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from valkeyctl.ops.keyspace.counting.census import Bounds, Ci95, Measure

_NORMAL_95 = 1.959964


@dataclass
class Drawn:
    """The sizes of the runs drawn.

    Attributes:
        runs: How many.
        keys: Keys in all of them.
        weight: Sum of the sizes, each as its run counts.
        squares: Sum of their squares.
    """

    runs: int = 0
    keys: int = 0
    weight: float = 0.0
    squares: float = 0.0

    def add(self, keys: int, scale: float) -> None:
        """Add a run of *keys* keys, each of which counts *scale*."""
        self.runs += 1
        self.keys += keys
        self.weight += keys * scale
        self.squares += (keys * scale) ** 2


class Ratio:
    """An amount per key, such as bytes in a namespace per key of the database."""

    __slots__ = ("_products", "_squares", "_sum", "largest")

    def __init__(self) -> None:
        self._sum = 0.0
        self._squares = 0.0
        self._products = 0.0
        self.largest = 0
        """What a single key brought, at most."""

    def add(self, amount: int, largest: int, keys: int, scale: float) -> None:
        """Add a run of *keys* keys that holds *amount*; one that holds 0 need not be added."""
        scaled = amount * scale
        self._sum += scaled
        self._squares += scaled * scaled
        self._products += scaled * keys * scale
        self.largest = max(self.largest, largest)

    def estimate(self, drawn: Drawn, size: int, one_more: int) -> tuple[int, Bounds]:
        """Return the amount in a database of *size* keys, and its 95 % interval.

        Args:
            drawn: All runs, of which those that were added hold some of it.
            size: The number of all keys.
            one_more: What the next key of this kind may bring, if none was seen.
        """
        ratio = self._sum / drawn.weight
        residuals = self._squares - 2 * ratio * self._products + ratio * ratio * drawn.squares
        variance = max(0.0, residuals) * drawn.runs / max(1, drawn.runs - 1)
        scale = size / drawn.weight
        step = max(self.largest, one_more) * size / drawn.keys
        low, high = _interval(ratio * size, variance * scale * scale, step)
        return round(ratio * size), (math.floor(low), math.ceil(high))


def _interval(amount: float, variance: float, step: float) -> tuple[float, float]:
    """Return the 95 % interval of a sum of rare things, of which one more brings *step*."""
    spread = variance + step * step
    low = 0.0
    if amount > 0:
        low = spread / amount * _gamma_quantile(amount * amount / spread, -_NORMAL_95)
    above = amount + step
    return low, spread / above * _gamma_quantile(above * above / spread, _NORMAL_95)


def _gamma_quantile(shape: float, normal: float) -> float:
    """Return a quantile of the gamma distribution of scale 1, by that of the normal one.

    Source: Wilson and Hilferty, The distribution of chi-square (1931); for the shapes 1 and
    above that upper ends have, within 1 %.
    """
    ninth = 1 / (9 * shape)
    return shape * max(0.0, 1 - ninth + normal * math.sqrt(ninth)) ** 3


class Estimates:
    """What is estimated of a group: its keys, their bytes, and those that never expire."""

    __slots__ = ("keys", "lasting", "memory")

    def __init__(self) -> None:
        self.keys = Ratio()
        self.memory = Ratio()
        self.lasting = Ratio()

    def add(self, part: Part, keys: int, scale: float) -> None:
        """Add what one run of *keys* keys holds of the group."""
        self.keys.add(part.keys, 1, keys, scale)
        self.memory.add(part.memory, part.largest, keys, scale)
        if part.lasting:
            self.lasting.add(part.lasting, 1, keys, scale)

    def measure(self, drawn: Drawn, size: int, unseen: int = 0) -> Measure:
        """Return the three amounts in a database of *size* keys, and their intervals.

        Args:
            drawn: All runs.
            size: The number of all keys.
            unseen: Bytes that the upper end for memory shall allow for, besides.
        """
        keys, (fewest, most) = self.keys.estimate(drawn, size, 1)
        memory, (least, largest) = self.memory.estimate(drawn, size, 1)
        lasting, (few, many) = self.lasting.estimate(drawn, size, 1)
        most = min(most, size)
        ci95 = Ci95((fewest, most), (least, largest + unseen), (few, min(many, most)))
        return Measure(keys, memory, lasting, ci95)


@dataclass(slots=True)
class Part:
    """What one run holds of a group.

    Attributes:
        keys: Its keys.
        memory: Their bytes.
        lasting: Those that never expire.
        largest: Bytes of the biggest.
    """

    keys: int = 0
    memory: int = 0
    lasting: int = 0
    largest: int = 0

    def add(self, memory: int, pttl: int) -> None:
        """Add a key."""
        self.keys += 1
        self.memory += memory
        if pttl < 0:
            self.lasting += 1
        self.largest = max(self.largest, memory)

    def plus(self, other: Part) -> Part:
        """Return what both hold."""
        return Part(
            self.keys + other.keys,
            self.memory + other.memory,
            self.lasting + other.lasting,
            max(self.largest, other.largest),
        )
