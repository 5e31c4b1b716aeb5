"""Lines of JSON as cache entries to load: each one read, or refused with its reason."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, NoReturn

from valkeyctl.units import DURATION_FORMS, parse_duration

_FIELDS = frozenset({"namespace", "id", "value", "ttl", "tags"})
LONGEST_TTL = 100 * 365 * 86400.0
"""Seconds. The server counts in ms from now on and refuses what overflows; one such line
must not stop the lines around it."""

_DRAIN_BYTES = 64 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """One line of a file.

    Attributes:
        number: 1-based.
        raw: Without its line end; only the beginning when it is too long.
        size: Bytes that it takes in the file, line end included.
        too_long: Whether it is longer than the bound.
    """

    number: int
    raw: bytes
    size: int
    too_long: bool = False


class Record(NamedTuple):
    """One entry that a line asks for.

    Attributes:
        namespace: Not yet checked against the key rules, nor is id.
        value: Of JSON's types.
        ttl: Seconds; None leaves it to the namespace's policy.
        tags: In the line's order.
    """

    namespace: str
    id: str
    value: object
    ttl: float | None
    tags: tuple[str, ...]


class RecordError(ValueError):
    """A line that asks for no entry; its text is the reason, for a person."""


def read_lines(stream: BinaryIO, *, longest: int) -> Iterator[Line]:
    """Yield the lines of *stream*, each at most *longest* bytes in memory.

    What is left of a longer line is read past, in pieces, so that the next line is whole.
    """
    number = 0
    while raw := stream.readline(longest + 1):
        number += 1
        size = len(raw)
        if number == 1:
            raw = raw.removeprefix(_BYTE_ORDER_MARK)
        if size > longest and not raw.endswith(b"\n"):
            while (rest := stream.readline(_DRAIN_BYTES)) and not rest.endswith(b"\n"):
                size += len(rest)
            yield Line(number, raw[:longest], size + len(rest), too_long=True)
        else:
            yield Line(number, raw.rstrip(b"\r\n"), size)


def parse_record(raw: bytes) -> Record:
    """Return the entry that one line asks for.

    The line is a JSON object with ``namespace``, ``id`` and ``value``, and maybe ``ttl``
    (seconds, or a duration such as ``5m``) and ``tags`` (texts).

    Raises:
        RecordError: It is none, or has fields that are unknown or of a wrong type.
    """
    fields = parse_json(raw)
    if not isinstance(fields, dict):
        raise RecordError(f"a line must be an object, not {_kind(fields)}")
    if unknown := sorted(fields.keys() - _FIELDS):
        raise RecordError(f"unknown field {unknown[0]!r:.60}; allowed: {_ALLOWED}")
    if "value" not in fields:
        raise RecordError("the field 'value' is missing")
    return Record(
        namespace=_text(fields, "namespace"),
        id=_text(fields, "id"),
        value=fields["value"],
        ttl=parse_ttl(fields.get("ttl")),
        tags=_texts(fields.get("tags")),
    )


def _text(fields: dict[str, object], name: str) -> str:
    value = fields.get(name)
    if value is None:
        raise RecordError(f"the field {name!r} is missing")
    if not isinstance(value, str):
        raise RecordError(f"{name} must be text, not {_kind(value)}")
    return value


def parse_json(raw: bytes) -> object:
    """Return the value that JSON text stands for; of a key that stands twice, the last.

    Raises:
        RecordError: It is no JSON in UTF-8, or has a number that no float or int can hold.
    """
    try:
        value: object = _DECODER.decode(raw.decode())
    except UnicodeDecodeError as error:
        raise RecordError(f"byte {error.start + 1} is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise RecordError(f"not JSON at character {error.pos + 1}: {error.msg}") from error
    except RecursionError as error:
        raise RecordError("nested too deep") from error
    except ValueError as error:  # NaN, or a number too long or too large
        raise RecordError(str(error)) from error
    return value


def parse_ttl(value: object) -> float | None:
    """Return the seconds that a ttl says, as a number or as text; None for none.

    Raises:
        RecordError: It is no duration above zero and below a hundred years.
    """
    if value is None:
        return None
    if not isinstance(value, (int, float, str)) or isinstance(value, bool):
        raise RecordError(f"ttl must be seconds or {DURATION_FORMS}, not {_kind(value)}")
    try:
        seconds = parse_duration(value)
    except (ValueError, OverflowError) as error:
        raise RecordError(f"ttl: {error}") from error
    if seconds <= 0:
        raise RecordError(f"ttl must be above zero, not {value}")
    if seconds > LONGEST_TTL:
        raise RecordError(f"a ttl of {seconds:.3g} s is longer than a hundred years")
    return seconds


def _texts(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise RecordError("tags must be a list of texts")
    return tuple(value)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "true or false", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text:.30} is too large")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_ALLOWED = "namespace, id, value, ttl, tags"
