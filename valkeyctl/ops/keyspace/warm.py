"""Loading entries from a file, of any length, into the cache."""

from __future__ import annotations

import random
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from valkeyctl.caching.codec import ALWAYS_FRESH
from valkeyctl.caching.commands import milliseconds
from valkeyctl.caching.keyring import KeyRing
from valkeyctl.caching.keys import KeyScheme
from valkeyctl.caching.namespaces import Namespaces
from valkeyctl.caching.policy import NamespacePolicy
from valkeyctl.caching.records import Line, RecordError, parse_record, read_lines
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    FolderError,
    MissingError,
    PartialError,
    UsageError,
    ValkeyctlError,
)
from valkeyctl.ops.keyspace.bulk import BulkWriter, Draft
from valkeyctl.ops.keyspace.rejects import Reject, Rejects
from valkeyctl.units import format_size

LONGEST_LINE = 16 * 2**20
LARGEST_VALUE = 8 * 2**20  # what a CacheService stores by default, too
# What a batch may hold of payloads before it is sent, however few its lines.
_BATCH_BYTES = 8 * 2**20


@dataclass(frozen=True)
class WarmProgress:
    """How far a warm-up is.

    Attributes:
        line: Last line that is dealt with, 1-based.
        loaded: Entries that the server confirmed.
        rejected: Lines refused.
        read: Bytes read of the source.
        size: Bytes of the whole source; None when it cannot be known, as of a pipe.
    """

    line: int
    loaded: int
    rejected: int
    read: int
    size: int | None


@dataclass(frozen=True)
class WarmReport:
    """What a warm-up did.

    Attributes:
        loaded: Entries that the server confirmed; the last one wins where ids repeat.
        rejected: Lines refused.
        bytes: Of the keys and values stored.
        seconds: For all of it.
        rejects: The first 20 of the refused lines.
        rejects_file: Where all of them are; None without one, or without any.
    """

    loaded: int
    rejected: int
    bytes: int
    seconds: float
    rejects: tuple[Reject, ...]
    rejects_file: Path | None


def warm(
    endpoint: Endpoint,
    source: BinaryIO | Path,
    *,
    app: str,
    policies: Mapping[str, NamespacePolicy] | None = None,
    keyring: KeyRing | None = None,
    batch: int = 1000,
    from_line: int = 1,
    rejects_file: Path | None = None,
    progress: Callable[[WarmProgress], None] | None = None,
) -> WarmReport:
    """Load the entries that lines of JSON ask for; what is wrong is refused, the rest loaded.

    Each line is an object with ``namespace``, ``id``, ``value``, and maybe ``ttl`` and
    ``tags``; empty lines are passed over. Any number of lines takes the same memory.

    Args:
        endpoint: The server.
        source: A file, or an open stream of bytes.
        app: The application.
        policies: How long entries without a ttl live, and whether they are compressed or
            encrypted, by namespace; None takes the library's defaults.
        keyring: Keys of the namespaces whose policy encrypts.
        batch: Most entries that are sent at once.
        from_line: Pass over the lines before this one, 1-based.
        rejects_file: Where to write the refused lines; taken up again with *from_line*,
            else begun anew.
        progress: Called after each batch.

    Raises:
        InvalidKeyError: The application's name breaks the key rules.
        UsageError: A number is out of range, both files are the same, or a policy
            encrypts and there are no keys.
        MissingError: There is no such file, or a policy needs an extra that is not installed.
        FolderError: A file cannot be read or written.
        UnreachableError, AuthError, ServerReplyError: Nothing was loaded.
        PartialError: It was interrupted, or something failed, after entries were loaded;
            the message says how many, the hint how to go on.
    """
    for name, number in (("batch", batch), ("from_line", from_line)):
        if number < 1:
            raise UsageError(f"{name} is 1 or more, not {number}")
    scheme = KeyScheme(app)
    spaces = Namespaces(
        policies,
        keyring=keyring,
        max_value_bytes=LARGEST_VALUE,
        observers=(),
        rng=random.Random(),
    )
    drafting = _Drafting(scheme, spaces)
    began = time.monotonic()
    with (
        _opened(source, rejects_file) as stream,
        Wire(endpoint) as wire,
        Rejects(rejects_file, resumed=from_line > 1) as rejects,
    ):
        run = _Run(BulkWriter(wire), rejects, _size(source), progress)
        try:
            run.load(_lines(stream), drafting, batch, from_line)
        except (ValkeyctlError, KeyboardInterrupt) as error:
            if not run.loaded:
                raise
            raise _partial(run, error, source, app, rejects_file) from error
    return WarmReport(
        loaded=run.loaded,
        rejected=rejects.count,
        bytes=run.stored,
        seconds=time.monotonic() - began,
        rejects=tuple(rejects.first),
        rejects_file=rejects.file,
    )


class _Drafting:
    """Turns lines into entries by the library's rules."""

    def __init__(self, scheme: KeyScheme, spaces: Namespaces) -> None:
        self._scheme = scheme
        self._spaces = spaces

    def draft(self, line: Line) -> Draft:
        """Return the entry that *line* asks for.

        Raises:
            RecordError, UsageError: It asks for none that can be stored.
        """
        if line.too_long:
            raise RecordError(f"longer than {format_size(LONGEST_LINE)}")
        record = parse_record(line.raw)
        place = self._scheme.place(record.namespace, record.id)
        tags = self._scheme.tag_words(record.tags)
        space = self._spaces[record.namespace]
        life, fresh = space.spans(space.lifetime(record.ttl))
        payload = space.payloads.pack(place.key, record.value, len(tags))
        size = len(payload.data)
        if size > space.max_value_bytes:
            limit = format_size(space.max_value_bytes)
            raise RecordError(f"the value of {format_size(size)} is larger than {limit}")
        fresh_ms = ALWAYS_FRESH if fresh is None else min(milliseconds(fresh), ALWAYS_FRESH)
        return Draft(place, payload, milliseconds(life), fresh_ms, tags)


class _Run:
    """One warm-up: what is read, loaded and confirmed so far."""

    def __init__(
        self,
        writer: BulkWriter,
        rejects: Rejects,
        size: int | None,
        progress: Callable[[WarmProgress], None] | None,
    ) -> None:
        self.loaded = 0
        self.stored = 0
        self.done = 0  # the last line that need not be read again
        self._writer = writer
        self._rejects = rejects
        self._size = size
        self._progress = progress
        self._read = 0
        self._drafts: list[Draft] = []

    def load(self, lines: Iterator[Line], drafting: _Drafting, batch: int, from_line: int) -> None:
        """Load *lines* from *from_line* on."""
        payloads = 0
        for line in lines:
            self._read += line.size
            if line.number < from_line or not line.raw.strip():
                continue
            try:
                draft = drafting.draft(line)
            except (RecordError, UsageError) as error:
                self._rejects.add(line, str(error))
                payloads += len(line.raw)
            else:
                self._drafts.append(draft)
                payloads += len(draft.payload.data)
            waiting = len(self._drafts) + self._rejects.pending
            if waiting >= batch or payloads >= _BATCH_BYTES:
                self._send(line.number)
                payloads = 0
        if self._drafts or self._rejects.pending:
            self._send(line.number)

    def _send(self, line: int) -> None:
        if self._drafts:
            self.stored += self._writer.write(self._drafts)
            self.loaded += len(self._drafts)
            self._drafts.clear()
        # Entries are safe to load again; a rejected line in the file twice would confuse.
        self._rejects.commit()
        self.done = line
        if self._progress:
            counts = (line, self.loaded, self._rejects.count, self._read, self._size)
            self._progress(WarmProgress(*counts))


@contextmanager
def _opened(source: BinaryIO | Path, rejects_file: Path | None) -> Iterator[BinaryIO]:
    if not isinstance(source, Path):
        yield source
        return
    try:
        stream = source.open("rb", buffering=2**20)
    except FileNotFoundError as error:
        raise MissingError(
            f"there is no file {source}", hint="Check the path; - reads standard input"
        ) from error
    except OSError as error:
        raise _unreadable(source, error) from error
    with stream:
        if rejects_file is not None and rejects_file.exists() and rejects_file.samefile(source):
            raise UsageError(
                f"the rejects would overwrite {source}, which is being read",
                hint="Name another file for the rejects",
            )
        yield stream


def _size(source: BinaryIO | Path) -> int | None:
    # A pipe, or a file of /proc, says 0.
    return source.stat().st_size or None if isinstance(source, Path) else None


def _lines(stream: BinaryIO) -> Iterator[Line]:
    try:
        yield from read_lines(stream, longest=LONGEST_LINE)
    except OSError as error:
        raise _unreadable(getattr(stream, "name", "the input"), error) from error


def _unreadable(source: object, error: OSError) -> FolderError:
    return FolderError(
        f"{source} cannot be read: {error.strerror or error}",
        hint="Check that it is a file and that you may read it",
    )


def _partial(
    run: _Run,
    error: ValkeyctlError | KeyboardInterrupt,
    source: BinaryIO | Path,
    app: str,
    rejects_file: Path | None,
) -> PartialError:
    why = str(error) if isinstance(error, ValkeyctlError) else "interrupted"
    words = ["valkeyctl", "keys", "warm", str(source) if isinstance(source, Path) else "-"]
    words += ["--app", app, "--from-line", str(run.done + 1)]
    if rejects_file is not None:
        words += ["--rejects", str(rejects_file)]
    return PartialError(
        f"the warm-up stopped after line {run.done} ({why}); {run.loaded} entries are loaded",
        hint=f"Run it again on the same server to go on: {shlex.join(words)}",
    )
