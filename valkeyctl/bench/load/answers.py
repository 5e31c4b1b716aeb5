"""What makes an answer a wrong one, and what an origin says of its own calls."""

from __future__ import annotations

import functools
import json
import re
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeAlias

from valkeyctl.bench.arm import Node
from valkeyctl.bench.traffic.scenario import Expectation

if TYPE_CHECKING:
    import regex

    from valkeyctl.bench.traffic.making import Request

ORIGIN_CALLS = "valkeyctl_origin_calls_total"
# Seconds that one search may take; a bad pattern could take hours, and all others wait.
SEARCH_SECONDS = 0.1
# Keys whose first answer is remembered; a hundred bytes each.
MOST_REMEMBERED = 1_000_000
_LONGEST = 160
_SAMPLE = re.compile(
    rf"^{ORIGIN_CALLS}(?:\{{[^\n]*\}})?[ \t]+([0-9.eE+-]+)(?:[ \t]+\d+)?[ \t]*$", re.MULTILINE
)
_MISSING = object()
_Found: TypeAlias = "Node | object"


class Judge:
    """Says what is wrong with answers, and remembers the first one of every key.

    One for all arms of a run, so that an arm's answers are held against another's. Each
    process has its own, and it remembers a million keys; further ones are not compared.
    """

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._first: dict[tuple[int, int], bytes] = {}

    def complaint(
        self, request: Request, status: int, body: bytes, size: int | None = None
    ) -> str | None:
        """Return what is wrong with the answer to *request*; None if it is right.

        Args:
            request: Which says what it expects.
            status: HTTP status.
            body: Of the answer, or its beginning.
            size: Bytes of the whole body; None where *body* is all of it.
        """
        expect = request.expect
        said = complaint(status, body, expect, size)
        if said is not None or not expect.same_for_key:
            return said
        key = (request.kind, request.key)
        hashed = blake2b(body, digest_size=8)
        # Of answers with one beginning, the length may tell them apart.
        hashed.update(b"%d" % (len(body) if size is None else size))
        digest = hashed.digest()
        first = self._first.get(key)
        if first is None:
            if len(self._first) < self._most:
                self._first[key] = digest
            return None
        return None if first == digest else "wrong answer: not the first one for its key"


def complaint(status: int, body: bytes, expect: Expectation, size: int | None = None) -> str | None:
    """Return what is wrong with an answer, the same words for the same fault; None if right.

    Args:
        status: HTTP status.
        body: Of the answer, or its beginning.
        expect: What a right answer is; with nothing in it any status from 200 to 299.
            ``same_for_key`` takes a `Judge`.
        size: Bytes of the whole body; None where *body* is all of it.
    """
    if not (status in expect.status if expect.status else 200 <= status < 300):
        return f"HTTP {status}{_reason(body)}"
    if not expect.of_the_body:
        return None
    whole = len(body) if size is None else size
    if whole < expect.min_bytes:
        return f"wrong answer: it has less than {expect.min_bytes} bytes"
    if expect.max_bytes is not None and whole > expect.max_bytes:
        return f"wrong answer: it has more than {expect.max_bytes} bytes"
    said = _of_the_content(body, expect)
    if said is None or len(body) == whole:
        return said
    # What was looked for may stand in the part that was not kept.
    return f"not checked: of a longer answer only the first {len(body):,} bytes are looked at"


def _of_the_content(body: bytes, expect: Expectation) -> str | None:
    if expect.contains and expect.contains.encode() not in body:
        return f"wrong answer: it does not hold {expect.said or expect.contains}"
    if expect.matches:
        try:
            if _pattern(expect.matches).search(body, timeout=SEARCH_SECONDS) is None:
                return f"wrong answer: it does not match {expect.matches}"
        except TimeoutError:
            return f"wrong answer: {expect.matches} took more than {SEARCH_SECONDS:g} s to look for"
    return _of_the_document(body, expect) if expect.json else None


def _of_the_document(body: bytes, expect: Expectation) -> str | None:
    try:
        document: Node = json.loads(body)
    except (ValueError, RecursionError):
        return "wrong answer: it is not JSON"
    for path, wanted in expect.json:
        found = _at(document, path)
        if found is _MISSING:
            return f"wrong answer: it has no {path}"
        # Values differ from key to key, and the words must not.
        if not _same(found, _document(wanted)):
            return f"wrong answer: its {path} is not the expected one"
    return None


def _at(document: Node, path: str) -> _Found:
    """Return what stands at *path*, of names and list positions with dots between them."""
    here: _Found = document
    for part in path.split("."):
        if isinstance(here, dict) and part in here:
            here = here[part]
        elif isinstance(here, list) and part.isdecimal() and int(part) < len(here):
            here = here[int(part)]
        else:
            return _MISSING
    return here


def _same(found: _Found, wanted: _Found) -> bool:
    """Say whether two JSON values are equal; true is not 1, and 1 is 1.0."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_same, found, wanted))
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(_same(found[k], wanted[k]) for k in found)
    return found == wanted


@functools.lru_cache(maxsize=4096)
def _document(text: str) -> Node:
    document: Node = json.loads(text)
    return document


@functools.lru_cache(maxsize=256)
def _pattern(pattern: str) -> regex.Pattern[bytes]:
    # `re` cannot be stopped: a pattern such as (a+)+$ can search for years.
    import regex

    return regex.compile(pattern.encode())


def _reason(body: bytes) -> str:
    """Return the message of an error document, without what differs in every answer."""
    try:
        document = json.loads(body)
        error = document["error"]
        message = error["message"] if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return f": {message[:_LONGEST]}" if isinstance(message, str) and message else ""


def origin_calls(exposition: str) -> int | None:
    """Return the sum of the origin-call counters in Prometheus text; None without any."""
    found = [float(value) for value in _SAMPLE.findall(exposition)]
    return round(sum(found)) if found else None
