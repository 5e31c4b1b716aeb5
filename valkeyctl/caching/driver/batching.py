"""Commands issued in the same turn of the event loop travel together.

A burst of a hundred callers would otherwise take, or even dial, a hundred
connections; this way it takes two. The first command of a turn leaves at once by
itself, so a lone caller waits for nobody; those after it in the same turn leave in
one write when the turn ends.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from dataclasses import dataclass

from valkeyctl.caching.commands import name_of
from valkeyctl.caching.driver.link import Command, Link, LinkOutcome
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UnreachableError, ValkeyctlError

# A longer batch would let its first answers wait for its last command.
_COMMANDS_PER_BATCH = 128
# What travels alone, because others should not wait behind it: large values, and
# commands that wait themselves.
_LARGE = 32 * 1024
WAITING = frozenset(
    (
        *("BLMOVE", "BLMPOP", "BLPOP", "BRPOP", "BRPOPLPUSH", "BZMPOP", "BZPOPMAX", "BZPOPMIN"),
        *("WAIT", "WAITAOF", "XREAD", "XREADGROUP"),
    )
)


@dataclass(eq=False)
class _Ride:
    """One caller's commands in a batch."""

    commands: Sequence[Command]
    arrived: asyncio.Future[list[LinkOutcome]]


class Batching:
    """A `Link` that lets the commands of one turn share a write of the link beneath."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._riders: list[_Ride] = []
        self._departed = False
        self._carriers: set[asyncio.Task[None]] = set()
        self._closed = False

    async def exchange(self, commands: Sequence[Command]) -> list[LinkOutcome]:
        """As `Link.exchange`."""
        loop = asyncio.get_running_loop()
        if not self._departed:
            self._departed = True
            loop.call_soon(self._turn_ended)
            return await self._link.exchange(commands)
        if self._closed or _travels_alone(commands):
            return await self._link.exchange(commands)
        ride = _Ride(commands, loop.create_future())
        self._riders.append(ride)
        return await ride.arrived

    async def probe(self) -> None:
        """As `Link.probe`."""
        await self._link.probe()

    async def primaries(self) -> tuple[Endpoint, ...]:
        """As `Link.primaries`."""
        return await self._link.primaries()

    def close(self) -> None:
        """As `Link.close`."""
        self._closed = True
        self._link.close()
        for carrier in self._carriers:
            carrier.cancel()

    async def aclose(self) -> None:
        """As `Link.aclose`."""
        self.close()
        await self._link.aclose()
        await asyncio.gather(*self._carriers, return_exceptions=True)

    def _turn_ended(self) -> None:
        self._departed = False
        riders, self._riders = self._riders, []
        if self._closed:
            for ride in riders:
                _refuse(ride)
            return
        batch: list[_Ride] = []
        size = 0
        for ride in riders:
            if batch and size + len(ride.commands) > _COMMANDS_PER_BATCH:
                self._depart(batch)
                batch, size = [], 0
            batch.append(ride)
            size += len(ride.commands)
        if batch:
            self._depart(batch)

    def _depart(self, batch: list[_Ride]) -> None:
        carrier = asyncio.get_running_loop().create_task(self._carry(batch))
        self._carriers.add(carrier)
        carrier.add_done_callback(self._carriers.discard)
        waiting = len(batch)

        def left(_: asyncio.Future[list[LinkOutcome]]) -> None:
            nonlocal waiting
            waiting -= 1
            # All have given up, so nobody else would ever end a call to a frozen server.
            if waiting == 0:
                carrier.cancel()

        for ride in batch:
            ride.arrived.add_done_callback(left)

    async def _carry(self, batch: list[_Ride]) -> None:
        try:
            outcomes = await self._link.exchange(
                [command for ride in batch for command in ride.commands]
            )
        except ValkeyctlError as error:
            for ride in batch:
                if not ride.arrived.done():
                    # One each: raising adds the traceback of its caller to the exception.
                    ride.arrived.set_exception(_twin(error))
            return
        except BaseException:
            for ride in batch:
                _refuse(ride)
            raise
        at = 0
        for ride in batch:
            past = at + len(ride.commands)
            if not ride.arrived.done():
                ride.arrived.set_result(outcomes[at:past])
            at = past


def _refuse(ride: _Ride) -> None:
    if not ride.arrived.done():
        ride.arrived.set_exception(
            UnreachableError("the client was closed during the call", hint="Open a new one")
        )


def _twin(error: ValkeyctlError) -> ValkeyctlError:
    twin = copy.copy(error)
    twin.__cause__ = error.__cause__
    return twin


def waits(words: Command) -> bool:
    """Say whether a command waits at the server, however its name is written."""
    return name_of(words[0]) in WAITING


def _travels_alone(commands: Sequence[Command]) -> bool:
    size = 0
    for words in commands:
        if waits(words):
            return True
        for word in words:
            if isinstance(word, (str, bytes)):
                size += len(word)
    return size > _LARGE
