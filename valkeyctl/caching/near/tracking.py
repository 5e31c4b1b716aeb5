"""Hears what changes on the servers, and knows until when everything has been heard.

To each primary there is one connection, on which the server tells the names of the keys
that change (client tracking in its broadcasting mode) and what is published on the
application's near channel. An answered PING on it proves that whatever was confirmed to
anybody before the PING was sent has been heard here. (A server puts what changed
into the connection's stream before it confirms the change to its author, and a stream
keeps its order.) The proof of all primaries together is that of the oldest of them, and
counts only while these are the servers that the client reads from: that is looked at
after each answer.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol, cast

from valkeyctl.caching.backoff import pauses
from valkeyctl.caching.client import ValkeyClient
from valkeyctl.caching.deadline import Deadline
from valkeyctl.caching.driver.listener import Listener
from valkeyctl.caching.driver.pushes import Push
from valkeyctl.caching.replies import RichReply, Word
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UnreachableError, ValkeyctlError

_NEVER = float("-inf")


class Tracker(Protocol):
    """Who follows the changes; called in the event loop, in the order of the servers."""

    def changed(self, keys: Sequence[bytes] | None) -> None:
        """These keys changed, or, for None, all of them."""

    def announced(self, announcement: bytes) -> Sequence[Word] | None:
        """Somebody announced an invalidation; return the command that acknowledges it."""

    def proven(self, at: float) -> None:
        """Whatever was confirmed to anybody before *at* has been heard."""

    def lost(self) -> None:
        """Changes may be missed from now until the next proof."""


class Tracking:
    """Follows the changes of keys on all primaries of a deployment.

    Args:
        client: Of the deployment.
        tracker: Gets what happens.
        prefixes: Of the keys; none may be the beginning of another.
        channel: Where invalidations are announced.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        client: ValkeyClient,
        tracker: Tracker,
        *,
        prefixes: Sequence[bytes],
        channel: bytes,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._tracker = tracker
        self._clock = clock
        words = [word for prefix in prefixes for word in (b"PREFIX", prefix)]
        self._set_up: list[Sequence[Word]] = [
            ("CLIENT", "TRACKING", "ON", "BCAST", *words),
            ("SUBSCRIBE", channel),
        ]
        self._tracks: dict[Endpoint, _Track] = {}
        self._leaving: list[_Track] = []
        self._task: asyncio.Task[None] | None = None
        self._stirred = asyncio.Event()
        # How often it became doubtful which servers are primaries, and how many of those
        # doubts a look has settled; the first look settles none.
        self._doubts = 0
        self._settled = -1
        self._rng = random.Random()
        self._closed = False

    @property
    def complete(self) -> bool:
        """Whether all primaries are listened to."""
        tracks = self._tracks.values()
        return (
            self._settled == self._doubts
            and bool(tracks)
            and all(track.confirmed for track in tracks)
        )

    def start(self) -> None:
        """Begin to listen; does nothing when it has begun, or was closed."""
        if self._task is None and not self._closed:
            if not self._client.adopt(self):
                self._closed = True
                return
            self._task = asyncio.create_task(self._following(), name="valkeyctl-near")

    def renew(self) -> None:
        """Ask for a new proof, unless one is on its way."""
        for track in self._tracks.values():
            track.ping()

    async def aclose(self) -> None:
        """Stop listening, and leave no task and no connection."""
        self._closed = True
        self._client.disown(self)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._leaving += self._tracks.values()
        self._tracks = {}
        self._tracker.lost()
        await self._close_leaving()

    def keeps(self, track: _Track) -> bool:
        """Say whether *track* leads to what was a primary at the last look."""
        return self._tracks.get(track.endpoint) is track

    def proved(self) -> None:
        """Pass the proof of a track on, after a look; the track calls it."""
        self._stirred.set()

    def doubted(self) -> None:
        """Trust nothing until a look has shown which servers are primaries; tracks call it."""
        self._doubts += 1
        self._tracker.lost()
        self._stirred.set()

    async def _following(self) -> None:
        """Keep one track to each primary, and pass on what they prove."""
        waits = pauses(self._rng)
        while True:
            doubts = self._doubts
            if self._settled == doubts:
                waits = pauses(self._rng)
                await self._stirred.wait()
            else:
                await asyncio.sleep(next(waits) if doubts else 0)
            self._stirred.clear()
            doubts = self._doubts
            doubtful = doubts > 0 and self._settled != doubts
            primaries: tuple[Endpoint, ...] = ()
            with suppress(ValkeyctlError, TimeoutError), Deadline(self._client.connect_timeout):
                primaries = await self._client.primaries(anew=doubtful)
            if not primaries:
                self.doubted()  # nobody knows
                continue
            await self._keep_to(set(primaries))
            self._settled = doubts
            if self.complete:
                self._tracker.proven(min(track.proved for track in self._tracks.values()))

    async def _keep_to(self, primaries: set[Endpoint]) -> None:
        if primaries == self._tracks.keys():
            return
        # Also for one more: nobody has heard what it told until now.
        self._tracker.lost()
        for endpoint in self._tracks.keys() - primaries:
            self._leaving.append(self._tracks.pop(endpoint))
        for endpoint in primaries - self._tracks.keys():
            self._tracks[endpoint] = _Track(self, endpoint)
            self._tracks[endpoint].start()
        await self._close_leaving()

    async def _close_leaving(self) -> None:
        while self._leaving:
            await self._leaving[-1].aclose()
            self._leaving.pop()


class _Track:
    """The connection to one primary."""

    def __init__(self, tracking: Tracking, endpoint: Endpoint) -> None:
        self.confirmed = False
        self.proved = _NEVER
        self._tracking = tracking
        self.endpoint = endpoint
        self._asked = False
        self._listener = Listener(
            self._locate,
            self,
            purpose="near",
            connect_timeout=tracking._client.connect_timeout,
            rng=tracking._rng,
        )

    def start(self) -> None:
        """Begin to connect."""
        self._listener.start()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._listener.aclose()

    def ping(self) -> None:
        """Ask for a proof, unless one is on its way."""
        if self._asked:
            return
        sent = self._tracking._clock()

        def answered(answer: RichReply | ValkeyctlError) -> None:
            self._asked = False
            if isinstance(answer, ValkeyctlError):
                self._checked(answer)
                return
            self.confirmed = True
            self.proved = sent
            self._tracking.proved()

        self._asked = self._listener.send(("PING",), answered)

    def opened(self) -> None:
        """Set it up; the listener calls it."""
        for command in self._tracking._set_up:
            self._listener.send(command, self._checked)
        self.ping()

    def heard(self, push: Push) -> None:
        """Pass on what changed; the listener calls it."""
        if push[0] == b"invalidate":
            self._tracking._tracker.changed(cast("Sequence[bytes] | None", push[1]))
        elif push[0] == b"message":
            answer = self._tracking._tracker.announced(cast("bytes", push[2]))
            if answer is not None:
                self._listener.send(answer, _nothing)
        else:
            word = cast("bytes", push[0]).decode(errors="replace")
            self._listener.drop(UnreachableError(f"the server said {word!a}, which nobody expects"))

    def lost(self, reason: ValkeyctlError) -> None:  # noqa: ARG002 - the listener keeps it
        """Forget the proof; the listener calls it."""
        self.confirmed = self._asked = False
        self.proved = _NEVER
        if self._tracking.keeps(self):
            self._tracking.doubted()

    def refused(self, reason: ValkeyctlError) -> None:  # noqa: ARG002 - the listener keeps it
        """Ask whether it is still a primary; the listener calls it."""
        if self._tracking.keeps(self):
            self._tracking.doubted()

    def _checked(self, answer: RichReply | ValkeyctlError) -> None:
        if isinstance(answer, ValkeyctlError):
            self._listener.drop(answer)  # such as NOPERM; an ended connection is dropped already

    async def _locate(self) -> Endpoint:
        return self.endpoint


def _nothing(_: RichReply | ValkeyctlError) -> None:
    """Take the answer to an acknowledgement."""
