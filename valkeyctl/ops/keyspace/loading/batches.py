"""The lines of a source as entries to store, some at once: JSON, CSV or an export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import msgspec

from valkeyctl.caching.codec import ALWAYS_FRESH
from valkeyctl.caching.records import LONGEST_TTL, Line, RecordError, parse_record
from valkeyctl.errors import UsageError
from valkeyctl.ops.keyspace.loading.drafts import Draft, Drafting, Life
from valkeyctl.ops.keyspace.loading.source import Slice, Source, slices
from valkeyctl.ops.keyspace.loading.stretch import Stretch, Stretches
from valkeyctl.units import format_size

if TYPE_CHECKING:
    from valkeyctl.ops.keyspace.transfer.exportlines import ExportLine

LONGEST_LINE = 16 * 2**20


class Format(StrEnum):
    """What the lines of a source are."""

    JSON = "json"
    CSV = "csv"
    EXPORT = "export"


@dataclass(eq=False)
class Batch:
    """What some neighbouring lines ask for.

    Attributes:
        last: Number of the last of them, 1-based.
        read: Bytes of the source that are read with it.
        drafts: The entries, in their order.
        numbers: The line of each.
        refused: The lines that ask for none, with the reason.
    """

    last: int
    read: int
    drafts: Sequence[Draft] = ()
    numbers: Sequence[int] = ()
    refused: list[tuple[Line, str]] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Of the values of its entries, and of the lines that ask for none."""
        drafts = self.drafts
        if isinstance(drafts, Stretch):  # which need not be made into a million drafts
            held = drafts.bytes
        else:
            held = sum(len(draft.data) for draft in drafts)
        return held + sum(len(line.raw) for line, _ in self.refused)


def batches(
    source: Source,
    drafting: Drafting,
    form: Format,
    *,
    most: int,
    from_line: int = 1,
    json_values: bool = False,
    replace: bool = False,
) -> Iterator[Batch]:
    """Yield what the lines of *source* ask for.

    Args:
        source: Opened.
        drafting: The rules.
        form: What its lines are.
        most: Lines in one batch.
        from_line: Lines before this one are passed over; batches of them are empty.
        json_values: Whether the values of CSV are JSON instead of text.
        replace: Whether they are to be stored over what is there and fresh, too.

    Raises:
        FolderError: The source cannot be read on, or is damaged.
        UsageError: The first line of CSV does not name its columns.
    """
    lines = slices(source, most=most, longest=LONGEST_LINE)
    if form is Format.CSV:
        from valkeyctl.ops.keyspace.loading.csvlines import csv_batches  # most files are not

        return csv_batches(lines, drafting, from_line=from_line, json_values=json_values)
    if form is Format.EXPORT:
        stretches = Stretches(drafting, replace=replace)
        before = max(from_line - 1, 1)
        return (_exported(part.after(before), drafting, stretches) for part in lines)
    return (_asked(part.after(from_line - 1), drafting) for part in lines)


def detected(source: Source) -> Format:
    """Return what the lines of *source* are, by its name and its beginning.

    Raises:
        UsageError: It is an export that this valkeyctl cannot read.
        FolderError: It cannot be read.
    """
    beginning = source.peek().lstrip(b"\xef\xbb\xbf \t\r\n")
    if beginning.startswith(b"{"):
        from valkeyctl.ops.keyspace.transfer.exportlines import read_header

        first = beginning.partition(b"\n")[0]
        return Format.JSON if read_header(first) is None else Format.EXPORT
    name = source.name.removesuffix(".gz").removesuffix(".zst").lower()
    columns = beginning.partition(b"\n")[0].replace(b'"', b"").strip().split(b",")
    if name.endswith(".csv") or {b"namespace", b"id"} <= set(columns):
        return Format.CSV
    return Format.JSON


class _Asked(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A line of JSON; what it cannot take, `parse_record` may, or says why not."""

    namespace: str
    id: str
    value: msgspec.Raw
    ttl: int | float | None = None
    tags: tuple[str, ...] | None = None


class _Restored(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """An ordinary line of an export; `exportlines` has the others."""

    namespace: str
    id: str
    value: msgspec.Raw
    created_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    ttl_ms: Annotated[int, msgspec.Meta(ge=1, le=int(LONGEST_TTL) * 1000)] | None = None
    fresh_ms: Annotated[int, msgspec.Meta(ge=0, le=ALWAYS_FRESH)] = ALWAYS_FRESH
    cost_ms: Annotated[int, msgspec.Meta(ge=0, le=ALWAYS_FRESH)] = 0
    tags: tuple[str, ...] = ()


_asking = msgspec.json.Decoder(_Asked)
_restoring = msgspec.json.Decoder(_Restored)
# What msgspec says to JSON that it does not take. The last: nested some hundred deep.
NOT_TAKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
REFUSED = (RecordError, UsageError)


def _asked(part: Slice, drafting: Drafting) -> Batch:
    """Return what lines of JSON ask for."""
    drafts: list[Draft] = []
    batch = Batch(part.last, part.read, drafts)
    if part.cut:
        batch.refused.append(too_long(part))
        return batch
    draft, store = drafting.json, drafts.append
    reason = ""
    try:
        for asked in _at_once(part):
            ttl = asked.ttl
            if ttl is not None and not 0 < ttl <= LONGEST_TTL:
                break
            store(draft(asked.namespace, asked.id, asked.value, ttl, asked.tags))
    except NOT_TAKEN:
        pass  # the line that it is, and those after it, are dealt with below
    except REFUSED as error:
        reason = str(error)
    done = len(drafts)
    numbers = range(part.first, part.first + done)
    if done == part.count:
        batch.numbers = numbers
        return batch
    loaded = [*numbers]
    for number, raw in enumerate(part.lines[done:], part.first + done):
        if reason:  # known already, and a long value need not be decoded again for it
            batch.refused.append((_line(number, raw), reason))
            reason = ""
            continue
        if not raw or raw.isspace():
            continue
        try:
            store(_carefully(raw, drafting))
        except REFUSED as error:
            batch.refused.append((_line(number, raw), str(error)))
        else:
            loaded.append(number)
    batch.numbers = loaded
    return batch


def _at_once(part: Slice) -> Sequence[_Asked]:
    """Return what the lines of *part* are, if each is an object of its own; else nothing.

    Raises:
        msgspec.MsgspecError: One of them is none.
    """
    text = part.text
    if text[:1] != b"{" or text.count(b"}\n{") != part.count - 1:
        return ()
    found = _asking.decode_lines(text)
    return found if len(found) == part.count else ()


def _carefully(raw: bytes, drafting: Drafting) -> Draft:
    """Return the entry of one line, by the standard library where msgspec takes it not."""
    try:
        asked = _asking.decode(raw)
        ttl = asked.ttl
        if ttl is None or 0 < ttl <= LONGEST_TTL:
            return drafting.json(asked.namespace, asked.id, asked.value, ttl, asked.tags)
    except NOT_TAKEN:
        pass
    record = parse_record(raw.rstrip(b"\r"))
    return drafting.value(record.namespace, record.id, record.value, record.ttl, record.tags)


def _exported(part: Slice, drafting: Drafting, stretches: Stretches) -> Batch:
    """Return what lines of an export ask for."""
    drafts: list[Draft] = []
    batch = Batch(part.last, part.read, drafts)
    if part.cut:
        batch.refused.append(too_long(part))
        return batch
    if (alike := stretches.find(part.text, part.count)) is not None:
        batch.drafts = alike
        batch.numbers = range(part.first, part.first + part.count)
        return batch
    draft, store = drafting.json, drafts.append
    try:
        lines = _restoring.decode_lines(part.text)
        if len(lines) == part.count:
            for line in lines:
                life = Life(line.ttl_ms or 0, line.fresh_ms, line.created_ms, line.cost_ms)
                store(draft(line.namespace, line.id, line.value, life, line.tags))
    except (*NOT_TAKEN, *REFUSED):
        pass  # the line that has none is dealt with below, and those after it
    done = len(drafts)
    numbers = range(part.first, part.first + done)
    if done == part.count:
        batch.numbers = numbers
        return batch
    batch.numbers = numbers
    _restore(part, drafts, batch, drafting)
    return batch


def _restore(part: Slice, drafts: list[Draft], batch: Batch, drafting: Drafting) -> None:
    """Add to *drafts*, those of *batch*, what the lines ask for after as many as they are."""
    from valkeyctl.ops.keyspace.transfer.exportlines import BadLine, decode_lines

    done = len(drafts)
    text = b"\n".join(part.lines[done:]) if done else part.text
    raws: list[bytes] = []
    numbers = [*batch.numbers]
    items = decode_lines(text if text.endswith(b"\n") else text + b"\n")
    for number, item in enumerate(items, part.first + done):
        if item is None:
            continue
        reason = str(item) if isinstance(item, BadLine) else _restored(item, drafts, drafting)
        if reason:
            # Not before: of a long line a copy less is there while it is decoded.
            raws = raws or part.lines
            batch.refused.append((_line(number, raws[number - part.first]), reason))
        elif len(drafts) > len(numbers):
            numbers.append(number)
    batch.numbers = numbers


def _restored(line: ExportLine, drafts: list[Draft], drafting: Drafting) -> str:
    """Add what *line* asks for to *drafts*; return why that cannot be, or nothing."""
    if not line.end:
        try:
            drafts.append(drafting.exported(line))
        except REFUSED as error:
            return str(error)
    return ""


def too_long(part: Slice) -> tuple[Line, str]:
    """Return the only line of *part*, refused."""
    line = Line(part.first, part.text, len(part.text) + part.cut, too_long=True)
    return line, f"longer than {format_size(LONGEST_LINE)}"


def _line(number: int, raw: bytes) -> Line:
    return Line(number, raw.rstrip(b"\r"), len(raw) + 1)
