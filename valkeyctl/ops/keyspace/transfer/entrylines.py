"""Entries as lines of an export: those that are valid, as their bytes lie in the server.

Written by hand and not by an encoder of JSON, because a line costs a microsecond then
and an export has millions.
"""

from __future__ import annotations

import re
import struct
import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from itertools import compress
from typing import NamedTuple

import msgspec

from valkeyctl.caching.codec import (
    ALWAYS_FRESH,
    ENCODINGS,
    HEADER,
    JSON,
    KNOWN_FLAGS,
    MAGIC,
    MSGPACK,
    SCHEMA,
    TEXT,
    Envelope,
    UndecodableError,
    decode,
)
from valkeyctl.caching.keys import SHARDS, KeyScheme, parse_key
from valkeyctl.ops.keyspace.transfer.exportlines import ExportLine

# Of keys with made-up namespaces there may be millions.
_MOST_SPACES = 4096
_PLAIN_ID = re.compile(rb"[!#-\[\]-~]+").fullmatch
# `codec.HEADER` with its first four fields as one number.
_unpack = struct.Struct(">I16sQIIH").unpack_from
# An entry that is only JSON, and has no tags.
_PLAIN_JSON = MAGIC << 24 | (SCHEMA << 4 | JSON) << 16
_HEADER_BYTES = HEADER.size
_json = msgspec.json.Encoder().encode
_syntax = msgspec.json.Decoder(msgspec.Raw).decode


Tags = tuple[tuple[bytes, bytes], ...]
"""Tags of an entry, each with the version that it was written under."""


class Tagged(NamedTuple):
    """A line that goes out if all its tags hold."""

    version: bytes
    line: bytes
    tags: Tags


Current = Callable[[list[bytes]], Mapping[bytes, object]]
"""Gives what keys of versions hold now."""


class Space:
    """The part of a namespace whose entries stand under one version, and lines of its entries.

    Attributes:
        app: The application, where lines name it; else None.
        namespace: Its name.
        version: Key of that version.
        tag_prefix: What the version keys of its tags begin with.
        prefix: What its lines begin with.
        shard: On Cluster its number; None elsewhere.
        versions: That the entries of *lines* were written under, in their order.
        lines: Of entries without tags.
        tagged: Entries with tags.
    """

    __slots__ = (
        "app",
        "lines",
        "namespace",
        "prefix",
        "shard",
        "tag_prefix",
        "tagged",
        "version",
        "versions",
    )

    def __init__(
        self, scheme: KeyScheme, namespace: str, shard: int | None, *, named: bool
    ) -> None:
        self.version = scheme.versions(namespace)[shard or 0]
        self.tag_prefix = scheme.tag_prefixes[shard or 0]
        self.app = scheme.app if named else None
        self.namespace = namespace
        app = f'"app":"{scheme.app}",' if named else ""
        self.prefix = f'{{{app}"namespace":"{namespace}","id":"'.encode()
        self.shard = shard
        self.versions: list[bytes] = []
        self.lines: list[bytes] = []
        self.tagged: list[Tagged] = []


class EntryLines:
    """Makes lines of entries, batch by batch.

    Args:
        named: Whether each line names its application, for the header does not.
        has_slots: Whether keys are those of a Cluster.
        exported_ms: The export's time, which lives are counted from.

    Attributes:
        stale: Entries left out, for their namespace or a tag of theirs was invalidated.
        undecodable: Entries left out, for no reader could make anything of them.
    """

    def __init__(self, *, named: bool, has_slots: bool, exported_ms: int) -> None:
        self._named = named
        self._has_slots = has_slots
        self._exported_ms = exported_ms
        self._spaces: dict[bytes, Space | None] = {}
        self._used: dict[bytes, Space] = {}
        self._blocks: dict[bytes, tuple[Tags, bytes]] = {}
        self.stale = 0
        self.undecodable = 0

    def space(self, key: bytes) -> tuple[Space, bytes] | None:
        """Return where the entry at *key* belongs, and its id as JSON has it, without quotes.

        None when it is no key of an entry.
        """
        end = key.find(b":", key.find(b":") + 1) + 1
        if self._has_slots and key[end : end + 1] == b"{":
            end = key.find(b":", end) + 1
        head = key[:end]
        try:
            space = self._spaces[head]
        except KeyError:
            space = self._learned(head)
        if space is None:
            return None
        word = key[end:]
        if space.shard is not None and zlib.crc32(word) % SHARDS != space.shard:
            return None
        if not _PLAIN_ID(word):
            quoted = _quoted(word)
            return None if quoted is None else (space, quoted)
        return space, word

    def add(self, key: bytes, stored: bytes, expires_ms: int) -> bool:
        """Make a line of *stored*; False when it is no entry, but a string of somebody else.

        *expires_ms* is in ms since 1970, -1 for never.
        """
        place = self.space(key)
        if place is None or len(stored) < _HEADER_BYTES:
            return False
        space, word = place
        front, version, created_ms, fresh_ms, cost_ms, block = _unpack(stored)
        tags = None
        words = b""
        if front == _PLAIN_JSON and _stands_alone(data := stored[_HEADER_BYTES:]):
            value = b'value":' + data  # most entries
        else:
            if front >> 24 != MAGIC:
                return False
            try:
                if front & 0xFF or block:
                    tags, words = self._tags(stored, block)
                value = _value(stored[_HEADER_BYTES + block :], front)
            except UndecodableError:
                self.undecodable += 1
                return True
        if expires_ms >= 0:
            # One that lives is above the export's time, but for the clocks of several nodes.
            words = b',"ttl_ms":%d%b' % (max(1, expires_ms - self._exported_ms), words)
        if fresh_ms != ALWAYS_FRESH or cost_ms:
            words += _times(fresh_ms, cost_ms)
        line = b'%b%b","%b,"created_ms":%d%b}\n' % (space.prefix, word, value, created_ms, words)
        self._used[space.version] = space
        if tags is None:
            space.versions.append(version)
            space.lines.append(line)
        else:
            space.tagged.append(Tagged(version, line, tags))
        return True

    def drain(self, current: Current) -> list[bytes]:
        """Return the lines of the valid ones of the entries added, and forget all of them.

        Args:
            current: Gives the versions that hold at keys. It must ask for them now, after
                the entries were read: an entry is valid if its version still holds.
        """
        keys = set(self._used)
        for space in self._used.values():
            prefix = space.tag_prefix
            for tags in {one.tags for one in space.tagged}:
                keys.update(prefix + tag for tag, _ in tags)
        held = current(list(keys)) if keys else {}
        lines: list[bytes] = []
        added = 0
        for space in self._used.values():
            added += len(space.lines) + len(space.tagged)
            lines += _valid_lines(space, held)
            space.versions = []
            space.lines = []
            space.tagged = []
        self._used.clear()
        self.stale += added - len(lines)
        return lines

    def valid(self, space: Space, envelope: Envelope, current: Current) -> bool:
        """Say whether the entry that *envelope* was just read of is valid; *current* as `drain`."""
        tags = [space.tag_prefix + tag for tag, _ in envelope.tags]
        held = current([space.version, *tags])
        return held.get(space.version) == envelope.version and all(
            held.get(key) == was for key, (_, was) in zip(tags, envelope.tags, strict=True)
        )

    def identity(self, space: Space, word: bytes) -> ExportLine:
        """Return a line that names the entry of `space` and says no more."""
        text = msgspec.json.decode(b'"%b"' % word, type=str)
        return ExportLine(app=space.app, namespace=space.namespace, id=text)

    def _tags(self, stored: bytes, block: int) -> tuple[Tags, bytes]:
        """Return the tags of an entry, and what a line says of them; many have the same.

        Raises:
            UndecodableError: They are not what the header says.
        """
        name = stored[3:4] + stored[_HEADER_BYTES : _HEADER_BYTES + block]
        known = self._blocks.get(name)
        if known is None:
            if len(self._blocks) >= _MOST_SPACES:
                self._blocks.clear()
            tags = Envelope.unpack(stored[: _HEADER_BYTES + block]).tags
            try:
                texts = [tag.decode() for tag, _ in tags]
            except UnicodeDecodeError as error:
                raise UndecodableError(str(error)) from error
            known = self._blocks[name] = (tags, b',"tags":%b' % _json(texts))
        return known

    def _learned(self, head: bytes) -> Space | None:
        if len(self._spaces) >= _MOST_SPACES:
            self._spaces.clear()
        known = self._spaces[head] = self._new_space(head)
        return known

    def _new_space(self, head: bytes) -> Space | None:
        grouped = self._has_slots and b"{" in head
        app, _, rest = head.partition(b":")
        namespace, _, group = rest.partition(b":")
        # Any id will do, for what it is does not matter to the namespace.
        parsed = parse_key(b"%b:%b:x" % (app, namespace))
        if parsed is None or parsed.kind != "entry":
            return None
        shard = None
        scheme = KeyScheme(parsed.app, shards=SHARDS if grouped else 1)
        if grouped:
            groups = {b"{%b.%d}:" % (app, number): number for number in range(SHARDS)}
            shard = groups.get(group)
            if shard is None:
                return None
        return Space(scheme, parsed.namespace, shard, named=self._named)


def _valid_lines(space: Space, held: Mapping[bytes, object]) -> list[bytes]:
    """Return the lines of *space* whose entries are valid under the versions that hold."""
    version = held.get(space.version)
    if all(one == version for one in set(space.versions)):
        lines = space.lines
    else:
        lines = list(compress(space.lines, [one == version for one in space.versions]))
    prefix = space.tag_prefix
    # Many have the same tags, written under the same versions.
    valid = {
        tags: all(held.get(prefix + tag) == was for tag, was in tags)
        for tags in {one.tags for one in space.tagged}
    }
    tagged = [one.line for one in space.tagged if one.version == version and valid[one.tags]]
    return [*lines, *tagged]


def _quoted(word: bytes) -> bytes | None:
    """Return an id as JSON has it, without the quotes; None when it is none by the key rules."""
    try:
        text = word.decode()
    except UnicodeDecodeError:
        return None
    if not text or " " in text or not text.isprintable():
        return None
    return _json(text)[1:-1]


def _times(fresh_ms: int, cost_ms: int) -> bytes:
    fresh = b"" if fresh_ms == ALWAYS_FRESH else b',"fresh_ms":%d' % fresh_ms
    return fresh + b',"cost_ms":%d' % cost_ms if cost_ms else fresh


def _value(data: bytes, front: int) -> bytes:
    """Return the fields of a line that hold the payload.

    Args:
        data: The payload.
        front: The first four bytes of the entry, as a number.

    Raises:
        UndecodableError: It is not what it says.
    """
    form, flags = front >> 16 & 0xFF, front >> 8 & 0xFF
    encoding = form & 0x0F
    if form >> 4 != SCHEMA or encoding > MSGPACK or flags & ~KNOWN_FLAGS:
        raise UndecodableError(f"no entry of format {SCHEMA}")
    if not flags:
        if encoding == JSON and _stands_alone(data):
            return b'value":' + data
        if encoding == TEXT:
            try:
                return b'value":' + _json(data.decode())
            except UnicodeDecodeError as error:
                raise UndecodableError(str(error)) from error
        decode(encoding, data)
    note = b',"flags":%d' % flags if flags else b""
    name = ENCODINGS[encoding].encode()
    return b'data":"%b","encoding":"%b"%b' % (b64encode(data), name, note)


def _stands_alone(data: bytes) -> bool:
    """Say whether *data* is JSON that can be a part of a line, and is found in it again."""
    # A string would be taken for text; white space around a value would be lost.
    if not data or data[0] <= 0x22 or data[-1] <= 0x20 or b"\n" in data or b"\r" in data:
        return False
    try:
        _syntax(data)
        if not data.isascii():
            data.decode()
    except (ValueError, RecursionError):
        return False
    return True
