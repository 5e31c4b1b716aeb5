"""A string that may be an entry of ours: its envelope, and a look at its value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from valkeyctl.caching.codec import ENCODINGS, Envelope, UndecodableError
from valkeyctl.caching.keys import KeyScheme
from valkeyctl.caching.replies import Reply
from valkeyctl.caching.wire import Wire
from valkeyctl.ops.keyspace.preview import (
    READ_BYTES,
    Preview,
    preview_string,
    preview_text,
    preview_value,
)
from valkeyctl.ops.keyspace.scope import Owner, owner_of
from valkeyctl.units import format_size

# An entry above this is not read whole, so its value is not decoded.
_DECODED_BYTES = 8 * 2**20
_PIECE_BYTES = 256 * 1024
_SHARD = re.compile(rb"\{[a-z0-9_-]+\.\d+\}(?=:)")


@dataclass(frozen=True)
class EntryDetail:
    """What the envelope of an entry of ours says.

    Attributes:
        created_s: When it was stored, in seconds since 1970 by the server's clock.
        age_s: Seconds since then; never below zero.
        version: ``stale`` when the namespace was invalidated since; readers then miss.
        tags: What `invalidate_tag` may name.
        stale_tags: Those of them that were invalidated since; readers then miss, too.
        format: How the value is encoded: ``bytes``, ``str``, ``json`` or ``msgpack``.
        payload_bytes: Size of the encoded value.
    """

    created_s: float
    age_s: float
    version: Literal["current", "stale"]
    tags: tuple[str, ...]
    stale_tags: tuple[str, ...]
    format: str
    payload_bytes: int


def look_at_string(wire: Wire, key: bytes, length: int) -> tuple[EntryDetail | None, Preview]:
    """Return what the envelope at *key* says, if there is one, and the beginning of its value.

    *length* is that of the whole string in bytes; no more than 8 MiB of it is read.
    """
    owner = owner_of(key)
    if owner is None or owner.control:
        return None, preview_string(wire, key, length)
    begin = _bytes(wire.call("GETRANGE", key, 0, READ_BYTES - 1))
    try:
        envelope = Envelope.unpack(begin)
    except UndecodableError:
        return None, preview_string(wire, key, length)
    payload_bytes = length - len(begin) + len(envelope.payload)
    entry = _detail(wire, key, owner, envelope, payload_bytes)
    if length <= _DECODED_BYTES:
        return entry, _decoded_preview(wire, key, begin, length)
    if entry.format in ("str", "json"):
        text = envelope.payload.decode("utf-8", "replace")
        return entry, preview_text(text, whole=False)
    note = f"{format_size(payload_bytes)} of {entry.format} are not decoded for a preview"
    return entry, Preview(truncated=True, note=note)


def _detail(
    wire: Wire, key: bytes, owner: Owner, envelope: Envelope, payload_bytes: int
) -> EntryDetail:
    scheme = KeyScheme(owner.app)
    version_keys = [*scheme.versions(owner.namespace), *_shard_version_keys(key)]
    tag_keys = [scheme.tag_prefix + tag for tag, _ in envelope.tags]
    now, *held = wire.pipeline([("TIME",), *(("GET", name) for name in version_keys + tag_keys)])
    versions, tag_versions = held[: len(version_keys)], held[len(version_keys) :]
    pairs = list(zip(envelope.tags, tag_versions, strict=True))
    created_s = envelope.created_ms / 1000
    encoding = envelope.format & 0x0F
    return EntryDetail(
        created_s=created_s,
        age_s=max(0.0, _seconds(now) - created_s),
        version="current" if envelope.version in versions else "stale",
        tags=tuple(tag.decode(errors="replace") for tag, _ in envelope.tags),
        stale_tags=tuple(
            tag.decode(errors="replace") for (tag, version), current in pairs if version != current
        ),
        format=ENCODINGS[encoding] if encoding < len(ENCODINGS) else f"unknown ({encoding})",
        payload_bytes=payload_bytes,
    )


def _shard_version_keys(key: bytes) -> list[bytes]:
    """Return the version key of the hash-tag shard that *key* names, if it names one."""
    app, namespace, rest = key.split(b":", 2)
    group = _SHARD.match(rest)
    if not group or not group[0].startswith(b"{%b." % namespace):
        return []
    return [b"%b:~version:%b" % (app, group[0])]


def _decoded_preview(wire: Wire, key: bytes, begin: bytes, length: int) -> Preview:
    stored = bytearray(begin)
    while len(stored) < length:
        piece = _bytes(wire.call("GETRANGE", key, len(stored), len(stored) + _PIECE_BYTES - 1))
        if not piece:
            break  # it was replaced by a shorter one, or is gone
        stored += piece
    try:
        return preview_value(Envelope.unpack(bytes(stored)).value())
    except UndecodableError as error:
        return Preview(truncated=True, note=f"the value cannot be decoded: {error}")


def _bytes(reply: Reply) -> bytes:
    return reply if isinstance(reply, bytes) else b""


def _seconds(time: object) -> float:
    """Return the answer to TIME in seconds since 1970."""
    match time:
        case [bytes() as seconds, bytes() as micros]:
            return int(seconds) + int(micros) / 1e6
    return 0.0
