"""A Cluster: each command goes to the node that serves the slot of its keys.

Slots move while clients work. Who serves a slot is asked once and kept; a node that does
not serve it any more says who does (MOVED), or to whom this one key has already moved
(ASK). Such replies are followed here, a bounded number of times, so that callers see a
move as a little more time.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeAlias

from valkeyctl.caching.driver.clustermap import ClusterMap
from valkeyctl.caching.driver.errands import Errand, Planner
from valkeyctl.caching.driver.link import Command, LinkOutcome, Unlinked
from valkeyctl.caching.driver.node import ClusterNode
from valkeyctl.caching.driver.replicas import unlink_commands, unlinked
from valkeyctl.caching.driver.routing import slot_of
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, ServerReplyError, UnreachableError, ValkeyctlError

_Verdict: TypeAlias = Literal["done", "now", "later"]
_Send: TypeAlias = Callable[[ClusterNode, Sequence[Command]], Awaitable[list[LinkOutcome]]]

_ROUNDS = 8  # sendings of one command at most, redirections included
_DELAYS = 2  # of them, those after a pause
_PAUSE = 0.002  # seconds before a node that cannot answer yet is asked again; then twice that
_REDIRECTION = re.compile(r"\b(MOVED|ASK) (\d+) (\S*):(\d+)")
# The command did not run, but may a moment later.
_LATER = frozenset({"TRYAGAIN", "CLUSTERDOWN"})
# The node is none that may answer, or not yet; the command did not run.
_NOT_SERVING = frozenset({"LOADING", "MASTERDOWN", "READONLY", "UNBLOCKED"})


class ClusterLink:
    """A `ReplicatedLink` to the primaries of a Cluster.

    Args:
        endpoint: Of topology ``cluster``; its nodes are where to begin.
        size: Connections to each node at most.
        connect_timeout: Seconds for opening one connection.
        rng: Source of jitter, and of whom to ask first.
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
        self._map = ClusterMap(
            endpoint, size=size, connect_timeout=connect_timeout, rng=rng or random.Random()
        )
        self._planner = Planner(self._map.ask_any)

    async def exchange(self, commands: Sequence[Command]) -> list[LinkOutcome]:
        """As `Link.exchange`; a node that is gone fails the commands for its slots alone.

        Raises:
            UnreachableError: No node at all answers.
            DeadlineError, AuthError, TlsError: As `Link.exchange`.
            UsageError: A command names keys of several slots and cannot be split.
        """
        if self._map.is_empty:
            await self._map.look()
        if len(commands) == 1 and (slot := self._planner.only_slot(commands[0])) is not None:
            errand = Errand(commands, slot)
            await self._carry_straight(errand)
            return errand.outcomes
        orders = await self._planner.plan(commands, lambda: self._map.nodes)
        errands = [errand for order in orders for errand in order.errands]
        await self._run(errands, _exchange)
        return [outcome for order in orders for outcome in order.outcomes()]

    async def unlink(self, keys: Sequence[bytes], *, patience: float) -> Unlinked:
        """As `ReplicatedLink.unlink`."""
        if self._map.is_empty:
            await self._map.look()
        unconfirmed: set[str] = set()

        async def send(node: ClusterNode, commands: Sequence[Command]) -> list[LinkOutcome]:
            done = await node.confirmed(commands, patience=patience)
            if not done.confirmed:
                unconfirmed.add(node.endpoint.address)
            return done.outcomes

        slots: dict[int, list[bytes]] = {}
        for key in keys:
            slots.setdefault(slot_of(key), []).append(key)
        errands = [
            Errand([command], slot)
            for slot, some in slots.items()
            for command in unlink_commands(some)
        ]
        await self._run(errands, send)
        outcomes = [outcome for errand in errands for outcome in errand.outcomes]
        return unlinked(outcomes, sorted(unconfirmed))

    async def probe(self) -> None:
        """As `Link.probe`: look at the map anew; one node that answers is enough."""
        await self._map.look()

    async def primaries(self) -> tuple[Endpoint, ...]:
        """As `Link.primaries`; those that answer first."""
        if self._map.is_empty:
            await self._map.look()
        nodes = sorted(self._map.nodes, key=lambda node: node.troubled)
        return tuple(node.endpoint for node in nodes)

    def close(self) -> None:
        """As `Link.close`."""
        self._map.close()

    async def aclose(self) -> None:
        """As `Link.aclose`."""
        await self._map.aclose()

    async def _run(self, errands: Sequence[Errand], send: _Send) -> None:
        """Fill in the outcomes of *errands*.

        Raises:
            UnreachableError: None of them reached a node, and no other node answers either.
        """
        await self._carry(errands, send)
        await self._follow(errands, send)

    async def _carry_straight(self, errand: Errand) -> None:
        """Do one errand to one node, which most are, without the ado that several need."""
        node = self._owner(errand)
        if node is None or node.troubled or self._map.closed:
            await self._run([errand], _exchange)
            return
        try:
            errand.outcomes = await node.exchange(errand.commands)
        except UnreachableError as error:
            self._map.look_again()
            errand.outcomes = [error]
        if isinstance(errand.outcomes[0], ValkeyctlError):
            errand.sent_to = node
            await self._follow([errand], _exchange)

    async def _follow(self, errands: Sequence[Errand], send: _Send) -> None:
        """Send those of *errands* again that were redirected; failures as `_run`."""
        pending = errands
        delays = 0
        for _ in range(_ROUNDS):
            verdicts = [(errand, self._verdict(errand)) for errand in pending]
            now = [errand for errand, verdict in verdicts if verdict == "now"]
            later = [errand for errand, verdict in verdicts if verdict == "later"]
            if later and delays == _DELAYS:
                later = []  # what the node said is the answer
            if later:
                delays += 1
                await asyncio.sleep(_PAUSE * delays)
            pending = now + later
            if not pending:
                break
            await self._carry(pending, send)
        if all(node.troubled for node in self._map.nodes):
            outcomes = [outcome for errand in errands for outcome in errand.outcomes]
            first = outcomes[0]
            if isinstance(first, UnreachableError) and all(
                isinstance(outcome, UnreachableError) for outcome in outcomes
            ):
                raise first

    async def _carry(self, errands: Sequence[Errand], send: _Send) -> None:
        """Send each errand where it belongs, all nodes at the same time."""
        if (look := self._map.looking) is not None:
            owners = (self._owner(errand) for errand in errands)
            if any(owner is None or owner.troubled for owner in owners):
                # Should it fail, the errands will meet the same fault themselves.
                await asyncio.wait([look])
        if self._map.closed:
            # A redirection may name a node that was unknown when the others were closed.
            raise self._map.closed_failure()
        groups: dict[ClusterNode, list[Errand]] = {}
        for errand in errands:
            owner = self._owner(errand)
            if owner is None:
                self._map.look_again()
                errand.outcomes = [
                    UnreachableError(
                        f"no node of {self._endpoint.address} serves slot {errand.slot}",
                        hint="Check that the Cluster is whole: CLUSTER INFO",
                    )
                ] * len(errand.commands)
            else:
                groups.setdefault(owner, []).append(errand)
        if len(groups) == 1:
            ((node, group),) = groups.items()
            await self._deliver(node, group, send)
        elif groups:
            ended = await asyncio.gather(
                *(self._deliver(node, group, send) for node, group in groups.items()),
                return_exceptions=True,
            )
            for failure in ended:
                if failure is not None:
                    raise failure

    async def _deliver(self, node: ClusterNode, group: Sequence[Errand], send: _Send) -> None:
        commands: list[Command] = []
        for errand in group:
            if errand.asking:
                commands.append(("ASKING",))
            commands += errand.commands
        try:
            outcomes = await send(node, commands)
        except UnreachableError as error:
            self._map.look_again()
            outcomes = [error] * len(commands)
        except (AuthError, ServerReplyError) as error:
            outcomes = [error] * len(commands)
        at = 0
        for errand in group:
            at += errand.asking
            errand.outcomes = list(outcomes[at : at + len(errand.commands)])
            at += len(errand.commands)
            errand.node, errand.asking, errand.sent_to = None, False, node

    def _verdict(self, errand: Errand) -> _Verdict:
        """Say whether *errand* must be sent again, and prepare it for that."""
        for at, outcome in enumerate(errand.outcomes):
            if not isinstance(outcome, ServerReplyError):
                continue
            if outcome.reply in ("MOVED", "ASK") and self._redirected(errand, outcome):
                return "now"
            if outcome.reply in _LATER:
                if outcome.reply == "CLUSTERDOWN":
                    self._map.look_again()
                return "later"
            if outcome.reply in _NOT_SERVING:
                self._map.look_again()
                errand.outcomes[at] = UnreachableError(
                    f"the command did not run: {outcome}", hint=outcome.hint
                )
        return "done"

    def _redirected(self, errand: Errand, reply: ServerReplyError) -> bool:
        found = _REDIRECTION.search(str(reply))
        if found is None or errand.sent_to is None:
            return False
        kind, slot, host, port = found.groups()
        # Without a host it is the one that we asked already.
        known = host if host not in ("", "?") else errand.sent_to.endpoint.host
        node = self._map.node((known, int(port)))
        if kind == "ASK":
            errand.node, errand.asking = node, True
        else:
            self._map.assign(int(slot), node)
            self._map.look_again()
        return True

    def _owner(self, errand: Errand) -> ClusterNode | None:
        return errand.node or self._map.owner(errand.slot)


async def _exchange(node: ClusterNode, commands: Sequence[Command]) -> list[LinkOutcome]:
    return await node.exchange(commands)
