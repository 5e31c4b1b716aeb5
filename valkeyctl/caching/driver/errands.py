"""A batch of commands, taken apart into what each node of a Cluster must get, and put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from valkeyctl.caching.driver.link import Command, LinkOutcome
from valkeyctl.caching.driver.node import ClusterNode
from valkeyctl.caching.driver.routing import Ask, Routes, common_slot, slot_of
from valkeyctl.caching.replies import RichReply, Word
from valkeyctl.errors import UsageError, ValkeyctlError

Merge: TypeAlias = Callable[[Sequence[LinkOutcome]], LinkOutcome]

# Each key of these stands for itself, so that parts may be answered by different nodes.
_SPLIT = frozenset({"DEL", "EXISTS", "MGET", "TOUCH", "UNLINK"})
# About all keys of a deployment, or about what every node must know.
_EVERYWHERE = frozenset({"DBSIZE", "FLUSHALL", "FLUSHDB", "SCRIPT FLUSH", "SCRIPT LOAD"})
# Would speak of one node's keys as if they were all.
_PARTIAL = frozenset({"KEYS", "RANDOMKEY", "SCAN"})


@dataclass(eq=False, slots=True)
class Errand:
    """Commands that one node must get together, and what came back.

    Attributes:
        commands: One, or a transaction from MULTI to EXEC.
        slot: Of its keys; None without keys.
        node: Where it must go, whatever the slot; None goes by the slot.
        asking: Whether the node is only taking the slot over, so that it must be told.
        sent_to: The node that it went to last.
        outcomes: One per command.
    """

    commands: Sequence[Command]
    slot: int | None
    node: ClusterNode | None = None
    asking: bool = False
    sent_to: ClusterNode | None = None
    outcomes: list[LinkOutcome] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Order:
    """A command of the caller's, or a transaction, with its errands.

    Attributes:
        errands: At least one.
        merge: Makes one outcome of those of several errands; None where there is one errand.
    """

    errands: Sequence[Errand]
    merge: Merge | None = None

    def outcomes(self) -> list[LinkOutcome]:
        """Return one outcome for each of the caller's commands."""
        if self.merge is None:
            return self.errands[0].outcomes
        parts = [errand.outcomes[0] for errand in self.errands]
        failure = next((part for part in parts if isinstance(part, ValkeyctlError)), None)
        return [self.merge(parts) if failure is None else failure]


class Planner:
    """Makes orders of commands.

    Args:
        ask: Sends a command without keys to any node, to learn which words are keys.
    """

    def __init__(self, ask: Ask) -> None:
        self._routes = Routes()
        self._ask = ask

    def only_slot(self, words: Command) -> int | None:
        """Return the slot of all keys of a command; None where there is more to it."""
        keys = self._routes.keys(words)
        if not keys:
            return None
        slot = slot_of(keys[0])
        if len(keys) > 1 and any(slot_of(key) != slot for key in keys[1:]):
            return None
        return slot

    async def plan(
        self, commands: Sequence[Command], nodes: Callable[[], Sequence[ClusterNode]]
    ) -> list[Order]:
        """Return the orders for *commands*, in their order.

        Args:
            commands: What a caller wants to have done.
            nodes: Gives all primaries, for a command that every one of them must get.

        Raises:
            UsageError: A command or a transaction names keys of several slots, or sees
                the keys of one node only.
            UnreachableError, AuthError: No node says which words of a command are keys.
        """
        orders = []
        for part in _parts(commands):
            if len(part) == 1:
                orders.append(await self._order(part[0], nodes))
            else:
                # Its messages may be published wherever its keys are.
                inner = [words for words in part[1:-1] if _name(words) != "PUBLISH"]
                keys = [key for words in inner for key in await self._keys(words)]
                orders.append(Order([Errand(part, common_slot(keys, "the transaction"))]))
        return orders

    async def _order(self, words: Command, nodes: Callable[[], Sequence[ClusterNode]]) -> Order:
        keys = self._routes.keys(words)
        if keys is None:
            keys = await self._routes.learn(words, self._ask)
        if len(keys) == 1:
            return Order([Errand([words], slot_of(keys[0]))])
        if keys:
            name = _name(words)
            slots: dict[int, list[int]] = {}
            for place, key in enumerate(keys):
                slots.setdefault(slot_of(key), []).append(place)
            if len(slots) == 1:
                return Order([Errand([words], next(iter(slots)))])
            if name not in _SPLIT:
                common_slot(keys, name)
            return _split(words[0], keys, slots, name)
        return _keyless(words, nodes)

    async def _keys(self, words: Command) -> Sequence[Word]:
        keys = self._routes.keys(words)
        return await self._routes.learn(words, self._ask) if keys is None else keys


def _parts(commands: Sequence[Command]) -> Iterator[Sequence[Command]]:
    """Yield each command by itself, and each transaction whole."""
    begun: int | None = None
    for place, words in enumerate(commands):
        word = words[0]
        if begun is None and word == "MULTI":
            begun = place
        elif begun is not None:
            if word == "EXEC":
                yield commands[begun : place + 1]
                begun = None
        else:
            yield (words,)
    if begun is not None:
        raise UsageError("a transaction lacks its EXEC")


def _split(word: Word, keys: Sequence[Word], slots: dict[int, list[int]], name: str) -> Order:
    errands = [
        Errand([(word, *(keys[place] for place in places))], slot) for slot, places in slots.items()
    ]
    if name != "MGET":
        return Order(errands, _total)

    def merge(parts: Sequence[LinkOutcome]) -> LinkOutcome:
        values: list[RichReply] = [None] * len(keys)
        for places, part in zip(slots.values(), parts, strict=True):
            found = part if isinstance(part, list) else []
            for place, value in zip(places, found, strict=True):
                values[place] = value
        return values

    return Order(errands, merge)


def _keyless(words: Command, nodes: Callable[[], Sequence[ClusterNode]]) -> Order:
    name = _name(words)
    if name == "SCRIPT" and len(words) > 1:
        name = f"SCRIPT {_name(words[1:])}"
    if name in _PARTIAL:
        raise UsageError(
            f"{name} sees the keys of one node of a Cluster only",
            hint="Ask each of the servers that primaries() names",
        )
    if name in _EVERYWHERE:
        return Order(
            [Errand([words], None, node) for node in nodes()],
            _total if name == "DBSIZE" else lambda parts: parts[0],
        )
    return Order([Errand([words], None)])


def _total(parts: Sequence[LinkOutcome]) -> LinkOutcome:
    return sum(part for part in parts if isinstance(part, int))


def _name(words: Command) -> str:
    word = words[0]
    return (word.decode(errors="replace") if isinstance(word, bytes) else str(word)).upper()
