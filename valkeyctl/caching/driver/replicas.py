"""Deletes that a replica has confirmed, so that a failover cannot undo them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

from valkeyctl.caching.driver.link import Command, LinkOutcome, Unlinked
from valkeyctl.caching.replies import RichReply
from valkeyctl.caching.script import load_script
from valkeyctl.errors import AuthError, ServerReplyError, UnreachableError

_KEYS_PER_SCRIPT = 1000  # Lua has room for some thousand words on its stack

Exchange: TypeAlias = Callable[[Sequence[Command]], Awaitable[list[LinkOutcome]]]


@dataclass(frozen=True)
class Confirmed:
    """Answers to commands, and whether a replica has what they wrote.

    Attributes:
        outcomes: Of the commands, in order.
        confirmed: Whether a replica has it, or there is none that could lack it.
    """

    outcomes: list[LinkOutcome]
    confirmed: bool


class Replicas:
    """What is known of one primary's replicas.

    WAIT for a replica that does not exist takes all of its time. So what ROLE said last
    decides whether to wait at all, and ROLE travels along each time: a primary that lost
    its replicas costs the patience once, one that got some a second trip once.
    """

    def __init__(self) -> None:
        self._any = False

    async def confirmed(
        self, exchange: Exchange, commands: Sequence[Command], *, patience: float
    ) -> Confirmed:
        """Send *commands*, which write, and wait for a replica to have what they wrote.

        Args:
            exchange: Sends to the primary, on one connection.
            commands: May run twice, with the same effect.
            patience: Seconds to wait for a replica.
        """
        waited = self._any
        outcomes, acknowledged = await self._send(exchange, commands, patience, waited=waited)
        if self._any and not acknowledged and not waited:
            first = outcomes
            outcomes, acknowledged = await self._send(exchange, commands, patience, waited=True)
            outcomes = [_sum(*pair) for pair in zip(first, outcomes, strict=True)]
        return Confirmed(outcomes, acknowledged > 0 or not self._any)

    async def _send(
        self, exchange: Exchange, commands: Sequence[Command], patience: float, *, waited: bool
    ) -> tuple[list[LinkOutcome], int]:
        # WAIT counts for what its own connection wrote, and 0 asks without waiting.
        wait = ("WAIT", 1 if waited else 0, max(1, int(patience * 1000)))
        *outcomes, role, acknowledged = await exchange([*commands, ("ROLE",), wait])
        for answer in (role, acknowledged):
            if isinstance(answer, Exception):
                raise answer
        self._any = bool(_replicas(cast("RichReply", role)))
        return outcomes, cast("int", acknowledged)


def unlink_commands(keys: Sequence[bytes]) -> list[Command]:
    """Return commands that delete *keys*, of one slot, and reply how many there were.

    They write even where there is nothing to delete: the delete that went before may be
    unknown to the replicas, and WAIT is about the writes of its own connection only.
    """
    source = load_script("unlink").source
    parts = [keys[at : at + _KEYS_PER_SCRIPT] for at in range(0, len(keys), _KEYS_PER_SCRIPT)]
    return [("EVAL", source, len(part), *part) for part in parts]


def unlinked(outcomes: Sequence[LinkOutcome], unconfirmed: Sequence[str]) -> Unlinked:
    """Return what became of the keys, by the *outcomes* of `unlink_commands`.

    Args:
        outcomes: Of all of them, in any order.
        unconfirmed: As `Unlinked` has it.
    """
    count = 0
    failure: AuthError | ServerReplyError | UnreachableError | None = None
    for outcome in outcomes:
        if isinstance(outcome, (AuthError, ServerReplyError, UnreachableError)):
            failure = failure or outcome
        elif isinstance(outcome, int):
            count += outcome
    return Unlinked(count, tuple(unconfirmed), failure)


def _replicas(role: RichReply) -> list[RichReply]:
    match role:
        case [b"master", int(), list() as replicas]:
            return replicas
    return []


def _sum(first: LinkOutcome, second: LinkOutcome) -> LinkOutcome:
    return first + second if isinstance(first, int) and isinstance(second, int) else second
