"""How a warming goes: what it takes its ids from, what it counts, and what it says at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Generator,
    Iterable,
    Mapping,
)
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, TypeVar

from valkeyctl.caching.pace import Pace
from valkeyctl.caching.renewal import Renewed
from valkeyctl.caching.trouble import kind_of
from valkeyctl.errors import ValkeyctlError

T = TypeVar("T")

Many: TypeAlias = Iterable[T] | AsyncIterable[T]


@dataclass(frozen=True)
class Warmed:
    """What a warming did.

    Attributes:
        loaded: Entries stored.
        fresh: Ids that needed nothing: what they name was fresh, or another caller or
            process loaded it at the same time.
        failed: Ids that have no entry now, by what went wrong: the loader's exception,
            ``absent`` (not returned by a loader of many), ``not_stored`` (too large, not
            to be kept, or invalidated meanwhile), ``invalid_key``, or the failure of the
            server.
        seconds: For all of it.
        stopped: Whether it gave up after too many failures; the rest was not looked at.
    """

    loaded: int
    fresh: int
    failed: Mapping[str, int]
    seconds: float
    stopped: bool = False

    @property
    def failures(self) -> int:
        """How many ids failed."""
        return sum(self.failed.values())


Progress: TypeAlias = Callable[[Warmed], None]


class Course:
    """The counts of a warming that goes on.

    Args:
        pace: Of the warming.
        progress: Told of each step.
    """

    def __init__(self, pace: Pace, progress: Progress | None) -> None:
        self._pace = pace
        self._progress = progress
        self._began = pace.clock()
        self._failed: Counter[str] = Counter()
        self.loaded = 0
        self.fresh = 0

    @property
    def over(self) -> bool:
        """Whether there were too many failures."""
        most = self._pace.max_failures
        return most is not None and self._failed.total() >= most

    def ended(self, result: Renewed | Literal["absent"]) -> None:
        """Count a load that raised nothing."""
        if result == "loaded":
            self.loaded += 1
        elif result == "shared":
            self.fresh += 1
        else:
            self.failed(result)

    def failed(self, kind: str, ids: int = 1) -> None:
        """Count failures."""
        self._failed[kind] += ids

    def raised(self, error: BaseException, ids: int = 1) -> None:
        """Count what an exception failed."""
        self.failed(
            kind_of(error) if isinstance(error, ValkeyctlError) else type(error).__name__, ids
        )

    def step(self) -> None:
        """Tell how far it is."""
        if self._progress is not None:
            self._progress(self.report())

    def report(self) -> Warmed:
        """Return the counts as they are now."""
        return Warmed(
            self.loaded,
            self.fresh,
            MappingProxyType(dict(self._failed)),
            self._pace.clock() - self._began,
            self.over,
        )


async def in_chunks(items: Many[T], size: int) -> AsyncGenerator[list[T], None]:
    """Yield *items*, so many at a time; closing it closes them, if they are a generator."""
    chunk: list[T] = []
    try:
        if isinstance(items, AsyncIterable):
            async for item in items:
                chunk.append(item)
                if len(chunk) == size:
                    yield chunk
                    chunk = []
        else:
            for item in items:
                chunk.append(item)
                if len(chunk) == size:
                    yield chunk
                    chunk = []
        if chunk:
            yield chunk
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()
        elif isinstance(items, Generator):
            items.close()
