"""Entries on the server, with the versions that say whether they are valid.

Each namespace, and each tag, has a version key: 16 bytes, the server's time in
microseconds and 8 random bytes. An entry carries the versions it was written under
and is valid only while all of them are still the ones that the server holds; reading
an entry and comparing is one script, one round trip. Invalidating is deleting the
version key: it costs the same for ten entries and ten million, and works on a server
that is out of memory. The next caller makes a new version, never one that was there
before, so a version key that was evicted or lost invalidates and cannot bring old
entries back. (A counter could: it would start again at 1.)

A load remembers the versions that its read saw, and the script that writes stores the
value only while they hold: a value whose loading began before an invalidation is
never served after it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from valkeyctl.caching.client import ValkeyClient
from valkeyctl.caching.codec import HEADER, UndecodableError, Value, head, open_entry
from valkeyctl.caching.commands import milliseconds
from valkeyctl.caching.keys import KeyScheme
from valkeyctl.caching.replies import Word
from valkeyctl.caching.script import load_script
from valkeyctl.errors import ServerReplyError, ValkeyctlError

# Entries per script: a longer one would keep the server's only thread from others.
_ENTRIES_PER_SCRIPT = 256
_RANDOM_BYTES = 8


@dataclass(frozen=True)
class Found:
    """A valid entry.

    Attributes:
        value: What was stored.
        age: Seconds since then, by the server's clock; None when not asked for.
        ttl: Seconds that it has left; likewise.
    """

    value: Value
    age: float | None = None
    ttl: float | None = None


Miss: TypeAlias = Literal["absent", "stale", "corrupt"]
_MISSES: tuple[Miss, ...] = ("absent", "stale", "corrupt")


@dataclass(frozen=True)
class Seen:
    """The versions that held at a read; what is loaded next is stored only if they still do.

    Attributes:
        version: Of the namespace.
        tags: Of the tags asked for, in their order.
    """

    version: bytes
    tags: tuple[bytes, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every version is there; a server out of memory cannot make one."""
        return bool(self.version) and all(self.tags)


@dataclass(frozen=True)
class Draft:
    """A value ready to be stored.

    Attributes:
        id: Under which id.
        encoding: As `codec.encode` says.
        payload: Likewise.
        ttl: Seconds to live.
        tags: As `KeyScheme.tag_word` gives them.
        seen: Store only while these versions hold; None stores under those that hold now.
    """

    id: str
    encoding: int
    payload: bytes
    ttl: float
    tags: tuple[bytes, ...] = ()
    seen: Seen | None = None


class Entries:
    """Reads, writes and invalidates the entries of one application; raises what the client does."""

    def __init__(self, client: ValkeyClient, keys: KeyScheme) -> None:
        self._client = client
        self._keys = keys
        self._lookup = load_script("lookup")
        self._read = load_script("read")
        self._write = load_script("write")
        self._drop = load_script("drop")

    async def look(self, namespace: str, id: str, *, deadline: float) -> Found | Miss:  # noqa: A002
        """Return the entry without age and ttl, or why there is none.

        Raises:
            InvalidKeyError: The namespace or the id breaks the rules.
            ValkeyctlError: As `ValkeyClient.execute`.
        """
        key, version_key = self._keys.entry(namespace, id)
        reply = await self._client.script(
            self._lookup,
            (version_key, key),
            (self._keys.tag_prefix,),
            deadline=deadline,
            idempotent=True,
        )
        if isinstance(reply, bytes):
            return await self._opened(key, reply, deadline)
        return _MISSES[cast("list[int]", reply)[0]]

    async def look_many(
        self, namespace: str, ids: Sequence[str], *, deadline: float
    ) -> list[Found | Miss]:
        """Return the entries without age and ttl, in the order of *ids*; one round trip.

        Raises:
            InvalidKeyError: The namespace or an id breaks the rules.
            ValkeyctlError: As `ValkeyClient.execute`.
        """
        by_version: dict[bytes, list[tuple[int, bytes]]] = {}
        for place, id in enumerate(ids):  # noqa: A001
            key, version_key = self._keys.entry(namespace, id)
            by_version.setdefault(version_key, []).append((place, key))
        groups = [
            (version_key, members[at : at + _ENTRIES_PER_SCRIPT])
            for version_key, members in by_version.items()
            for at in range(0, len(members), _ENTRIES_PER_SCRIPT)
        ]
        outcomes = await self._client.scripts(
            self._lookup,
            [
                ((version_key, *(key for _, key in members)), (self._keys.tag_prefix,))
                for version_key, members in groups
            ],
            deadline=deadline,
            idempotent=True,
        )
        results: list[Found | Miss] = ["absent"] * len(ids)
        for (_, members), outcome in zip(groups, outcomes, strict=True):
            if isinstance(outcome, ServerReplyError):
                raise outcome
            # A group of one is answered like a single lookup.
            found = outcome if isinstance(outcome, list) else [outcome]
            for (place, key), stored in zip(members, found, strict=False):
                if isinstance(stored, bytes):
                    results[place] = await self._opened(key, stored, deadline)
                else:
                    results[place] = _MISSES[cast("int", stored)]
        return results

    async def look_to_load(
        self,
        namespace: str,
        id: str,  # noqa: A002
        *,
        deadline: float,
        tags: tuple[bytes, ...],
        versions_for: float,
    ) -> Found | tuple[Miss, Seen]:
        """Return the entry without age and ttl, or why there is none and the versions that hold.

        Args:
            namespace: Where it lies.
            id: Under which id.
            deadline: Seconds for the call.
            tags: Tags whose versions a later write needs.
            versions_for: Missing versions are made, to live this many seconds.

        Raises:
            InvalidKeyError: The namespace or the id breaks the rules.
            ValkeyctlError: As `ValkeyClient.execute`.
        """
        key, version_key = self._keys.entry(namespace, id)
        random = os.urandom(_RANDOM_BYTES)
        reply = await self._client.script(
            self._lookup,
            (version_key, key),
            (self._keys.tag_prefix, random, milliseconds(versions_for), *tags),
            deadline=deadline,
            idempotent=True,
        )
        if isinstance(reply, bytes):
            result = await self._opened(key, reply, deadline)
            if isinstance(result, Found):
                return result
            # A valid entry came without the versions, which are now what is asked for.
            again, seen = await self.read(
                namespace, id, deadline=deadline, tags=tags, versions_for=versions_for
            )
            return again if isinstance(again, Found) else ("corrupt", seen)
        state, version, tag_versions = cast("tuple[int, bytes, list[bytes]]", reply)
        return _MISSES[state], Seen(version, tuple(tag_versions))

    async def read(
        self,
        namespace: str,
        id: str,  # noqa: A002
        *,
        deadline: float,
        tags: tuple[bytes, ...],
        versions_for: float,
    ) -> tuple[Found | Miss, Seen]:
        """Return the entry with age and ttl, or why there is none, and the versions that hold.

        Arguments and failures as `look_to_load`.
        """
        key, version_key = self._keys.entry(namespace, id)
        reply = await self._client.script(
            self._read,
            (version_key, key),
            (
                self._keys.tag_prefix,
                os.urandom(_RANDOM_BYTES),
                milliseconds(versions_for),
                *tags,
            ),
            deadline=deadline,
            idempotent=True,
        )
        version, tag_versions, now_ms, stored, left_ms = cast(
            "tuple[bytes, list[bytes], int, bytes | int, int]", reply
        )
        seen = Seen(version, tuple(tag_versions))
        if isinstance(stored, int):
            return _MISSES[stored], seen
        return await self._opened(key, stored, deadline, now_ms=now_ms, left_ms=left_ms), seen

    async def write(
        self, namespace: str, drafts: Sequence[Draft], *, deadline: float
    ) -> list[bool | ServerReplyError]:
        """Store *drafts* in one round trip; False where an invalidation came in between.

        Raises:
            InvalidKeyError: The namespace or an id breaks the rules.
            ValkeyctlError: As `ValkeyClient.execute`, but error replies take a place each.
        """
        outcomes = await self._client.scripts(
            self._write, [self._write_call(namespace, draft) for draft in drafts], deadline=deadline
        )
        return [
            outcome if isinstance(outcome, ServerReplyError) else outcome == 1
            for outcome in outcomes
        ]

    async def delete(self, namespace: str, id: str) -> bool:  # noqa: A002
        """Delete one entry; False when there was none."""
        key, _ = self._keys.entry(namespace, id)
        return await self._client.delete(key) > 0

    async def invalidate(self, namespace: str) -> None:
        """Make every entry of *namespace* invalid."""
        await self._client.delete(*self._keys.versions(namespace))

    async def invalidate_tag(self, tag: str) -> None:
        """Make every entry with *tag* invalid, in all namespaces."""
        await self._client.delete(self._keys.tag(tag))

    def _write_call(self, namespace: str, draft: Draft) -> tuple[tuple[bytes, bytes], list[Word]]:
        key, version_key = self._keys.entry(namespace, draft.id)
        seen = draft.seen
        args: list[Word] = [
            seen.version if seen else b"",
            milliseconds(draft.ttl),
            os.urandom(_RANDOM_BYTES),
            self._keys.tag_prefix,
            head(draft.encoding, len(draft.tags)),
            draft.payload,
        ]
        expected = seen.tags if seen else (b"",) * len(draft.tags)
        for tag, version in zip(draft.tags, expected, strict=True):
            args += (tag, version)
        return (version_key, key), args

    async def _opened(
        self,
        key: bytes,
        stored: bytes,
        deadline: float,
        *,
        now_ms: int | None = None,
        left_ms: int = 0,
    ) -> Found | Miss:
        try:
            value, created_ms = open_entry(stored)
        except UndecodableError:
            # Should this fail, the next reader will find and drop it.
            with suppress(ValkeyctlError):
                await self._client.script(
                    self._drop, [key], [stored[: HEADER.size]], deadline=deadline
                )
            return "corrupt"
        if now_ms is None:
            return Found(value)
        # An operator may have set the clock back or taken the expiry away.
        return Found(value, max(now_ms - created_ms, 0) / 1000, max(left_ms, 0) / 1000)
