"""What is timed, and what issue 3 asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from benchmarks.micro import contents

Figure: TypeAlias = Literal["p50_us", "p99_us", "cpu_us", "per_s"]

RAW = "raw"
OURS = "valkeyctl"
NEAR = "valkeyctl near"
_CASHEWS_NEAR = "cashews client_side"


@dataclass(frozen=True)
class Target:
    """A bound on the ratio of one arm to the yardstick.

    Attributes:
        arm: Title of the arm that has to hold it.
        bound: The ratio.
        least: Whether the ratio must be at least the bound; else at most.
    """

    arm: str
    bound: float
    least: bool = False

    def __str__(self) -> str:
        return f"{'at least' if self.least else 'at most'} {self.bound:g}x"

    def holds(self, ratio: float) -> bool:
        """Say whether *ratio* is within the bound."""
        return ratio >= self.bound if self.least else ratio <= self.bound


@dataclass(frozen=True)
class Metric:
    """One figure of a row, as a table of its own.

    Attributes:
        figure: Which one.
        title: Heading of the table.
        target: What is asked of it; None where nothing is.
    """

    figure: Figure
    title: str
    target: Target | None = None

    @property
    def higher_is_better(self) -> bool:
        """Whether more of it is better."""
        return self.figure == "per_s"


@dataclass(frozen=True)
class Row:
    """Work that every library which can does, timed in slices.

    Attributes:
        name: What it is called in the results.
        group: What ``--only`` calls it.
        work: What the adapters call the work.
        metrics: Which figures of a slice are reported.
        yardstick: Title of the arm that the others are divided by.
        callers: How many do it at the same time.
        span: Entries that are used in turn.
        batch: Operations per time taken.
    """

    name: str
    group: str
    work: str
    metrics: tuple[Metric, ...]
    yardstick: str = RAW
    callers: int = 1
    span: int = contents.KEYS
    batch: int = 1


def _p50(title: str, bound: float | None = None, arm: str = OURS) -> Metric:
    return Metric("p50_us", f"{title}: p50", Target(arm, bound) if bound else None)


def _per_s(title: str, bound: float | None = None) -> Metric:
    target = Target(OURS, bound, least=True) if bound else None
    return Metric("per_s", f"{title}: a second", target)


ROWS = (
    Row(
        "hit",
        "hit",
        "hit",
        (
            _p50("hit, 1 KiB of JSON, one caller", 1.1),
            Metric("p99_us", "hit, 1 KiB of JSON, one caller: p99", Target(OURS, 1.1)),
            Metric("cpu_us", "hit, 1 KiB of JSON, one caller: processor time per hit"),
        ),
    ),
    Row("hit-50-one", "hit", "hit", (_per_s("hits, 50 callers, one key", 5),), callers=50, span=1),
    Row("hit-50", "hit", "hit", (_per_s("hits, 50 callers, distinct keys", 3),), callers=50),
    Row(
        "near",
        "near",
        "near",
        (_p50("hit in the process", 0.75, NEAR), _per_s("hit in the process")),
        yardstick=_CASHEWS_NEAR,
        batch=50,
    ),
    Row(
        "many",
        "many",
        "many",
        (_p50("get_many of 100", 1.2), Metric("cpu_us", "get_many of 100: processor time")),
        span=len(contents.BATCHES),
    ),
    Row("load", "load", "load", (_p50("get_or_load, a hit"),)),
    Row("load-50", "load", "load", (_per_s("get_or_load, hits, 50 callers"),), callers=50),
    Row("set", "set", "set", (_p50("set"),)),
    Row("set-50", "set", "set", (_per_s("sets, 50 callers"),), callers=50),
    Row("typed", "typed", "typed", (_p50("hit, a pydantic model"),)),
    Row(
        "compressed",
        "compressed",
        "compressed",
        (_p50("hit, 16 KiB of JSON, compressed"),),
        span=contents.BATCH,
    ),
)

GROUPS = (*dict.fromkeys(row.group for row in ROWS), "invalidate", "stampede")
