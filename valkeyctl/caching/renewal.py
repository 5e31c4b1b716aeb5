"""Renewing entries that nobody waits for: what warming and `Refresher` are made of.

How entries stand is asked without their values, and counts as no read. Then a load is as
any other: one process of all does it, under a lease, and what it brings is not stored if
an invalidation came in between.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar, cast

from valkeyctl.caching.entries import Seen
from valkeyctl.caching.keys import Place
from valkeyctl.caching.loads import Loader, Request
from valkeyctl.caching.namespaces import Namespace
from valkeyctl.caching.reader import Works
from valkeyctl.caching.replies import unexpected_reply
from valkeyctl.caching.script import load_script
from valkeyctl.errors import ServerReplyError

V = TypeVar("V")

# Entries per script: a longer one would keep the server's only thread from others.
_ENTRIES = 128

_State: TypeAlias = "tuple[int, bytes] | int"
_Reply: TypeAlias = "tuple[bytes, list[bytes], *tuple[_State, ...]]"

Renewed: TypeAlias = Literal["loaded", "shared", "not_stored"]
"""``loaded``: by this call, and stored; ``shared``: by another caller, here or in another
process; ``not_stored``: loaded, and refused by the server, by ``keep`` or by an
invalidation that came in between, or too large."""


@dataclass(frozen=True)
class Standing:
    """How an entry stands.

    Attributes:
        id: Its id.
        place: Where it lies.
        fresh: Seconds that it is still fresh; 0 where there is none, or a stale one.
        created: What it is to be recognised by; empty where there is none.
        seen: The versions that hold.
    """

    id: str
    place: Place
    fresh: float
    created: bytes
    seen: Seen


class Renewal(Generic[V]):
    """Looks at entries of one namespace, and loads them anew.

    Args:
        works: As the namespace's shelf has them.
        space: The namespace.
        ttl: Seconds that what is loaded is fresh, exactly; None takes the policy's.
        tags: Of what is loaded.
        keep: Says whether a loaded value may be stored; None stores all.

    Raises:
        InvalidKeyError: A tag breaks the rules, or there is neither ttl nor policy.
        UsageError: The ttl is not above zero.
    """

    def __init__(
        self,
        works: Works,
        space: Namespace,
        *,
        ttl: float | None = None,
        tags: Collection[str] = (),
        keep: Callable[[V], bool] | None = None,
    ) -> None:
        works.keys.versions(space.name)  # checks its name
        space.lifetime(ttl)
        self.space = space
        # Seconds that what is loaded is fresh at least.
        self.shortest = space.policy.ttl * (1 - space.policy.jitter) if ttl is None else ttl
        self._works = works
        self._given = ttl
        self._words = works.keys.tag_words(tags)
        self._keep = keep
        self._script = load_script("survey")

    @property
    def works(self) -> Works:
        """As given."""
        return self._works

    def place(self, id: str) -> Place:  # noqa: A002
        """Return where the entry lies.

        Raises:
            InvalidKeyError: The namespace or the id breaks the rules.
        """
        return self._works.keys.place(self.space.name, id)

    async def survey(self, ids: Sequence[str]) -> list[Standing]:
        """Say how entries stand, in order; one round trip.

        Args:
            ids: Which; valid ones.

        Raises:
            ValkeyctlError: As `ValkeyClient.execute`.
        """
        by_version: dict[bytes, list[tuple[str, Place]]] = {}
        for id in ids:  # noqa: A001
            place = self.place(id)
            by_version.setdefault(place.version, []).append((id, place))
        groups = [
            members[at : at + _ENTRIES]
            for members in by_version.values()
            for at in range(0, len(members), _ENTRIES)
        ]
        client = self._works.client
        outcomes = await client.scripts(
            self._script,
            [
                (
                    [group[0][1].version, *[place.key for _, place in group]],
                    [group[0][1].tags, *self._words],
                )
                for group in groups
            ],
            idempotent=True,
        )
        found: dict[str, Standing] = {}
        for group, outcome in zip(groups, outcomes, strict=True):
            if isinstance(outcome, ServerReplyError):
                raise outcome
            try:
                version, versions, *states = cast("_Reply", outcome)
                seen = Seen(version, tuple(versions))
                for (id, place), state in zip(group, states, strict=True):  # noqa: A001
                    fresh_ms, created = (0, b"") if isinstance(state, int) else state
                    found[id] = Standing(id, place, fresh_ms / 1000, created, seen)
            except (TypeError, ValueError) as error:
                raise unexpected_reply(client.endpoint.address, "a survey") from error
        return [found[id] for id in ids]  # noqa: A001

    async def load(self, standing: Standing, loader: Loader[V]) -> Renewed:
        """Load a value in the place of what was found there, and store it.

        Raises:
            Exception: What the loader raised.
        """
        request = Request(
            self.space,
            standing.place,
            loader,
            self.space.lifetime(self._given),
            self._words,
            self._keep,
            replace=standing.created,
            cause="forced",
        )
        landing, shared = await self._works.loads.run(request, standing.seen)
        if shared or landing.outcome == "collapsed":
            return "shared"
        return "not_stored" if landing.ttl is None else "loaded"
