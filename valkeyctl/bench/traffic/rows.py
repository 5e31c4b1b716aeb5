"""One line of a trace as what it says, in each of the formats that are read.

Columns of a CSV with a header, and names in JSON lines; all others are left alone:

=============================== =====================================================
``time``, ``timestamp``         seconds, or a stamp such as 2026-01-31T12:00:00.5Z
``time_s`` ``_ms`` ``_us`` ``_ns`` a number in that unit; ``timestamp_`` likewise
``key``                         what was asked for: printable, 1 to 512 characters
``size``                        bytes of the value
``input_tokens``                length of the prompt
``output_tokens``               length of the answer
=============================== =====================================================
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TypeAlias

AZURE_HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
_UNITS = {"": 1.0, "_s": 1.0, "_ms": 1e-3, "_us": 1e-6, "_ns": 1e-9}
_TIMES = {
    f"{name}{unit}": factor for name in ("time", "timestamp") for unit, factor in _UNITS.items()
}
_COUNTS = ("size", "input_tokens", "output_tokens")
_MOST_COUNT = 2**40
_LONGEST_KEY = 512


@dataclass(frozen=True, slots=True)
class Row:
    """What one line says; None where it says nothing.

    Attributes:
        time: Seconds, from wherever they are counted.
        identity: Equal for equal prompts or keys.
        size: Bytes of the value.
        input_tokens: Length of the prompt.
        output_tokens: Length of the answer.
        blocks: Ids of the prompt's blocks.
    """

    time: float | None
    identity: str | None
    size: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    blocks: list[int] | None = None


Parse: TypeAlias = Callable[[str], Row]


def mooncake(line: str) -> Row:
    """Return what a line of Mooncake's trace says."""
    row = _object(line)
    blocks = row["hash_ids"]
    if not isinstance(blocks, list) or not all(type(block) is int for block in blocks):
        raise TypeError("hash_ids is not a list of whole numbers")
    time = row["timestamp"]
    if isinstance(time, bool) or not isinstance(time, (int, float)):
        raise TypeError("timestamp is not a number")
    # A digest, since a long prompt has hundreds of blocks and only equality matters.
    identity = blake2b(",".join(map(str, blocks)).encode(), digest_size=16).hexdigest()
    return Row(
        _within(time / 1000, "timestamp"),
        identity,
        input_tokens=_tokens(row["input_length"]),
        output_tokens=_tokens(row["output_length"]),
        blocks=blocks,
    )


def azure(line: str) -> Row:
    """Return what a line of Azure's trace says."""
    fields = line.split(",")
    if len(fields) != 3:
        raise ValueError(f"has {len(fields)} fields instead of 3")
    return Row(
        _stamp(fields[0], "TIMESTAMP"),
        None,
        input_tokens=_tokens(int(fields[1])),
        output_tokens=_tokens(int(fields[2])),
    )


def csv_rows(header: str) -> Parse:
    """Return what reads the lines of a CSV with this *header*.

    Raises:
        ValueError: It names neither a time nor a key, or two times.
    """
    names = [name.strip().lower() for name in next(csv.reader([header], strict=True))]
    time, others = _columns(names, "is of no known trace format: its header")
    place_of_time = None if time is None else names.index(time)
    places = {name: names.index(name) for name in others}

    def parse(line: str) -> Row:
        # Most lines have no quotes, and splitting them is many times as fast.
        fields = next(csv.reader([line], strict=True)) if '"' in line else line.split(",")
        if len(fields) != len(names):
            raise ValueError(f"has {len(fields)} fields instead of {len(names)}")
        counts: list[int | None] = []
        for name in _COUNTS:
            place = places.get(name)
            text = "" if place is None else fields[place].strip()
            counts.append(_count(text, name) if text else None)
        key = places.get("key")
        moment = None
        if time is not None and place_of_time is not None:
            moment = _time(fields[place_of_time].strip(), time)
        size, input_tokens, output_tokens = counts
        identity = None if key is None else _key(fields[key].strip())
        return Row(moment, identity, size, input_tokens, output_tokens)

    return parse


def json_rows(first: str) -> Parse:
    """Return what reads JSON lines of which *first* is the first.

    Raises:
        ValueError: It names neither a time nor a key, or two times.
    """
    time, _ = _columns(list(_object(first)), "is of no known trace format: its first object")

    def parse(line: str) -> Row:
        row = _object(line)
        counts: list[int | None] = []
        for name in _COUNTS:
            value = row.get(name)
            if value is not None and type(value) is not int:
                raise TypeError(f"{name} is not a whole number")
            counts.append(None if value is None else _count(str(value), name))
        key = row.get("key")
        if key is not None and (isinstance(key, bool) or not isinstance(key, (str, int))):
            raise TypeError("key is neither text nor a whole number")
        moment = None
        if time is not None:
            value = row[time]
            if isinstance(value, bool) or not isinstance(value, (str, int, float)):
                raise TypeError(f"{time} is neither a number nor a stamp")
            moment = _time(value if isinstance(value, str) else repr(value), time)
        size, input_tokens, output_tokens = counts
        identity = None if key is None else _key(str(key))
        return Row(moment, identity, size, input_tokens, output_tokens)

    return parse


def why(error: Exception) -> str:
    """Return what *error* says about a line, as the end of a message."""
    if isinstance(error, KeyError):
        return f"has no {error.args[0]}"
    if isinstance(error, json.JSONDecodeError):
        return f"is not JSON: {error.msg} at column {error.colno}"
    if isinstance(error, RecursionError):
        return "is nested too deep"
    return str(error)


def _columns(names: list[str], what: str) -> tuple[str | None, list[str]]:
    """Return the column of the time, and the others that are read."""
    times = [name for name in names if name in _TIMES]
    others = [name for name in names if name in {"key", *_COUNTS}]
    for name in (*times, *others):
        if names.count(name) > 1:
            raise ValueError(f"names {name} twice")
    if len(times) > 1:
        raise ValueError(f"names two times: {', '.join(times)}")
    if not times and "key" not in others:
        raise ValueError(f"{what} names neither a time nor a key")
    return (times[0] if times else None), others


def _object(line: str) -> Mapping[str, object]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise TypeError("is not a JSON object")
    return row


def _time(text: str, name: str) -> float:
    try:
        number = float(text)
    except ValueError:
        if name not in {"time", "timestamp"}:
            raise ValueError(f"{name} {text!r:.40} is no number") from None
        return _stamp(text, name)
    return _within(number * _TIMES[name], name)


def _stamp(text: str, name: str) -> float:
    """Return the seconds since 1970 of a date and time; in UTC unless it says otherwise."""
    whole, dot, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    fraction, zone = rest[:digits], rest[digits:]
    try:
        # Some have ten-million parts of a second, a digit more than datetime holds.
        moment = datetime.fromisoformat(whole + zone)
    except ValueError:
        moment = None
    # 20260131 is a date, too, but more likely a number that is none of ours.
    if moment is None or len(whole) < 10 or (dot and not fraction):
        raise ValueError(f"{name} {text!r:.40} is no time")
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return moment.timestamp() + float(f"0.{fraction or 0}")


def _within(time: float, name: str) -> float:
    if not math.isfinite(time) or not -1e15 < time < 1e15:
        raise ValueError(f"{name} is out of range")
    return time


def _key(text: str) -> str:
    if not text or len(text) > _LONGEST_KEY or not text.isprintable():
        raise ValueError(f"the key {text!r:.60} is not 1 to {_LONGEST_KEY} printable characters")
    return text


def _count(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 15) or int(text) > _MOST_COUNT:
        raise ValueError(f"{name} {text!r:.40} is no whole number from 0 to {_MOST_COUNT:,}")
    return int(text)


def _tokens(value: object) -> int:
    if type(value) is not int or not 0 <= value <= 2**31:
        raise ValueError(f"{value!r} is no number of tokens")
    return value
