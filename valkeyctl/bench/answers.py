"""What makes an answer a wrong one, and what an origin says of its own calls."""

from __future__ import annotations

import json
import re

ORIGIN_CALLS = "valkeyctl_origin_calls_total"
_LONGEST = 160
_SAMPLE = re.compile(
    rf"^{ORIGIN_CALLS}(?:\{{[^\n]*\}})?[ \t]+([0-9.eE+-]+)(?:[ \t]+\d+)?[ \t]*$", re.MULTILINE
)


def complaint(status: int, body: bytes, expect: bytes) -> str | None:
    """Return what is wrong with an answer, the same words for the same fault; None if right.

    Args:
        status: HTTP status.
        body: Of the answer.
        expect: Bytes that a right answer holds; empty checks the status alone.
    """
    if not 200 <= status < 300:
        return f"HTTP {status}{_reason(body)}"
    if expect and expect not in body:
        return f"wrong answer: it does not hold {expect.decode(errors='replace')}"
    return None


def _reason(body: bytes) -> str:
    """Return the message of an error document, without what differs in every answer."""
    try:
        document = json.loads(body)
        error = document["error"]
        message = error["message"] if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError):
        return ""
    return f": {message[:_LONGEST]}" if isinstance(message, str) and message else ""


def origin_calls(exposition: str) -> int | None:
    """Return the sum of the origin-call counters in Prometheus text; None without any."""
    found = [float(value) for value in _SAMPLE.findall(exposition)]
    return round(sum(found)) if found else None
