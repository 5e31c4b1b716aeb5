"""A planned failover: the primary hands over to a replica that has everything.

No acknowledged write may be lost on the way. `CLUSTER FAILOVER` sees to that by itself.
Sentinel promotes a replica while the old primary still takes writes, and those are gone
when it is turned into a replica: so its writers are paused first, until the replica has
caught up and the switch is done.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Node
from valkeyctl.errors import RefusedError, ServerReplyError, UnreachableError, ValkeyctlError
from valkeyctl.ops.deployment import Access
from valkeyctl.ops.topology.forming import Forming
from valkeyctl.ops.topology.members import (
    TIMEOUT,
    Member,
    followers_of,
    member,
    members,
    sentinels_of,
    servers_of,
)
from valkeyctl.ops.topology.patience import wait_until
from valkeyctl.render import Artefacts

_PATIENCE = 30.0
# A pause of writers ends by itself, should we be killed meanwhile. Before the sentinels are
# asked it must be shorter than the time after which they take a silent primary for down, for
# a paused one does not answer them; after that longer than they take to get round to the old
# primary, for what it accepts until then is lost.
_WAITING_MS = 500
_SWITCHING_MS = 30_000
_CATCH_UP = 5.0
_RETRY = 1.0
_CLUSTER_RETRY = 6.0  # a node gives up on a manual failover after 5 s


def hand_over(forming: Forming, primary: Member) -> str:
    """Let a replica of *primary* take over from it, and return the replica's unit.

    Raises:
        RefusedError: It has no replica that is in sync.
        StartError: The switch did not come about in time.
        UnreachableError, AuthError, ServerReplyError: A server cannot be asked.
    """
    artefacts, access = forming.artefacts, forming.access
    found = members(servers_of(artefacts), forming.runtime, access)
    candidates = [one for one in followers_of(primary, found) if one.in_sync]
    if not candidates:
        raise RefusedError(
            f"{primary.unit} has no replica in sync that could take over from it",
            hint="Wait until one is: valkeyctl health",
        )
    if artefacts.topology == "cluster":
        return _in_cluster(forming, primary, max(candidates, key=lambda one: one.offset))
    strangers = [one.unit for one in found if one.primary is None and one.unit != primary.unit]
    if strangers:
        raise RefusedError(
            f"{', '.join(strangers)} is a primary beside {primary.unit}",
            hint="Wait until the sentinels have mended that: valkeyctl health",
        )
    # All that answer: which of them takes over is for the sentinels to choose.
    return _by_sentinel(forming, primary, [one for one in found if one.unit != primary.unit])


def _in_cluster(forming: Forming, primary: Member, heir: Member) -> str:
    units = {unit.name: unit for unit in servers_of(forming.artefacts)}
    asked: list[float] = []

    def missing() -> str:
        if not asked or time.monotonic() - asked[-1] > _CLUSTER_RETRY:
            asked.append(time.monotonic())
            with Wire(heir.endpoint, timeout=TIMEOUT) as wire:
                wire.call("CLUSTER", "FAILOVER")
        try:
            now = member(units[heir.unit], forming.runtime, forming.access)
            old = member(units[primary.unit], forming.runtime, forming.access)
        except ValkeyctlError as error:
            return str(error)
        if now.role == "primary" and old.role == "replica":
            return ""
        return f"{heir.unit} has not taken over from {primary.unit}"

    wait_until(missing, patience=_PATIENCE)
    return heir.unit


def _by_sentinel(forming: Forming, primary: Member, candidates: Sequence[Member]) -> str:
    units = {unit.name: unit for unit in servers_of(forming.artefacts)}
    heirs = [units[one.unit] for one in candidates]
    promoted: list[Member] = []

    def attempt() -> str:
        # Sentinel looks at a replica every ten seconds; one that was restarted a moment
        # ago is no good one to it yet. Writers are not kept waiting for that.
        try:
            _catch_up(forming, primary, heirs, _WAITING_MS)
            # And again, for the short pause may have run out meanwhile.
            _catch_up(forming, primary, heirs, _SWITCHING_MS)
            _ask_sentinels(forming.artefacts, forming.access)
            promoted.append(_promoted(forming, heirs))
            # Sentinel gets round to the old primary in ten seconds or twenty, and to the
            # other replicas one by one; a primary may refuse writes while it has none.
            _demote(primary, promoted[-1].inner)
            for other in candidates:
                if other.unit != promoted[-1].unit:
                    _follow(other, promoted[-1].inner)
        except ServerReplyError as error:
            if error.reply == "NOGOODSLAVE":
                return f"the sentinels know of no replica that could take over: {error}"
            raise
        finally:
            # Of a switch that failed, writers are not kept waiting.
            with contextlib.suppress(ValkeyctlError), _connected(primary) as wire:
                wire.call("CLIENT", "UNPAUSE")
        return ""

    wait_until(attempt, patience=_PATIENCE, sleep=lambda _: time.sleep(_RETRY))
    heir = promoted[-1]

    def missing() -> str:
        found = members(servers_of(forming.artefacts), forming.runtime, forming.access)
        followers = {one.unit for one in found if one.primary == heir.inner and one.in_sync}
        astray = [one.unit for one in (primary, *candidates) if one.unit not in followers]
        if astray != [heir.unit]:
            return f"{', '.join(astray)} does not follow {heir.unit} yet"
        return "" if forming.agreed_primary() == heir.inner else "the sentinels do not agree"

    wait_until(missing, patience=_PATIENCE)
    return heir.unit


def _connected(server: Member) -> Wire:
    """Return a fresh connection: Sentinel ends those of clients when it turns a server."""
    return Wire(server.endpoint, timeout=TIMEOUT)


def _follow(server: Member, place: Node) -> None:
    with contextlib.suppress(UnreachableError), _connected(server) as wire:  # Sentinel was faster
        wire.call("REPLICAOF", *place)
        wire.call("CONFIG", "REWRITE")


def _pause(primary: Member, milliseconds: int) -> None:
    """Keep writers of *primary* waiting for so long from now on."""
    with _connected(primary) as wire:
        wire.call("CLIENT", "PAUSE", milliseconds, "WRITE")


def _catch_up(
    forming: Forming, primary: Member, heirs: Sequence[Artefacts], milliseconds: int
) -> None:
    """Pause the writers of *primary*, and return when all *heirs* have all that it has written."""
    unit = next(unit for unit in servers_of(forming.artefacts) if unit.name == primary.unit)

    def missing() -> str:
        _pause(primary, milliseconds)
        goal = member(unit, forming.runtime, forming.access).offset
        found = members(heirs, forming.runtime, forming.access)
        done = {
            one.unit
            for one in found
            if one.primary == primary.inner and one.in_sync and one.offset >= goal
        }
        behind = [heir.name for heir in heirs if heir.name not in done]
        return f"{', '.join(behind)} is behind {primary.unit}" if behind else ""

    wait_until(missing, patience=_CATCH_UP)


def _ask_sentinels(artefacts: Artefacts, access: Access) -> None:
    """Tell the first sentinel that answers to fail over."""
    refusal: ValkeyctlError | None = None
    for unit in sentinels_of(artefacts):
        try:
            with Wire(access(unit), timeout=TIMEOUT) as wire:
                wire.call("SENTINEL", "FAILOVER", artefacts.name)
        except ServerReplyError as error:
            if error.reply == "INPROG":
                return  # one is under way already
            refusal = error
        except ValkeyctlError as error:
            refusal = error
        else:
            return
    raise refusal or RefusedError(f"{artefacts.name} has no sentinels")


def _promoted(forming: Forming, heirs: Sequence[Artefacts]) -> Member:
    """Return the one of *heirs* that has taken over, as soon as it takes itself for primary."""
    found: list[Member] = []

    def missing() -> str:
        answers = members(heirs, forming.runtime, forming.access)
        found.extend(one for one in answers if one.role == "primary")
        return "" if found else "no replica has taken over yet"

    wait_until(missing, patience=_PATIENCE)
    return found[0]


def _demote(primary: Member, place: Node) -> None:
    """Let the old *primary* follow the server at *place*, and its writers look for that one."""

    def missing() -> str:
        try:
            with _connected(primary) as wire:
                wire.call("REPLICAOF", *place)
                wire.call("CONFIG", "REWRITE")
                wire.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        except UnreachableError as error:
            return str(error)  # Sentinel was faster, and has ended our connection
        return ""

    wait_until(missing, patience=_CATCH_UP)
