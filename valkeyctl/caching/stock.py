"""Warming with values at hand: pairs of any iterable, or the lines of a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from valkeyctl.caching.cache import CacheService
from valkeyctl.caching.course import Course, Many, Progress, Warmed, in_chunks
from valkeyctl.caching.crew import Crew
from valkeyctl.caching.pace import Pace, Pacer
from valkeyctl.caching.records import Line, Record, RecordError, parse_record, read_lines
from valkeyctl.caching.shelf import Shelf
from valkeyctl.errors import FolderError, MissingError, UsageError

V = TypeVar("V")

# As `valkeyctl keys warm` reads them.
_LONGEST_LINE = 16 * 2**20
# What is read of a file before it is stored, however few its lines.
_BATCH_BYTES = 8 * 2**20
_USUAL = Pace()


async def warm_entries(
    shelf: Shelf[V],
    entries: Many[tuple[str, V]],
    *,
    batch: int = 100,
    ttl: float | None = None,
    tags: Collection[str] = (),
    pace: Pace = _USUAL,
    progress: Progress | None = None,
) -> Warmed:
    """Store pairs of id and value, whatever is there, and say what was done.

    Pairs that cannot be stored are counted. Where an id repeats, any of its values stays.

    Args:
        shelf: Where.
        entries: Read as they are needed.
        batch: Entries that are sent at once; batches overlap as ``pace.concurrency`` says.
        ttl: Seconds that an entry is fresh, exactly; None takes the policy's.
        tags: Of the entries.
        pace: How fast, and when to give up; its timeout is not used.
        progress: Called after each batch.

    Raises:
        InvalidKeyError, UsageError: As `Shelf.set`, for namespace, ttl and tags.
        Exception: What *entries* or *progress* raised.
    """
    if batch < 1:
        raise UsageError(f"a batch has at least 1 entry, not {batch}")
    shelf.works.keys.versions(shelf.namespace)  # checks its name
    shelf.works.keys.tag_words(tags)
    shelf.space.lifetime(ttl)
    course = Course(pace, progress)
    pacer = Pacer(pace.per_second, clock=pace.clock, sleep=pace.sleep)

    async def store(values: Mapping[str, V]) -> None:
        await _store(course, shelf, values, ttl, tags)
        course.step()

    async with Crew(pace.concurrency) as crew, aclosing(in_chunks(entries, batch)) as chunks:
        async for chunk in chunks:
            if course.over:
                break
            await pacer.turn(len(chunk))
            await crew.start(store(dict(chunk)))
    return course.report()


async def warm_file(
    cache: CacheService,
    file: Path,
    *,
    batch: int = 500,
    pace: Pace = _USUAL,
    progress: Progress | None = None,
) -> Warmed:
    """Store the entries that the lines of a file ask for, as ``valkeyctl keys warm`` does.

    Each line is a JSON object with ``namespace``, ``id``, ``value``, and maybe ``ttl`` and
    ``tags``. Lines that ask for no entry are counted, as ``bad_line``; the command says
    which they are, and why. A file of any length takes the same memory.

    Args:
        cache: Where.
        file: Which.
        batch: Lines that are dealt with at once.
        pace: As `warm_entries`; it stops after too many bad lines, too.
        progress: Called after each batch.

    Raises:
        UsageError: The batch has no line.
        MissingError: There is no such file.
        FolderError: It cannot be read.
        Exception: What *progress* raised.
    """
    if batch < 1:
        raise UsageError(f"a batch has at least 1 line, not {batch}")
    course = Course(pace, progress)
    pacer = Pacer(pace.per_second, clock=pace.clock, sleep=pace.sleep)

    async def store(records: list[Record]) -> None:
        together: dict[tuple[str, float | None, tuple[str, ...]], dict[str, object]] = {}
        for record in records:
            alike = (record.namespace, record.ttl, record.tags)
            together.setdefault(alike, {})[record.id] = record.value
        for (namespace, ttl, tags), values in together.items():
            await _store(course, cast("Shelf[object]", cache.shelf(namespace)), values, ttl, tags)
        course.step()

    async with Crew(pace.concurrency) as crew, aclosing(_batches(file, batch)) as batches:
        async for lines in batches:
            records = list(_records(course, lines))
            if course.over:
                break
            await pacer.turn(len(records))
            await crew.start(store(records))
    return course.report()


async def _store(
    course: Course,
    shelf: Shelf[V],
    values: Mapping[str, V],
    ttl: float | None,
    tags: Collection[str],
) -> None:
    """Store *values*, and count."""
    try:
        stored = await shelf.set_many(values, ttl, tags)
    except UsageError as error:
        if len(values) == 1:
            course.raised(error)
            return
        # One of them cannot be stored, and kept the others from it.
        for id, value in values.items():  # noqa: A001
            await _store(course, shelf, {id: value}, ttl, tags)
        return
    course.loaded += stored
    if stored < len(values):
        course.failed("not_stored", len(values) - stored)


def _records(course: Course, lines: list[Line]) -> Iterator[Record]:
    for line in lines:
        if line.too_long:
            course.failed("bad_line")
        elif line.raw.strip():
            try:
                yield parse_record(line.raw)
            except RecordError:
                course.failed("bad_line")


async def _batches(file: Path, size: int) -> AsyncGenerator[list[Line], None]:
    """Yield the lines of a file, so many at once; the event loop goes on meanwhile."""
    try:
        stream = cast("BinaryIO", await asyncio.to_thread(file.open, "rb"))
    except FileNotFoundError as error:
        raise MissingError(
            f"there is no file {file}", hint="Check the name, and the folder it is looked for in"
        ) from error
    except OSError as error:
        raise FolderError(f"cannot read {file}: {error.strerror}") from error
    with stream:
        lines = read_lines(stream, longest=_LONGEST_LINE)
        while True:
            try:
                batch = await asyncio.to_thread(_some, lines, size)
            except OSError as error:
                raise FolderError(f"cannot read {file}: {error.strerror}") from error
            if not batch:
                return
            yield batch


def _some(lines: Iterator[Line], size: int) -> list[Line]:
    taken: list[Line] = []
    taken_bytes = 0
    for line in lines:
        taken.append(line)
        taken_bytes += line.size
        if len(taken) == size or taken_bytes >= _BATCH_BYTES:
            break
    return taken
