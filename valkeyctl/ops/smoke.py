"""The checks a CI job gates on: what an application will do, done once."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.driver.slots import slot_of
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, UnreachableError, ValkeyctlError
from valkeyctl.ops.health import probe
from valkeyctl.ops.keyspace.nodes import Primaries, primaries

_SHORT_TTL_MS = 100
_EXPIRY_BOUND = 0.3  # seconds in which a key of 100 ms must be gone
_KEY_LIFE_MS = 60_000  # of what an interrupted run leaves behind
_EVERY_BYTE = bytes(range(256)) * 16


@dataclass(frozen=True)
class Case:
    """One check.

    Attributes:
        name: What was tried.
        passed: Whether it held.
        seconds: That it took.
        message: Why it did not hold; empty when it did.
    """

    name: str
    passed: bool
    seconds: float
    message: str = ""


@dataclass(frozen=True)
class SmokeReport:
    """All checks of one run.

    Attributes:
        address: Where it was run.
        cases: In the order in which they ran.
    """

    address: str
    cases: tuple[Case, ...]

    @property
    def passed(self) -> bool:
        """Whether every check held."""
        return all(case.passed for case in self.cases)


class _DoesNotHoldError(Exception):
    """A check that has failed; its text is the case's message."""


def smoke(endpoint: Endpoint, app: str, *, deadline: float = 2.0) -> SmokeReport:
    """Return what an application would find: health, set/get, TTL, flush, reconnection.

    It works in keys and a namespace of its own, under random names, and removes them.
    Behind Sentinel it goes to the primary, in a Cluster to those of its keys.

    Args:
        endpoint: The published address, of any topology.
        app: First part of every key.
        deadline: Seconds that one call may take.

    Raises:
        UnreachableError: No server answers there, so there is nothing to check.
        AuthError: It refuses the user or the password.
        TlsError: The handshake failed.
        InvalidKeyError: *app* cannot be the first part of a key.
    """
    # No server at all is no failed check, and raises here.
    found = _primaries(endpoint, deadline)
    if found.has_slots and endpoint.topology == "standalone":
        endpoint = replace(endpoint, topology="cluster", db=0)
    run = _Run(endpoint, found, app, deadline)
    cases = tuple(
        _case(name, check)
        for name, check in (
            ("health", run.health),
            ("set_get", run.set_get),
            ("ttl", run.ttl),
            ("namespace_flush", run.namespace_flush),
            ("reconnect", run.reconnect),
            ("cleanup", run.cleanup),
        )
    )
    return SmokeReport(endpoint.address, cases)


def _primaries(endpoint: Endpoint, deadline: float) -> Primaries:
    if endpoint.topology != "standalone":
        return primaries(endpoint, timeout=deadline)
    with Wire(endpoint, timeout=deadline):
        pass
    try:
        return primaries(endpoint, timeout=deadline)
    except AuthError:
        # The login is right, and its user may not ask for more: it is what the URL says.
        return Primaries((endpoint,))


def _case(name: str, check: Callable[[], None]) -> Case:
    began = time.monotonic()
    message = ""
    try:
        check()
    except (ValkeyctlError, _DoesNotHoldError) as error:
        message = str(error) or type(error).__name__
    return Case(name, not message, time.monotonic() - began, message)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise _DoesNotHoldError(message)


class _Run:
    """The checks, and the names of what they write."""

    def __init__(self, endpoint: Endpoint, found: Primaries, app: str, deadline: float) -> None:
        self._endpoint = endpoint
        self._app = app
        self._deadline = deadline
        self._keys = found.scheme(app)
        token = secrets.token_hex(8)
        self._key = f"{app}:~smoke:{token}".encode()
        self._namespace = f"smoke-{token}"

    def _wire(self, key: bytes) -> Wire:
        """Return a connection to the server that has *key* at this moment."""
        server = self._endpoint
        if server.topology != "standalone":
            found = primaries(server, timeout=self._deadline)
            server = _owner(found, key)
        return Wire(server, timeout=self._deadline)

    def _client(self) -> ValkeyClient:
        return ValkeyClient(self._endpoint, deadline=self._deadline, connect_timeout=self._deadline)

    def health(self) -> None:
        """Every check of `health` passes."""
        report = probe(self._endpoint, deadline=self._deadline, app=self._app)
        failed = [check for check in report.checks if check.verdict == "fail"]
        _require(
            report.healthy,
            "; ".join(f"{check.name} is {check.value}: {check.detail}" for check in failed),
        )

    def set_get(self) -> None:
        """A value of every byte comes back as it was."""
        with self._wire(self._key) as wire:
            wire.call("SET", self._key, _EVERY_BYTE, "PX", _KEY_LIFE_MS)
            found = wire.call("GET", self._key)
        _require(found == _EVERY_BYTE, "GET returned another value than SET stored")

    def ttl(self) -> None:
        """A key with a TTL has it, and is gone soon after it has run out."""
        with self._wire(self._key) as wire:
            _, left = wire.pipeline(
                [("SET", self._key, "x", "PX", _SHORT_TTL_MS), ("PTTL", self._key)]
            )
            _require(
                isinstance(left, int) and 0 < left <= _SHORT_TTL_MS,
                f"a key of {_SHORT_TTL_MS} ms has {left!r} ms left",
            )
            began = time.monotonic()
            while wire.call("EXISTS", self._key):
                waited = time.monotonic() - began
                _require(
                    waited < _EXPIRY_BOUND,
                    f"a key of {_SHORT_TTL_MS} ms is still there after {waited * 1000:.0f} ms",
                )
                time.sleep(0.005)

    def namespace_flush(self) -> None:
        """Invalidating a namespace makes its entries misses, and new ones hits again."""
        asyncio.run(self._flush_namespace())

    async def _flush_namespace(self) -> None:
        async with self._client() as client:
            cache = CacheService(client, app=self._app, budget=self._deadline)
            life = _KEY_LIFE_MS / 1000
            _require(
                await cache.set(self._namespace, "entry", "before", ttl=life)
                and await cache.get(self._namespace, "entry") == "before",
                "an entry that was stored is a miss",
            )
            await cache.invalidate(self._namespace)
            _require(
                await cache.get(self._namespace, "entry") is None,
                "an entry outlived the invalidation of its namespace",
            )
            _require(
                await cache.set(self._namespace, "entry", "after", ttl=life)
                and await cache.get(self._namespace, "entry") == "after",
                "an entry that was stored after an invalidation is a miss",
            )

    def reconnect(self) -> None:
        """A client whose connection was cut answers the next call from a new one."""
        asyncio.run(self._cut_connection())

    async def _cut_connection(self) -> None:
        async with self._client() as client:
            before = await self._connection(client)
            _require(isinstance(before, int), f"CLIENT ID answered {before!r}")
            with self._wire(self._key) as wire:
                wire.call("CLIENT", "KILL", "ID", int(str(before)))
            await client.get(self._key)
            after = await self._connection(client)
            _require(after != before, "the cut connection is still in use")

    async def _connection(self, client: ValkeyClient) -> object:
        """Return the number of the connection to the server that has the key."""
        if self._endpoint.topology != "cluster":
            return await client.execute("CLIENT", "ID")
        # Only what goes with a key goes to that key's node.
        answers = await client.transaction([("EXISTS", self._key), ("CLIENT", "ID")])
        return answers[-1]

    def cleanup(self) -> None:
        """Nothing that was written is left."""
        entry = self._keys.place(self._namespace, "entry").key
        names = [self._key, entry, *self._keys.versions(self._namespace)]
        left = 0
        failure: ValkeyctlError | None = None
        for server, some in self._homes(names).items():
            try:
                left += self._removed(server, some)
            except ValkeyctlError as error:
                failure = failure or error  # the others have keys of ours, too
        if failure is not None:
            raise failure
        _require(left == 0, f"{left} of {len(names)} keys could not be removed")

    def _homes(self, names: list[bytes]) -> dict[Endpoint, list[bytes]]:
        """Return *names* by the server that has them."""
        if self._endpoint.topology == "standalone":
            return {self._endpoint: names}
        found = primaries(self._endpoint, timeout=self._deadline)
        homes: dict[Endpoint, list[bytes]] = {}
        for name in names:
            homes.setdefault(_owner(found, name), []).append(name)
        return homes

    def _removed(self, server: Endpoint, names: list[bytes]) -> int:
        """Remove *names* from *server* and return how many are left there."""
        with Wire(server, timeout=self._deadline) as wire:
            # One by one: in a Cluster they lie in several slots.
            wire.pipeline([("UNLINK", name) for name in names])
            left = wire.pipeline([("EXISTS", name) for name in names])
        return sum(one != 0 for one in left)


def _owner(found: Primaries, key: bytes) -> Endpoint:
    """Return the server that has *key*.

    Raises:
        UnreachableError: No node serves its slot.
    """
    if found.slots is None:
        return found.nodes[0]
    slot = slot_of(key)
    for part in found.slots.ranges:
        if part.first <= slot <= part.last:
            return found.nodes[found.slots.primaries.index(part.primary)]
    raise UnreachableError(f"no node of the Cluster serves slot {slot}")
