"""Reading an export, whatever somebody has done to the file."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest

from valkeyctl.caching.codec import JSON, TEXT
from valkeyctl.errors import UsageError
from valkeyctl.ops.keyspace.loading.source import Source
from valkeyctl.ops.keyspace.transfer.exportfile import LONGEST_LINE, Block, ExportReader
from valkeyctl.ops.keyspace.transfer.exportlines import BadLine, ExportLine, payload_of, read_header

HEADER = (
    b'{"valkeyctl_export":1,"app":"shop","namespace":null,"exported_at":"2026-01-02T03:04:05Z"}\n'
)
ENTRY = b'{"namespace":"metadata","id":"k%d","value":{"n":1},"created_ms":5}\n'


def read(data: bytes) -> tuple[ExportReader, list[Block]]:
    """Return an export's reader at its end, and its blocks."""
    with Source(io.BytesIO(data)) as source:
        reader = ExportReader(source)
        return reader, list(reader)


def end(lines: int) -> bytes:
    """Return the last line of an export of so many."""
    return b'{"end":true,"lines":%d,"entry_count":%d}\n' % (lines, lines)


def test_lines_come_with_their_numbers() -> None:
    """The header is line 1; the last line is no item."""
    reader, blocks = read(HEADER + ENTRY % 1 + ENTRY % 2 + end(2))

    (block,) = blocks
    assert block.first == 2
    assert [item.id for item in block.items if isinstance(item, ExportLine)] == ["k1", "k2"]
    assert block.items[-1] is None
    assert block.line(3).raw == (ENTRY % 2).rstrip()
    assert reader.whole
    assert reader.header.exported_ms == 1_767_323_045_000


def test_many_lines_keep_their_numbers_from_block_to_block() -> None:
    """However the blocks are cut."""
    reader, blocks = read(HEADER + b"".join(ENTRY % n for n in range(20_000)) + end(20_000))

    assert len(blocks) > 1
    numbered = [
        (number, item.id)
        for block in blocks
        for number, item in enumerate(block.items, block.first)
        if isinstance(item, ExportLine)
    ]
    assert numbered == [(n + 2, f"k{n}") for n in range(20_000)]
    assert reader.whole


@pytest.mark.parametrize(
    "data",
    [
        HEADER,
        HEADER + ENTRY % 1,
        HEADER + (ENTRY % 1)[:-20],
        HEADER + ENTRY % 1 + end(2),
        HEADER + ENTRY % 1 + end(1) + ENTRY % 2,
    ],
    ids=["header", "no end", "half a line", "a line removed", "lines after the end"],
)
def test_a_file_that_was_cut_is_not_whole(data: bytes) -> None:
    """Without its last line, or without as many as that says."""
    reader, _ = read(data)

    assert not reader.whole


def test_empty_and_bad_lines_leave_the_others_alone() -> None:
    """Each bad one says why."""
    bad = (
        b"\n{]\n\r\n"
        b'{"namespace":"m","id":"k","value":1,"colour":"red"}\n'
        b'{"namespace":"m","id":"k","value":1,"ttl_ms":0}\n'
        b'{"namespace":"m","id":"\xff","value":1}\n'
    )

    _, (block,) = read(HEADER + ENTRY % 1 + bad + ENTRY % 2 + end(8))

    items = dict(enumerate(block.items, block.first))
    assert [number for number, item in items.items() if item is None] == [3, 5, 10]
    reasons = {number: str(item) for number, item in items.items() if isinstance(item, BadLine)}
    assert "not JSON" in reasons[4]
    assert "unknown field `colour`" in reasons[6]
    assert "`int` >= 1" in reasons[7]
    assert "not UTF-8" in reasons[8]
    assert isinstance(items[9], ExportLine)


def test_a_line_longer_than_memory_is_refused_and_the_next_one_read() -> None:
    """Only its beginning is kept."""
    long = b'{"namespace":"m","id":"k","value":"' + b"x" * (LONGEST_LINE + 2**20) + b'"}\n'

    _, blocks = read(HEADER + ENTRY % 1 + long + ENTRY % 2 + end(3))

    items = [
        (number, item) for block in blocks for number, item in enumerate(block.items, block.first)
    ]
    assert [type(item) for _, item in items if item is not None] == [
        ExportLine,
        BadLine,
        ExportLine,
    ]
    refused = next(block for block in blocks if isinstance(block.items[0], BadLine))
    line = refused.line(3)
    assert (line.number, line.size, line.too_long) == (3, len(long), True)
    assert len(line.raw) == LONGEST_LINE


@pytest.mark.parametrize("count", [1, 20_000])
def test_an_export_behind_another_is_left_out(count: int) -> None:
    """Its entries must not be stored as those of the first one's application."""
    first = HEADER + b"".join(ENTRY % n for n in range(count)) + end(count)

    reader, blocks = read(first + HEADER.replace(b"shop", b"desk") + ENTRY % count + end(1))

    items = [item for block in blocks for item in block.items if item is not None]
    assert len(items) == count + 1
    assert isinstance(items[-1], BadLine)
    assert "another export begins here" in items[-1]
    assert blocks[-1].line(count + 3).raw.startswith(b'{"valkeyctl_export":1,"app":"desk"')
    assert reader.whole


def test_an_export_of_a_newer_valkeyctl_is_one_sentence() -> None:
    """It names both formats."""
    with pytest.raises(UsageError, match="has format 2, and this valkeyctl reads format 1"):
        read_header(HEADER.replace(b":1", b":2", 1))


def test_a_header_that_is_none_is_one_sentence() -> None:
    """The word alone does not make an export."""
    with pytest.raises(UsageError, match="the first line of the export cannot be read"):
        read_header(b'{"valkeyctl_export":1,"app":7}')


def test_lines_to_warm_with_are_no_export() -> None:
    """And the hint names the command that takes them."""
    with pytest.raises(UsageError, match="is no export") as failed:
        read(ENTRY % 1)

    assert "keys warm" in str(failed.value.hint)


@pytest.mark.parametrize("suffix", ["zst", "gz"])
def test_a_compressed_export_reads_like_a_plain_one(tmp_path: Path, suffix: str) -> None:
    """By its first bytes, not by its name."""
    import gzip

    import zstandard

    data = HEADER + b"".join(ENTRY % n for n in range(1000)) + end(1000)
    squeeze = zstandard.ZstdCompressor().compress if suffix == "zst" else gzip.compress

    reader, blocks = read(squeeze(data))

    assert sum(len(block.items) for block in blocks) == 1001
    assert reader.whole


def test_a_value_is_given_back_byte_for_byte() -> None:
    """JSON as it stands on the line, spaces and order included; a string as its text."""
    line = msgspec.json.decode(
        b'{"namespace":"m","id":"k","value": {"b" : 1,"a":1e3} }', type=ExportLine
    )
    text = msgspec.json.decode(b'{"namespace":"m","id":"k","value":"\\u00e9"}', type=ExportLine)

    assert payload_of(line) == (JSON, 0, b'{"b" : 1,"a":1e3}')
    assert payload_of(text) == (TEXT, 0, "é".encode())


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (b"", "'value' or 'data' is missing"),
        (b',"data":"AAAA"', "'encoding' is missing"),
        (b',"value":["\xff"]', "utf-8"),
    ],
)
def test_an_entry_without_a_usable_value_says_why(fields: bytes, reason: str) -> None:
    """For the rejects file."""
    line = msgspec.json.decode(b'{"namespace":"m","id":"k"%b}' % fields, type=ExportLine)

    with pytest.raises(ValueError, match=reason):
        payload_of(line)
