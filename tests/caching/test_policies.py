"""What a namespace's policy makes of its entries: how long they live, how they are stored."""

from __future__ import annotations

import asyncio
import math
import random

import pytest

from tests.caching.origin import Origin, Process, make_older, stored, until
from valkeyctl.caching import CacheService, KeyRing, NamespacePolicy, ValkeyClient
from valkeyctl.caching.codec import ALWAYS_FRESH
from valkeyctl.caching.namespaces import Namespace, Namespaces
from valkeyctl.caching.payload import Opened
from valkeyctl.errors import UsageError

TTL = 60.0


class Loaded(random.Random):
    """Draws the same number again and again."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def random(self) -> float:
        return self.number


# Early renewal


def spaced(policy: NamespacePolicy, rng: random.Random) -> Namespace:
    """Return a namespace with this policy and these dice."""
    spaces = Namespaces({"n": policy}, keyring=None, max_value_bytes=100, observers=(), rng=rng)
    return spaces["n"]


def drawn(policy: NamespacePolicy, number: float, entry: Opened, now_ms: int) -> str:
    """Return the freshness of *entry* where the dice show *number*."""
    return spaced(policy, Loaded(number)).freshness(entry, now_ms)


@pytest.mark.parametrize("eager", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("left_ms", [1, 500, 4000])
def test_an_entry_is_renewed_early_by_the_formula_of_xfetch(eager: float, left_ms: int) -> None:
    """When -cost * beta * ln(random) reaches to its end, and not a hair before."""
    cost_ms = 1000
    policy = NamespacePolicy(10, early=eager)
    entry = Opened("v", 1_000_000, 10_000, cost_ms, 40)
    now_ms = 1_000_000 + 10_000 - left_ms
    edge = 1 - math.exp(-left_ms / (cost_ms * eager))  # ln(1 - edge) is just enough

    assert drawn(policy, edge - 1e-6, entry, now_ms) == "fresh"
    assert drawn(policy, min(edge + 1e-6, math.nextafter(1, 0)), entry, now_ms) == "early"


def test_the_share_of_early_renewals_is_what_the_formula_says() -> None:
    """exp(-left / (cost * beta)): a tenth of a cost before the end, nine of ten draws."""
    space = spaced(NamespacePolicy(10, early=1), random.Random(7))
    entry = Opened("v", 0, 10_000, 1000, 40)

    for left_ms, share in ((100, 0.905), (1000, 0.368), (3000, 0.050)):
        draws = [space.freshness(entry, 10_000 - left_ms) for _ in range(4000)]
        assert draws.count("early") / 4000 == pytest.approx(share, abs=0.03)


def test_an_entry_whose_load_nobody_measured_is_not_renewed_early() -> None:
    """Nor one that is always fresh, nor where the policy does not ask for it."""
    surely = math.nextafter(1, 0)
    policy = NamespacePolicy(10, early=1)

    assert drawn(policy, surely, Opened("v", 0, 10_000, 0, 40), 9_999) == "fresh"
    assert drawn(policy, surely, Opened("v", 0, ALWAYS_FRESH, 9, 40), 9_999) == "fresh"
    assert drawn(NamespacePolicy(10), surely, Opened("v", 0, 10_000, 9, 40), 9_999) == "fresh"
    assert drawn(policy, surely, Opened("v", 0, 10_000, 9, 40), 9_999) == "early"


async def test_an_early_renewal_happens_behind_its_caller(client: ValkeyClient) -> None:
    """Who draws it gets the old value as a hit; one renewal at a time."""
    # With 10 minutes left and a cost of 1 minute: ln of one in 22,026.
    rng = Loaded(1 - math.exp(-10.1))
    policies = {"early": NamespacePolicy(600, jitter=0, early=1)}
    cache = CacheService(client, app="t", policies=policies, budget=5, rng=rng)
    origin = Origin("new", held=True)
    await cache.set("early", "k", "old")
    await make_older(client, "t:early:k", 0, cost_ms=60_000)

    lookups = await asyncio.gather(*(cache.fetch("early", "k", origin) for _ in range(20)))

    assert {(lookup.value, lookup.outcome) for lookup in lookups} == {("old", "hit")}
    origin.go.set()
    await until(lambda: cache.stats()["early"].writes == 2)
    assert await cache.get("early", "k") == "new"
    assert origin.calls == 1
    assert cache.stats()["early"].early_refreshes == 1

    rng.number = 1 - math.exp(-9.9)
    await make_older(client, "t:early:k", 0, cost_ms=60_000)
    assert await cache.get_or_load("early", "k", origin) == "new"
    assert not cache._works.loads._refreshes


async def test_a_load_is_stored_with_what_it_took(client: ValkeyClient) -> None:
    """And a value that was set with nothing, so that it is never renewed early."""
    policies = {"early": NamespacePolicy(600, early=1)}
    cache = CacheService(client, app="t", policies=policies, budget=5)

    async def load() -> str:
        await asyncio.sleep(0.02)
        return "v"

    await cache.get_or_load("early", "loaded", load)
    await cache.set("early", "set", "v")

    assert 20 <= (await stored(cache.client, "t:early:loaded")).cost_ms < 2000
    assert (await stored(cache.client, "t:early:set")).cost_ms == 0


# Negative entries, jitter, bounds


@pytest.mark.parametrize(
    ("negative_ttl", "left"), [(None, TTL + 100), (5.0, 5.0), (1000.0, TTL), (0, None)]
)
async def test_a_none_that_a_loader_found_is_kept_as_long_as_the_policy_says(
    client: ValkeyClient, negative_ttl: float | None, left: float | None
) -> None:
    """As any value, or for a time of its own without grace, or not at all."""
    policy = NamespacePolicy(TTL, jitter=0, stale=100, negative_ttl=negative_ttl)
    cache = CacheService(client, app="t", policies={"n": policy}, budget=5)
    origin = Origin(None)

    assert await cache.get_or_load("n", "k", origin) is None
    again = await cache.fetch("n", "k", origin)

    assert again.value is None
    kept = await client.ttl("t:n:k")
    if left is None:
        assert (origin.calls, kept) == (2, None)
    else:
        assert kept is not None
        assert (origin.calls, again.outcome) == (1, "hit")
        assert left - 5 < kept <= left
    assert cache.stats()["n"].errors == {}


async def test_a_none_that_was_set_is_a_value(client: ValkeyClient) -> None:
    """Only what a loader did not find is negative."""
    policy = NamespacePolicy(TTL, jitter=0, negative_ttl=0)
    cache = CacheService(client, app="t", policies={"n": policy}, budget=5)

    assert await cache.set("n", "k", None)

    assert await cache.get("n", "k", "miss") is None


async def test_jitter_takes_off_a_share_of_the_policys_ttl(client: ValkeyClient) -> None:
    """Between none and all of that share; a ttl that the caller names is kept to."""
    policies = {"n": NamespacePolicy(1000, jitter=0.2)}
    cache = CacheService(client, app="t", policies=policies, budget=5, rng=random.Random(7))
    await cache.set_many("n", {str(n): n for n in range(200)})
    await cache.set("n", "exact", 1, ttl=1000)
    await cache.get_or_load("n", "loaded", Origin())

    lives = [await client.ttl(f"t:n:{n}") or 0 for n in range(200)]
    exact = await client.ttl("t:n:exact") or 0
    loaded = await client.ttl("t:n:loaded") or 0

    assert 790 < min(lives) < 830
    assert 970 < max(lives) <= 1000
    assert 995 < exact <= 1000
    assert 790 < loaded < 999


async def test_a_namespace_may_have_its_own_bound_of_size(client: ValkeyClient) -> None:
    """Smaller or larger than the service's; it is the encoded value's."""
    policies = {
        "small": NamespacePolicy(TTL, max_value_bytes=10),
        "large": NamespacePolicy(TTL, max_value_bytes=200),
        "usual": NamespacePolicy(TTL),
    }
    cache = CacheService(client, app="t", policies=policies, budget=5, max_value_bytes=100)

    stored_at = {
        name: [
            size for size in (10, 11, 100, 101, 200, 201) if await cache.set(name, "k", "x" * size)
        ]
        for name in policies
    }

    assert stored_at == {"small": [10], "large": [10, 11, 100, 101, 200], "usual": [10, 11, 100]}
    assert cache.stats()["small"].errors == {"too_large": 5}
    assert await cache.get_or_load("small", "big", Origin("y" * 11)) == "y" * 11
    assert await client.exists("t:small:big") == 0


# Compression and encryption


async def test_values_over_a_size_are_compressed_and_read_by_everybody(
    client: ValkeyClient, process: Process
) -> None:
    """Where that makes them smaller; readers need no policy for it."""
    elsewhere = await process(policies={"plain": NamespacePolicy(TTL)})
    policies = {"plain": NamespacePolicy(TTL, compress_over=100)}
    cache = CacheService(client, app="t", policies=policies, budget=5)
    values = {
        "long": "text " * 200,
        "short": "text " * 20,
        "noise": random.Random(7).randbytes(1000),
    }

    await cache.set_many("plain", values)

    sizes = {id_: len((await stored(cache.client, f"t:plain:{id_}")).payload) for id_ in values}
    flags = {id_: (await stored(cache.client, f"t:plain:{id_}")).flags for id_ in values}
    assert flags == {"long": 1, "short": 0, "noise": 0}
    assert sizes["long"] < 100
    assert await elsewhere.get_many("plain", values) == values


def secret(number: int) -> bytes:
    """Return a key that only a test would use."""
    return bytes([number]) * 32


def encrypting(client: ValkeyClient, ring: KeyRing) -> CacheService:
    """Return a service whose namespace is encrypted with the ring."""
    policies = {"plain": NamespacePolicy(TTL, jitter=0, encrypt=True)}
    return CacheService(client, app="t", policies=policies, budget=5, keyring=ring)


async def test_encrypted_values_are_read_with_their_key_only(
    client: ValkeyClient, process: Process
) -> None:
    """Without it they are misses, counted, and left for those who have it."""
    elsewhere = await process(policies={"plain": NamespacePolicy(TTL)})
    cache = encrypting(client, KeyRing({1: secret(1)}, 1))
    await cache.set("plain", "k", "confidential")
    stored_bytes = await client.get("t:plain:k")

    assert b"confidential" not in (stored_bytes or b"")
    assert await cache.get("plain", "k") == "confidential"
    for reader in (elsewhere, encrypting(client, KeyRing({2: secret(2)}, 2))):
        assert await reader.get("plain", "k", "miss") == "miss"
        assert await reader.get_many("plain", ["k"]) == {}
        assert reader.stats()["plain"].errors == {"unreadable": 2}
        assert reader.stats()["plain"].corrupt_dropped == 0
    assert await client.get("t:plain:k") == stored_bytes


async def test_keys_are_rotated_without_a_miss(client: ValkeyClient) -> None:
    """First all have both, then the new one encrypts, then the old one goes."""
    old = KeyRing({1: secret(1)}, 1)
    both = KeyRing({1: secret(1), 2: secret(2)}, 1)
    turned = KeyRing({1: secret(1), 2: secret(2)}, 2)
    new = KeyRing({2: secret(2)}, 2)
    await encrypting(client, old).set("plain", "before", 1)
    await encrypting(client, both).set("plain", "between", 2)
    await encrypting(client, turned).set("plain", "after", 3)

    for ring in (both, turned):
        assert await encrypting(client, ring).get_many("plain", ["before", "between", "after"]) == {
            "before": 1,
            "between": 2,
            "after": 3,
        }
    assert await encrypting(client, new).get_many("plain", ["before", "after"]) == {"after": 3}


async def test_an_encrypted_value_moved_to_another_key_is_dropped(client: ValkeyClient) -> None:
    """Whoever writes to the server cannot pass off one entry as another; nor a plain one."""
    cache = encrypting(client, KeyRing({1: secret(1)}, 1))
    await cache.set("plain", "mine", "mine")
    await client.set("t:plain:yours", await client.get("t:plain:mine") or b"")
    plain = CacheService(client, app="t", budget=5)
    await plain.set("plain", "forged", "forged", ttl=60)

    assert await cache.get_many("plain", ["yours", "forged"]) == {}

    assert await client.exists("t:plain:yours", "t:plain:forged") == 0
    assert cache.stats()["plain"].corrupt_dropped == 2


async def test_encryption_without_keys_is_refused_at_once(client: ValkeyClient) -> None:
    """Not at the first secret that is stored in the open."""
    policies = {"n": NamespacePolicy(TTL, encrypt=True)}

    with pytest.raises(UsageError, match="keys"):
        CacheService(client, app="t", policies=policies)
