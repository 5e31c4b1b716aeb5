"""One key, with all that can be said about it without disturbing it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, NotFoundError, ServerReplyError
from valkeyctl.ops.keyspace.display import read_bytes, show_bytes, show_text
from valkeyctl.ops.keyspace.entry import EntryDetail, look_at_string
from valkeyctl.ops.keyspace.preview import Preview, preview_collection
from valkeyctl.ops.keyspace.scan import Answer
from valkeyctl.ops.keyspace.scope import owner_of

_LENGTH_COMMANDS = {
    b"string": "STRLEN",
    b"hash": "HLEN",
    b"list": "LLEN",
    b"set": "SCARD",
    b"zset": "ZCARD",
    b"stream": "XLEN",
}


@dataclass(frozen=True)
class KeyDetail:
    """One key.

    Attributes:
        key: As the server stores it.
        display: As one printable line; see `display.show_bytes`.
        app: Its application; None when it is no key of ours.
        namespace: Its namespace; None when it is no key of ours.
        control: Whether it holds a version or a lease instead of an entry.
        type: As TYPE names it.
        encoding: How the server keeps it, such as ``embstr`` or ``listpack``.
        ttl_s: Seconds that it still lives; None when it never expires.
        memory_bytes: What the server says that it takes, key and overhead included.
        idle_s: Seconds since it was last used; None where the eviction policy counts
            uses instead.
        frequency: The policy's logarithmic count of uses, 0 to 255; None where it keeps
            times instead.
        length: Bytes of a string, elements of a collection; None for a type that is not
            the server's own.
        entry: What its envelope says; None when it is no entry of ours.
        preview: The beginning of its value, secrets masked.
    """

    key: bytes
    display: str
    app: str | None
    namespace: str | None
    control: bool
    type: str
    encoding: str
    ttl_s: float | None
    memory_bytes: int
    idle_s: int | None
    frequency: int | None
    length: int | None
    entry: EntryDetail | None
    preview: Preview


def inspect_key(endpoint: Endpoint, key: bytes | str) -> KeyDetail:
    r"""Return everything about one key; large values are read in pieces, or not at all.

    Looking does not count as a use, where the server can be told so.

    Args:
        endpoint: The server.
        key: Its bytes, or its text: as it is, or as lists show it, with ``\x1b`` for what
            cannot be printed.

    Raises:
        NotFoundError: There is no such key.
        UnreachableError, AuthError, ServerReplyError: as `Wire.call`.
    """
    with Wire(endpoint) as wire:
        # An old server, or an ACL, may not allow it; then looking counts as a use.
        with suppress(AuthError, ServerReplyError):
            wire.call("CLIENT", "NO-TOUCH", "ON")
        for candidate in _candidates(key):
            detail = _inspect(wire, candidate)
            if detail is not None:
                return detail
    shown = show_bytes(key if isinstance(key, bytes) else key.encode("utf-8", "surrogateescape"))
    raise NotFoundError(
        f"there is no key {shown} on {endpoint.address}, database {endpoint.db}",
        hint="List what is there: valkeyctl keys ls",
    )


def _candidates(key: bytes | str) -> list[bytes]:
    if isinstance(key, bytes):
        return [key]
    return list(dict.fromkeys((key.encode("utf-8", "surrogateescape"), read_bytes(key))))


def _inspect(wire: Wire, key: bytes) -> KeyDetail | None:
    kind, encoding, pttl, memory, idle, frequency = wire.pipeline(
        [
            ("TYPE", key),
            ("OBJECT", "ENCODING", key),
            ("PTTL", key),
            ("MEMORY", "USAGE", key),
            ("OBJECT", "IDLETIME", key),
            ("OBJECT", "FREQ", key),
        ]
    )
    for answer in (kind, pttl, memory):
        if isinstance(answer, ServerReplyError):
            raise answer
    if not isinstance(kind, bytes) or not isinstance(pttl, int) or not isinstance(memory, int):
        return None
    if kind == b"none" or pttl == -2:
        return None
    try:
        length, entry, preview = _value(wire, key, kind, memory)
    except ServerReplyError as error:
        if error.reply != "WRONGTYPE":
            raise
        length, entry, preview = None, None, Preview(note="it changed while it was read")
    owner = owner_of(key)
    return KeyDetail(
        key=key,
        display=show_bytes(key),
        app=owner.app if owner else None,
        namespace=owner.namespace if owner else None,
        control=owner is not None and owner.control,
        type=show_text(kind.decode(errors="replace")),
        encoding=encoding.decode(errors="replace") if isinstance(encoding, bytes) else "",
        ttl_s=None if pttl < 0 else pttl / 1000,
        memory_bytes=memory,
        # The one that the eviction policy does not keep is an error reply.
        idle_s=_number(idle),
        frequency=_number(frequency),
        length=length,
        entry=entry,
        preview=preview,
    )


def _value(
    wire: Wire, key: bytes, kind: bytes, memory: int
) -> tuple[int | None, EntryDetail | None, Preview]:
    command = _LENGTH_COMMANDS.get(kind)
    if command is None:
        name = show_text(kind.decode(errors="replace"))
        return None, None, Preview(note=f"values of type {name} are not shown")
    length = _number(wire.call(command, key)) or 0
    if kind != b"string":
        return length, None, preview_collection(wire, key, kind.decode(), length, memory)
    return length, *look_at_string(wire, key, length)


def _number(answer: Answer) -> int | None:
    return answer if isinstance(answer, int) else None
