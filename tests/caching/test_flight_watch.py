"""A load that ends between a caller's lookup and its answer."""

from __future__ import annotations

import pytest

from valkeyctl.caching.flight import Flights

KEY = b"a:response:k"


async def _ignore(value: str) -> None:
    """Store nothing."""


async def _loaded() -> str:
    return "loaded"


async def _never() -> str:
    raise AssertionError("loaded a second time")


async def _failing() -> str:
    raise RuntimeError("origin")


async def test_a_load_that_ended_during_the_lookup_is_shared() -> None:
    """The server answered 'absent' before the value was stored, and we read that after."""
    flights: Flights[str] = Flights()

    with flights.watch(KEY) as watch:
        await flights.run(KEY, "v1", _loaded, _ignore)
    value, shared = await flights.run(KEY, "v1", _never, _ignore, watch)

    assert (value, shared) == ("loaded", True)


async def test_a_load_under_other_versions_is_not_shared() -> None:
    """What was loaded before an invalidation is not given to a lookup after it."""
    flights: Flights[str] = Flights()

    async def newer() -> str:
        return "newer"

    with flights.watch(KEY) as watch:
        await flights.run(KEY, "v1", _loaded, _ignore)

    assert await flights.run(KEY, "v2", newer, _ignore, watch) == ("newer", False)


async def test_a_load_that_failed_is_not_shared_afterwards() -> None:
    """An error goes to those who waited for it, and to nobody else."""
    flights: Flights[str] = Flights()

    with flights.watch(KEY) as watch, pytest.raises(RuntimeError):
        await flights.run(KEY, "v1", _failing, _ignore)

    assert await flights.run(KEY, "v1", _loaded, _ignore, watch) == ("loaded", False)


async def test_a_load_that_was_overtaken_by_a_write_is_not_shared() -> None:
    """Somebody set or deleted the key while it was loaded."""
    flights: Flights[str] = Flights()

    async def overtaken() -> str:
        flights.forget(KEY)
        return "old"

    with flights.watch(KEY) as watch:
        await flights.run(KEY, "v1", overtaken, _ignore)

    assert await flights.run(KEY, "v1", _loaded, _ignore, watch) == ("loaded", False)


async def test_a_load_before_the_lookup_is_not_shared() -> None:
    """That one is in the cache, or it is gone."""
    flights: Flights[str] = Flights()
    await flights.run(KEY, "v1", _loaded, _ignore)

    with flights.watch(KEY) as watch:
        pass

    assert watch.ended is None
    assert not flights._watches
