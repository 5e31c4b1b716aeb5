"""What is asked for, turned into entries that are ready to be stored, by the library's rules.

A value that is JSON already is checked and stored as the bytes that it came in; decoding
and encoding it again would take most of the time that loading a file takes. What is read
back is what `CacheService.set` of the decoded value would have given. Where a key stands
twice in an object the last one counts, for every reader of JSON in use takes that one.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

import msgspec

from valkeyctl.caching.codec import (
    ALWAYS_FRESH,
    ENCODINGS,
    JSON,
    MAX_DEPTH,
    SCHEMA,
    TEXT,
    VERSION_BYTES,
    Envelope,
    UndecodableError,
    UnreadableError,
    encode,
)
from valkeyctl.caching.commands import milliseconds
from valkeyctl.caching.keys import MAX_KEY_BYTES, SHARDS, KeyScheme, Place
from valkeyctl.caching.namespaces import Namespace, Namespaces
from valkeyctl.caching.records import RecordError
from valkeyctl.units import format_size

if TYPE_CHECKING:
    from valkeyctl.ops.keyspace.transfer.exportlines import ExportLine

# Of tags that are made up per entry there may be millions.
_MOST_KINDS = 4096
_MOST_LIVES = 1024
# A value must be this long to have more brackets in one another than may be stored.
_SHALLOW_BYTES = 2 * MAX_DEPTH + 1
_MOST_DIGITS = 4000
_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % (_MOST_DIGITS + 1))


class Kind:
    """What the stored bytes of many entries have in common.

    Attributes:
        version: Key of the version of their namespace, which says their slot, too.
        tag_prefix: What the version keys of their tags begin with.
        tags: As `KeyScheme.tag_words` gives them.
        encoding: As `codec.encode` says.
        flags: What was done to the payload; see `codec`.
    """

    __slots__ = ("encoding", "flags", "tag_prefix", "tags", "version")

    def __init__(self, place: Place, tags: tuple[bytes, ...], encoding: int, flags: int) -> None:
        self.version = place.version
        self.tag_prefix = place.tags
        self.tags = tags
        self.encoding = encoding
        self.flags = flags

    @property
    def version_keys(self) -> tuple[bytes, ...]:
        """The keys of all versions that the entries are written under, the namespace's first."""
        return (self.version, *(self.tag_prefix + tag for tag in self.tags))


# No dataclasses: of these there are a million, and each takes a tenth of the time to make.
class Life(msgspec.Struct, frozen=True, gc=False):
    """How long an entry lives, and what it says of its age.

    Attributes:
        ttl_ms: Milliseconds to live; 0 for ever.
        fresh_ms: Milliseconds after it was created that it is fresh; `ALWAYS_FRESH` for
            as long as it lives.
        created_ms: When, in ms since 1970; 0 for now, by the server's clock.
        cost_ms: Milliseconds that loading it took; 0 unknown.
    """

    ttl_ms: int
    fresh_ms: int = ALWAYS_FRESH
    created_ms: int = 0
    cost_ms: int = 0


class Draft(msgspec.Struct, frozen=True, gc=False):
    """An entry ready to be stored.

    Attributes:
        kind: What it has in common with others.
        key: Where.
        data: The payload, as the flags of its kind say.
        life: How long it lives.
    """

    kind: Kind
    key: bytes
    data: bytes
    life: Life


class Shelf:
    """The entries of one namespace in one shard.

    Attributes:
        prefix: What their keys begin with.
        plain: What those without tags have in common, by their encoding.
    """

    __slots__ = ("_kinds", "_place", "plain", "prefix")

    def __init__(self, place: Place, prefix: bytes) -> None:
        self.prefix = prefix
        self._place = place
        self._kinds: dict[tuple[tuple[bytes, ...], int, int], Kind] = {}
        self.plain = tuple(Kind(place, (), encoding, 0) for encoding in range(len(ENCODINGS)))

    def kind(self, tags: tuple[bytes, ...], encoding: int, flags: int) -> Kind:
        """Return what an entry has in common with others like it."""
        if not tags and not flags:
            return self.plain[encoding]
        name = (tags, encoding, flags)
        known = self._kinds.get(name)
        if known is None:
            if len(self._kinds) >= _MOST_KINDS:
                self._kinds.clear()
            known = self._kinds[name] = Kind(self._place, tags, encoding, flags)
        return known


class Room:
    """One namespace on its way into the server.

    Args:
        scheme: Keys of the application.
        space: The namespace's rule.

    Attributes:
        space: As given.
        plain: Whether payloads lie there as they were encoded.
        most: Bytes of the largest payload.
        lives: How long entries live, by their ttl; see `life`.
    """

    __slots__ = ("_scheme", "_shelves", "lives", "most", "plain", "space")

    def __init__(self, scheme: KeyScheme, space: Namespace) -> None:
        policy = space.policy
        self.space = space
        self.plain = policy.compress_over is None and not policy.encrypt
        self.most = space.max_value_bytes
        self.lives: dict[float | None, Life] = {}
        self._scheme = scheme
        self._shelves: list[Shelf | None] = [None] * scheme.shards

    def locate(self, id: str) -> tuple[Shelf, bytes]:  # noqa: A002
        """Return where the entry of *id* lies: what is common there, and its key.

        Raises:
            InvalidKeyError: The id breaks the rules.
        """
        # What `KeyScheme.place` asks for, without making what else lies beside an entry:
        # that would be a tenth of the time to load it.
        if id.isprintable() and " " not in id:
            word = id.encode()
            shards = self._shelves
            shelf = shards[zlib.crc32(word) % SHARDS] if len(shards) > 1 else shards[0]
            if shelf is not None and 0 < len(word) <= MAX_KEY_BYTES - len(shelf.prefix):
                return shelf, shelf.prefix + word
        place = self._scheme.place(self.space.name, id)
        word = id.encode()
        shard = zlib.crc32(word) % SHARDS if len(self._shelves) > 1 else 0
        shelf = self._shelves[shard] = Shelf(place, place.key.removesuffix(word))
        return shelf, place.key

    def whole(self) -> Shelf | None:
        """Return where all entries lie as they were encoded; None where they do not."""
        if len(self._shelves) > 1 or not self.plain:
            return None
        return self._shelves[0] or self.locate("-")[0]

    def life(self, ttl: float | None) -> Life:
        """Return how long an entry with this ttl lives; None takes the policy's.

        Raises:
            InvalidKeyError: There is neither.
        """
        lives, fresh = self.space.spans(self.space.lifetime(ttl))
        fresh_ms = ALWAYS_FRESH if fresh is None else min(milliseconds(fresh), ALWAYS_FRESH - 1)
        life = Life(milliseconds(lives), fresh_ms)
        if ttl is not None:  # without one each entry has its jitter
            if len(self.lives) >= _MOST_LIVES:
                self.lives.clear()
            self.lives[ttl] = life
        return life


class Drafting:
    """Makes drafts of what is asked for.

    Args:
        scheme: Keys of the application, on the topology of the server.
        spaces: The rules of its namespaces.
    """

    def __init__(self, scheme: KeyScheme, spaces: Namespaces) -> None:
        self._scheme = scheme
        self._spaces = spaces
        self._rooms: dict[str, Room] = {}
        self._tags: dict[tuple[str, ...], tuple[bytes, ...]] = {}

    def json(
        self,
        namespace: str,
        id: str,  # noqa: A002
        value: msgspec.Raw,
        life: Life | float | None,
        tags: tuple[str, ...] | None,
    ) -> Draft:
        """Return the entry of a value that is JSON text.

        Raises:
            RecordError: The value cannot be stored, or is too large.
            UsageError: Namespace, id or tags break the key rules, or there is no ttl.
            msgspec.MsgspecError, UnicodeDecodeError: It is no JSON in UTF-8 of numbers and
                texts that exist; `json` of the standard library may think otherwise.
        """
        room = self._rooms.get(namespace) or self._learned(namespace)
        shelf, key = room.locate(id)
        words = self._words(tags) if tags else ()
        if not room.plain:
            return self._packed(room, shelf, key, _decode(value), words, life)
        encoding, data = encoded(value)
        if len(data) > room.most:
            raise _too_large(room, data)
        if not isinstance(life, Life):
            life = room.lives.get(life) or room.life(life)
        kind = shelf.plain[encoding] if not words else shelf.kind(words, encoding, 0)
        return Draft(kind, key, data, life)

    def exported(self, line: ExportLine) -> Draft:
        """Return the entry on a line of an export, as old as it was and with what it has left.

        Raises:
            RecordError: It is another key than an entry, or cannot be stored or read here.
            UsageError: Namespace, id or tags break the key rules.
        """
        if not line.namespace:
            raise RecordError("a key that is no entry; valkeyctl keys import restores it")
        if line.app is not None and line.app != self._scheme.app:
            raise RecordError(f"an entry of another application, {line.app!r:.60}")
        life = Life(line.ttl_ms or 0, line.fresh_ms, line.created_ms, line.cost_ms)
        if line.data is None:
            try:
                return self.json(line.namespace, line.id, line.value, life, line.tags)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise RecordError(f"the value cannot be stored: {error}") from error
        if line.encoding is None:
            raise RecordError("the field 'encoding' is missing beside 'data'")
        room = self._rooms.get(line.namespace) or self._learned(line.namespace)
        shelf, key = room.locate(line.id)
        words = self._words(line.tags) if line.tags else ()
        encoding = ENCODINGS.index(line.encoding)
        # As a reader would open it: encrypted ones are bound to their key and its tags.
        form = SCHEMA << 4 | encoding
        tags = tuple((word, bytes(VERSION_BYTES)) for word in words)
        stored = Envelope(form, bytes(VERSION_BYTES), 0, line.data, tags, line.flags).pack()
        try:
            room.space.payloads.open(key, stored)
        except (UndecodableError, UnreadableError) as error:
            raise RecordError(f"the value cannot be read here: {error}") from error
        if len(line.data) > room.most:
            raise _too_large(room, line.data)
        kind = shelf.kind(words, encoding, line.flags)
        return Draft(kind, key, line.data, life)

    def whole(self, namespace: str) -> tuple[Shelf, int] | None:
        """Return where all entries of *namespace* lie, and the bytes of the largest payload.

        None where they lie in several places, or not as they were encoded.

        Raises:
            UsageError: The namespace breaks the key rules.
        """
        room = self._rooms.get(namespace) or self._learned(namespace)
        shelf = room.whole()
        return None if shelf is None else (shelf, room.most)

    def value(
        self,
        namespace: str,
        id: str,  # noqa: A002
        value: object,
        life: Life | float | None,
        tags: tuple[str, ...] | None,
    ) -> Draft:
        """Return the entry of any value, by the library's own encoder.

        Raises:
            RecordError, UsageError: As `json`.
        """
        room = self._rooms.get(namespace) or self._learned(namespace)
        shelf, key = room.locate(id)
        words = self._words(tags) if tags else ()
        return self._packed(room, shelf, key, value, words, life)

    def _packed(
        self,
        room: Room,
        shelf: Shelf,
        key: bytes,
        value: object,
        words: tuple[bytes, ...],
        life: Life | float | None,
    ) -> Draft:
        payload = room.space.payloads.pack(key, value, len(words))
        if len(payload.data) > room.most:
            raise _too_large(room, payload.data)
        if not isinstance(life, Life):
            life = room.lives.get(life) or room.life(life)
        kind = shelf.kind(words, payload.encoding, payload.flags)
        return Draft(kind, key, payload.data, life)

    def _learned(self, namespace: str) -> Room:
        self._scheme.versions(namespace)  # checks its name
        if len(self._rooms) >= _MOST_KINDS:
            self._rooms.clear()
        room = self._rooms[namespace] = Room(self._scheme, self._spaces[namespace])
        return room

    def _words(self, tags: tuple[str, ...]) -> tuple[bytes, ...]:
        words = self._tags.get(tags)
        if words is None:
            if len(self._tags) >= _MOST_KINDS:
                self._tags.clear()
            words = self._tags[tags] = self._scheme.tag_words(tags)
        return words


def encoded(value: msgspec.Raw) -> tuple[int, bytes]:
    """Return the encoding and the payload of a value that is JSON text.

    Raises:
        UsageError: The value cannot be stored.
        msgspec.MsgspecError, UnicodeDecodeError: As `Drafting.json`.
    """
    decoded = _decode(value)
    if type(decoded) is str:
        return TEXT, decoded.encode()
    data = bytes(value)
    if len(data) > _SHALLOW_BYTES and _is_odd(data):
        return encode(decoded)
    if b": " in data or b", " in data:
        # The spaces of an ordinary encoder would take memory as long as it lives.
        data = msgspec.json.format(data, indent=-1)
    return JSON, data


def _too_large(room: Room, data: bytes) -> RecordError:
    size, most = format_size(len(data)), format_size(room.most)
    return RecordError(f"the value of {size} is larger than {most}")


def _is_odd(data: bytes) -> bool:
    """Say whether the encoder has to see a value: it may be too deep, or a number too long."""
    return data.count(b"[") + data.count(b"{") > MAX_DEPTH or (
        len(data) > _MOST_DIGITS and _LONG_NUMBER.search(data) is not None
    )


_decode = msgspec.json.decode
