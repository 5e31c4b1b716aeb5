"""Items, from the cache where they are, else from the origin: the cache-aside part."""

from __future__ import annotations

from typing import Literal, TypeGuard

from valkeyctl.caching import CacheService, NamespacePolicy, ValkeyClient
from valkeyctl.sample.origin import Origin, head_of
from valkeyctl.sample.outcome import OutcomeObserver, last_outcome
from valkeyctl.sample.settings import SampleSettings

NAMESPACE = "items"
LARGEST = 2**20
Source = Literal["hit", "miss", "collapsed", "stale", "bypass"]


class Items:
    """The items of one application, by key; an item has one size at a time.

    Args:
        settings: How it behaves.
        client: The way to the cache.
        origin: Who has all items.
    """

    def __init__(self, settings: SampleSettings, client: ValkeyClient, origin: Origin) -> None:
        self.origin = origin
        self._single_flight = settings.single_flight
        self._cache = CacheService(
            client,
            app=settings.app,
            policies={
                NAMESPACE: NamespacePolicy(
                    settings.ttl,
                    jitter=settings.jitter,
                    stale=settings.stale,
                    near=settings.ttl if settings.near else None,
                )
            },
            budget=settings.cache_budget,
            observers=[OutcomeObserver()],
            max_value_bytes=2 * LARGEST,
        )
        self._shelf = self._cache.shelf(NAMESPACE)

    async def get(self, key: str, size: int, *, bypass: bool) -> tuple[bytes, Source]:
        """Return the body of an item, and where it came from.

        Args:
            key: Which.
            size: Of its value.
            bypass: Whether the cache is neither read nor written.
        """

        async def load() -> bytes:
            return await self.origin.item(key, size)

        if bypass:
            return await load(), "bypass"
        if not self._single_flight:
            return await self._alone(key, size)
        body = await self._shelf.get_or_load(key, load)
        if not _is_item(body, key, size):
            # It was stored, or is being loaded, with another size.
            body = (await self._shelf.fetch(key, load, refresh=True)).value
            if not _is_item(body, key, size):
                return await load(), "miss"
        outcome = last_outcome()
        return body, "hit" if outcome == "near" else outcome

    async def forget(self, key: str) -> None:
        """Make an item a miss.

        Raises:
            ValkeyctlError: The server did not confirm it.
        """
        await self._shelf.delete(key)

    async def forget_all(self) -> None:
        """Make every item a miss, at constant cost.

        Raises:
            ValkeyctlError: The server did not confirm it.
        """
        await self._cache.invalidate(NAMESPACE)

    async def _alone(self, key: str, size: int) -> tuple[bytes, Source]:
        """Return an item as many applications do it: look, load, store, each for itself."""
        body = await self._shelf.get(key)
        if _is_item(body, key, size):
            return body, "hit"
        loaded = await self.origin.item(key, size)
        await self._shelf.set(key, loaded)
        return loaded, "miss"


def _is_item(body: object, key: str, size: int) -> TypeGuard[bytes]:
    """Say whether *body* is the item of *key* with *size*."""
    return isinstance(body, bytes) and body.startswith(head_of(key, size))
