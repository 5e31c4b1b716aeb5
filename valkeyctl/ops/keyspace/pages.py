"""Pages of keys with what they cost: memory, remaining life and type, column by column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import cast

from valkeyctl.caching.replies import Reply
from valkeyctl.caching.wire import Packed, Wire, pack
from valkeyctl.errors import AuthError, ServerReplyError
from valkeyctl.ops.keyspace.cursors import DONE
from valkeyctl.ops.keyspace.lanes import Answer, Command, Lane, Visited

STRING = b"string"
_GONE = -2


@dataclass(frozen=True, slots=True)
class Page:
    """Some keys, each with what the server says of it. Columns are of equal length.

    Attributes:
        keys: As the server stores them, none twice.
        memory: Bytes by MEMORY USAGE, key and overhead included; of a large collection an
            estimate from five of its elements.
        pttl: Milliseconds that it still lives; -1 for ever.
        odd: The types of those that are no strings, by their place in the columns.
        visited: As `Batch.visited`.
        round_trip: As `Batch.round_trip`.
    """

    keys: list[bytes]
    memory: list[int]
    pttl: list[int]
    odd: dict[int, bytes]
    visited: float
    round_trip: float


@cache
def _script() -> bytes:
    return Path(__file__).with_name("scripts").joinpath("page.lua").read_bytes()


def scripted(wire: Wire, match: bytes | None) -> bool:
    """Say whether the server runs the script of a page for us.

    Raises:
        UnreachableError: as `Wire.call`.
    """
    try:
        wire.call(*page_command(0, 1, match))
    except (AuthError, ServerReplyError):
        return False  # by its ACL, or a rename; the plain commands say what is missing
    return True


def page_script(match: bytes | None) -> Callable[[Lane], Packed | None]:
    """Return what gives a lane's next step: the script for one page."""

    def ask(lane: Lane) -> Packed | None:
        if lane.cursor == DONE:
            return None
        return Packed(pack([page_command(lane.cursor, lane.asks, match)]), 1)

    return ask


def paged(lane: Lane, answers: list[Answer], visited: Visited) -> Page:
    """Return the page that the script answered with.

    Raises:
        ServerReplyError: It answered with something else.
    """
    cursor, page = page_of(answers[0])
    kept = lane.advance(cursor, page.keys)
    lane.dealt = lane.cursor
    page = replace(page, visited=visited(), round_trip=lane.round_trip)
    return page if kept is page.keys else _only(page, kept or [])


def page_of(answer: Answer) -> tuple[int, Page]:
    """Return the next cursor and the page that the script answered with.

    Raises:
        ServerReplyError: It answered with something else.
    """
    match answer:
        case ServerReplyError() as error:
            raise error
        case [
            bytes() as cursor,
            list() as keys,
            list() as memory,
            list() as pttl,
            list() as odd,
        ] if cursor.isdigit() and len(keys) == len(memory) == len(pttl) and len(odd) % 2 == 0:
            return int(cursor), Page(
                cast("list[bytes]", keys),
                cast("list[int]", memory),
                cast("list[int]", pttl),
                _odd_types(odd),
                1.0,
                0.0,
            )
    raise ServerReplyError(f"a page of keys was answered with {answer!r:.80}")


def questions(keys: list[bytes]) -> list[Command]:
    """Return the commands that ask the same, for a server that runs no scripts for us."""
    return [
        question
        for key in keys
        for question in (("MEMORY", "USAGE", key), ("PTTL", key), ("TYPE", key))
    ]


def asked_page(
    keys: Sequence[bytes], answers: Sequence[Answer], visited: float, round_trip: float
) -> Page:
    """Return the page that the answers to `questions` make.

    Raises:
        ServerReplyError: The server refuses a question.
    """
    page = Page([], [], [], {}, visited, round_trip)
    triples = zip(answers[::3], answers[1::3], answers[2::3], strict=True)
    for key, triple in zip(keys, triples, strict=True):
        for answer in triple:
            if isinstance(answer, ServerReplyError):
                raise answer
        memory, pttl, kind = triple
        # Three commands, and the key may go between any two of them.
        if not isinstance(memory, int) or not isinstance(pttl, int) or pttl == _GONE:
            continue
        if kind == b"none" or not isinstance(kind, bytes):
            continue
        if kind != STRING:
            page.odd[len(page.keys)] = kind
        page.keys.append(key)
        page.memory.append(memory)
        page.pttl.append(pttl)
    return page


def page_command(cursor: int, count: int, match: bytes | None = None) -> Command:
    """Return the command that answers with the page at *cursor*, of about *count* keys."""
    glob = () if match is None else (match,)
    return ("EVAL", _script(), 0, cursor, count, *glob)


def _odd_types(pairs: list[Reply]) -> dict[int, bytes]:
    """Return types by place from the script's flat pairs, whose first place is 1."""
    return {
        place - 1: kind
        for place, kind in zip(pairs[::2], pairs[1::2], strict=True)
        if isinstance(place, int) and isinstance(kind, bytes) and kind != STRING
    }


def _only(page: Page, keys: list[bytes]) -> Page:
    """Return *page* without the keys that are not among *keys*, each of them once."""
    left = set(keys)
    memory, pttl, odd = [], [], {}
    kept: list[bytes] = []
    for place, key in enumerate(page.keys):
        if key in left:
            left.remove(key)
            if place in page.odd:
                odd[len(kept)] = page.odd[place]
            kept.append(key)
            memory.append(page.memory[place])
            pttl.append(page.pttl[place])
    return Page(kept, memory, pttl, odd, page.visited, page.round_trip)
