"""A string that may be an entry of ours: its envelope, and a look at its value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from valkeyctl.caching.codec import (
    ALWAYS_FRESH,
    ENCODINGS,
    Envelope,
    UndecodableError,
    UnreadableError,
)
from valkeyctl.caching.keys import SHARDS, KeyScheme, parse_key
from valkeyctl.caching.payload import Payloads, Wrapping
from valkeyctl.caching.replies import Reply
from valkeyctl.caching.wire import Wire
from valkeyctl.ops.keyspace.inspection.pieces import ChangedError, WatchedString
from valkeyctl.ops.keyspace.inspection.preview import (
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
        compressed: Whether the value lies there compressed.
        key_id: Of the key that the value is encrypted with; None when it is not.
        payload_bytes: Size of the value as it lies there.
        raw_bytes: Its size neither compressed nor encrypted; None when it cannot be known.
        fresh_until_s: From when on it is stale and loaded anew behind a reader's back, in
            seconds since 1970; None when it is fresh as long as it exists.
        load_s: Seconds that loading the value took; None when nobody measured it.
        loading_s: Seconds that the lease of whoever loads it anew still lives; None when
            nobody does.
    """

    created_s: float
    age_s: float
    version: Literal["current", "stale"]
    tags: tuple[str, ...]
    stale_tags: tuple[str, ...]
    format: str
    compressed: bool
    key_id: int | None
    payload_bytes: int
    raw_bytes: int | None
    fresh_until_s: float | None
    load_s: float | None
    loading_s: float | None = None


def look_at_string(wire: Wire, key: bytes, length: int) -> tuple[EntryDetail | None, Preview]:
    """Return what the envelope at *key* says, if there is one, and the beginning of its value.

    *length* is that of the whole string in bytes; no more than 8 MiB of it is read.

    Raises:
        ChangedError: It is another string now.
        UnreachableError, AuthError, ServerReplyError: as `Wire.call`.
    """
    owner = owner_of(key)
    if owner is None or owner.control:
        return None, preview_string(wire, key, length)
    begin = _bytes(wire.call("GETRANGE", key, 0, READ_BYTES - 1))
    if len(begin) != min(length, READ_BYTES):
        raise ChangedError
    try:
        envelope = Envelope.unpack(begin)
        payload_bytes = length - len(begin) + len(envelope.payload)
        wrapping = Wrapping.of(envelope.flags, envelope.payload, payload_bytes)
    except UndecodableError:
        return None, preview_string(wire, key, length)
    entry = _detail(wire, key, owner, envelope, payload_bytes, wrapping)
    if wrapping.key_id is not None:
        note = f"encrypted (key id {wrapping.key_id})"
        return entry, Preview(truncated=True, note=note)
    if length <= _DECODED_BYTES:
        return entry, _decoded_preview(wire, key, begin, length)
    if not wrapping.compressed and entry.format in ("str", "json"):
        text = envelope.payload.decode("utf-8", "replace")
        return entry, preview_text(text, whole=False)
    note = f"{format_size(payload_bytes)} of {entry.format} are not decoded for a preview"
    return entry, Preview(truncated=True, note=note)


def _detail(
    wire: Wire,
    key: bytes,
    owner: Owner,
    envelope: Envelope,
    payload_bytes: int,
    wrapping: Wrapping,
) -> EntryDetail:
    version_key, tag_prefix = _control_keys(owner, key)
    tag_keys = [tag_prefix + tag for tag, _ in envelope.tags]
    now, lease_ms, version, *tag_versions = wire.pipeline(
        [
            ("TIME",),
            ("PTTL", _lease_key(owner, key)),
            ("GET", version_key),
            *(("GET", name) for name in tag_keys),
        ]
    )
    pairs = list(zip(envelope.tags, tag_versions, strict=True))
    created_s = envelope.created_ms / 1000
    encoding = envelope.encoding
    lasting = envelope.fresh_ms == ALWAYS_FRESH
    return EntryDetail(
        created_s=created_s,
        age_s=max(0.0, _seconds(now) - created_s),
        version="current" if envelope.version == version else "stale",
        tags=tuple(tag.decode(errors="replace") for tag, _ in envelope.tags),
        stale_tags=tuple(
            tag.decode(errors="replace") for (tag, version), current in pairs if version != current
        ),
        format=ENCODINGS[encoding] if encoding < len(ENCODINGS) else f"unknown ({encoding})",
        compressed=wrapping.compressed,
        key_id=wrapping.key_id,
        payload_bytes=payload_bytes,
        raw_bytes=wrapping.encoded_bytes,
        fresh_until_s=None if lasting else created_s + envelope.fresh_ms / 1000,
        load_s=envelope.cost_ms / 1000 if envelope.cost_ms else None,
        loading_s=lease_ms / 1000 if isinstance(lease_ms, int) and lease_ms >= 0 else None,
    )


def _control_keys(owner: Owner, key: bytes) -> tuple[bytes, bytes]:
    """Return the key of its namespace's version, and the prefix of its tags', beside *key*."""
    parsed = parse_key(key)
    shard = parsed.shard if parsed else None
    scheme = KeyScheme(owner.app, shards=1 if shard is None else SHARDS)
    return scheme.versions(owner.namespace)[shard or 0], scheme.tag_prefixes[shard or 0]


def _lease_key(owner: Owner, key: bytes) -> bytes:
    """Return the key of the lease to load the value of *key*, which lies in the same slot."""
    _, _, rest = key.split(b":", 2)
    return b"%b:~load:%b:%b" % (owner.app.encode(), owner.namespace.encode(), rest)


def _decoded_preview(wire: Wire, key: bytes, begin: bytes, length: int) -> Preview:
    stored = begin
    if len(begin) < length:
        watched = WatchedString(wire, key)
        stored = b"".join(watched.pieces())
        watched.check()
        if stored[: len(begin)] != begin:
            raise ChangedError
    try:
        return preview_value(Payloads().open(key, stored).value)
    except (UndecodableError, UnreadableError) as error:
        return Preview(truncated=True, note=f"the value cannot be decoded: {error}")


def _bytes(reply: Reply) -> bytes:
    return reply if isinstance(reply, bytes) else b""


def _seconds(time: object) -> float:
    """Return the answer to TIME in seconds since 1970."""
    match time:
        case [bytes() as seconds, bytes() as micros]:
            return int(seconds) + int(micros) / 1e6
    return 0.0
