"""One key, with all that can be said about it without disturbing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, ServerReplyError
from valkeyctl.ops.keyspace.display import show_bytes, show_text
from valkeyctl.ops.keyspace.inspection.entry import EntryDetail, look_at_string
from valkeyctl.ops.keyspace.inspection.home import Home, Sought
from valkeyctl.ops.keyspace.inspection.pieces import ChangedError
from valkeyctl.ops.keyspace.inspection.preview import Collection, Preview, preview_collection
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
# So few are all counted by MEMORY USAGE.
_COUNTED_ELEMENTS = 128
_ON_THE_MOVE = frozenset({"MOVED", "ASK", "TRYAGAIN"})


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
        refcount: How many hold the value, by the server's own count; None where it does
            not say.
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
    refcount: int | None = None


def inspect_key(endpoint: Endpoint, key: Sought) -> KeyDetail:
    r"""Return everything about one key; large values are read in pieces, or not at all.

    Looking does not count as a use, where the server can be told so.

    Args:
        endpoint: Of any topology; a replica that is named is the one that is asked.
        key: Its bytes, or its text: as it is, or as lists show it, with ``\x1b`` for what
            cannot be printed; or the name of an entry.

    Raises:
        NotFoundError: There is no such key.
        InvalidKeyError: A part of an entry's name breaks the key rules.
        UnreachableError, AuthError, ServerReplyError: as `Wire.call`.
    """
    home = Home.of(endpoint)
    for candidate in home.keys(key):
        with looking(home, candidate) as wire:
            detail = _inspect(wire, candidate)
            if detail is not None:
                return detail
    raise home.missing(key)


@contextmanager
def looking(home: Home, key: bytes) -> Iterator[Wire]:
    """Connect to the server that holds *key*, for looking at it without using it.

    Raises:
        UnreachableError, AuthError, TlsError: as `Wire.open`.
        ServerReplyError: Its slot is being moved to another server.
    """
    with Wire(home.server(key)) as wire:
        # An old server, or an ACL, may not allow it; then looking counts as a use.
        with suppress(AuthError, ServerReplyError):
            wire.call("CLIENT", "NO-TOUCH", "ON")
        try:
            yield wire
        except ServerReplyError as error:
            if error.reply not in _ON_THE_MOVE:
                raise
            raise ServerReplyError(
                f"{show_bytes(key)} is being moved from {wire.endpoint.address} to another server",
                reply=error.reply,
                hint="Try again in a moment",
            ) from error


def _inspect(wire: Wire, key: bytes) -> KeyDetail | None:
    # What looking might change is asked for first.
    kind, idle, frequency, encoding, refcount, pttl, memory = wire.pipeline(
        [
            ("TYPE", key),
            ("OBJECT", "IDLETIME", key),
            ("OBJECT", "FREQ", key),
            ("OBJECT", "ENCODING", key),
            ("OBJECT", "REFCOUNT", key),
            ("PTTL", key),
            ("MEMORY", "USAGE", key),
        ]
    )
    for answer in (kind, pttl, memory):
        if isinstance(answer, ServerReplyError):
            raise answer
    if not isinstance(kind, bytes) or not isinstance(pttl, int) or not isinstance(memory, int):
        return None
    if kind == b"none" or pttl == -2:
        return None
    stored_as = encoding.decode(errors="replace") if isinstance(encoding, bytes) else ""
    try:
        length, entry, preview = _value(wire, key, kind, stored_as, memory)
    except (ServerReplyError, ChangedError) as error:
        if isinstance(error, ServerReplyError) and error.reply != "WRONGTYPE":
            raise
        length, entry, preview = None, None, Preview(note="it changed while it was read")
    if not length and wire.call("EXISTS", key) == 0:
        return None  # it went away in the middle
    owner = owner_of(key)
    return KeyDetail(
        key=key,
        display=show_bytes(key),
        app=owner.app if owner else None,
        namespace=owner.namespace if owner else None,
        control=owner is not None and owner.control,
        type=show_text(kind.decode(errors="replace")),
        encoding=stored_as,
        ttl_s=None if pttl < 0 else pttl / 1000,
        memory_bytes=memory,
        # The one that the eviction policy does not keep is an error reply.
        idle_s=_number(idle),
        frequency=_number(frequency),
        length=length,
        entry=entry,
        preview=preview,
        refcount=_number(refcount),
    )


def _value(
    wire: Wire, key: bytes, kind: bytes, encoding: str, memory: int
) -> tuple[int | None, EntryDetail | None, Preview]:
    command = _LENGTH_COMMANDS.get(kind)
    if command is None:
        name = show_text(kind.decode(errors="replace"))
        return None, None, Preview(note=f"values of type {name} are not shown")
    length = _number(wire.call(command, key)) or 0
    if kind == b"string":
        return length, *look_at_string(wire, key, length)
    exact = length <= _COUNTED_ELEMENTS
    if exact:
        # Five of them would tell little of a few that differ.
        memory = _number(wire.call("MEMORY", "USAGE", key, "SAMPLES", 0)) or 0
    collection = Collection(kind.decode(), encoding, length, memory, exact)
    return length, None, preview_collection(wire, key, collection)


def _number(answer: Answer) -> int | None:
    return answer if isinstance(answer, int) else None
