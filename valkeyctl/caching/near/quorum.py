"""Invalidations that all near caches have acknowledged before they are called done.

Every near cache of an application listens to one channel, and the number of listeners
is the answer of PUBLISH: nobody keeps a list, and where there is no near cache an
invalidation costs one command more and waits for nothing. The near caches acknowledge
on a channel of the one who asked. It subscribes to that only when it first finds near
caches; that first time it announces twice, the second time for the acknowledgements.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from valkeyctl.caching.announcement import (
    LEASE,
    AnnouncementParts,
    read_acknowledgement,
    read_announcement,
    reply_channel,
)
from valkeyctl.caching.client import ValkeyClient
from valkeyctl.caching.deadline import Deadline
from valkeyctl.caching.pubsub import Subscription
from valkeyctl.caching.replies import Word
from valkeyctl.errors import UsageError, ValkeyctlError

# Announcements whose command failed are settled by nobody; the oldest are forgotten.
_OPEN = 1024


@dataclass(frozen=True)
class Announcement:
    """An invalidation, to be told to all near caches.

    Attributes:
        command: To be sent after the commands that invalidate, in the same pipeline; its
            answer is the number of holders.
        number: By which the acknowledgements name it.
        heard: Whether they can be heard.
    """

    command: Sequence[Word]
    number: bytes
    heard: bool


@dataclass(eq=False)
class _Count:
    """The acknowledgements of one announcement."""

    holders: set[bytes] = field(default_factory=set)
    stirred: asyncio.Event = field(default_factory=asyncio.Event)


class Quorum:
    """Waits until every near cache of an application has dropped what was invalidated.

    Args:
        client: Whoever invalidates; it need not have a near cache itself.
        app: The application.
        lease: Of its near caches, in seconds.
    """

    def __init__(self, client: ValkeyClient, app: str, *, lease: float = LEASE) -> None:
        self._client = client
        self._lease = lease
        self._app = app
        self._name = os.urandom(8).hex().encode()
        self._channel = reply_channel(app.encode(), self._name)
        self._subscription: Subscription | None = None
        self._last = 0
        self._counts: OrderedDict[bytes, _Count] = OrderedDict()

    def announce(self, kind: Literal["namespace", "tag"], name: str) -> Announcement:
        """Return the announcement that the namespace or the tag of this *name* is invalid."""
        if not name or " " in name:
            raise UsageError(f"a {kind} cannot be named {name!r}")
        self._last += 1
        number = b"%d" % self._last
        heard = self._subscription is not None and self._subscription.active
        if heard:
            self._counts[number] = _Count()
            if len(self._counts) > _OPEN:
                self._counts.popitem(last=False)
        parts = AnnouncementParts(self._name, number, kind.encode(), name.encode())
        return Announcement(parts.command(self._app), number, heard)

    async def settle(self, holders: int | None, announcement: Announcement) -> bool:
        """Return when each near cache has acknowledged, or serves nothing for want of a lease.

        Args:
            holders: What the announcement's command was answered; None when that is not
                known, and then the leases are waited out.
            announcement: Which the server has answered.

        Returns:
            Whether all of them have acknowledged.
        """
        if holders == 0:
            self._counts.pop(announcement.number, None)
            return True
        loop = asyncio.get_running_loop()
        # No lease that began before the invalidation was confirmed outlives this.
        until = loop.time() + self._lease
        try:
            with Deadline(self._lease):
                if holders is None:
                    await asyncio.sleep(self._lease)
                elif announcement.heard:
                    await self._acknowledged(holders, announcement.number)
                else:
                    await self._ask_again(announcement)
        except TimeoutError:
            return False
        except ValkeyctlError:
            await asyncio.sleep(until - loop.time())
            return False
        return holders is not None

    async def _ask_again(self, first: Announcement) -> None:
        subscription = await self._client.subscriber.subscribe(
            self._channel, self._heard, deadline=self._lease
        )
        if self._subscription is None:
            self._subscription = subscription
        else:  # it has come back, or another caller was quicker
            subscription.cancel()
        parts = cast("AnnouncementParts", read_announcement(cast("bytes", first.command[2])))
        kind = cast('Literal["namespace", "tag"]', parts.kind.decode())
        second = self.announce(kind, parts.name.decode())
        holders = await self._client.execute(*second.command, deadline=self._lease)
        await self._acknowledged(cast("int", holders), second.number)

    async def _acknowledged(self, holders: int, number: bytes) -> None:
        count = self._counts.setdefault(number, _Count())
        try:
            while len(count.holders) < holders:
                count.stirred.clear()
                await count.stirred.wait()
        finally:
            self._counts.pop(number, None)

    def _heard(self, data: bytes) -> None:
        number, holder = read_acknowledgement(data)
        count = self._counts.get(number)
        if count is not None:
            count.holders.add(holder)
            count.stirred.set()
