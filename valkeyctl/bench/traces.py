"""Recorded request traces, read line by line in the formats they are published in.

- Mooncake (FAST'25): JSON lines with ``timestamp`` (ms), ``input_length`` and
  ``output_length`` (tokens) and ``hash_ids``, the ids of the prompt's 512-token blocks.
- Azure LLM inference 2023 (Splitwise): CSV of ``TIMESTAMP,ContextTokens,GeneratedTokens``.
  It says nothing about what a prompt was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path

from valkeyctl.errors import FolderError, UsageError

AZURE_HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
_FORMATS = f"Give JSON lines as Mooncake's, or a CSV that begins with {AZURE_HEADER}"


@dataclass(frozen=True, slots=True)
class Record:
    """One recorded request.

    Attributes:
        arrival: Seconds after the first one, as recorded; never less than the one before.
        input_tokens: Length of the prompt.
        output_tokens: Length of the answer.
        identity: Equal for equal prompts; None when the trace does not say.
    """

    arrival: float
    input_tokens: int
    output_tokens: int
    identity: str | None


def read_trace(path: Path) -> Iterator[Record]:
    """Yield the records of the trace at *path* in order, holding one line at a time.

    Raises:
        UsageError: A line is not of the format; names file and line. So does an empty
            file, and a time that goes back.
        FolderError: The file cannot be read.
    """
    first: float | None = None
    previous = 0.0
    for number, time, record in _timed(path):
        first = time if first is None else first
        if time - first < previous:
            raise _wrong(path, number, "its time lies before that of the line above")
        previous = time - first
        yield Record(previous, record.input_tokens, record.output_tokens, record.identity)
    if first is None:
        raise UsageError(f"{path}: holds no request", hint=_FORMATS)


def _timed(path: Path) -> Iterator[tuple[int, float, Record]]:
    """Yield line number, absolute time in seconds, and the record without an arrival."""
    parse = None
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                text = line.strip()
                if not text:
                    continue
                if parse is None:
                    if text.startswith("{"):
                        parse = _mooncake
                    elif text == AZURE_HEADER:
                        parse = _azure
                        continue
                    else:
                        raise _wrong(path, number, "is of no known trace format")
                try:
                    time, record = parse(text)
                except (KeyError, TypeError, ValueError, OverflowError) as error:
                    raise _wrong(path, number, _why(error)) from error
                yield number, time, record
    except OSError as error:
        raise FolderError(
            f"{path}: cannot be read: {error.strerror or error}",
            hint="Check the path given to --trace",
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not text: {error.reason}", hint=_FORMATS) from error


def _mooncake(line: str) -> tuple[float, Record]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise TypeError("is not a JSON object")
    blocks = row["hash_ids"]
    if not isinstance(blocks, list) or not all(type(block) is int for block in blocks):
        raise TypeError("hash_ids is not a list of whole numbers")
    time = row["timestamp"]
    if isinstance(time, bool) or not isinstance(time, (int, float)):
        raise TypeError("timestamp is not a number")
    if not -1e15 < time < 1e15:
        raise ValueError("timestamp is out of range")
    # A digest, since a long prompt has hundreds of blocks and only equality matters.
    identity = blake2b(",".join(map(str, blocks)).encode(), digest_size=16).hexdigest()
    sizes = (_length(row["input_length"]), _length(row["output_length"]))
    return time / 1000, Record(0.0, *sizes, identity)


def _azure(line: str) -> tuple[float, Record]:
    fields = line.split(",")
    if len(fields) != 3:
        raise ValueError(f"has {len(fields)} fields instead of 3")
    stamp, dot, fraction = fields[0].partition(".")
    if dot and not (fraction.isascii() and fraction.isdigit()):
        raise ValueError(f"TIMESTAMP {fields[0]!r} is no time")
    # Ten-million parts of a second, one digit more than datetime holds.
    time = (datetime.fromisoformat(stamp) - datetime(2000, 1, 1)).total_seconds()
    sizes = (_length(int(fields[1])), _length(int(fields[2])))
    return time + float(f"0.{fraction or 0}"), Record(0.0, *sizes, None)


def _length(value: object) -> int:
    if type(value) is not int or not 0 <= value <= 2**31:
        raise ValueError(f"{value!r} is no number of tokens")
    return value


def _why(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"has no {error.args[0]}"
    if isinstance(error, json.JSONDecodeError):
        return f"is not JSON: {error.msg} at column {error.colno}"
    return str(error)


def _wrong(path: Path, number: int, text: str) -> UsageError:
    return UsageError(f"{path}:{number}: {text}", hint=_FORMATS)
