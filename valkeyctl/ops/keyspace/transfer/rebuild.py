"""Keys of any type into a server, none of which can be seen before it is whole.

A key is built under another name in the same slot, which expires by itself should nobody
come back, and is given its name when it has all its content and its life.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from valkeyctl.caching.driver.slots import slot_of
from valkeyctl.caching.replies import Word
from valkeyctl.caching.wire import Wire
from valkeyctl.errors import ServerReplyError, UnreachableError, ValkeyctlError
from valkeyctl.ops.keyspace.lanes import Answer
from valkeyctl.ops.keyspace.loading.fronts import checked
from valkeyctl.ops.keyspace.nodes import Primaries
from valkeyctl.ops.keyspace.transfer.exportlines import ExportLine, StreamFacts
from valkeyctl.ops.keyspace.transfer.longstring import LongString

BUILDING = re.compile(rb":~import:[0-9a-f]{12}\.[0-9a-f]+$").search
"""Finds the end of the name that a key has while it is built."""

_LEFTOVER_MS = 3_600_000
# More of a sorted set of a million hold the server up for milliseconds.
_MEMBERS = 100
WITHOUT_SIZE = "the field 'bytes', the size of all parts together, is missing"
# What an error reply begins with that is about one key, not about the server's state.
_OWN_FAULT = frozenset({"ERR", "WRONGTYPE", "BUSYKEY", "NOGROUP", "INVALIDOBJ"})

Words = tuple[Word, ...]
Item = TypeVar("Item")


class NotRebuiltError(ValueError):
    """The content of a line cannot be stored; the text is the reason."""


class OutlivedError(NotRebuiltError):
    """A hash all of whose fields have expired."""


@dataclass(eq=False)
class Building:
    """A key on its way.

    Attributes:
        key: What it will be called.
        life_ms: As long as it will live then; 0 for ever.
        name: What it is called until then.
        type: As TYPE will name it.
        dump: What of a DUMP is there so far.
        long: Sends a string that takes several lines; None for any other key.
    """

    key: bytes
    life_ms: int
    name: bytes
    type: str
    dump: list[bytes] = field(default_factory=list)
    long: LongString | None = None


class Rebuilder:
    """Builds keys; opened by `with`, for one thread.

    Args:
        primaries: The servers.
        replace: Whether a key that is there is replaced; else it is left.
    """

    def __init__(self, primaries: Primaries, *, replace: bool) -> None:
        self._primaries = primaries
        self._replace = replace
        self._wires = {
            (endpoint.host, endpoint.port): Wire(endpoint) for endpoint in primaries.nodes
        }
        self._names = 0
        self._run = secrets.token_hex(6)

    def wire(self, key: bytes) -> Wire:
        """Return an open connection to the primary that *key* lies on.

        Raises:
            UnreachableError, AuthError, TlsError: as `Wire.open`.
        """
        wire = self._wire(key)
        wire.open()
        return wire

    def close(self) -> None:
        """Close the connections."""
        for wire in self._wires.values():
            wire.close()

    def begin(self, key: bytes, kind: str, life_ms: int) -> Building:
        """Return a key to be built."""
        self._names += 1
        ending = b":~import:%b.%x" % (self._run.encode(), self._names)
        return Building(key, life_ms, self._beside(key, ending), kind)

    def put(self, whole: Sequence[tuple[Building, ExportLine]]) -> list[bool | NotRebuiltError]:
        """Store keys that take one line each; many at once cost a few round trips.

        Returns:
            For each of them whether it was stored, and not left because it is there
            already; or why it cannot be.

        Raises:
            UnreachableError, AuthError, ServerReplyError: as `Wire.pipeline`.
        """
        try:
            refused = self._build(whole)
            built = [building for building, _ in whole if building not in refused]
            stored = dict(zip(built, self._finish(built), strict=True))
        except BaseException:  # an interruption, too, leaves nothing beside the keys
            with suppress(ValkeyctlError):  # the server may be gone; they expire by themselves
                for building, _ in whole:
                    self.discard(building)
            raise
        return [refused.get(building) or stored[building] for building, _ in whole]

    def add(self, building: Building, line: ExportLine) -> None:
        """Add the content of one line of several.

        Raises:
            NotRebuiltError: It cannot be stored; the key is given up.
            UnreachableError, AuthError, ServerReplyError: as `Wire.pipeline`.
        """
        if building.type == "string":
            self._add_long(building, line)
            return
        for refused in self._build([(building, line)]).values():
            raise refused

    def finish(self, building: Building, *, over: bool = False) -> bool:
        """Give a key its name; False when there is one of this name, which is left.

        Args:
            building: With all its content.
            over: Replace one that is there, whatever was said to the constructor.

        Raises:
            NotRebuiltError: It cannot be stored; it is given up.
            UnreachableError, AuthError, ServerReplyError: as `Wire.pipeline`.
        """
        if building.long is not None:
            with self._giving_up(building):
                checked(building.long.finish())
        (stored,) = self._finish([building], over=over)
        if isinstance(stored, NotRebuiltError):
            raise stored
        return stored

    def _add_long(self, building: Building, line: ExportLine) -> None:
        with self._giving_up(building):
            value = _string(line)
            if building.long is None:
                if line.more and not line.size:
                    raise ValueError(WITHOUT_SIZE)
                size = line.size or len(value)
                endpoint = self._wire(building.key).endpoint
                building.long = LongString(endpoint, building.name, size, _LEFTOVER_MS)
            building.long.add(value)

    @contextmanager
    def _giving_up(self, building: Building) -> Iterator[None]:
        """Give up a key whose content cannot be stored.

        Raises:
            NotRebuiltError: So it is.
        """
        try:
            yield
        except ServerReplyError as error:
            if error.reply not in _OWN_FAULT:
                raise
            self.discard(building)
            raise NotRebuiltError(f"the server refuses it: {error}") from error
        except ValueError as error:
            self.discard(building)
            raise NotRebuiltError(str(error)) from error

    def _build(
        self, lines: Sequence[tuple[Building, ExportLine]]
    ) -> dict[Building, NotRebuiltError]:
        """Add the content of lines; return why some of them cannot be stored."""
        refused: dict[Building, NotRebuiltError] = {}
        for wire, group in self._by_wire(lines, lambda pair: pair[0]):
            owners: list[Building] = []
            commands: list[Words] = []
            for building, line in group:
                try:
                    own = list(_commands(building, line))
                except ValueError as error:
                    refused[building] = NotRebuiltError(str(error))
                    continue
                if own:
                    own.append(("PEXPIRE", building.name, _LEFTOVER_MS))
                commands += own
                owners += [building] * len(own)
            self._send(wire, owners, commands, refused)
        for building in refused:
            self.discard(building)
        return refused

    def _finish(
        self, buildings: Sequence[Building], *, over: bool = False
    ) -> list[bool | NotRebuiltError]:
        """Give keys their names; say of each whether it has it now, or why it cannot be stored."""
        give = "RENAME" if over or self._replace else "RENAMENX"
        outcomes: dict[Building, bool | NotRebuiltError] = {}
        refused: dict[Building, NotRebuiltError] = {}
        for wire, group in self._by_wire(buildings, lambda building: building):
            dumped = [one for one in group if one.dump]
            restores = [("RESTORE", one.name, _LEFTOVER_MS, b"".join(one.dump)) for one in dumped]
            self._send(wire, dumped, restores, refused)
            built = [one for one in group if one not in refused]
            commands: list[Words] = []
            for one in built:
                life: Words = ("PERSIST", one.name)
                if one.life_ms:
                    life = ("PEXPIRE", one.name, one.life_ms)
                # At once: nobody finds the key with another life than its own.
                commands += [("MULTI",), life, (give, one.name, one.key), ("EXEC",)]
            for one, answer in zip(built, wire.pipeline(commands)[3::4], strict=True):
                outcomes[one] = _renamed(one, give, answer)
        outcomes.update(refused)
        for one in buildings:
            if outcomes[one] is not True:
                self.discard(one)
        return [outcomes[one] for one in buildings]

    def _send(
        self,
        wire: Wire,
        owners: Sequence[Building],
        commands: Sequence[Words],
        refused: dict[Building, NotRebuiltError],
    ) -> None:
        """Send *commands*, each for the owner at its place, and note whose are refused."""
        for building, answer in zip(owners, wire.pipeline(commands), strict=True):
            if isinstance(answer, ServerReplyError) and answer.reply in _OWN_FAULT:
                refused.setdefault(building, NotRebuiltError(f"the server refuses it: {answer}"))
            else:
                checked(answer)

    def _by_wire(
        self, found: Sequence[Item], building: Callable[[Item], Building]
    ) -> list[tuple[Wire, list[Item]]]:
        """Return *found* by primary, each with an open connection to it."""
        groups: dict[Wire, list[Item]] = {}
        for one in found:
            groups.setdefault(self.wire(building(one).key), []).append(one)
        return list(groups.items())

    def discard(self, building: Building) -> None:
        """Remove what was built of a key.

        Raises:
            UnreachableError, AuthError, ServerReplyError: as `Wire.call`.
        """
        if building.long is not None:
            building.long.close()
        self.wire(building.key).call("UNLINK", building.name)

    def _wire(self, key: bytes) -> Wire:
        slots = self._primaries.slots
        if slots is None:
            return next(iter(self._wires.values()))
        slot = slot_of(key)
        for part in slots.ranges:
            if part.first <= slot <= part.last:
                return self._wires[part.primary]
        raise UnreachableError(
            f"no node of the Cluster serves the slot {slot}",
            hint="Check its slots: valkeyctl health",
        )

    def _beside(self, key: bytes, ending: bytes) -> bytes:
        """Return another name in the slot of *key*, which a user of it may write, if possible."""
        name = key + ending
        if self._primaries.slots is None:
            return name
        slot = slot_of(key)
        number = 0
        while slot_of(name) != slot:
            # In braces its slot is the same, unless it has odd braces itself.
            name = b"{%b}%b" % (key, ending) if not number else b"{%d}%b" % (number, ending)
            number += 1
        return name


def _renamed(building: Building, give: str, answer: Answer) -> bool | NotRebuiltError:
    if isinstance(answer, ServerReplyError) and "no such key" in str(answer):
        # An empty collection is no key.
        if building.type == "hash":
            return OutlivedError("all its fields have expired")
        return NotRebuiltError("there is nothing in it")
    match checked(answer):
        case [_, outcome]:
            return outcome != 0
    raise ServerReplyError(f"{give} was answered with {answer!r:.80}")


def _commands(building: Building, line: ExportLine) -> Iterator[Words]:
    """Yield what adds the content of *line*.

    Raises:
        ValueError: It has none of this type.
    """
    name = building.name
    if line.dump is not None:
        building.dump.append(line.dump)
        return
    match building.type:
        case "string":
            yield ("SET", name, _string(line))
        case "list":
            yield from _in_groups("RPUSH", name, _items(line, 1), 1)
        case "set":
            yield from _in_groups("SADD", name, _items(line, 1), 1)
        case "hash":
            yield from _in_groups("HSET", name, _items(line, 2), 2)
            yield from _field_lives(name, line)
        case "zset":
            items = _items(line, 2)
            turned = [word for pair in zip(items[1::2], items[::2], strict=True) for word in pair]
            yield from _in_groups("ZADD", name, turned, 2)
        case "stream":
            yield from _stream_commands(name, line)
        case _:
            raise ValueError(f"a value of type {building.type!r:.60} needs the field 'dump'")


def _string(line: ExportLine) -> bytes:
    value = line.data if line.text is None else line.text.encode()
    if value is None:
        raise ValueError("a string needs the field 'text' or 'data'")
    return value


def _items(line: ExportLine, width: int) -> Sequence[str | bytes]:
    items: Sequence[str | bytes] | None = line.items if line.items_b64 is None else line.items_b64
    if not items:
        raise ValueError("the field 'items' is missing or empty")
    if len(items) % width:
        raise ValueError(f"'items' has {len(items)} elements, which are no pairs")
    return items


def _in_groups(
    command: str, name: bytes, items: Sequence[str | bytes], width: int
) -> Iterator[Words]:
    """Yield commands of so many elements that none holds the server up."""
    for start in range(0, len(items), _MEMBERS * width):
        yield (command, name, *items[start : start + _MEMBERS * width])


def _field_lives(name: bytes, line: ExportLine) -> Iterator[Words]:
    fields = _items(line, 2)[::2]
    lives = line.expires_ms or []
    if lives and len(lives) != len(fields):
        raise ValueError(f"'expires_ms' has {len(lives)} elements for {len(fields)} fields")
    for word, life in zip(fields, lives, strict=False):
        if life >= 0:
            yield ("HPEXPIREAT", name, life, "FIELDS", 1, word)


def _stream_commands(name: bytes, line: ExportLine) -> Iterator[Words]:
    entries: Sequence[Sequence[str | bytes]] | None = line.entries
    if line.entries_b64 is not None:
        entries = line.entries_b64
    if entries is None:
        raise ValueError("the field 'entries' is missing")
    for entry in entries:
        if len(entry) < 3 or not len(entry) % 2:
            raise ValueError("an entry of a stream is an id, then fields with their values")
        yield ("XADD", name, *entry)
    if line.stream is not None:
        yield from _facts_commands(name, line.stream)


def _facts_commands(name: bytes, facts: StreamFacts) -> Iterator[Words]:
    # A stream without entries is made by a group only.
    yield ("XGROUP", "CREATE", name, b"~", "0", "MKSTREAM")
    yield ("XGROUP", "DESTROY", name, b"~")
    counts = ("ENTRIESADDED", facts.entries_added, "MAXDELETEDID", facts.max_deleted_id)
    yield ("XSETID", name, facts.last_id, *counts)
    for group in facts.groups:
        read = -1 if group.entries_read is None else group.entries_read
        word = group.name_b64
        yield ("XGROUP", "CREATE", name, word, group.last_id, "ENTRIESREAD", read)
        for consumer in group.consumers:
            yield ("XGROUP", "CREATECONSUMER", name, word, consumer)
        for entry, place, delivered_ms, times in group.pending:
            if not 0 <= place < len(group.consumers):
                raise ValueError(f"an entry is pending at consumer {place}, which is not there")
            claim = ("XCLAIM", name, word, group.consumers[place], 0, entry)
            yield (*claim, "TIME", delivered_ms, "RETRYCOUNT", times, "FORCE", "JUSTID")
