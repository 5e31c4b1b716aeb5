"""The nodes of a Cluster, who of them serves which slot, and finding that out again."""

from __future__ import annotations

import asyncio
import itertools
import random

from valkeyctl.caching.driver.asking import ask, first_answers
from valkeyctl.caching.driver.link import Command, LinkOutcome
from valkeyctl.caching.driver.node import ClusterNode
from valkeyctl.caching.driver.slots import SLOTS, SlotMap, newest, read_map
from valkeyctl.endpoint import Endpoint, Node
from valkeyctl.errors import ServerReplyError, UnreachableError, ValkeyctlError

_LOOK_PAUSE = 0.05  # seconds between looks at the map that failures cause
_ASKED_AT_ONCE = 3
_GRACE = 0.01  # seconds that others have to contradict the first who describes the map


class ClusterMap:
    """Knows the primaries; empty until it has looked for the first time.

    Args:
        endpoint: Of topology ``cluster``; its nodes are where to begin.
        size: Connections to each node at most.
        connect_timeout: Seconds for opening one connection.
        rng: Source of jitter, and of whom to ask first.
    """

    def __init__(
        self, endpoint: Endpoint, *, size: int, connect_timeout: float, rng: random.Random
    ) -> None:
        self._endpoint = endpoint
        self._size = size
        self._connect_timeout = connect_timeout
        self._rng = rng
        self._nodes: dict[Node, ClusterNode] = {}
        self._retired: set[ClusterNode] = set()
        self._owners: list[ClusterNode | None] = []
        self._turns = itertools.count()
        self._look: asyncio.Task[None] | None = None
        self._looked_at = float("-inf")
        self._due: asyncio.TimerHandle | None = None
        self.closed = False
        """Whether `close` was called."""

    @property
    def is_empty(self) -> bool:
        """Whether it has never looked with success; then `owner` knows nothing."""
        return not self._owners

    @property
    def nodes(self) -> list[ClusterNode]:
        """The primaries, and nodes that are about to become one."""
        return list(self._nodes.values())

    @property
    def looking(self) -> asyncio.Task[None] | None:
        """The look that goes on at this moment, if one does."""
        return None if self._look is None or self._look.done() else self._look

    async def look(self) -> None:
        """Ask the nodes who serves what; callers share one look.

        Raises:
            UnreachableError: None of them says, or the map is closed.
            AuthError, TlsError: They do not let us in.
        """
        if self.closed:
            raise self.closed_failure()
        look = self._begin()
        try:
            await asyncio.shield(look)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if look.cancelled() and task is not None and not task.cancelling():
                raise self.closed_failure() from None
            raise

    def look_again(self) -> None:
        """Look in the background, soon, because the map seems to be out of date."""
        if self.closed or self.looking is not None or self._due is not None:
            return
        loop = asyncio.get_running_loop()
        wait = self._looked_at + _LOOK_PAUSE - loop.time()
        if wait <= 0:
            self._begin()
        else:
            self._due = loop.call_later(wait, self._begin)

    def owner(self, slot: int | None) -> ClusterNode | None:
        """Return who serves *slot*; without one, any node, and one that works if there is."""
        if slot is not None:
            return self._owners[slot]
        nodes = self.nodes
        well = [node for node in nodes if not node.troubled] or nodes
        return well[next(self._turns) % len(well)]

    def assign(self, slot: int, node: ClusterNode) -> None:
        """Note that *node* serves *slot*, as another one says."""
        self._owners[slot] = node

    def node(self, place: Node) -> ClusterNode:
        """Return the node at *place*, which may be new to us."""
        node = self._nodes.get(place)
        if node is None:
            node = self._nodes[place] = ClusterNode(
                self._endpoint.server(*place),
                size=self._size,
                connect_timeout=self._connect_timeout,
                rng=self._rng,
            )
        return node

    async def ask_any(self, words: Command) -> LinkOutcome:
        """Return the answer of any node to a command without keys.

        Raises:
            UnreachableError: None of them answers.
            DeadlineError, AuthError, TlsError: As `Link.exchange`.
        """
        failure: UnreachableError | None = None
        for _ in self.nodes:
            node = self.owner(None)
            if node is None:
                break
            try:
                (outcome,) = await node.exchange([words])
            except UnreachableError as error:
                failure = error  # it is troubled now, so that the next one is another
            else:
                return outcome
        raise failure or self.closed_failure()

    def closed_failure(self) -> UnreachableError:
        """Return what a caller of a closed client gets."""
        return UnreachableError(
            f"the client of {self._endpoint.address} is closed", hint="Open a new one"
        )

    def close(self) -> None:
        """As `Link.close`, and end what goes on in the background."""
        self.closed = True
        if self._due is not None:
            self._due.cancel()
        if self._look is not None:
            self._look.cancel()
        for node in (*self._nodes.values(), *self._retired):
            node.close()

    async def aclose(self) -> None:
        """As `Link.aclose`."""
        self.close()
        if self._look is not None:
            await asyncio.gather(self._look, return_exceptions=True)
        await asyncio.gather(*(node.aclose() for node in (*self._nodes.values(), *self._retired)))

    def _begin(self) -> asyncio.Task[None]:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._looked(), name="valkeyctl-cluster-map")
            self._look.add_done_callback(_heed)
        return self._look

    async def _looked(self) -> None:
        try:
            self._adopt(await self._described())
        finally:
            self._looked_at = asyncio.get_running_loop().time()

    async def _described(self) -> SlotMap:
        known = list(self._nodes)
        self._rng.shuffle(known)
        known.sort(key=lambda place: self._nodes[place].troubled)
        places = list(dict.fromkeys((*known, *self._endpoint.nodes)))
        failures: list[ValkeyctlError] = []
        for at in range(0, len(places), _ASKED_AT_ONCE):
            asked = places[at : at + _ASKED_AT_ONCE]
            maps, failed = await first_answers((self._ask_map(one) for one in asked), grace=_GRACE)
            if maps:
                return newest(maps)
            failures += failed
        for failure in failures:
            if not isinstance(failure, (UnreachableError, ServerReplyError)):
                raise failure
        raise UnreachableError(
            f"no node of {self._endpoint.address} says who serves which slot: {failures[0]}",
            hint="Check the nodes' addresses, and that they are a Cluster",
        ) from failures[0]

    async def _ask_map(self, asked: Node) -> SlotMap:
        endpoint = self._endpoint.server(*asked)
        slots, info = await ask(
            endpoint, [("CLUSTER", "SLOTS"), ("CLUSTER", "INFO")], patience=self._connect_timeout
        )
        return read_map(slots, info, asked)

    def _adopt(self, slots: SlotMap) -> None:
        before, self._nodes = self._nodes, {}
        for place in slots.primaries:
            if place in before:
                self._nodes[place] = before.pop(place)
            else:
                self.node(place)
        self._owners = [None] * SLOTS
        for first, last, place in slots.ranges:
            self._owners[first : last + 1] = [self._nodes[place]] * (last + 1 - first)
        self._retired = {node for node in self._retired if not node.is_closed}
        for node in before.values():
            node.retire()
            self._retired.add(node)


def _heed(look: asyncio.Task[None]) -> None:
    """Look at the failure of a look that nobody waited for, as the loop demands."""
    if not look.cancelled():
        look.exception()
