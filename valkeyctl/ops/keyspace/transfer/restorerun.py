"""The course of an import: lines gather to batches, which are stored while more are read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from valkeyctl.caching.records import Line, RecordError
from valkeyctl.errors import UsageError, ValkeyctlError
from valkeyctl.ops.keyspace.loading.bulk import BulkWriter, Posted
from valkeyctl.ops.keyspace.loading.drafts import Draft
from valkeyctl.ops.keyspace.loading.rejects import Rejects
from valkeyctl.ops.keyspace.transfer.exportfile import Block
from valkeyctl.ops.keyspace.transfer.exportlines import BadLine, ExportLine
from valkeyctl.ops.keyspace.transfer.multipart import Outcome, Parts
from valkeyctl.ops.keyspace.transfer.rebuild import (
    Building,
    NotRebuiltError,
    OutlivedError,
    Rebuilder,
)
from valkeyctl.ops.keyspace.transfer.restorelines import ExpiredError, Restoring

_BATCH = 1000
_BATCH_BYTES = 2 * 2**20
_OTHERS = 200
_UNDER_WAY = 2


@dataclass(eq=False)
class _UnderWay:
    """Lines that are on their way.

    Attributes:
        last: Number of the last line that is dealt with when these are.
        entries: How many.
        posted: The entries; None when there are none.
        refused: Those of the lines that cannot be stored.
    """

    last: int
    entries: int
    posted: Posted | None
    refused: list[tuple[Line, str]]


class RestoreRun:
    """One import: what is read, stored and confirmed so far.

    Args:
        writer: Stores entries.
        rebuilder: Stores everything else.
        restoring: Says what is stored, and where.
        rejects: Takes the lines that cannot be.
        elapsed_ms: Tells the ms since the export.
        replace: Whether to store over what is there.

    Attributes:
        entries: Stored.
        keys: Stored, that are no entries.
        existing: Left as they are.
        expired: Whose deadline is past.
        last: Number of the last line that need not be read again.
    """

    def __init__(
        self,
        writer: BulkWriter,
        rebuilder: Rebuilder,
        restoring: Restoring,
        rejects: Rejects,
        elapsed_ms: Callable[[], int],
        *,
        replace: bool,
    ) -> None:
        self.entries = 0
        self.keys = 0
        self.existing = 0
        self.expired = 0
        self.last = 1
        self._writer = writer
        self._rebuilder = rebuilder
        self._restoring = restoring
        self._rejects = rejects
        self._elapsed_ms = elapsed_ms
        self._parts = Parts(rebuilder, restoring, replace=replace)
        self._read = 1
        self._size = 0
        self._drafts: list[Draft] = []
        self._others: list[tuple[Building, ExportLine, Line]] = []
        self._refused: list[tuple[Line, str]] = []
        self._under_way: deque[_UnderWay] = deque()

    @property
    def restored(self) -> int:
        """Keys stored, entries included."""
        return self.entries + self.keys

    def take(self, block: Block, from_line: int) -> None:
        """Store what the lines of *block* say, or have it on its way."""
        self._restoring.elapsed_ms = self._elapsed_ms()
        draft = self._restoring.draft
        skipped = max(0, from_line - block.first)
        for number, item in enumerate(block.items[skipped:], block.first + skipped):
            if item is None:
                continue
            try:
                if isinstance(item, ExportLine) and item.namespace and not item.part:
                    self._drafts.append(draft(item))
                else:
                    self._take_other(item, block, number)
            except (ExpiredError, OutlivedError):
                self.expired += 1
            except (RecordError, NotRebuiltError, UsageError) as error:
                self._refused.append((block.line(number), str(error)))
        self._read = block.first + len(block.items) - 1
        self._size += block.size
        waiting = len(self._drafts) + len(self._others) + len(self._refused)
        if waiting >= _BATCH or self._size >= _BATCH_BYTES:
            self._send()

    def end(self) -> None:
        """Store the rest, and wait until all is stored."""
        self._put()
        self._miss("the file ends before its last part")
        self._send()
        self._settle(0)

    def give_up(self) -> None:
        """Remove what is built by half, if the server can still be asked."""
        with suppress(ValkeyctlError):
            self._parts.drop()

    def _miss(self, reason: str) -> None:
        """Refuse the key of which more lines were to come, if there is one."""
        first = self._parts.first
        try:
            self._parts.drop(reason)
        except RecordError as error:
            self._refused.append((Line(first or self._read, b"", 0), str(error)))

    def _take_other(self, item: ExportLine | BadLine, block: Block, number: int) -> None:
        """Take a line that is not a whole entry.

        Raises:
            RecordError, NotRebuiltError, UsageError: It cannot be stored.
            ExpiredError: Its deadline is past.
        """
        if isinstance(item, BadLine):
            raise RecordError(item)
        if item.part:
            if not self._parts.continues(item):
                self._miss("the parts after it are missing")
            match self._parts.take(item, number):
                case Outcome.ENTRY:
                    self.entries += 1
                case Outcome.KEY:
                    self.keys += 1
                case Outcome.EXISTING:
                    self.existing += 1
                case Outcome.EXPIRED:
                    self.expired += 1
            return
        if item.end:
            raise RecordError("the last line of an export, with more lines after it")
        building = self._rebuilder.begin(
            self._restoring.key(item), item.type, self._restoring.life_ms(item)
        )
        self._others.append((building, item, block.line(number)))
        if len(self._others) >= _OTHERS:
            self._put()

    def _put(self) -> None:
        """Store keys that are no entries."""
        others, self._others = self._others, []
        if not others:
            return
        outcomes = self._rebuilder.put([(building, item) for building, item, _ in others])
        for (_, _, line), outcome in zip(others, outcomes, strict=True):
            if isinstance(outcome, OutlivedError):
                self.expired += 1
            elif isinstance(outcome, NotRebuiltError):
                self._refused.append((line, str(outcome)))
            elif outcome:
                self.keys += 1
            else:
                self.existing += 1

    def _send(self) -> None:
        """Store what has gathered; of the entries, the last ones may stay on their way."""
        self._put()
        drafts, self._drafts = self._drafts, []
        refused, self._refused = self._refused, []
        self._size = 0
        # A key that is built by half has to be begun again.
        last = self._read if self._parts.first is None else self._parts.first - 1
        posted = self._writer.post(drafts) if drafts else None
        self._under_way.append(_UnderWay(last, len(drafts), posted, refused))
        self._settle(_UNDER_WAY - 1)

    def _settle(self, left: int) -> None:
        """Wait until no more than so many batches are on their way."""
        while len(self._under_way) > left:
            batch = self._under_way.popleft()
            if batch.posted is not None:
                skipped = len(self._writer.settle(batch.posted).skipped)
                self.entries += batch.entries - skipped
                self.existing += skipped
            for line, reason in batch.refused:
                self._rejects.add(line, reason)
            self._rejects.commit()
            self.last = batch.last
