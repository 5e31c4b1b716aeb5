"""Warming: entries put into the cache before somebody asks for them.

From where the values come: a loader that takes one id or many (`warm`, `warm_in_bulk`),
pairs at hand (`warm_entries`), or a file (`warm_file`). Which ids: any iterable, such as
the rows of a query, or those that were read most before (`warm_hottest`).

What is loaded is loaded as on a miss: one process of all does it, so that a hundred
processes may warm the same ids at their start, and each of them comes away with its
share of the work. How the entries stand is asked without reading them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

from valkeyctl.caching.course import Course, Many, Progress, Warmed, in_chunks
from valkeyctl.caching.crew import Crew, is_cancelled
from valkeyctl.caching.hottest import read_hottest
from valkeyctl.caching.pace import Pace, Pacer
from valkeyctl.caching.renewal import Renewal, Renewed, Standing
from valkeyctl.caching.shelf import BulkLoader, Shelf
from valkeyctl.caching.turnwise import Turnwise
from valkeyctl.errors import InvalidKeyError, UsageError, ValkeyctlError

V = TypeVar("V")
T = TypeVar("T")

IdLoader = Callable[[str], Awaitable[V]]

# Entries that are looked at in one round trip.
_SURVEYED = 256
_USUAL = Pace()


async def warm(
    shelf: Shelf[V],
    ids: Many[str],
    loader: IdLoader[V],
    *,
    ttl: float | None = None,
    tags: Collection[str] = (),
    refresh: bool = False,
    pace: Pace = _USUAL,
    progress: Progress | None = None,
    rng: random.Random | None = None,
) -> Warmed:
    """Load what is missing of *ids*, one by one, and say what was done.

    What a loader raises, or the server fails, is counted. Cancelling it leaves no load
    running. The ids are read as they are needed, and taken in some disorder, so that
    processes that warm the same ids do not wait for each other at each of them.

    Args:
        shelf: Where.
        ids: Which; one that breaks the key rules is a failure.
        loader: Async callable that returns the value of an id.
        ttl: Seconds that an entry is fresh, exactly; None takes the policy's.
        tags: Of the entries.
        refresh: Load what is fresh as well.
        pace: How hard to work, and when to give up.
        progress: Called after each id.
        rng: Source of the disorder.

    Raises:
        InvalidKeyError, UsageError: As `Shelf.set`, for namespace, ttl and tags.
        Exception: What *ids* or *progress* raised.
    """
    renewal: Renewal[V] = Renewal(shelf.works, shelf.space, ttl=ttl, tags=tags)
    course = Course(pace, progress)

    async def load(standings: Sequence[Standing]) -> None:
        (standing,) = standings
        try:
            async with asyncio.timeout(pace.timeout):
                renewed = await renewal.load(standing, lambda: loader(standing.id))
        except asyncio.CancelledError as error:
            if is_cancelled():
                raise
            course.raised(error)  # the loader cancelled itself
        except Exception as error:  # noqa: BLE001 - the loader's own, whatever it is
            course.raised(error)
        else:
            course.ended(renewed)
        course.step()

    await _go(course, renewal, ids, load, pace, refresh=refresh, rng=rng or random.Random())
    return course.report()


async def warm_in_bulk(
    shelf: Shelf[V],
    ids: Many[str],
    loader: BulkLoader[V],
    *,
    batch: int = 100,
    ttl: float | None = None,
    tags: Collection[str] = (),
    refresh: bool = False,
    pace: Pace = _USUAL,
    progress: Progress | None = None,
) -> Warmed:
    """Load what is missing of *ids*, many at a time; else as `warm`.

    Args:
        shelf: Where.
        ids: Which.
        loader: Async callable that gets ids and returns values by id; ids that it does not
            return are failures.
        batch: Ids that the loader gets at once, at most.
        ttl: As `warm`, like all that follow.
        tags: As `warm`.
        refresh: As `warm`.
        pace: As `warm`; its concurrency counts batches.
        progress: Called after each batch.

    Raises:
        InvalidKeyError, UsageError: As `warm`.
        Exception: As `warm`.
    """
    if batch < 1:
        raise UsageError(f"a batch has at least 1 id, not {batch}")
    absent = object()
    renewal: Renewal[object] = Renewal(
        shelf.works, shelf.space, ttl=ttl, tags=tags, keep=lambda value: value is not absent
    )
    course = Course(pace, progress)

    async def load(standings: Sequence[Standing]) -> None:
        missing: set[str] = set()

        async def load_all(asked: Sequence[str]) -> list[object]:
            values = await loader(asked)
            missing.update(id for id in asked if id not in values)  # noqa: A001
            return [values.get(id, absent) for id in asked]  # noqa: A001

        together: Turnwise[str, object] = Turnwise(load_all)

        async def load_one(standing: Standing) -> Renewed:
            return await renewal.load(standing, lambda: together.add(standing.id))

        try:
            async with asyncio.timeout(pace.timeout):
                results = await asyncio.gather(*map(load_one, standings), return_exceptions=True)
        except TimeoutError as error:
            course.raised(error, len(standings))
        else:
            for standing, result in zip(standings, results, strict=True):
                if isinstance(result, BaseException):
                    course.raised(result)
                else:
                    course.ended("absent" if standing.id in missing else result)
        finally:
            await together.aclose()
        course.step()

    await _go(course, renewal, ids, load, pace, refresh=refresh, batch=batch)
    return course.report()


async def warm_hottest(
    shelf: Shelf[V],
    loader: IdLoader[V],
    *,
    limit: int = 1000,
    file: Path | None = None,
    ttl: float | None = None,
    tags: Collection[str] = (),
    pace: Pace = _USUAL,
    progress: Progress | None = None,
) -> Warmed:
    """Load what is missing of the ids that were read most lately; else as `warm`.

    Lately is before this process began, too: what its predecessors saved. Nothing was
    saved of a namespace whose policy does not say ``hottest``. Where the ids cannot be
    read, that is the one failure.

    Args:
        shelf: Where.
        loader: Async callable that returns the value of an id.
        limit: Ids at most.
        file: What `Hottest.save_to` wrote; None asks the server.
        ttl: As `warm`, like all that follow.
        tags: As `warm`.
        pace: As `warm`.
        progress: As `warm`.

    Raises:
        InvalidKeyError, UsageError: As `warm`.
    """
    try:
        if file is None:
            hottest = await shelf.works.hottest.stored(shelf.namespace, limit)
        else:
            hottest = await read_hottest(file, shelf.namespace, limit)
    except UsageError:
        raise
    except ValkeyctlError as error:
        course = Course(pace, progress)
        course.raised(error)
        return course.report()
    return await warm(
        shelf,
        [hot.id for hot in hottest],
        loader,
        ttl=ttl,
        tags=tags,
        pace=pace,
        progress=progress,
    )


async def _go(
    course: Course,
    renewal: Renewal[T],
    ids: Many[str],
    load: Callable[[Sequence[Standing]], Coroutine[None, None, None]],
    pace: Pace,
    *,
    refresh: bool,
    batch: int = 1,
    rng: random.Random | None = None,
) -> None:
    """Call *load* for what is wanted of *ids*, so many at once, until there were too many failures.

    Args:
        course: Counts.
        renewal: Says how the entries stand.
        ids: Which.
        load: Loads some of them; counts instead of raising.
        pace: How fast.
        refresh: Whether what is fresh is wanted.
        batch: How many *load* gets at once.
        rng: Source of disorder; None keeps the order.
    """
    pacer = Pacer(pace.per_second, clock=pace.clock, sleep=pace.sleep)
    async with Crew(pace.concurrency) as crew, aclosing(in_chunks(ids, _SURVEYED)) as chunks:
        pending: list[Standing] = []
        async for chunk in chunks:
            wanted = await _wanted(course, renewal, chunk, refresh=refresh)
            if rng is not None:
                rng.shuffle(wanted)
            pending += wanted
            course.step()
            while len(pending) >= batch and not course.over:
                begun, pending = pending[:batch], pending[batch:]
                await pacer.turn(len(begun))
                await crew.start(load(begun))
            if course.over:
                return
        if pending:
            await pacer.turn(len(pending))
            await crew.start(load(pending))


async def _wanted(
    course: Course, renewal: Renewal[T], ids: Sequence[str], *, refresh: bool
) -> list[Standing]:
    """Return what has to be loaded of *ids*; the rest is counted."""
    valid: list[str] = []
    for id in dict.fromkeys(ids):  # noqa: A001
        try:
            renewal.place(id)
        except InvalidKeyError as error:
            course.raised(error)
        else:
            valid.append(id)
    if not valid:
        return []
    try:
        standings = await renewal.survey(valid)
    except ValkeyctlError as error:
        # Without the server, what is loaded could not be stored.
        course.raised(error, len(valid))
        return []
    wanted = [standing for standing in standings if refresh or not standing.fresh]
    course.fresh += len(standings) - len(wanted)
    return wanted
