"""What one probe has felt: when it was answered, and what went wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

from valkeyctl.errors import (
    AuthError,
    BreakerOpenError,
    DeadlineError,
    ServerReplyError,
    TlsError,
    UnreachableError,
    ValkeyctlError,
)

_KINDS: dict[type[ValkeyctlError], str] = {
    BreakerOpenError: "breaker_open",
    DeadlineError: "no_answer",
    UnreachableError: "unreachable",
    AuthError: "auth",
    TlsError: "tls",
}


@dataclass(frozen=True)
class ErrorCount:
    """Errors of one kind.

    Attributes:
        kind: ``unreachable``, ``no_answer`` in time, ``breaker_open``; of an error reply
            its first word (``readonly``, ``oom``, ``clusterdown``, ...).
        count: How many.
        example: The first of them, in full.
    """

    kind: str
    count: int
    example: str


@dataclass(frozen=True)
class Gap:
    """The longest time without an answer.

    Attributes:
        seconds: How long.
        began: When, on the probe's clock.
    """

    seconds: float
    began: float


class Tally:
    """Counts the calls of one probe; one thread writes, any may read.

    Args:
        clock: Monotonic seconds.

    Attributes:
        last_failure: What failed last; None when nothing did.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answered: list[float] = []
        self._failed: list[tuple[float, str]] = []
        self._examples: dict[str, str] = {}
        self.last_failure: ValkeyctlError | None = None

    def answer(self) -> None:
        """Note that a call was answered as it should be."""
        self._answered.append(self._clock())

    def error(self, failure: ValkeyctlError) -> None:
        """Note that a call failed."""
        kind = kind_of(failure)
        self._examples.setdefault(kind, str(failure))
        self._failed.append((self._clock(), kind))
        self.last_failure = failure

    @property
    def answers(self) -> int:
        """How many calls were answered."""
        return len(self._answered)

    @property
    def failures(self) -> int:
        """How many failed."""
        return len(self._failed)

    def first_answer(self, since: float) -> float | None:
        """Return when the first call after *since* was answered; None when none was."""
        return next((moment for moment in list(self._answered) if moment > since), None)

    def first_error(self, since: float) -> float | None:
        """Return when the first call after *since* failed; None when none did."""
        return next((moment for moment, _ in list(self._failed) if moment > since), None)

    def gap(self, since: float, until: float) -> Gap:
        """Return the longest time without an answer from *since* to *until*.

        Both ends count as answers, so that a gap that is still open is told, too; give as
        *since* a moment when calls were answered.
        """
        inside = [moment for moment in list(self._answered) if since < moment < until]
        steps = pairwise([since, *inside, until])
        return max((Gap(late - early, early) for early, late in steps), key=lambda gap: gap.seconds)

    def errors(self) -> tuple[ErrorCount, ...]:
        """Return the errors by kind, the most frequent first."""
        return merged([self])

    def _counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for _, kind in list(self._failed):
            counts[kind] = counts.get(kind, 0) + 1
        return counts


def merged(tallies: Iterable[Tally]) -> tuple[ErrorCount, ...]:
    """Return the errors of all *tallies* by kind, the most frequent first."""
    counts: dict[str, int] = {}
    examples: dict[str, str] = {}
    for tally in tallies:
        examples = {**tally._examples, **examples}
        for kind, count in tally._counts().items():
            counts[kind] = counts.get(kind, 0) + count
    return tuple(
        ErrorCount(kind, count, examples[kind])
        for kind, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def worst(gaps: Iterable[Gap]) -> Gap | None:
    """Return the longest of *gaps*; None when there is none."""
    return max(gaps, key=lambda gap: gap.seconds, default=None)


def kind_of(failure: ValkeyctlError) -> str:
    """Return the word by which *failure* is counted; see `ErrorCount`."""
    if isinstance(failure, ServerReplyError):
        return failure.reply.lower() or "error"
    return next((word for kind, word in _KINDS.items() if isinstance(failure, kind)), failure.code)
