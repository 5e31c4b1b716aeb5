"""Reading back what was stored, right after it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from valkeyctl.ops.keyspace.loading.bulk import Part, Posted


class Difference(NamedTuple):
    """An entry that readers do not find as it was written.

    Attributes:
        place: In its batch.
        reason: What they find, for a person.
    """

    place: int
    reason: str


class Verified(NamedTuple):
    """What reading back a batch has shown.

    Attributes:
        same: Entries that are there, byte for byte, and valid.
        differences: The others.
    """

    same: int
    differences: list[Difference]


def verify(posted: Posted, skipped: Iterable[int]) -> Verified:
    """Read the entries of a batch that was settled back from the servers.

    Args:
        posted: The batch.
        skipped: Places in it of entries that were not stored.

    Raises:
        UnreachableError, AuthError: as `Wire.pipeline`.
    """
    left = set(skipped)
    differences: list[Difference] = []
    asked = 0
    for part in posted.parts:
        # Of an id that stands in the batch twice, the one that was stored last.
        last = {
            draft.key: place
            for place, draft in zip(part.places, part.drafts, strict=True)
            if place not in left
        }
        asked += len(last)
        differences += _differences(part, frozenset(last.values()))
    return Verified(asked - len(differences), sorted(differences))


def _differences(part: Part, wanted: frozenset[int]) -> Iterator[Difference]:
    keys = list({key: None for draft in part.drafts for key in draft.kind.version_keys})
    stored = [
        (place, draft)
        for place, draft in zip(part.places, part.drafts, strict=True)
        if place in wanted
    ]
    answers = part.lane.control.pipeline(
        [*(("GET", draft.key) for _, draft in stored), *(("GET", key) for key in keys)]
    )
    versions = dict(zip(keys, answers[len(stored) :], strict=True))
    for (place, draft), answer in zip(stored, answers, strict=False):
        if answer is None:
            yield Difference(place, "is not there any more: it expired, was evicted or deleted")
        elif answer != part.fronts.front(draft) + draft.data:
            yield Difference(place, "is another value: it was written over")
        elif not part.fronts.holds(versions, draft.kind):
            yield Difference(place, "was invalidated")
