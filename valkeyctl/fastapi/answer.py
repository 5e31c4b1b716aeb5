"""A stored answer, or one about to be stored, as HTTP: validators, ages, 304."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.requests import Request

from valkeyctl.fastapi.directives import SWITCH_HEADER, matches
from valkeyctl.fastapi.exchange import Found, Outcome
from valkeyctl.fastapi.rule import CacheRule

# What a 304 repeats (RFC 9110, 15.4.5).
_IN_304 = frozenset({"cache-control", "content-location", "etag", "expires", "vary"})


@dataclass(frozen=True)
class Answer:
    """What is sent.

    Attributes:
        status: 200, or 304 when the client has it already.
        headers: In wire form.
        body: Empty for a 304 and for HEAD.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def answer(found: Found, rule: CacheRule, request: Request) -> Answer:
    """Return *found* as *request* gets it."""
    stored = found.response
    fields = [(name, value) for name, value in stored.headers if name != "vary"]
    if stored.header("cache-control") is None:
        fields.append(("cache-control", _control(found, rule)))
    vary = dict.fromkeys(
        name.strip().lower()
        for part in (stored.header("vary"), *rule.varies)
        for name in (part or "").split(",")
        if name.strip()
    )
    if vary:
        fields.append(("vary", ", ".join(vary)))
    marks = [*marks_of(found.outcome)]
    if found.outcome in ("hit", "stale"):
        # Whole seconds (RFC 9111, 5.1); what was made for this request has no age.
        marks.append(("age", str(int(found.age))))
    known = request.headers.get("if-none-match")
    if known is not None and matches(known, stored.header("etag") or ""):
        kept = [pair for pair in fields if pair[0] in _IN_304]
        return Answer(304, _wire([*kept, *marks]), b"")
    length = ("content-length", str(len(stored.body)))
    body = b"" if request.method == "HEAD" else stored.body
    return Answer(200, _wire([*fields, length, *marks]), body)


def marks_of(outcome: Outcome) -> tuple[tuple[str, str], ...]:
    """Return the headers that say what the cache did."""
    # X-Cache is what `valkeyctl bench` counts, which knows no stale answers.
    plain = "hit" if outcome == "stale" else outcome
    return ((SWITCH_HEADER, outcome), ("x-cache", plain))


def _control(found: Found, rule: CacheRule) -> str:
    """Return the ``Cache-Control`` of an answer whose origin gave it none."""
    left = found.ttl or 0.0
    if rule.client_ttl is not None:
        left = min(left, rule.client_ttl)
    # max-age counts from when the answer was made: what Age says has already gone by.
    reuse = f"max-age={int(found.age) + int(left)}" if left >= 1 else "no-cache"
    return f"private, {reuse}" if rule.private else reuse


def _wire(fields: Iterable[tuple[str, str]]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in fields)
