"""Reading an export file, a block of lines at a time.

Blocks, not lines, are read and decoded at once: a loop of Python around every line would
cost more than all else.
"""

from __future__ import annotations

from collections.abc import Iterator

from valkeyctl.caching.records import Line
from valkeyctl.errors import UsageError
from valkeyctl.ops.keyspace.loading.source import Source
from valkeyctl.ops.keyspace.transfer.exportlines import (
    BadLine,
    ExportHeader,
    ExportLine,
    decode_lines,
    read_header,
)
from valkeyctl.units import format_size

__all__ = ["LONGEST_LINE", "BadLine", "Block", "ExportHeader", "ExportLine", "ExportReader"]

LONGEST_LINE = 16 * 2**20

_LONGEST_HEADER = 64 * 1024
_HEADER_BEGIN = b'\n{"valkeyctl_export":'
_ANOTHER = BadLine(
    "another export begins here; it is left out, for its keys may be another application's: "
    "import it on its own"
)


class Block:
    """Neighbouring lines.

    Attributes:
        first: Number of the first of them, 1-based.
        items: What each of them says; None for an empty one.
        size: Bytes that they take in the file, uncompressed.
    """

    __slots__ = ("_raw", "_split", "first", "items", "size")

    def __init__(self, first: int, raw: bytes, items: list[ExportLine | BadLine | None]) -> None:
        self.first = first
        self.items = items
        self.size = len(raw)
        self._raw = raw
        self._split: list[bytes] | None = None

    def line(self, number: int) -> Line:
        """Return line *number* of the file, to be refused."""
        if self._split is None:
            self._split = self._raw.split(b"\n")
        raw = self._split[number - self.first]
        return Line(number, raw.rstrip(b"\r"), len(raw) + 1)


class _LongLine(Block):
    """A line that is longer than a line may be; only its beginning is kept."""

    __slots__ = ("_line",)

    def __init__(self, number: int, beginning: bytes, size: int) -> None:
        reason = BadLine(f"longer than {format_size(LONGEST_LINE)}")
        super().__init__(number, b"", [reason])
        self.size = size
        self._line = Line(number, beginning, size, too_long=True)

    def line(self, number: int) -> Line:
        del number
        return self._line


class ExportReader:
    """Reads an export.

    Args:
        source: Opened, and at its beginning.

    Attributes:
        header: Its first line.
        end: Its last line, once it was read; None of a file that was cut off.
        last: Number of the last line that was read.

    Raises:
        UsageError: It is no export, or one of a newer valkeyctl.
        FolderError: It cannot be read.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._rest = b""
        self.end: ExportLine | None = None
        self.last = 1
        self._over = False
        self.header = self._header()

    def __iter__(self) -> Iterator[Block]:
        """Yield the lines after the first in blocks, in bounded memory.

        Where another export begins, in a file of several, they end.

        Raises:
            FolderError: The file cannot be read on.
        """
        pending: list[bytes] = []
        waiting = 0
        block, self._rest = self._rest or self._source.read(), b""
        while block and not self._over:
            # What was read last ends in the middle of a line but by chance.
            cut = block.rfind(b"\n") + 1
            if cut:
                yield self._block(b"".join((*pending, block[:cut])))
                pending, waiting = [block[cut:]], len(block) - cut
            else:
                pending.append(block)
                waiting += len(block)
                if waiting > LONGEST_LINE:
                    yield self._long_line(b"".join(pending))
                    pending, waiting = [], 0
            block = self._source.read()
        if waiting and not self._over:
            yield self._block(b"".join((*pending, b"\n")))

    @property
    def whole(self) -> bool:
        """Whether the file has its last line, and as many before it as that says."""
        # Its first and its last line are not among the lines that the last one counts.
        return self.end is not None and self.end.lines == self.last - 2

    def _block(self, raw: bytes) -> Block:
        first = self.last + 1
        cut = 0 if raw.startswith(_HEADER_BEGIN[1:]) else raw.find(_HEADER_BEGIN) + 1 or len(raw)
        self._over = cut < len(raw)
        items = decode_lines(raw[:cut]) if cut else []
        self.last += len(items)
        if items:
            final = items[-1]
            self.end = None
            if isinstance(final, ExportLine) and final.end:
                self.end = final
                items[-1] = None
        if self._over:
            items.append(_ANOTHER)
        return Block(first, raw, items)

    def _long_line(self, raw: bytes) -> Block:
        """Return the line of which *raw* is the beginning, and read past the rest of it."""
        size = len(raw)
        while piece := self._source.read():
            cut = piece.find(b"\n") + 1
            size += cut or len(piece)
            if cut:
                self._source.unread(piece[cut:])
                break
        self.last += 1
        self.end = None
        return _LongLine(self.last, raw[:LONGEST_LINE], size)

    def _header(self) -> ExportHeader:
        raw = b""
        while b"\n" not in raw and len(raw) <= _LONGEST_HEADER and (more := self._source.read()):
            raw += more
        first, _, self._rest = raw.partition(b"\n")
        header = read_header(first)
        if header is None:
            raise UsageError(
                f"{self._source.name} is no export: its first line is not an export's",
                hint="Load entries from lines of JSON or CSV with: valkeyctl keys warm",
            )
        return header
