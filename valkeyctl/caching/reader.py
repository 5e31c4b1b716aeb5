"""Reading one namespace: from this process where that is allowed, else from the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from valkeyctl.caching.client import ValkeyClient
from valkeyctl.caching.codec import UndecodableError
from valkeyctl.caching.entries import Entries
from valkeyctl.caching.failopen import FailOpen, Found
from valkeyctl.caching.hottest import Hottest
from valkeyctl.caching.keys import KeyScheme, Place
from valkeyctl.caching.loads import Loads
from valkeyctl.caching.lookups import Looked, Lookups
from valkeyctl.caching.namespaces import Namespace
from valkeyctl.caching.near import MISS, NearCache, Token
from valkeyctl.errors import ValkeyctlError


@dataclass(frozen=True)
class Works:
    """What the shelves of a service share.

    Attributes:
        keys: Builds the keys.
        entries: What is on the server.
        lookups: Reads it.
        server: Reads and writes that fail open.
        loads: The loads in progress.
        near: Entries in this process; None where no policy asks for it.
        client: The connection.
        hottest: Which ids are read most.
    """

    keys: KeyScheme
    entries: Entries
    lookups: Lookups
    server: FailOpen
    loads: Loads
    near: NearCache | None
    client: ValkeyClient
    hottest: Hottest


class Reader:
    """Reads entries of one namespace."""

    def __init__(self, works: Works, space: Namespace) -> None:
        self._works = works
        self._space = space
        self._near = works.near if space.policy.near is not None else None
        self._heat = space.heat

    def asked(self, id: str) -> None:  # noqa: A002
        """Count that the entry was asked for, where it matters which are hot."""
        if self._heat is not None:
            self._heat.add(id)

    def held(self, id: str) -> object:  # noqa: A002
        """Return what this process holds of the entry, counted, or `MISS`."""
        if self._heat is not None:
            self._heat.add(id)
        if self._near is None:
            return MISS
        value = self._near.get(self._space.name, id)
        if value is MISS:
            return MISS
        try:
            shaped = self._space.shaped(value)
        except UndecodableError:
            return MISS  # the server's is judged, and dropped
        self._space.tally.read("near")
        return shaped

    async def found(self, id: str) -> Found | None:  # noqa: A002
        """Return the server's entry if it may be served, counted as what it is."""
        works, space = self._works, self._space
        place = works.keys.place(space.name, id)
        token = self.begin()
        looked = await works.lookups.look(place, details=token is not None)
        found = await works.server.opened(space, place, looked)
        self.hold(id, place, found, token)
        return self.counted(found)

    def begin(self) -> Token | None:
        """Return what `hold` needs from before a read; None where nothing is to be held."""
        return None if self._near is None else self._near.begin()

    def forget(self, id: str, place: Place) -> None:  # noqa: A002
        """Hold an entry no more that was just set or deleted."""
        if self._near is not None:
            self._near.forget(self._space.name, id, place=place)

    def hold(
        self,
        id: str,  # noqa: A002
        place: Place,
        found: Found | None,
        token: Token | None,
    ) -> None:
        """Keep a fresh entry in this process, if it was read with a token of the near cache."""
        if self._near is None or token is None or found is None or found.ttl is None:
            return
        if found.freshness == "fresh":
            self._near.put(
                token,
                self._space.name,
                id,
                found.plain,
                place=place,
                ttl=found.ttl,
                tags=found.tags,
            )

    def counted(self, found: Found | None) -> Found | None:
        """Return *found* if it may be served, counted as what it is."""
        tally = self._space.tally
        if found is None or found.freshness == "expired":
            tally.read("miss")
            return None
        tally.read("stale" if found.freshness == "stale" else "hit", found.size)
        return found

    async def found_many(
        self, ids: Sequence[str], words: tuple[bytes, ...] = ()
    ) -> tuple[dict[str, Found], dict[str, Looked]]:
        """Return the server's entries, expired ones too, and what it says of each id.

        They are not counted; nothing is said of any id when the server fails.

        Args:
            ids: Which; each once.
            words: Tags whose versions the caller wants to know.
        """
        if not ids:
            return {}, {}
        works, space = self._works, self._space
        places = [works.keys.place(space.name, id) for id in ids]  # noqa: A001
        token = self.begin()
        looked = await works.lookups.look_many(
            places,
            words,
            details=token is not None,
            budget=works.server.budget_of(len(places)),
        )
        if isinstance(looked, ValkeyctlError):
            await works.server.opened(space, places[0], looked)
            return {}, {}
        found: dict[str, Found] = {}
        for id, place, answer in zip(ids, places, looked, strict=True):  # noqa: A001
            opened = await works.server.opened(space, place, answer)
            self.hold(id, place, opened, token)
            if opened is not None:
                found[id] = opened
        return found, dict(zip(ids, looked, strict=True))
