"""What the sentinels of a deployment say of its primary, each asked where it is published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from valkeyctl.caching.wire import Reply, Wire
from valkeyctl.endpoint import Node
from valkeyctl.errors import ServerReplyError, ValkeyctlError
from valkeyctl.ops.deployment import Access
from valkeyctl.ops.topology import readings
from valkeyctl.ops.topology.members import TIMEOUT, sentinels_of
from valkeyctl.render import Artefacts


@dataclass(frozen=True)
class SentinelWord:
    """What one sentinel says.

    Attributes:
        unit: Its name.
        primary: Where it says that the primary is; None when it knows none.
        epoch: Number of the election that made it so; a later one overrules.
        others: How many other sentinels it knows.
        replicas: How many replicas it knows.
        failover: Whether it leads or follows one, or holds one for due.
        fault: Why it could not decide on a failover; empty when it could.
    """

    unit: str
    primary: Node | None = None
    epoch: int = 0
    others: int = 0
    replicas: int = 0
    failover: bool = False
    fault: str = ""


def sentinel_words(artefacts: Artefacts, access: Access) -> list[SentinelWord]:
    """Return what each sentinel says; one that cannot be asked says why as its fault."""
    return [_word(unit, artefacts.name, access) for unit in sentinels_of(artefacts)]


def agreed_primary(words: Sequence[SentinelWord]) -> Node | None:
    """Return where more than half of all sentinels say that the primary is; None if none."""
    votes = Counter(one.primary for one in words if one.primary is not None)
    place, count = max(votes.items(), key=lambda vote: vote[1], default=(None, 0))
    # One sentinel alone may have slept through a failover.
    return place if count > len(words) // 2 else None


def _word(unit: Artefacts, name: str, access: Access) -> SentinelWord:
    try:
        with Wire(access(unit), timeout=TIMEOUT) as wire:
            facts = readings.fields(wire.call("SENTINEL", "MASTER", name))
            primary = _node(wire.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name))
            fault = _quorum_fault(unit, name, wire)
    except ServerReplyError as error:
        return SentinelWord(unit.name, fault=f"{unit.name} says {error}")
    except ValkeyctlError as error:
        return SentinelWord(unit.name, fault=f"{unit.name}: {error}")
    return SentinelWord(
        unit.name,
        primary,
        readings.number(facts, "config-epoch") or 0,
        readings.number(facts, "num-other-sentinels") or 0,
        readings.number(facts, "num-slaves") or 0,
        _fails_over(facts),
        fault,
    )


def _quorum_fault(unit: Artefacts, name: str, wire: Wire) -> str:
    try:
        wire.call("SENTINEL", "CKQUORUM", name)
    except ServerReplyError as error:
        return f"{unit.name} says {error}"
    return ""


def _fails_over(facts: Mapping[str, str]) -> bool:
    flags = facts.get("flags", "").split(",")
    return "failover_in_progress" in flags or "o_down" in flags


def _node(place: Reply) -> Node | None:
    if not isinstance(place, list) or len(place) != 2:
        return None
    host, port = (readings.text(word) for word in place)
    return host, int(port)
