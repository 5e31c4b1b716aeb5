"""Keys of an export that stand on several lines, put together in the server."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from valkeyctl.caching.codec import Envelope, UndecodableError
from valkeyctl.caching.records import RecordError
from valkeyctl.ops.keyspace.loading.drafts import Draft
from valkeyctl.ops.keyspace.loading.fronts import Question, lives_of
from valkeyctl.ops.keyspace.transfer.exportlines import ExportLine
from valkeyctl.ops.keyspace.transfer.rebuild import WITHOUT_SIZE, Building, Rebuilder
from valkeyctl.ops.keyspace.transfer.restorelines import ExpiredError, Restoring

# More than a header with the longest tags.
_HEAD_BYTES = 8 * 1024


class Outcome(Enum):
    """What became of a key."""

    ENTRY = auto()
    KEY = auto()
    EXISTING = auto()
    EXPIRED = auto()
    REFUSED = auto()


@dataclass(eq=False)
class _Open:
    """A key of which more lines are to come.

    Attributes:
        name: What its lines have in common.
        first: Number of the first of them.
        part: Of the last of them.
        building: None when it is not stored.
        draft: Of an entry.
        fate: What becomes of it if it is not stored; else None.
    """

    name: tuple[object, ...]
    first: int
    part: int
    building: Building | None
    draft: Draft | None = None
    fate: Outcome | None = None


class Parts:
    """Takes the lines of such keys, one after another.

    Args:
        rebuilder: Builds them.
        restoring: Says what they are called, and how long they live.
        replace: As `Rebuilder` says.
    """

    def __init__(self, rebuilder: Rebuilder, restoring: Restoring, *, replace: bool) -> None:
        self._rebuilder = rebuilder
        self._restoring = restoring
        self._replace = replace
        self._open: _Open | None = None

    @property
    def first(self) -> int | None:
        """Number of the first line of a key of which more lines are to come; None without."""
        opened = self._open
        return None if opened is None or opened.fate is Outcome.REFUSED else opened.first

    def continues(self, line: ExportLine) -> bool:
        """Say whether *line* is the next part of the key of which more lines are to come."""
        opened = self._open
        return opened is not None and (opened.name, opened.part + 1) == (_name(line), line.part)

    def take(self, line: ExportLine, number: int) -> Outcome | None:
        """Store the content of a line; return what became of its key when it is the last.

        Raises:
            RecordError, UsageError, NotRebuiltError: Its key cannot be stored; what was
                built of it is gone, and its other lines are passed over.
            UnreachableError, AuthError, ServerReplyError: as `Wire.pipeline`.
        """
        if line.part == 1 and not line.void:
            self.drop()
            # Until it has begun: should it be refused, its other lines are no news.
            self._open = _Open(_name(line), number, 1, None, fate=Outcome.REFUSED)
            self._open = self._begun(line, number)
        elif not self.continues(line):
            before = line.part - 1
            self.drop()
            raise RecordError(f"part {line.part} of a key, and part {before} is not before it")
        opened = self._open
        if opened is None or line.void:
            self.drop()
            return None
        opened.part = line.part
        if opened.building is not None:
            try:
                self._rebuilder.add(opened.building, line)
            except ValueError:
                opened.building, opened.fate = None, Outcome.REFUSED
                if not line.more:
                    self._open = None
                raise
        if line.more:
            return None
        self._open = None
        if opened.building is None:
            return opened.fate
        return self._finished(opened.building, opened.draft)

    def drop(self, reason: str | None = None) -> None:
        """Give up a key of which more lines were to come.

        Raises:
            RecordError: There was one, and a *reason* is given.
        """
        opened, self._open = self._open, None
        if opened is None:
            return
        if opened.building is not None:
            self._rebuilder.discard(opened.building)
        if reason is not None and opened.fate is not Outcome.REFUSED:
            raise RecordError(f"the key that begins on line {opened.first}: {reason}")

    def _begun(self, line: ExportLine, number: int) -> _Open:
        name = _name(line)
        try:
            if not line.namespace:
                key, life_ms = self._restoring.key(line), self._restoring.life_ms(line)
                if not self._replace and self._rebuilder.wire(key).call("EXISTS", key):
                    return _Open(name, number, 1, None, fate=Outcome.EXISTING)
                return _Open(name, number, 1, self._rebuilder.begin(key, line.type, life_ms))
            draft = self._restoring.beginning(line)
        except ExpiredError:
            return _Open(name, number, 1, None, fate=Outcome.EXPIRED)
        if not self._replace and self._valid(draft):
            return _Open(name, number, 1, None, fate=Outcome.EXISTING)
        building = self._rebuilder.begin(draft.key, "string", draft.life.ttl_ms)
        front = Question(self._rebuilder.wire(draft.key), lives_of([draft])).answer().front(draft)
        if line.more and not line.size:
            raise RecordError(WITHOUT_SIZE)
        size = len(front) + (line.size or len(line.data or b""))
        self._rebuilder.add(building, ExportLine(data=front, size=size))
        return _Open(name, number, 1, building, draft)

    def _finished(self, building: Building, draft: Draft | None) -> Outcome:
        if draft is None:
            return Outcome.KEY if self._rebuilder.finish(building) else Outcome.EXISTING
        # One that readers would not be given is in the way of nothing.
        over = not self._replace and not self._valid(draft)
        return Outcome.ENTRY if self._rebuilder.finish(building, over=over) else Outcome.EXISTING

    def _valid(self, draft: Draft) -> bool:
        """Say whether readers would be given what is at the key of *draft* now."""
        wire = self._rebuilder.wire(draft.key)
        beginning = wire.call("GETRANGE", draft.key, 0, _HEAD_BYTES - 1)
        try:
            envelope = Envelope.unpack(beginning if isinstance(beginning, bytes) else b"")
        except UndecodableError:
            return False
        kind = draft.kind
        names = [kind.version, *(kind.tag_prefix + tag for tag, _ in envelope.tags)]
        held = wire.pipeline([("GET", name) for name in names])
        return held == [envelope.version, *(version for _, version in envelope.tags)]


def _name(line: ExportLine) -> tuple[object, ...]:
    return line.app, line.namespace, line.id, line.key, line.key_b64
