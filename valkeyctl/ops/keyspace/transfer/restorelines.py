"""Lines of an export as entries of the server that they are imported into."""

from __future__ import annotations

from valkeyctl.caching.codec import AES_GCM, ALWAYS_FRESH, decode
from valkeyctl.caching.keys import KeyScheme, Place, parse_key
from valkeyctl.caching.records import RecordError
from valkeyctl.ops.keyspace.loading.drafts import Draft, Kind, Life
from valkeyctl.ops.keyspace.transfer.exportlines import (
    ENCODING_NAMES,
    LONGEST_LIFE_MS,
    ExportHeader,
    ExportLine,
    payload_of,
)

# Of tags that are made up per entry there may be millions.
_MOST_KINDS = 4096
_FOR_EVER = 0
_LONGEST_FRESH_MS = ALWAYS_FRESH - 1


class ExpiredError(Exception):
    """What the line holds has outlived its deadline."""


class Restoring:
    """Turns lines into what is stored, byte for byte as it was, under the keys of the target.

    Args:
        header: Of the export.
        app: What to call its application; None as it was called.
        shards: Of the keys of the target.
        keep_deadlines: Whether everything ends when it would have ended where it was;
            else it has as long left as it had when it was exported.

    Attributes:
        elapsed_ms: Milliseconds since the export, by the target's clock; kept up to date
            by the caller.
    """

    def __init__(
        self, header: ExportHeader, app: str | None, *, shards: int, keep_deadlines: bool
    ) -> None:
        self.elapsed_ms = 0
        self._header = header
        self._app = app
        self._shards = shards
        self._keep_deadlines = keep_deadlines
        self._schemes: dict[str | None, KeyScheme] = {}
        self._sources: dict[str | None, KeyScheme] = {}
        self._kinds: dict[tuple[bytes, tuple[str, ...], int, int], Kind] = {}

    def draft(self, line: ExportLine) -> Draft:
        """Return the entry on *line*.

        Raises:
            RecordError: It cannot be stored there; the text is the reason.
            InvalidKeyError: A name breaks the key rules.
            ExpiredError: Its deadline is past.
        """
        try:
            encoding, flags, data = payload_of(line)
        except ValueError as error:
            raise RecordError(str(error)) from error
        if line.data is not None and not flags:
            try:
                decode(encoding, data)  # readers would delete it
            except ValueError as error:
                raise RecordError(f"'data' is not {line.encoding}: {error}".strip(": ")) from error
        return self._draft(line, encoding, flags, data)

    def beginning(self, line: ExportLine) -> Draft:
        """Return the entry whose payload begins on *line* and goes on; the draft has none of it.

        Raises:
            RecordError, InvalidKeyError, ExpiredError: As `draft`.
        """
        if line.encoding is None:
            raise RecordError("the field 'encoding' is missing beside 'data'")
        encoding = ENCODING_NAMES.index(line.encoding)
        return self._draft(line, encoding, line.flags, b"")

    def key(self, line: ExportLine) -> bytes:
        """Return the key of a line that is no entry.

        Raises:
            RecordError: It has none, or one that is not the application's.
        """
        if line.key_b64 is not None:
            key = line.key_b64
        elif line.key is not None:
            key = line.key.encode()
        else:
            raise RecordError("neither 'namespace' and 'id' nor 'key' is there")
        parsed = parse_key(key)
        if parsed is not None and parsed.control:
            raise RecordError(f"the key holds a {parsed.kind}, which means nothing here")
        if self._header.app is None:
            return key
        prefix = f"{self._header.app}:".encode()
        if not key.startswith(prefix):
            raise RecordError(f"the key does not begin with {self._header.app}:, the application")
        return f"{self._app or self._header.app}:".encode() + key.removeprefix(prefix)

    def life_ms(self, line: ExportLine) -> int:
        """Return how many ms the key of *line* lives; 0 for ever.

        Raises:
            ExpiredError: Its deadline is past.
        """
        if line.ttl_ms is None:
            return _FOR_EVER
        if not self._keep_deadlines:
            return line.ttl_ms
        life_ms = line.ttl_ms - self.elapsed_ms
        if life_ms <= 0:
            raise ExpiredError
        return min(life_ms, LONGEST_LIFE_MS)  # a header may name a time to come

    def _draft(self, line: ExportLine, encoding: int, flags: int, data: bytes) -> Draft:
        place = self._place(line)
        tags = line.tags
        name = (place.version, tags, encoding, flags)
        kind = self._kinds.get(name)
        if kind is None:
            words = self._schemes[line.app].tag_words(tags)
            if len(self._kinds) >= _MOST_KINDS:
                self._kinds.clear()
            kind = self._kinds[name] = Kind(place, words, encoding, flags)
        if flags & AES_GCM:
            self._check_key(line, place.key)
        fresh_ms = line.fresh_ms
        if fresh_ms != ALWAYS_FRESH and not self._keep_deadlines:
            # When it was loaded is a fact; until when it is fresh moves, as its end does.
            fresh_ms = min(max(0, fresh_ms + self.elapsed_ms), _LONGEST_FRESH_MS)
        life = Life(self.life_ms(line), fresh_ms, line.created_ms, line.cost_ms)
        return Draft(kind, place.key, data, life)

    def _place(self, line: ExportLine) -> Place:
        scheme = self._schemes.get(line.app)
        if scheme is None:
            was = line.app or self._header.app
            if self._header.app not in (None, was):
                raise RecordError(f"it is {was}'s, and the export is {self._header.app}'s")
            if was is None:
                raise RecordError("neither the line nor the first line names an application")
            scheme = self._schemes[line.app] = KeyScheme(self._app or was, shards=self._shards)
            self._sources[line.app] = KeyScheme(was, shards=self._header.shards)
        return scheme.place(line.namespace, line.id)

    def _check_key(self, line: ExportLine, key: bytes) -> None:
        was = self._sources[line.app].place(line.namespace, line.id).key
        if was != key:
            raise RecordError(
                f"its value is encrypted for the key {was.decode()} and cannot be read at "
                f"{key.decode()}"
            )
