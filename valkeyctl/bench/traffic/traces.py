"""Recorded traces, read line by line, plain or packed with gzip.

- Mooncake (FAST'25): JSON lines with ``timestamp`` (ms), ``input_length`` and
  ``output_length`` (tokens) and ``hash_ids``, the ids of the prompt's 512-token blocks.
- Azure LLM inference 2023 (Splitwise): CSV of ``TIMESTAMP,ContextTokens,GeneratedTokens``.
  It says nothing about what a prompt was.
- CSV with a header, and JSON lines, whose columns `columns` names.

A trace with times can be replayed; one that says what each request was about has a hit
ratio. Some have only the one or only the other.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, TypeAlias, get_args

from valkeyctl.bench.traffic.rows import (
    AZURE_HEADER,
    Parse,
    Row,
    azure,
    csv_rows,
    json_rows,
    mooncake,
    why,
)
from valkeyctl.errors import FolderError, UsageError

__all__ = ["AZURE_HEADER", "Access", "Record", "read_accesses", "read_keys", "read_trace"]

View: TypeAlias = Literal["requests", "blocks"]

FORMATS = (
    f"Give JSON lines as Mooncake's, a CSV that begins with {AZURE_HEADER}, or a CSV or JSON "
    "lines with columns time, key or both: docs/reference/scenario.md"
)
_LONGEST_LINE = 8 * 2**20
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Record:
    """One recorded request.

    Attributes:
        arrival: Seconds after the first one, as recorded; never less than the one before.
            0 throughout a trace without times.
        input_tokens: Length of the prompt; None when the trace does not say.
        output_tokens: Length of the answer, likewise.
        identity: Equal for equal prompts or keys; None when the trace does not say.
        size: Bytes of the value; None when the trace does not say.
    """

    arrival: float
    input_tokens: int | None
    output_tokens: int | None
    identity: str | None
    size: int | None = None

    def sizes(self) -> dict[str, int]:
        """Return what the trace says of sizes, by the names of a scenario's placeholders."""
        known = {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "size": self.size,
        }
        return {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Access:
    """One access to a cache.

    Attributes:
        time: Seconds after the first one; None in a trace without times.
        key: What is accessed.
        size: Bytes of its value; None when the trace does not say.
    """

    time: float | None
    key: str
    size: int | None


def read_trace(path: Path) -> Iterator[Record]:
    """Yield the records of the trace at *path* in order, holding one line at a time.

    Raises:
        UsageError: It has no times; or a line is not of the format, which names file and
            line. So does an empty file, and a time that goes back.
        FolderError: The file cannot be read.
    """
    for number, record, time in _records(path):
        if time is None:
            raise UsageError(
                f"{path}:{number}: has no time, so nothing says when its requests arrive",
                hint="Take its keys alone: keys: {popularity: trace, trace: FILE} in a scenario",
            )
        yield record


def read_keys(path: Path) -> Iterator[Record]:
    """Yield the records of the trace at *path* in order, whether or not it has times.

    Raises:
        UsageError: It does not say what was asked for; or as `read_trace`.
        FolderError: The file cannot be read.
    """
    for number, record, _ in _records(path):
        if record.identity is None:
            raise UsageError(
                f"{path}:{number}: does not say what was asked for, so it has no keys",
                hint="Replay its arrivals with --trace, or give a trace with keys",
            )
        yield record


def read_accesses(path: Path, *, view: View = "requests") -> Iterator[Access]:
    """Yield what the trace at *path* asks a cache for, in order.

    Args:
        path: A trace that says what was asked for.
        view: ``requests``: each is one access, to the whole of it; ``blocks``: one to each
            512-token block of a prompt, as a cache of contexts sees Mooncake's.

    Raises:
        UsageError: It does not say what was asked for, or has no blocks; or as `read_trace`.
        FolderError: The file cannot be read.
    """
    if view not in get_args(View):
        raise UsageError(f"the view is {view!r}", hint=f"Give {' or '.join(get_args(View))}")
    for number, record, time, blocks in _rows(path):
        if view == "requests":
            if record.identity is None:
                raise UsageError(
                    f"{path}:{number}: does not say what was asked for, so no hit ratio can "
                    "come from it",
                    hint="Give a trace with keys, or Mooncake's with its hash_ids",
                )
            yield Access(None if time is None else record.arrival, record.identity, record.size)
            continue
        if blocks is None:
            raise UsageError(
                f"{path}:{number}: has no blocks",
                hint="Look at its requests, or give Mooncake's trace with its hash_ids",
            )
        for block in blocks:
            yield Access(record.arrival, str(block), None)


def _records(path: Path) -> Iterator[tuple[int, Record, float | None]]:
    for number, record, time, _ in _rows(path):
        yield number, record, time


def _rows(path: Path) -> Iterator[tuple[int, Record, float | None, list[int] | None]]:
    """Yield line number, record, its time as written, and its blocks."""
    first: float | None = None
    previous = 0.0
    number = 0
    for number, row in _parsed(path):
        if row.time is not None:
            first = row.time if first is None else first
            if row.time - first < previous:
                raise _wrong(path, number, "its time lies before that of the line above")
            previous = row.time - first
        elif first is not None:
            raise _wrong(path, number, "has no time, and the lines above have")
        yield (
            number,
            Record(previous, row.input_tokens, row.output_tokens, row.identity, row.size),
            row.time,
            row.blocks,
        )
    if not number:
        raise UsageError(f"{path}: holds no request", hint=FORMATS)


def _parsed(path: Path) -> Iterator[tuple[int, Row]]:
    parse: Parse | None = None
    with _opened(path) as lines:
        for number, line in enumerate(_lines(path, lines), start=1):
            text = line.strip()
            if not text:
                continue
            try:
                if parse is None:
                    parse = _format_of(text)
                    if not text.startswith("{"):
                        continue  # it was the header
                row = parse(text)
            except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
                raise _wrong(path, number, why(error)) from error
            yield number, row


def _format_of(text: str) -> Parse:
    """Return what reads the lines of a trace whose first line is *text*.

    Raises:
        ValueError: It is of no known format.
    """
    if text.startswith("{"):
        return mooncake if '"hash_ids"' in text else json_rows(text)
    return azure if text == AZURE_HEADER else csv_rows(text)


def _lines(path: Path, lines: IO[bytes]) -> Iterator[str]:
    # Bounded, for the path may be a device, or no text at all.
    while line := lines.readline(_LONGEST_LINE + 1):
        if len(line) > _LONGEST_LINE:
            raise UsageError(f"{path}: has a line of more than {_LONGEST_LINE:,} bytes")
        yield line.decode("utf-8-sig")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as raw:
            packed = raw.peek(2)[:2] == _GZIP
            with gzip.open(raw) if packed else raw as lines:
                yield lines  # type: ignore[misc]  # both read bytes
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UsageError(
            f"{path}: is damaged: {error}", hint="Unpack it to see: gzip -t"
        ) from error
    except OSError as error:
        raise FolderError(
            f"{path}: cannot be read: {error.strerror or error}",
            hint="Check the path of the trace",
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not text: {error.reason}", hint=FORMATS) from error


def _wrong(path: Path, number: int, text: str) -> UsageError:
    return UsageError(f"{path}:{number}: {text}", hint=FORMATS)
