"""What an adapter offers: ways to use one library, each doing the same work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar, Protocol, TypeAlias

from benchmarks.micro.timing import Work

Prepare: TypeAlias = Callable[[], Awaitable[Work]]
"""Stores what a row needs, and returns what is timed in it."""

Origin: TypeAlias = Callable[[], Awaitable[object]]
"""The slow source behind a cache."""


class Arm:
    """One way to use one library, for the rows that time single operations.

    Attributes:
        title: What it is called in the tables.
        blocking: Whether the event loop stands still while it waits for the server.
    """

    title: ClassVar[str]
    blocking: ClassVar[bool] = False

    def works(self) -> Mapping[str, Prepare]:
        """Return how each row that this library can do is prepared; needs no server."""
        raise NotImplementedError

    def missing(self) -> Mapping[str, str]:
        """Return why rows that one would expect here are not there yet."""
        return {}

    async def open(self, port: int) -> None:
        """Connect to the server on the loopback interface."""
        raise NotImplementedError

    async def close(self) -> None:
        """Disconnect."""
        raise NotImplementedError

    def plain(self, answer: object) -> object:
        """Return *answer* of the row's work as the values that went in."""
        return answer


class Clearing(Protocol):
    """One way to make many entries of one library unreadable at once.

    Attributes:
        title: What it is called in the tables.
    """

    title: str

    async def open(self, port: int) -> None:
        """Connect to the server on the loopback interface."""

    async def close(self) -> None:
        """Disconnect."""

    async def fill(self, keys: int) -> None:
        """Store so many entries, as this library lays them out."""

    async def clear(self) -> None:
        """Make them all unreadable: this is timed."""

    async def served(self) -> int:
        """Return how many of a sample of two hundred of them the library still serves."""


class Herd(Protocol):
    """One way to keep callers that miss together from loading together.

    Attributes:
        title: What it is called in the tables.
    """

    title: str

    async def open(self, port: int) -> None:
        """Connect to the server on the loopback interface."""

    async def close(self) -> None:
        """Disconnect."""

    def caller(self, origin: Origin) -> Origin:
        """Return what each caller awaits: the cached value, or *origin*'s."""
