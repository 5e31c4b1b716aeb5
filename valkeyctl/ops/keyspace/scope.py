"""Whose a key is, and which keys a verb is about: an application's, a namespace's, or all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from valkeyctl.caching.keys import KeyScheme, Kind, parse_key
from valkeyctl.ops.keyspace.scan import escape_glob

# Two names of 40 characters and a colon; a longer head cannot be one of ours.
_LONGEST_HEAD = 81


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a key is, by the words it begins with.

    Attributes:
        app: The application.
        namespace: The namespace; empty for the version key of a tag.
        kind: What the key holds.
    """

    app: str
    namespace: str
    kind: Kind = "entry"

    @property
    def control(self) -> bool:
        """Whether the key holds a version or a lease instead of an entry."""
        return self.kind != "entry"


def owner_of(key: bytes) -> Owner | None:
    """Return whose *key* is, or None when it does not begin as the key rules say.

    What follows the namespace does not matter: bytes that no id may have are in the
    namespace all the same, for they are counted and flushed with it.
    """
    end = key.find(b":", key.find(b":") + 1)
    if not 0 < end <= _LONGEST_HEAD:
        return None
    head = key[:end]
    if b"~" not in head:
        return _owner_of_head(head)
    parsed = parse_key(key)
    return Owner(parsed.app, parsed.namespace, parsed.kind) if parsed else None


@lru_cache(maxsize=1024)
def _owner_of_head(head: bytes) -> Owner | None:
    parsed = parse_key(head + b":any")
    return Owner(parsed.app, parsed.namespace) if parsed else None


@dataclass(frozen=True)
class Scope:
    """A part of a keyspace.

    Attributes:
        app: The application; None for every one.
        namespace: The namespace; None for every one.
        control: Whether keys that hold versions and leases are in it.

    Raises:
        InvalidKeyError: A name breaks the key rules, so that no key can be in the scope.
    """

    app: str | None = None
    namespace: str | None = None
    control: bool = False

    def __post_init__(self) -> None:
        scheme = KeyScheme("any" if self.app is None else self.app)
        if self.namespace is not None:
            scheme.versions(self.namespace)

    @property
    def prefix(self) -> bytes:
        """What the entries in this scope begin with; empty without an application."""
        if self.app is None:
            return b""
        space = "" if self.namespace is None else f"{self.namespace}:"
        return f"{self.app}:{space}".encode()

    @property
    def lease_prefix(self) -> bytes:
        """What the leases of the entries begin with, in a scope of one namespace."""
        return f"{self.app}:~load:{self.namespace}:".encode()

    @property
    def glob(self) -> bytes | None:
        """What the server may filter by, so that it sends little that is not in the scope."""
        if self.control or (self.app is None and self.namespace is None):
            # The version key of a namespace stands beside it, not in it.
            return None if self.app is None else escape_glob(f"{self.app}:".encode()) + b"*"
        if self.app is None:
            return b"*:%b:*" % str(self.namespace).encode()
        return escape_glob(self.prefix) + b"*"

    def holds(self, key: bytes, owner: Owner | None) -> bool:
        """Say whether *key*, which is *owner*'s, is in the scope."""
        if owner is None:
            # Under an application's prefix even what breaks the key rules is its own.
            return self.namespace is None and key.startswith(self.prefix)
        return (
            (self.control or not owner.control)
            and self.app in (None, owner.app)
            and self.namespace in (None, owner.namespace)
        )
