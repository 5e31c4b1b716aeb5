"""Neighbouring lines of an export that are alike, made into commands all at once.

Most lines of most exports differ in id, value and times alone. A draft for each of them,
and a few calls per draft, would take longer than the server needs to store them. Here the
words of their commands are made kind by kind for all of them at once. A line that is special
in any way leaves its neighbours to `Drafting`, too, which gives the same entries.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Annotated, overload

import msgspec

from valkeyctl.caching.codec import ALWAYS_FRESH, HEADER, TEXT
from valkeyctl.caching.keys import MAX_KEY_BYTES
from valkeyctl.caching.records import LONGEST_TTL
from valkeyctl.errors import UsageError
from valkeyctl.ops.keyspace.loading.drafts import Draft, Drafting, Kind, Life, Shelf, encoded

_REST = struct.Struct(">QIIH").pack  # created, fresh, cost, bytes of the tag block
# A command has so few pieces because joining them is much of the work. The piece before the
# times of an entry is filled in last: only the server knows the version in it.
_PIECES = 7
_BEGINNING = 3
_KEY = b"*%d\r\n$3\r\nSET\r\n$"
_LIFE = b"\r\n$2\r\nPX\r\n$%d\r\n%%d\r\n"
_NEW = b"$2\r\nNX\r\n"
_LENGTHS_KEPT = 4096
# Long values are not to lie in memory as often as they do here.
_LONGEST_BYTES = 2 * 2**20
# Made-up namespaces must not fill the memory.
_SPACES_KEPT = 256


class _Line(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A line of an entry without tags, that is not for ever."""

    namespace: str
    id: str
    created_ms: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    ttl_ms: Annotated[int, msgspec.Meta(ge=1, le=int(LONGEST_TTL) * 1000)]
    fresh_ms: Annotated[int, msgspec.Meta(ge=0, le=ALWAYS_FRESH)] = ALWAYS_FRESH
    cost_ms: Annotated[int, msgspec.Meta(ge=0, le=ALWAYS_FRESH)] = 0


class _Text(_Line, gc=False, forbid_unknown_fields=True, kw_only=True):
    """One whose value is text."""

    value: str


class _Any(_Line, gc=False, forbid_unknown_fields=True, kw_only=True):
    """One whose value may be anything."""

    value: msgspec.Raw


class _OutOfBoundsError(LookupError):
    """No entry has a key or a payload of that length."""


class _Lengths(dict[int, bytes]):
    """What stands before a word of a command, by the length of the word.

    Args:
        before: Before the number.
        prefix: Behind the number, and counted with the word.
        hidden: Bytes that are counted, too, and come from elsewhere.
        bounds: Of the word.
    """

    def __init__(self, before: bytes, prefix: bytes, hidden: int, bounds: range) -> None:
        self._before = before
        self._prefix = prefix
        self._more = len(prefix) + hidden
        self._bounds = bounds

    def __missing__(self, length: int) -> bytes:
        if length not in self._bounds:
            raise _OutOfBoundsError
        piece = b"%b%d\r\n%b" % (self._before, length + self._more, self._prefix)
        if len(self) < _LENGTHS_KEPT:
            self[length] = piece
        return piece


class Stretch(Sequence[Draft]):
    """Entries of one namespace without tags, as the commands that store them.

    Args:
        shelf: Where they lie.
        lines: What their lines say.
        forms: The encoding of each.
        datas: The payload of each.
        pieces: Their commands, but for what stands before their times.
        longest_ms: Milliseconds that the one lives that lives longest.
        size: Bytes of their keys and values.
        replace: Whether they are stored over what is there, too.

    Attributes:
        kinds: What they have in common.
        longest_ms: As given.
        bytes: As *size*.
        replace: As given.
    """

    def __init__(
        self,
        shelf: Shelf,
        lines: Sequence[_Line],
        forms: Sequence[int],
        datas: Sequence[bytes],
        pieces: list[bytes],
        longest_ms: int,
        size: int,
        replace: bool,
    ) -> None:
        self._shelf = shelf
        self._lines = lines
        self._forms = forms
        self._datas = datas
        self._pieces = pieces
        self.longest_ms = longest_ms
        self.bytes = size
        self.replace = replace
        self.kinds: tuple[Kind, ...] = tuple(shelf.plain[form] for form in sorted({*forms}))

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, place: int) -> Draft: ...
    @overload
    def __getitem__(self, place: slice) -> list[Draft]: ...
    def __getitem__(self, place: int | slice) -> Draft | list[Draft]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        line = self._lines[place]
        kind = self._shelf.plain[self._forms[place]]
        life = Life(line.ttl_ms, line.fresh_ms, line.created_ms, line.cost_ms)
        return Draft(kind, self._shelf.prefix + line.id.encode(), self._datas[place], life)

    def packed(self, beginnings: Mapping[int, bytes]) -> bytes:
        """Return the commands that store them.

        Args:
            beginnings: What stands before the times of an entry, by its encoding.
        """
        pieces = self._pieces
        pieces[_BEGINNING::_PIECES] = map(beginnings.__getitem__, self._forms)
        return b"".join(pieces)


class Stretches:
    """Finds the stretches among the lines of an export.

    Args:
        drafting: The rules.
        replace: Whether to store entries over those that are there, too.
    """

    def __init__(self, drafting: Drafting, *, replace: bool = False) -> None:
        self._drafting = drafting
        self._replace = replace
        self._key = _KEY % (5 if replace else 6)
        self._life = _LIFE if replace else _LIFE + _NEW
        self._known: dict[bytes, tuple[_Lengths, _Lengths]] = {}

    def find(self, text: bytes, count: int) -> Stretch | None:
        """Return the entries of *count* lines, or None where one of them is special."""
        if len(text) > _LONGEST_BYTES:
            return None
        lines: Sequence[_Line]
        try:
            try:
                texts = _texts(text)
            except msgspec.ValidationError:
                values = _values(text)
                stored = [encoded(line.value) for line in values]
                forms, datas = [form for form, _ in stored], [data for _, data in stored]
                lines = values
            else:
                forms, datas = [TEXT] * len(texts), [line.value.encode() for line in texts]
                lines = texts
            # Empty lines are passed over by the decoder, and have a number all the same.
            if len(lines) != count or not lines:
                return None
            space = self._drafting.whole(lines[0].namespace)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, UsageError):
            return None
        try:
            return None if space is None else self._made(*space, lines, forms, datas)
        except _OutOfBoundsError:
            return None

    def _made(
        self,
        shelf: Shelf,
        most: int,
        lines: Sequence[_Line],
        forms: Sequence[int],
        datas: Sequence[bytes],
    ) -> Stretch | None:
        """Return the commands of *lines*; None where one breaks a rule or is of another namespace.

        Raises:
            _OutOfBoundsError: A key or a payload is too long, or there is no id.
        """
        # Column by column: a loop over the lines takes a third longer, and a call for each of
        # them more than all of this.
        namespace, count = lines[0].namespace, len(lines)
        names = [line.id for line in lines]
        together = "".join(names)
        if " " in together or not together.isprintable():
            return None
        if [line.namespace for line in lines].count(namespace) != count:
            return None
        words = [name.encode() for name in names]
        lives = [line.ttl_ms for line in lines]
        keys, values = self._lengths(shelf.prefix, most)
        widths, lengths = [*map(len, words)], [*map(len, datas)]
        pieces = [b""] * (_PIECES * count)
        pieces[0::_PIECES] = [keys[width] for width in widths]
        pieces[1::_PIECES] = words
        pieces[2::_PIECES] = [values[length] for length in lengths]
        pieces[4::_PIECES] = [
            _REST(line.created_ms, line.fresh_ms, line.cost_ms, 0) for line in lines
        ]
        pieces[5::_PIECES] = datas
        pieces[6::_PIECES] = self._endings(lives)
        size = count * (len(shelf.prefix) + HEADER.size) + sum(widths) + sum(lengths)
        return Stretch(shelf, lines, forms, datas, pieces, max(lives), size, self._replace)

    def _endings(self, lives: Sequence[int]) -> list[bytes]:
        """Return the ends of commands by how many ms the entries live."""
        digits = len(str(max(lives)))
        if min(lives) >= 10 ** (digits - 1):  # of most neighbours they are as many
            ending = self._life % digits
            return [ending % life_ms for life_ms in lives]
        return [self._life % len(str(life_ms)) % life_ms for life_ms in lives]

    def _lengths(self, prefix: bytes, most: int) -> tuple[_Lengths, _Lengths]:
        known = self._known.get(prefix)
        if known is None:
            if len(self._known) >= _SPACES_KEPT:
                self._known.clear()
            known = self._known[prefix] = (
                _Lengths(self._key, prefix, 0, range(1, MAX_KEY_BYTES - len(prefix) + 1)),
                _Lengths(b"\r\n$", b"", HEADER.size, range(most + 1)),
            )
        return known


_texts = msgspec.json.Decoder(_Text).decode_lines
_values = msgspec.json.Decoder(_Any).decode_lines
