"""Sizes and durations as people write them, and back.

Sizes follow both of their worlds: Kubernetes (``512Mi``, ``1G``) and valkey.conf
(``64mb`` is 64 * 2**20 bytes, ``64m`` is 64 * 10**6).
"""

from __future__ import annotations

import re

_SIZE_FACTORS = {
    "": 1,
    "b": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "kb": 2**10,
    "mb": 2**20,
    "gb": 2**30,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    # As `format_size` writes them, so that what we print can be given back.
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", re.ASCII)
_DURATION_FACTORS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.ASCII)

SIZE_FORMS = "a size such as 512Mi, 64mb or 1G"
DURATION_FORMS = "a duration such as 250ms, 30s, 5m, 2h or 1d"


def parse_size(text: str | int) -> int:
    """Return the bytes that *text* names.

    Raises:
        ValueError: It is not a size; the message says which forms are allowed.
    """
    if isinstance(text, bool):
        raise ValueError(f"{text!r} is not a size; write {SIZE_FORMS}")
    if isinstance(text, int):
        if text < 0:
            raise ValueError(f"{text} is below zero; write {SIZE_FORMS}")
        return text
    match = _SIZE.fullmatch(str(text))
    factor = _SIZE_FACTORS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"{text!r} is not a size; write {SIZE_FORMS}")
    size = float(match[1]) * factor
    if size == float("inf"):
        raise ValueError(f"{text[:20]}... is not a size; write {SIZE_FORMS}")
    return round(size)


def parse_duration(text: str | float) -> float:
    """Return the seconds that *text* names; a bare number is seconds.

    Raises:
        ValueError: It is not a duration; the message says which forms are allowed.
    """
    if isinstance(text, bool):
        raise ValueError(f"{text!r} is not a duration; write {DURATION_FORMS}")
    if isinstance(text, (int, float)):
        # `0 <=` also refuses NaN, which compares false with everything.
        if not 0 <= text < float("inf"):
            raise ValueError(f"{text} is not a duration; write {DURATION_FORMS}")
        return float(text)
    match = _DURATION.fullmatch(str(text).lower())
    factor = _DURATION_FACTORS.get(match[2]) if match else None
    if match is None or factor is None:
        raise ValueError(f"{text!r} is not a duration; write {DURATION_FORMS}")
    seconds = float(match[1]) * factor
    if seconds == float("inf"):
        raise ValueError(f"{text[:20]}... is not a duration; write {DURATION_FORMS}")
    return seconds


def format_size(size: float) -> str:
    """Return *size* bytes for a person, such as ``1.5 MiB``; three digits at most."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def format_duration(seconds: float) -> str:
    """Return *seconds* for a person, in the two largest units that matter."""
    if seconds == 0:
        return "0 s"
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    parts = []
    for unit, factor in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, whole = divmod(whole, factor)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def several(count: int, one: str, many: str | None = None) -> str:
    """Return *count* and its noun, such as ``1 key`` or ``2,000 keys``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
