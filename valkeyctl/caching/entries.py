"""Entries on the server, with the versions that say whether they are valid.

Each namespace, and each tag, has a version key: 16 bytes, the server's time in
microseconds and 8 random bytes. An entry carries the versions it was written under
and is valid only while all of them are still the ones that the server holds; reading
an entry and its version is one command, one round trip (`lookups`). Invalidating is
deleting the version key: it costs the same for ten entries and ten million, and works on
a server that is out of memory. The next caller makes a new version, never one that was
there before, so a version key that was evicted or lost invalidates and cannot bring old
entries back. (A counter could: it would start again at 1.)

A load begins with a claim, which returns the versions that hold, and the script that
writes stores the value only while they do: a value whose loading began before an
invalidation is never served after it. The claim also gives one caller of all processes a
lease; the others wait until it ends. Setting or deleting the entry ends the lease too,
and a value loaded under a lease that has ended is not stored.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from valkeyctl.caching.client import ValkeyClient
from valkeyctl.caching.codec import ALWAYS_FRESH, head
from valkeyctl.caching.commands import milliseconds
from valkeyctl.caching.driver.link import Outcome
from valkeyctl.caching.keys import KeyScheme, Place
from valkeyctl.caching.payload import Payload
from valkeyctl.caching.replies import Word, error_from_reply, unexpected_reply
from valkeyctl.caching.script import load_script
from valkeyctl.errors import ServerReplyError, ValkeyctlError

_RANDOM_BYTES = 8
_TOKEN_BYTES = 16
_MOST_MS = ALWAYS_FRESH - 1
REPLACE_ANY = b"*"
"""For `Bid.replace`: no entry that is there is good enough."""


@dataclass(frozen=True)
class Seen:
    """The versions that held at a claim; what is loaded next is stored only if they still do.

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
class Bid:
    """A wish to load an entry.

    Attributes:
        place: Where it lies.
        lease: Seconds that the right to load it lives unless it is renewed.
        versions_for: Seconds that the versions live at least from now on.
        tags: Tags whose versions the write will need.
        replace: ``created`` of the entry to replace, 8 bytes; or `REPLACE_ANY`, which also
            takes the lease from whoever holds it; empty: any entry will do.
        token: Of the lease, should it be granted: who does not hear the answer can give it
            back all the same.
    """

    place: Place
    lease: float
    versions_for: float
    tags: tuple[bytes, ...] = ()
    replace: bytes = b""
    token: bytes = field(default_factory=lambda: os.urandom(_TOKEN_BYTES))


@dataclass(frozen=True)
class Present:
    """The entry is there after all: somebody has just written it.

    Attributes:
        stored: Its bytes.
        now_ms: The server's clock, ms since 1970; 0 where it does not matter to the entry.
    """

    stored: bytes
    now_ms: int


@dataclass(frozen=True)
class Granted:
    """The caller may load.

    Attributes:
        fault: Why there is no entry; as `lookups.Looked.stored`.
        seen: What a write may build on.
        token: Of the lease; empty when the server could not keep one.
        refusal: Why it could not.
    """

    fault: int
    seen: Seen
    token: bytes
    refusal: ValkeyctlError | None = None


@dataclass(frozen=True)
class Held:
    """Somebody else is loading it, under versions that still hold.

    Attributes:
        left: Seconds until the lease runs out at the latest, should its holder be gone.
        seen: The versions that hold.
    """

    left: float
    seen: Seen


Claim: TypeAlias = Present | Granted | Held


@dataclass(frozen=True)
class Draft:
    """A value ready to be stored.

    Attributes:
        place: Where.
        payload: As `Payloads.pack` gives it.
        life: Seconds that it lives.
        fresh: Seconds of those that it is fresh; None for all.
        cost: Seconds that loading it took; 0 unknown.
        tags: As `KeyScheme.tag_words` gives them.
        seen: Store only while these versions hold; None stores under those that hold now.
        token: Store only while this lease holds; empty ends anybody's.
    """

    place: Place
    payload: Payload
    life: float
    fresh: float | None = None
    cost: float = 0.0
    tags: tuple[bytes, ...] = ()
    seen: Seen | None = None
    token: bytes = b""


class Entries:
    """Claims, writes and invalidates the entries of one application.

    Raises what the client does.
    """

    def __init__(self, client: ValkeyClient, keys: KeyScheme) -> None:
        self._client = client
        self._keys = keys
        # What ends of leases are told on; see the scripts.
        self.channel = f"{keys.app}:~loads".encode()
        self._claim = load_script("claim")
        self._write = load_script("write")
        self._lease = load_script("lease")
        self._delete = load_script("delete")
        self._drop = load_script("drop")
        self._forget = load_script("forget")

    @property
    def is_away(self) -> bool:
        """Whether the client's breaker keeps calls from the server."""
        return self._client.breaker.state != "closed"

    async def claim(self, bids: Sequence[Bid], *, deadline: float) -> list[Claim]:
        """Return for each the entry, or the right to load it, or who has it; one round trip.

        Raises:
            ValkeyctlError: As `ValkeyClient.execute`.
        """
        # Not idempotent: sent again, it may find the lease that it took itself, and wait for it.
        outcomes = await self._client.scripts(
            self._claim, [_claim_call(bid) for bid in bids], deadline=deadline
        )
        address = self._client.endpoint.address
        try:
            return [
                _claimed(outcome, bid, address) for outcome, bid in zip(outcomes, bids, strict=True)
            ]
        except (TypeError, ValueError) as error:
            raise unexpected_reply(address, "a claim") from error

    async def leases(self, places: Sequence[Place], *, deadline: float) -> list[bytes]:
        """Return for each the token of the lease that holds, empty where none does."""
        outcomes = await self._client.pipeline(
            [("GETRANGE", place.lease, 0, _TOKEN_BYTES - 1) for place in places],
            deadline=deadline,
            idempotent=True,
        )
        return [outcome if isinstance(outcome, bytes) else b"" for outcome in outcomes]

    async def renew(self, place: Place, token: bytes, lease: float, *, deadline: float) -> bool:
        """Let the lease live *lease* seconds from now on; False when it has ended."""
        reply = await self._client.script(
            self._lease, [place.lease], [token, milliseconds(lease)], deadline=deadline
        )
        return reply == 1

    async def release(
        self, place: Place, token: bytes, *, look_again: bool, deadline: float
    ) -> None:
        """Give the lease back, and wake those who wait for it.

        Args:
            place: Of the entry.
            token: Of the lease; one that has ended is no error.
            look_again: Whether they shall look for the entry, or else load for themselves.
            deadline: Seconds for the call.
        """
        word = b"1" if look_again else b"0"
        await self._client.script(
            self._lease,
            [place.lease],
            [token, b"", self.channel, word + place.key],
            deadline=deadline,
        )

    async def write(
        self, drafts: Sequence[Draft], *, deadline: float
    ) -> list[bool | ServerReplyError]:
        """Store *drafts* in one round trip; False where an invalidation came in between.

        Raises:
            ValkeyctlError: As `ValkeyClient.execute`, but error replies take a place each.
        """
        outcomes = await self._client.scripts(
            self._write, [self._write_call(draft) for draft in drafts], deadline=deadline
        )
        return [
            outcome if isinstance(outcome, ServerReplyError) else outcome == 1
            for outcome in outcomes
        ]

    async def drop(self, place: Place, begin: bytes, *, deadline: float) -> None:
        """Delete an entry that cannot be decoded, unless it was written anew.

        Args:
            place: Where it lies.
            begin: Its header, as it was read.
            deadline: Seconds for the call.
        """
        await self._client.script(self._drop, [place.key], [begin], deadline=deadline)

    async def delete(self, place: Place) -> bool:
        """Delete one entry, and let no load in progress bring it back; False: there was none."""
        reply = await self._client.script(self._delete, [place.key, place.lease], [self.channel])
        return reply == 1

    async def forget(self, versions: Sequence[bytes], announcement: Sequence[Word]) -> int | None:
        """Make every entry that was written under one of these version keys invalid.

        Args:
            versions: The version keys.
            announcement: The command that tells the near caches.

        Returns:
            The announcement's answer: how many near caches there are; None where the
            server does not let this user tell them.
        """
        _, channel, words = announcement
        if self._client.replicated:
            await self._client.delete_replicated(versions)
            versions = ()
        heard = await self._client.script(self._forget, versions, [channel, words])
        return cast("int", heard) if heard != -1 else None

    def _write_call(self, draft: Draft) -> tuple[tuple[bytes, ...], list[Word]]:
        place, payload, seen = draft.place, draft.payload, draft.seen
        args: list[Word] = [
            seen.version if seen else b"",
            draft.token,
            milliseconds(draft.life),
            ALWAYS_FRESH if draft.fresh is None else min(milliseconds(draft.fresh), _MOST_MS),
            min(round(draft.cost * 1000), _MOST_MS),
            os.urandom(_RANDOM_BYTES),
            place.tags,
            self.channel,
            head(payload.encoding, len(draft.tags), payload.flags),
            payload.data,
        ]
        expected = seen.tags if seen else (b"",) * len(draft.tags)
        for tag, version in zip(draft.tags, expected, strict=True):
            args += (tag, version)
        return (place.version, place.key, place.lease), args


def _claim_call(bid: Bid) -> tuple[tuple[bytes, ...], list[Word]]:
    place = bid.place
    return (place.version, place.key, place.lease), [
        place.tags,
        os.urandom(_RANDOM_BYTES),
        milliseconds(bid.versions_for),
        bid.token,
        milliseconds(bid.lease),
        bid.replace,
        *bid.tags,
    ]


def _claimed(outcome: Outcome, bid: Bid, address: str) -> Claim:
    if isinstance(outcome, ServerReplyError):
        raise outcome
    match outcome:
        case [1, bytes(stored), int(now_ms)]:
            return Present(stored, now_ms)
        case [2, int(fault), bytes(version), list(versions), bytes(text)] if _all_bytes(versions):
            seen = Seen(version, tuple(cast("list[bytes]", versions)))
            if not text:
                return Granted(fault, seen, bid.token)
            refusal = error_from_reply(text.decode(errors="replace"), address)
            return Granted(fault, seen, b"", refusal)
        case [3, int(left_ms), bytes(version), list(versions)] if _all_bytes(versions):
            seen = Seen(version, tuple(cast("list[bytes]", versions)))
            return Held(max(left_ms, 1) / 1000, seen)
    raise TypeError(outcome)


def _all_bytes(words: Sequence[object]) -> bool:
    return all(isinstance(word, bytes) for word in words)
