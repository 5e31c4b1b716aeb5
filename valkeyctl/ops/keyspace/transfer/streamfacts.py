"""What a stream says about itself beside its entries: its counters and consumer groups."""

from __future__ import annotations

from collections.abc import Iterator

from valkeyctl.caching.wire import Wire
from valkeyctl.errors import ServerReplyError
from valkeyctl.ops.keyspace.lanes import Answer
from valkeyctl.ops.keyspace.transfer.exportlines import StreamFacts, StreamGroup

_PAGE = 1000


def stream_facts(wire: Wire, key: bytes) -> StreamFacts | None:
    """Return what the stream at *key* says about itself; None when it is gone.

    Raises:
        UnreachableError, AuthError, ServerReplyError: as `Wire.call`.
    """
    try:
        facts = _fields(wire.call("XINFO", "STREAM", key))
        groups = wire.call("XINFO", "GROUPS", key)
    except ServerReplyError as error:
        if "no such key" in str(error):
            return None
        raise
    now_ms = _now_ms(wire)
    return StreamFacts(
        last_id=_text(facts.get(b"last-generated-id")),
        entries_added=_number(facts.get(b"entries-added")),
        max_deleted_id=_text(facts.get(b"max-deleted-entry-id")),
        groups=tuple(
            _group(wire, key, _fields(one), now_ms)
            for one in (groups if isinstance(groups, list) else [])
        ),
    )


def _group(wire: Wire, key: bytes, facts: dict[bytes, Answer], now_ms: int) -> StreamGroup:
    name = facts.get(b"name")
    word = name if isinstance(name, bytes) else b""
    answer = wire.call("XINFO", "CONSUMERS", key, word)
    found = [_fields(one).get(b"name") for one in answer] if isinstance(answer, list) else []
    consumers = tuple(one for one in found if isinstance(one, bytes))
    places = {consumer: place for place, consumer in enumerate(consumers)}
    read = facts.get(b"entries-read")
    return StreamGroup(
        name_b64=word,
        last_id=_text(facts.get(b"last-delivered-id")),
        entries_read=read if isinstance(read, int) else None,
        consumers=consumers,
        pending=tuple(
            (entry, places[consumer], now_ms - idle_ms, times)
            for entry, consumer, idle_ms, times in _pending(wire, key, word)
            if consumer in places
        ),
    )


def _pending(wire: Wire, key: bytes, group: bytes) -> Iterator[tuple[str, bytes, int, int]]:
    start = "-"
    while True:
        answer = wire.call("XPENDING", key, group, start, "+", _PAGE)
        page = answer if isinstance(answer, list) else []
        for one in page:
            match one:
                case [bytes() as entry, bytes() as consumer, int() as idle_ms, int() as times]:
                    yield entry.decode(), consumer, idle_ms, times
                    start = f"({entry.decode()}"
        if len(page) < _PAGE:
            return


def _fields(answer: Answer) -> dict[bytes, Answer]:
    words = answer if isinstance(answer, list) else []
    names = [word for word in words[::2] if isinstance(word, bytes)]
    return dict(zip(names, words[1::2], strict=False))


def _now_ms(wire: Wire) -> int:
    match wire.call("TIME"):
        case [bytes() as seconds, bytes() as micros]:
            return int(seconds) * 1000 + int(micros) // 1000
    return 0


def _text(answer: Answer) -> str:
    return answer.decode() if isinstance(answer, bytes) else ""


def _number(answer: Answer) -> int:
    return answer if isinstance(answer, int) else 0
