"""Sources: every line has its number, every byte is accounted for, damage is told."""

from __future__ import annotations

import gzip
import io
import os
import random
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from valkeyctl.errors import FolderError, MissingError, UsageError
from valkeyctl.ops.keyspace.loading.source import Slice, Source, slices


class Trickle(io.BytesIO):
    """A stream that gives a few bytes at a time, as a pipe does."""

    def read1(self, size: int | None = -1, /) -> bytes:
        del size
        return super().read1(3)


def read(source: Source, most: int = 1000, longest: int = 1000) -> list[Slice]:
    """Return all slices of *source*."""
    return list(slices(source, most=most, longest=longest))


def lines_of(content: bytes) -> list[bytes]:
    """Return the lines of a compressed or plain file with this content."""
    with Source(io.BytesIO(content)) as source:
        return [line for part in read(source) for line in part.lines]


@given(
    lines=st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"").strip(b"\0"))),
    end=st.booleans(),
    most=st.integers(1, 5),
    trickle=st.booleans(),
)
def test_every_line_has_its_number_and_every_byte_is_counted(
    lines: list[bytes], end: bool, most: int, trickle: bool
) -> None:
    """However the bytes arrive, and however many lines are asked for at once."""
    text = b"first\n" + b"\n".join(lines).replace(b"\0", b"") + (b"\n" if end else b"")
    expected = text.split(b"\n")
    if not expected[-1]:
        del expected[-1]

    with Source((Trickle if trickle else io.BytesIO)(text)) as source:
        parts = read(source, most)

    found = {part.first + n: line for part in parts for n, line in enumerate(part.lines)}
    assert found == dict(enumerate(expected, 1))
    assert all(part.count <= most and part.cut == 0 for part in parts)
    read_up_to = 0
    for part in parts:
        read_up_to += len(part.text)
        assert part.read == read_up_to
    assert read_up_to == len(text)


@pytest.mark.parametrize("make", [io.BytesIO, Trickle])
def test_a_line_that_is_too_long_costs_no_neighbour(make: type[io.BytesIO]) -> None:
    """Its beginning is given with its number; the numbers after it are right."""
    long = b"x" * 600_000
    with Source(make(b"one\n" + long + b"\ntwo\n" + b"y" * 11 + b"\nthree")) as source:
        parts = read(source, longest=10)

    found = [(part.first, part.text.rstrip(b"\n"), part.cut > 0) for part in parts]
    whole = [entry for entry in found if not entry[2]]
    cut = [entry for entry in found if entry[2]]
    assert [(number, text) for number, text, _ in cut] == [(2, b"x" * 10), (4, b"y" * 10)]
    assert {number for number, _, _ in whole} == {1, 3, 5}
    assert parts[-1].read == 600_000 + 25


def test_a_byte_order_mark_is_no_content_but_counts() -> None:
    """Progress ends at the size of the file."""
    with Source(io.BytesIO(b"\xef\xbb\xbf{}\r\nlast")) as source:
        parts = read(source)

    assert [line for part in parts for line in part.lines] == [b"{}\r", b"last"]
    assert parts[-1].read == 11


def test_what_comes_after_a_line_keeps_its_numbers() -> None:
    """A slice without the lines that a resumed run passes over."""
    part = Slice(5, 3, b"a\nb\nc\n", 60)

    assert (part.after(6).first, part.after(6).lines) == (7, [b"c"])
    assert (part.after(7).first, part.after(7).last, part.after(7).lines) == (8, 7, [])
    assert part.after(4) is part


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_compressed_files_are_read_to_their_end(compress: object, tmp_path: Path) -> None:
    """One stream or several, with progress by the bytes of the file."""
    assert callable(compress)
    lines = [f"{number} {random.random()}".encode() for number in range(60_000)]
    halves = [b"\n".join(lines[:40_000]) + b"\n", b"\n".join(lines[40_000:])]
    path = tmp_path / "lines"
    path.write_bytes(b"".join(compress(half) for half in halves))

    with Source(path) as source:
        parts = read(source)

    assert [line for part in parts for line in part.lines] == lines
    assert parts[-1].read == path.stat().st_size == source.size
    assert parts[0].read < parts[-1].read


@pytest.mark.parametrize(
    "compress", [gzip.compress, zstandard.ZstdCompressor(write_checksum=True).compress]
)
def test_a_compressed_file_that_was_cut_off_is_told(compress: object) -> None:
    """What is whole of it is read first."""
    assert callable(compress)
    whole = compress(random.Random(1).randbytes(300_000).replace(b"\0", b"x"))

    for cut in (len(whole) - 1, len(whole) // 2, 12):
        with pytest.raises(FolderError, match="damaged or cut off"):
            lines_of(whole[:cut])
    with pytest.raises(FolderError, match="damaged"):
        lines_of(whole[:5000] + b"?" * 50 + whole[5050:])


def test_zeros_behind_gzip_are_a_tapes_padding() -> None:
    """And no member."""
    assert lines_of(gzip.compress(b"a\nb") + bytes(500)) == [b"a", b"b"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"REDIS0011\xfa", "a dump of a server"),
        (b"VALKEY080\xfa", "a dump of a server"),
        (b"PK\x03\x04", "an archive"),
        (b"\x7fELF\0\0", "NUL bytes"),
        ("ä".encode("utf-16"), "no file of lines|nothing"),
    ],
)
def test_a_file_without_lines_is_told_at_once(content: bytes, what: str, tmp_path: Path) -> None:
    """Instead of a million lines that are refused."""
    path = tmp_path / "file"
    path.write_bytes(content + b"\0")

    with pytest.raises(UsageError, match=what):
        Source(path).__enter__()


def test_what_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    """A folder, a file that is not there, and one of somebody else."""
    hidden = tmp_path / "hidden"
    hidden.write_text("{}")
    hidden.chmod(0)

    with pytest.raises(FolderError, match="cannot be read"):
        Source(tmp_path).__enter__()
    with pytest.raises(MissingError, match="no file"):
        Source(tmp_path / "gone").__enter__()
    if os.geteuid():
        with pytest.raises(FolderError, match="Permission denied"):
            Source(hidden).__enter__()


def test_zstd_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which a plain installation has not."""
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)

    with pytest.raises(MissingError, match="zstandard") as caught:
        lines_of(b"\x28\xb5\x2f\xfd")

    assert "valkeyctl[compression]" in str(caught.value.hint)
