"""Where one key lies, and what it is called there."""

from __future__ import annotations

from dataclasses import dataclass

from valkeyctl.caching.driver.slots import slot_of
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import NotFoundError, UnreachableError
from valkeyctl.ops.keyspace.display import read_bytes, show_bytes
from valkeyctl.ops.keyspace.nodes import Primaries, primaries


@dataclass(frozen=True)
class EntryName:
    """An entry by its application, namespace and id; its key depends on the topology.

    Attributes:
        app: The application.
        namespace: The namespace.
        id: The id.
    """

    app: str
    namespace: str
    id: str


Sought = bytes | str | EntryName
"""A key's bytes, its text as it is or as lists show it, or an entry's name."""


@dataclass(frozen=True)
class Home:
    """The servers behind an endpoint, as the homes of keys.

    Attributes:
        endpoint: As given.
        found: Its primaries.
    """

    endpoint: Endpoint
    found: Primaries

    @classmethod
    def of(cls, endpoint: Endpoint, *, timeout: float = 5.0) -> Home:
        """Ask who serves what.

        Raises:
            UsageError, UnreachableError, AuthError, TlsError: as `primaries`.
        """
        return cls(endpoint, primaries(endpoint, timeout=timeout))

    def keys(self, sought: Sought) -> list[bytes]:
        """Return the keys that *sought* may mean, the likeliest first.

        Raises:
            InvalidKeyError: A part of an entry's name breaks the key rules.
        """
        if isinstance(sought, EntryName):
            return [self.found.scheme(sought.app).place(sought.namespace, sought.id).key]
        if isinstance(sought, bytes):
            return [sought]
        return list(dict.fromkeys((sought.encode("utf-8", "surrogateescape"), read_bytes(sought))))

    def server(self, key: bytes) -> Endpoint:
        """Return the server that holds *key*, if any does.

        Raises:
            UnreachableError: No primary serves its slot.
        """
        if self.found.slots is None:
            return self.found.nodes[0]
        slot = slot_of(key)
        for part in self.found.slots.ranges:
            if part.first <= slot <= part.last:
                return self.endpoint.server(*part.primary)
        raise UnreachableError(
            f"no primary of {self.endpoint.address} serves slot {slot}, where {show_bytes(key)} is",
            hint="Look at the Cluster: CLUSTER SHARDS on one of its nodes",
        )

    def missing(self, sought: Sought) -> NotFoundError:
        """Return the failure of a key that is nowhere."""
        shown = show_bytes(self.keys(sought)[0])
        place = self.endpoint.address
        if self.endpoint.topology != "cluster":
            place += f", database {self.endpoint.db}"
        return NotFoundError(
            f"there is no key {shown} on {place}", hint="List what is there: valkeyctl keys ls"
        )
