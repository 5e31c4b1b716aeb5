"""Lines of any length from anything, while other work goes on."""

from __future__ import annotations

import asyncio
import os
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valkeyctl.caching.records import Line, read_lines
from valkeyctl.errors import FolderError, MissingError, UsageError
from valkeyctl.ops.keyspace.requests.source import lines, opened


async def read(source: BytesIO, longest: int = 100) -> list[Line]:
    """Return all lines of *source*."""
    return [line async for line in lines(source, longest=longest)]


@given(st.lists(st.sampled_from([b"\n", b"\r\n", b"a", b"bb", b"\xef\xbb\xbf", b"ccccccc"])))
def test_lines_are_those_that_warm_reads(parts: list[bytes]) -> None:
    """Numbers, sizes, line ends, byte order mark and the bound are the same."""
    text = b"".join(parts)

    found = asyncio.run(read(BytesIO(text), longest=6))

    assert [line.number for line in found] == list(range(1, len(found) + 1))
    assert sum(line.size for line in found) == len(text)
    expected = list(read_lines(BytesIO(text), longest=6))
    assert [line.number for line in found] == [line.number for line in expected]
    for one, other in zip(found, expected, strict=True):
        if not (one.too_long or other.too_long or one.raw.endswith(b"\r")):
            assert one.raw == other.raw.rstrip(b"\r")


async def test_a_file_is_read_line_by_line(tmp_path: Path) -> None:
    """Unbuffered, and longer than one piece."""
    path = tmp_path / "lines"
    path.write_bytes(b"".join(b"%d\n" % number for number in range(50_000)))

    with opened(path, None) as stream:
        numbers = [int(line.raw) async for line in lines(stream, longest=100)]

    assert numbers == list(range(50_000))


async def test_a_long_line_is_kept_as_far_as_it_may_be() -> None:
    """And the one after it is whole."""
    first, second = await read(BytesIO(b"x" * 1_000_000 + b"\nnext"))

    assert (first.too_long, len(first.raw), first.size) == (True, 100, 1_000_001)
    assert second == Line(2, b"next", 4)


async def test_a_slow_writer_keeps_nothing_else_waiting() -> None:
    """Between two lines of a pipe the loop turns to others."""
    reader, writer = os.pipe()
    turned = asyncio.Event()

    with os.fdopen(reader, "rb", buffering=0) as stream:
        found = lines(stream, longest=100)
        os.write(writer, b"one\ntw")
        first = await anext(found)
        second = asyncio.ensure_future(anext(found))
        asyncio.get_running_loop().call_soon(turned.set)
        await turned.wait()
        waiting = not second.done()
        os.write(writer, b"o\n")
        os.close(writer)

        assert waiting
        assert (first.raw, (await second).raw) == (b"one", b"two")
        assert [line async for line in found] == []


async def test_a_source_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    """Whether it is not there, is a folder, or would be overwritten."""
    path = tmp_path / "lines"
    with pytest.raises(MissingError, match="no file"), opened(path, None):
        pass
    with pytest.raises(FolderError, match="cannot be read"), opened(tmp_path, None) as stream:
        await anext(lines(stream, longest=10))
    path.write_text("{}\n")
    with pytest.raises(UsageError, match="would overwrite"), opened(path, path):
        pass
