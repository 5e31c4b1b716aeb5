"""Lines of CSV as entries to store.

The first line names the columns. A value in quotes may go on over several lines; its entry
has the number of the first of them. What cannot be read costs the line that it begins on
alone: the next one is tried anew.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from valkeyctl.caching.records import Line, RecordError, parse_json, parse_ttl
from valkeyctl.errors import UsageError
from valkeyctl.ops.keyspace.loading.batches import LONGEST_LINE, NOT_TAKEN, REFUSED, Batch, too_long
from valkeyctl.ops.keyspace.loading.drafts import Draft, Drafting
from valkeyctl.ops.keyspace.loading.source import Slice

_COLUMNS = ("namespace", "id", "value", "ttl", "tags")
_NEEDED = _COLUMNS[:3]
_BETWEEN_TAGS = "|"


def csv_batches(
    lines: Iterator[Slice], drafting: Drafting, *, from_line: int, json_values: bool
) -> Iterator[Batch]:
    """Yield what lines of CSV ask for.

    Args:
        lines: All of them, from the first.
        drafting: The rules.
        from_line: Entries that begin on a line before this one are passed over.
        json_values: Whether values are JSON instead of text.

    Raises:
        UsageError: The first line does not name its columns.
        FolderError: as *lines*.
    """
    rows = _Rows(lines)
    columns = _columns(rows.next())
    drafts: list[Draft] = []
    batch = Batch(0, 0, drafts)
    numbers: list[int] = []
    while (row := rows.next()) is not None:
        if row.number >= from_line and row.fields != []:
            try:
                drafts.append(_draft(row, columns, drafting, json_values))
                numbers.append(row.number)
            except REFUSED as error:
                batch.refused.append((row.line, str(error)))
        if rows.pause:
            batch.last, batch.read, batch.numbers = rows.number, rows.read, numbers
            yield batch
            drafts, numbers = [], []
            batch = Batch(0, 0, drafts)
    batch.last, batch.read, batch.numbers = rows.number, rows.read, numbers
    yield batch


class _Row(NamedTuple):
    """A record of CSV.

    Attributes:
        number: Of the line that it begins on, 1-based.
        fields: None where it cannot be read.
        line: Its text, to be refused.
        reason: Why it cannot be read.
    """

    number: int
    fields: list[str] | None
    line: Line
    reason: str = ""


class _TooLongError(Exception):
    """The line is longer than a line may be."""


class _Rows:
    """Finds the records in lines.

    Attributes:
        number: Last line that was taken, 1-based.
        read: Bytes of the source that are read with the last slice.
        pause: Whether all lines at hand are dealt with.
    """

    def __init__(self, lines: Iterator[Slice]) -> None:
        # The limit is the csv module's own, for all who use it; nobody else here does.
        csv.field_size_limit(LONGEST_LINE)
        self.number = 0
        self.read = 0
        self._lines = lines
        self._at_hand: deque[bytes] = deque()
        self._cut: Slice | None = None
        self._taken: list[bytes] = []
        self._size = 0
        self._reader = csv.reader(self._texts(), strict=True)

    @property
    def pause(self) -> bool:
        """Whether all lines at hand are dealt with."""
        return not self._at_hand

    def next(self) -> _Row | None:
        """Return the next record, empty for an empty line; None at the end."""
        self._taken.clear()
        self._size = 0
        number = self.number + 1
        try:
            fields: list[str] | None = next(self._reader, None)
            reason = ""
        except UnicodeDecodeError as error:
            fields, reason = None, f"byte {error.start + 1} is not UTF-8"
        except csv.Error as error:
            fields, reason = None, f"not CSV: {error}"
        except _TooLongError:
            fields, reason = None, ""
        if not self._taken:
            return None
        if fields is None:
            return self._given_up(number, reason)
        return _Row(number, fields, self._line(number))

    def _given_up(self, number: int, reason: str) -> _Row:
        """Return the line that the record begins on, and let the next one be tried anew."""
        self._reader = csv.reader(self._texts(), strict=True)
        if self._cut is not None and len(self._taken) == 1:
            line, reason = too_long(self._cut)
            self._cut = None
            return _Row(number, None, line, reason)
        self._at_hand.extendleft(reversed(self._taken[1:]))
        self.number = number
        del self._taken[1:]
        return _Row(number, None, self._line(number), reason or "not CSV: a quote is not closed")

    def _line(self, number: int) -> Line:
        raw = b"\n".join(self._taken).rstrip(b"\r")
        return Line(number, raw, len(raw) + 1)

    def _texts(self) -> Iterator[str]:
        while True:
            while not self._at_hand:
                part = next(self._lines, None)
                if part is None:
                    return
                self.read = part.read
                self._at_hand.extend(part.lines)
                self._cut = part if part.cut else None
            raw = self._at_hand.popleft()
            self.number += 1
            self._taken.append(raw)
            self._size += len(raw)
            if self._size > LONGEST_LINE or (self._cut is not None and not self._at_hand):
                raise _TooLongError
            yield raw.decode() + "\n"


def _columns(row: _Row | None) -> dict[str, int]:
    """Return where each column stands.

    Raises:
        UsageError: The first line does not say so.
    """
    hint = f"Name the columns in the first line: {','.join(_COLUMNS)}"
    if row is None:
        return {}
    if row.fields is None:
        raise UsageError(f"the first line of the CSV cannot be read: {row.reason}", hint=hint)
    names = [name.strip() for name in row.fields]
    for name in names:
        if name not in _COLUMNS or names.count(name) > 1:
            what = "twice" if name in _COLUMNS else "unknown"
            raise UsageError(f"the column {name[:40]!r} of the CSV is {what}", hint=hint)
    for name in _NEEDED:
        if name not in names:
            raise UsageError(f"the CSV has no column {name!r}", hint=hint)
    return {name: names.index(name) for name in names}


def _draft(row: _Row, columns: dict[str, int], drafting: Drafting, json_values: bool) -> Draft:
    if row.fields is None:
        raise RecordError(row.reason)
    fields: Sequence[str] = row.fields
    if len(fields) != len(columns):
        raise RecordError(f"{len(fields)} fields, where the first line names {len(columns)}")
    ttl = parse_ttl(fields[columns["ttl"]].strip() or None) if "ttl" in columns else None
    words = fields[columns["tags"]].strip() if "tags" in columns else ""
    tags = tuple(word.strip() for word in words.split(_BETWEEN_TAGS)) if words else ()
    namespace, id, value = (fields[columns[name]] for name in _NEEDED)  # noqa: A001
    if not json_values:
        return drafting.value(namespace, id, value, ttl, tags)
    raw = value.strip().encode()
    try:
        return drafting.json(namespace, id, msgspec.Raw(raw), ttl, tags)
    except NOT_TAKEN:
        return drafting.value(namespace, id, parse_json(raw), ttl, tags)
