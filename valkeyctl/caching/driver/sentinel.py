"""The primary that sentinels watch, whichever server that is at the moment.

A connection that breaks, a reply that only a server without the primary's role or data
gives, and an announcement of the sentinels all mean: ask again. Until the answer is
there, nothing is sent to the server in doubt, for one that was cut off and comes back
may take itself for the primary and hold what was invalidated since.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from valkeyctl.caching.driver.asking import ask
from valkeyctl.caching.driver.link import Command, LinkOutcome, Unlinked
from valkeyctl.caching.driver.replicas import Replicas, unlink_commands, unlinked
from valkeyctl.caching.driver.sentinels import Sentinels
from valkeyctl.caching.driver.standalone import Standalone
from valkeyctl.endpoint import Endpoint, Node
from valkeyctl.errors import ServerReplyError, UnreachableError

_log = structlog.get_logger("valkeyctl.caching")

# The command did not run, because the server is no primary, or not ready to be one.
_NOT_PRIMARY = frozenset({"READONLY", "LOADING", "MASTERDOWN", "UNBLOCKED"})


@dataclass(eq=False)
class _Primary:
    """A server that said it is the primary.

    Attributes:
        endpoint: Where it is.
        link: To it.
        replicas: What is known of its replicas.
    """

    endpoint: Endpoint
    link: Standalone
    replicas: Replicas = field(default_factory=Replicas)


class SentinelLink:
    """A `ReplicatedLink` to the primary that sentinels name.

    Args:
        endpoint: Of topology ``sentinel``.
        size: Connections to the primary at most.
        connect_timeout: Seconds for opening one connection, to a sentinel or a server.
        rng: Source of jitter.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        size: int,
        connect_timeout: float,
        rng: random.Random | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._size = size
        self._connect_timeout = connect_timeout
        self._sentinels = Sentinels(
            endpoint, connect_timeout=connect_timeout, on_switch=self._switched, rng=rng
        )
        self._primary: _Primary | None = None
        self._in_doubt: _Primary | None = None
        self._past: list[_Primary] = []
        self._search: asyncio.Task[_Primary] | None = None
        # How often the sentinels have spoken up: an answer from before may be out of date.
        self._news = 0
        self._closed = False

    async def exchange(self, commands: Sequence[Command]) -> list[LinkOutcome]:
        """As `Link.exchange`; a command that the server refused for its role is unreachable."""
        primary = self._primary or await self._found()
        try:
            outcomes = await primary.link.exchange(commands)
        except UnreachableError:
            self._doubt(primary)
            raise
        for place, outcome in enumerate(outcomes):
            if isinstance(outcome, ServerReplyError) and outcome.reply in _NOT_PRIMARY:
                outcomes[place] = self._demoted(primary, outcome)
        return outcomes

    async def unlink(self, keys: Sequence[bytes], *, patience: float) -> Unlinked:
        """As `ReplicatedLink.unlink`."""
        primary = self._primary or await self._found()
        try:
            done = await primary.replicas.confirmed(
                primary.link.exchange, unlink_commands(keys), patience=patience
            )
        except UnreachableError:
            self._doubt(primary)
            raise
        except ServerReplyError as error:
            raise self._demoted(primary, error) from error
        for outcome in done.outcomes:
            if isinstance(outcome, ServerReplyError) and outcome.reply in _NOT_PRIMARY:
                raise self._demoted(primary, outcome)
        return unlinked(done.outcomes, () if done.confirmed else (primary.endpoint.address,))

    async def probe(self) -> None:
        """As `Link.probe`: ask the sentinels, and the server that they name, anew."""
        await self._found()

    async def primaries(self) -> tuple[Endpoint, ...]:
        """As `Link.primaries`."""
        primary = self._primary or await self._found()
        return (primary.endpoint,)

    def close(self) -> None:
        """As `Link.close`."""
        self._closed = True
        if self._search is not None:
            self._search.cancel()
        self._sentinels.close()
        for primary in self._known():
            primary.link.close()

    async def aclose(self) -> None:
        """As `Link.aclose`."""
        self.close()
        if self._search is not None:
            await asyncio.gather(self._search, return_exceptions=True)
        await self._sentinels.aclose()
        await asyncio.gather(*(primary.link.aclose() for primary in self._known()))

    def _known(self) -> list[_Primary]:
        """Return those to which there may be connections."""
        known = (self._primary, self._in_doubt, *self._past)
        return [primary for primary in known if primary is not None]

    async def _found(self) -> _Primary:
        """Return the primary as the sentinels name it now; callers share one search."""
        if self._closed:
            raise self._closed_failure()
        search = self._searching()
        try:
            return await asyncio.shield(search)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if search.cancelled() and task is not None and not task.cancelling():
                raise self._closed_failure() from None
            raise

    def _searching(self) -> asyncio.Task[_Primary]:
        if self._search is None or self._search.done():
            self._search = asyncio.create_task(self._searched(), name="valkeyctl-sentinel")
            self._search.add_done_callback(_heed)
        return self._search

    async def _searched(self) -> _Primary:
        while True:
            news = self._news
            endpoint = await self._confirmed()
            if news == self._news:
                break
        known = self._primary or self._in_doubt
        if known is not None and known.endpoint == endpoint:
            self._primary, self._in_doubt = known, None
            return known
        link = Standalone(endpoint, size=self._size, connect_timeout=self._connect_timeout)
        found = _Primary(endpoint, link)
        self._primary, self._in_doubt = found, None
        if known is not None:
            _log.info(
                "primary_changed",
                name=self._endpoint.primary_name,
                before=known.endpoint.address,
                now=endpoint.address,
            )
            # What is in flight there would be answered by a server of the past.
            self._past.append(known)
            await known.link.aclose()
            self._past.remove(known)
        return found

    async def _confirmed(self) -> Endpoint:
        """Return where the primary is, by the sentinels and by its own word."""
        endpoint = await self._sentinels.primary()
        # PING is refused by a server that loads its data, and ROLE by none.
        try:
            _, role = await ask(endpoint, [("PING",), ("ROLE",)], patience=self._connect_timeout)
        except ServerReplyError as error:
            raise UnreachableError(f"{endpoint.address} is not ready: {error}") from error
        if not (isinstance(role, list) and role and role[0] == b"master"):
            raise UnreachableError(
                f"{endpoint.address}, which the sentinels name, says that it is a replica",
                hint="Wait for the failover to end",
            )
        return endpoint

    def _doubt(self, primary: _Primary) -> None:
        """Send no more to *primary* until it is confirmed, and see to that."""
        if self._closed or self._primary is not primary:
            return
        self._primary, self._in_doubt = None, primary
        self._searching()

    def _demoted(self, primary: _Primary, reply: ServerReplyError) -> UnreachableError:
        self._doubt(primary)
        return UnreachableError(f"the command did not run: {reply}", hint=reply.hint)

    def _switched(self, node: Node | None) -> None:
        """Heed an announcement: *node* is the new primary, or one may have been missed."""
        self._news += 1
        primary = self._primary
        if self._closed or primary is None:
            return
        if node is None:
            self._searching()
        elif node != (primary.endpoint.host, primary.endpoint.port):
            self._doubt(primary)

    def _closed_failure(self) -> UnreachableError:
        return UnreachableError(
            f"the client of {self._endpoint.address} is closed", hint="Open a new one"
        )


def _heed(search: asyncio.Task[_Primary]) -> None:
    """Look at the failure of a search that nobody waited for, as the loop demands."""
    if not search.cancelled():
        search.exception()
