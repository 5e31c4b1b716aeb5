"""Many entries into the server at once, as the library's readers expect them.

Entries are written with plain SETs, several times as fast as a script each. A batch asks
once which versions hold, then writes its entries under them; those that follow at once may
write theirs under the same. Should a namespace be invalidated in between, its entries carry
the old version and readers miss: the same as if they had been written a moment before.

What is there and fresh is left: a value that an application has set meanwhile is newer.
SET ... NX stores what is not there at all; only those of the rest are looked at, and
replaced by a script that decides and writes at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

from valkeyctl.caching.driver.slots import slot_of
from valkeyctl.caching.replies import Word
from valkeyctl.caching.script import load_script
from valkeyctl.caching.wire import Wire
from valkeyctl.errors import UnreachableError
from valkeyctl.ops.keyspace.loading.drafts import Draft
from valkeyctl.ops.keyspace.loading.fronts import Fronts, Question, checked, lives_of
from valkeyctl.ops.keyspace.nodes import Primaries

# So many batches may be written after one answer: as it takes hundredths of a second. Would
# each of them wait for its own, the server had nothing to do meanwhile.
_ANSWER_BATCHES = 16
# What one script may write: well under a millisecond of the server's.
_FILLED_ENTRIES = 64
_FILLED_BYTES = 512 * 1024
# Namespaces are few: the bound is against a file that makes them up.
_LANES_KNOWN = 65_536


class Written(NamedTuple):
    """What became of a batch.

    Attributes:
        skipped: Places in the batch of entries that were left, in their order.
        bytes: Of the keys and values of the others.
    """

    skipped: list[int]
    bytes: int


@dataclass(eq=False)
class Lane:
    """One primary: entries go over one connection, questions over another.

    What is asked while entries are on their way would else wait for all of them.

    Attributes:
        wire: For entries.
        control: For questions.
        under_way: Batches that are on their way.
        fronts: Made of the last answer; None before it.
        used: Batches that were written with them.
    """

    wire: Wire
    control: Wire
    under_way: int = 0
    fronts: Fronts | None = None
    used: int = 0

    def asked(self, drafts: Sequence[Draft]) -> Fronts | Question:
        """Return what *drafts* begin with, or the question for it where they follow no others."""
        lives = lives_of(drafts)
        fronts = self.fronts
        if fronts and self.under_way and self.used < _ANSWER_BATCHES and fronts.cover(lives):
            self.used += 1
            return fronts
        return Question(self.control, lives)

    def told(self, question: Question) -> Fronts:
        """Return the answer to *question*, which does for batches that follow, too."""
        self.fronts = question.answer()
        self.used = 1
        return self.fronts


@dataclass(eq=False)
class Part:
    """The entries of a batch that go to one primary.

    Attributes:
        lane: The primary.
        drafts: The entries.
        places: Where in the batch each of them is.
        fronts: What stands before their payloads.
        bytes: Of their keys and values.
    """

    lane: Lane
    drafts: Sequence[Draft]
    places: Sequence[int]
    fronts: Fronts
    bytes: int = 0


@dataclass(eq=False)
class Posted:
    """A batch that is on its way.

    Attributes:
        parts: By primary.
    """

    parts: list[Part]


class BulkWriter:
    """Stores batches of entries; opened by `with`, for one thread.

    Args:
        primaries: The servers.
        replace: Whether to store entries over ones that are there and fresh, too.
        timeout: Seconds that a server may be silent.
    """

    def __init__(
        self, primaries: Primaries, *, replace: bool = False, timeout: float = 5.0
    ) -> None:
        self._primaries = primaries
        self._replace = replace
        self._lanes = [
            Lane(Wire(endpoint, timeout=timeout), Wire(endpoint, timeout=timeout))
            for endpoint in primaries.nodes
        ]
        self._lane_by_version: dict[bytes, Lane] = {}

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            UnreachableError, AuthError, TlsError: as `Wire.open`.
        """
        try:
            for lane in self._lanes:
                lane.wire.open()
                lane.control.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        for lane in self._lanes:
            lane.wire.close()
            lane.control.close()

    def write(self, drafts: Sequence[Draft]) -> Written:
        """Store *drafts* and wait until they are; as `post` and `settle`."""
        return self.settle(self.post(drafts))

    def post(self, drafts: Sequence[Draft]) -> Posted:
        """Send *drafts*, and do not wait until they are stored: that is for `settle`.

        Raises:
            ServerReplyError: The server refused to make a version.
            UnreachableError, AuthError: as `Wire.pipeline`.
        """
        posted = Posted(self._parts(drafts))
        for part in posted.parts:
            packed, part.bytes = part.fronts.packed(part.drafts, replace=self._replace)
            part.lane.wire.post(packed, len(part.drafts))
            part.lane.under_way += 1
        return posted

    def settle(self, posted: Posted) -> Written:
        """Wait until the oldest batch on its way is stored, and say what became of it.

        Raises:
            ServerReplyError: The server refused an entry; others may be stored.
            UnreachableError, AuthError: as `Wire.collect`.
        """
        skipped: list[int] = []
        size = 0
        for part in posted.parts:
            answers = part.lane.wire.collect()
            part.lane.under_way -= 1
            size += part.bytes
            if answers.count(b"OK") == len(answers):
                continue
            there = []
            for place, answer in enumerate(answers):
                if answer is None:
                    there.append(place)
                else:
                    checked(answer)
            for place in self._fill(part, there):
                draft = part.drafts[place]
                size -= len(draft.key) + len(part.fronts.front(draft)) + len(draft.data)
                skipped.append(part.places[place])
        return Written(sorted(skipped), size)

    def _parts(self, drafts: Sequence[Draft]) -> list[Part]:
        """Return *drafts* by primary, with the versions that hold there."""
        grouped: list[tuple[Lane, Sequence[Draft], Sequence[int]]] = []
        if not drafts:
            return []
        if len(self._lanes) == 1:
            grouped.append((self._lanes[0], drafts, range(len(drafts))))
        else:
            places: dict[Lane, list[int]] = {}
            for place, draft in enumerate(drafts):
                version = draft.kind.version
                lane = self._lane_by_version.get(version) or self._lane(version)
                places.setdefault(lane, []).append(place)
            for lane, where in places.items():
                grouped.append((lane, [drafts[place] for place in where], where))
        # Asked of all of them before any answer is awaited.
        asked = [lane.asked(part) for lane, part, _ in grouped]
        return [
            Part(lane, part, places, fronts if isinstance(fronts, Fronts) else lane.told(fronts))
            for (lane, part, places), fronts in zip(grouped, asked, strict=True)
        ]

    def _lane(self, version: bytes) -> Lane:
        """Return the primary of the slot that the key *version* lies in."""
        slots = self._primaries.slots
        slot = slot_of(version)
        for part in slots.ranges if slots else ():
            if part.first <= slot <= part.last:
                for lane in self._lanes:
                    if (lane.wire.endpoint.host, lane.wire.endpoint.port) == part.primary:
                        if len(self._lane_by_version) >= _LANES_KNOWN:
                            self._lane_by_version.clear()
                        self._lane_by_version[version] = lane
                        return lane
        raise UnreachableError(
            f"no node of the Cluster serves the slot {slot}",
            hint="Check its slots: valkeyctl health",
        )

    def _fill(self, part: Part, there: Sequence[int]) -> Iterator[int]:
        """Store those of *part* that are no longer fresh in the server; yield the others."""
        source = load_script("fill").source
        calls: list[list[int]] = []
        commands: list[list[Word]] = []
        full: dict[bytes, tuple[list[int], int]] = {}
        for place in there:
            draft = part.drafts[place]
            places, size = full.get(draft.kind.version, ([], 0))
            if len(places) == _FILLED_ENTRIES or size > _FILLED_BYTES or not places:
                places, size = [], 0
                calls.append(places)
            places.append(place)
            full[draft.kind.version] = (places, size + len(draft.data))
        for places in calls:
            drafts = [part.drafts[place] for place in places]
            kind = drafts[0].kind
            words: list[Word] = ["EVAL", source, 1 + len(drafts), kind.version]
            words += [draft.key for draft in drafts]
            words.append(kind.tag_prefix)
            for draft in drafts:
                words += (draft.life.ttl_ms, part.fronts.front(draft) + draft.data)
            commands.append(words)
        for places, answer in zip(calls, part.lane.control.pipeline(commands), strict=True):
            checked(answer)
            stored = answer if isinstance(answer, list) else []
            for place, was in zip(places, stored, strict=True):
                if not was:
                    yield place
