"""All that a server holds, in a form that two servers can be compared in."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from valkeyctl.caching.codec import Envelope, UndecodableError
from valkeyctl.caching.keys import parse_key
from valkeyctl.caching.replies import Reply, Word
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.keyspace.nodes import primaries
from valkeyctl.ops.keyspace.scan import Walker
from valkeyctl.ops.keyspace.transfer.export import ExportReport, export
from valkeyctl.ops.keyspace.transfer.exportsink import ExportSink
from valkeyctl.ops.keyspace.transfer.restore import RestoreOptions, RestoreReport, restore

# A life is stored as what is left of it: a stalled machine moves its end.
_LATE_MS = 5000


class Ends(int):
    """When a key expires, in ms since 1970; equal to one a moment earlier or later."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int) and (self < 0) == (other < 0) and abs(self - other) < _LATE_MS

    __hash__ = int.__hash__


State = dict[object, object]
_READERS: dict[bytes, tuple[tuple[Word, ...], ...]] = {
    b"list": (("LRANGE", 0, -1),),
    b"hash": (("HGETALL",),),
    b"set": (("SMEMBERS",),),
    b"zset": (("ZRANGE", 0, -1, "WITHSCORES"),),
    b"stream": (("XRANGE", "-", "+"),),
}


def exported(
    endpoint: Endpoint,
    app: str | None = "shop",
    namespace: str | None = None,
    *,
    allow_blocking: bool = False,
) -> tuple[bytes, ExportReport]:
    """Return what an export of *app* writes, and its report."""
    stream = io.BytesIO()
    with ExportSink(stream) as sink:
        report = export(endpoint, sink, app=app, namespace=namespace, allow_blocking=allow_blocking)
    return stream.getvalue(), report


def imported(
    endpoint: Endpoint,
    lines: bytes,
    *,
    app: str | None = None,
    replace: bool = False,
    keep_deadlines: bool = True,
    from_line: int = 1,
    rejects_file: Path | None = None,
) -> RestoreReport:
    """Import *lines*; with their deadlines, so that what is there then can be compared."""
    options = RestoreOptions(
        app=app,
        replace=replace,
        keep_deadlines=keep_deadlines,
        from_line=from_line,
        rejects_file=rejects_file,
    )
    return restore(endpoint, io.BytesIO(lines), options=options)


def state(endpoint: Endpoint) -> State:
    """Return all keys but versions, with their content and when they expire.

    Entries are named by application, namespace and id, for their keys differ between
    topologies; instead of the versions that they were written under it is said whether
    those hold.
    """
    found: State = {}
    sharded = primaries(endpoint).has_slots
    with Walker(endpoint) as walker:
        for batch in walker.walk():
            # Not the walker's own connection, on which its next step is under way.
            with Wire(walker.nodes[batch.node].endpoint) as wire:
                for key in batch.keys:
                    _add(wire, key, found, sharded=sharded)
    return found


def _add(wire: Wire, key: bytes, found: State, *, sharded: bool) -> None:
    parsed = parse_key(key)
    if parsed is not None and parsed.control:
        return
    answer = wire.call("PEXPIRETIME", key)
    assert isinstance(answer, int)
    expires = Ends(answer)
    kind = wire.call("TYPE", key)
    if kind == b"string":
        value = wire.call("GET", key)
        assert isinstance(value, bytes)
        entry = _entry(wire, key, value, sharded=sharded) if parsed else None
        if entry is not None and parsed is not None:
            found[parsed.app, parsed.namespace, parsed.id] = (entry, expires)
        else:
            found[key] = (value, expires)
        return
    assert isinstance(kind, bytes)
    content = [wire.call(words[0], key, *words[1:]) for words in _READERS[kind]]
    found[key] = (kind, *map(_ordered if kind == b"set" else _same, content), expires)
    if kind == b"hash":
        found[key] = (kind, _pairs(content[0]), expires)


def _entry(wire: Wire, key: bytes, value: bytes, *, sharded: bool) -> object | None:
    try:
        envelope = Envelope.unpack(value)
    except UndecodableError:
        return None
    parsed = parse_key(key)
    assert parsed is not None
    group = f"{{{parsed.app}.{parsed.shard}}}:" if sharded else ""
    names = [f"{parsed.app}:~version:{group}{parsed.namespace}"]
    names += [f"{parsed.app}:~tag:{group}{tag.decode()}" for tag, _ in envelope.tags]
    held = [wire.call("GET", name) for name in names]
    valid = held == [envelope.version, *(version for _, version in envelope.tags)]
    return (
        *(envelope.format, envelope.flags, envelope.created_ms, envelope.fresh_ms),
        *(envelope.cost_ms, envelope.payload, tuple(tag for tag, _ in envelope.tags), valid),
    )


def _same(answer: Reply) -> object:
    return answer


def _ordered(answer: Reply) -> object:
    assert isinstance(answer, list)
    return sorted(map(str, answer))


def _pairs(answer: Reply) -> object:
    assert isinstance(answer, list)
    words: Sequence[Reply] = answer
    return {str(name): value for name, value in zip(words[::2], words[1::2], strict=True)}
