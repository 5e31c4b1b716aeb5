"""A namespace or a tag, invalid at once: what `CacheService.invalidate` does, from a terminal.

The same words as the library speaks, over a `Wire`: the library and its event loop take
150 ms to import, and a flush, which begins with this, has its connections already. What
it guarantees is the same, too. When `invalidate` returns, nobody is served an entry
written before:

- The version keys are gone, on a Cluster those of all shards.
- Where a replica may take a primary's place (Sentinel, Cluster), a replica has confirmed it.
- Each near cache has said that it holds nothing of it any more, or its lease is over.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from valkeyctl.caching.announcement import (
    LEASE,
    AnnouncementParts,
    read_acknowledgement,
    reply_channel,
)
from valkeyctl.caching.replies import unexpected_reply
from valkeyctl.caching.script import load_script
from valkeyctl.caching.wire import Reply, Wire, Word, pack
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    AuthError,
    DeadlineError,
    ServerReplyError,
    ValkeyctlError,
)
from valkeyctl.ops.keyspace.nodes import primaries
from valkeyctl.ops.keyspace.removal.selection import Selection
from valkeyctl.units import format_duration

# A slot that moves redirects once or twice; a Cluster in disorder for ever.
_REDIRECTIONS = 8
# Share of the timeout that a replica may take to confirm; the rest is for saying so.
_PATIENCE = 0.8


@dataclass(frozen=True)
class Invalidated:
    """What an invalidation did.

    Attributes:
        app: The application.
        namespace: What is invalid, if a namespace.
        tag: What is invalid, if a tag.
        versions: Version keys that there were and that are gone; 0 when nothing valid
            was written since the last time.
        holders: Near caches that listened; None where the server does not let this user
            tell them.
        acknowledged: Whether each of them has said that it holds nothing of it; else
            their leases were waited out, which is as good.
        ms: Milliseconds that it took, connecting left out.
        dry_run: Whether nothing was changed, and `versions` is what there is.
    """

    app: str
    namespace: str | None
    tag: str | None
    versions: int
    holders: int | None
    acknowledged: bool
    ms: float
    dry_run: bool = False


def invalidate(
    endpoint: Endpoint, selection: Selection, *, dry_run: bool = False, timeout: float = 5.0
) -> Invalidated:
    """Make every entry of a namespace, or with a tag, a miss, at constant cost.

    Args:
        endpoint: Of any topology.
        selection: No pattern, for what has no version cannot be invalid.
        dry_run: Only count the version keys that there are.
        timeout: Seconds that a server may be silent.

    Raises:
        UnreachableError, AuthError, TlsError, ServerReplyError: It is not confirmed, so old
            entries may still be served.
    """
    found = primaries(endpoint, timeout=timeout)
    with ExitStack() as opened:
        wires = [opened.enter_context(Wire(node, timeout=timeout)) for node in found.nodes]
        # As in the library: a server that was named by its own address is all there is.
        replicated = endpoint.topology != "standalone" or found.has_slots
        command = Invalidation(
            wires, selection, has_slots=found.has_slots, replicated=replicated, timeout=timeout
        )
        return command.look() if dry_run else command.carry_out()


class Invalidation:
    """An invalidation on connections that are open.

    Args:
        wires: To the primaries.
        selection: What shall be invalid.
        has_slots: Whether they are Cluster nodes.
        replicated: Whether a replica may take a primary's place.
        timeout: Seconds that the servers may be silent, by which the wires go.
    """

    def __init__(
        self,
        wires: Sequence[Wire],
        selection: Selection,
        *,
        has_slots: bool,
        replicated: bool,
        timeout: float = 5.0,
    ) -> None:
        self._wires = wires
        self._selection = selection
        self._has_slots = has_slots
        self._replicated = replicated
        self._patience = timeout * _PATIENCE
        self._timeout = timeout
        self._versions = selection.versions(has_slots=has_slots)

    def look(self) -> Invalidated:
        """Return what `carry_out` would find, and change nothing.

        Raises:
            UnreachableError, AuthError, ServerReplyError: as `invalidate`.
        """
        began = time.perf_counter()
        there = self._on_owners([("EXISTS", key) for key in self._versions])
        return self._done(there, None, began, acknowledged=False, dry_run=True)

    def carry_out(self) -> Invalidated:
        """Invalidate it; see `invalidate`.

        Raises:
            UnreachableError, AuthError, ServerReplyError: as `invalidate`.
        """
        began = time.perf_counter()
        if self._replicated:
            # Writes even where there is nothing to delete: WAIT is about this connection's
            # writes, and an earlier delete may be unknown to the replicas.
            source = load_script("unlink").source
            dropped = self._on_owners(
                [("EVAL", source, 1, key) for key in self._versions], confirm=True
            )
        else:
            dropped = self._on_owners([("UNLINK", key) for key in self._versions])
        holders, acknowledged = self._tell()
        return self._done(dropped, holders, began, acknowledged=acknowledged)

    def _done(
        self,
        versions: int,
        holders: int | None,
        began: float,
        *,
        acknowledged: bool,
        dry_run: bool = False,
    ) -> Invalidated:
        chosen = self._selection
        ms = (time.perf_counter() - began) * 1000
        return Invalidated(
            chosen.app, chosen.namespace, chosen.tag, versions, holders, acknowledged, ms, dry_run
        )

    def _on_owners(self, commands: Sequence[Sequence[Word]], *, confirm: bool = False) -> int:
        """Send each of *commands*, about one key, to whom it concerns; return their sum.

        On a Cluster the nodes themselves say who that is, which also holds while slots
        move. All nodes work at the same time.

        Args:
            commands: May run twice, with the same effect.
            confirm: Wait for a replica of each server to have what was written.

        Raises:
            DeadlineError: No replica confirmed in time.
            UnreachableError, AuthError, ServerReplyError: One could not be carried out.
        """
        total = 0
        with ExitStack() as opened:
            routes = _Routes(self._wires, opened, self._timeout)
            pending = [(self._wires[0], command, False) for command in commands]
            for _ in range(_REDIRECTIONS):
                redirected: list[_Errand] = []
                for wire, errands in _by_wire(pending):
                    wire.post(*_packed(errands))
                for wire, errands in _by_wire(pending):
                    for errand, answer in zip(errands, _answers(wire, errands), strict=True):
                        if isinstance(answer, ServerReplyError):
                            redirected.append(routes.follow(errand, answer))
                        elif isinstance(answer, int):
                            total += answer
                        else:
                            raise unexpected_reply(wire.endpoint.address, str(errand[1][0]))
                if confirm:
                    self._confirm([wire for wire, _ in _by_wire(pending)])
                if not redirected:
                    return total
                pending = redirected
        raise ServerReplyError(
            f"the Cluster redirected {len(pending)} commands {_REDIRECTIONS} times",
            hint="Try again when its slots have settled: CLUSTER INFO",
        )

    def _confirm(self, wires: Sequence[Wire]) -> None:
        """Return when a replica of each server has what was written to it.

        WAIT for a replica that does not exist would take all of its time, so ROLE says
        first whether there is one.
        """
        roles = [wire.call("ROLE") for wire in wires]
        followed = [wire for wire, role in zip(wires, roles, strict=True) if _has_replicas(role)]
        wait = pack([("WAIT", 1, max(1, int(self._patience * 1000)))])
        for wire in followed:
            wire.post(wait, 1)
        lacking = [wire.endpoint.address for wire in followed if wire.collect() == [0]]
        if lacking:
            raise DeadlineError(
                f"no replica of {', '.join(lacking)} confirmed it within "
                f"{format_duration(self._patience)}",
                hint="Try again, or check the replicas: INFO replication",
            )

    def _tell(self) -> tuple[int | None, bool]:
        """Tell the near caches; return how many there are, and whether all have acknowledged."""
        wire, asker = self._wires[0], os.urandom(8).hex().encode()
        holders = self._announce(wire, asker, b"1")
        if holders == 0:
            return 0, True
        # No lease that began before all was confirmed lasts longer than this.
        until = time.monotonic() + LEASE
        if holders is not None:
            try:
                if self._all_acknowledge(wire, asker, until):
                    return holders, True
            except ValkeyctlError:
                pass  # whatever keeps them from being heard: leases end without a word
        time.sleep(max(0.0, until - time.monotonic()))
        return holders, False

    def _announce(self, wire: Wire, asker: bytes, number: bytes) -> int | None:
        chosen = self._selection
        kind, name = ("tag", chosen.tag) if chosen.tag else ("namespace", chosen.namespace or "")
        parts = AnnouncementParts(asker, number, kind.encode(), name.encode())
        try:
            heard = wire.call(*parts.command(chosen.app))
        except AuthError:
            return None
        return heard if isinstance(heard, int) else None

    def _all_acknowledge(self, wire: Wire, asker: bytes, until: float) -> bool:
        """Announce again, this time listening; False when the leases end before all are heard."""
        with Wire(wire.endpoint, timeout=LEASE) as ear:
            channel = reply_channel(self._selection.app.encode(), asker)
            # Not `call`: answers to the first announcement may come right behind the one to
            # this command, and a message is an answer that nothing was asked for.
            ear.post(pack([("SUBSCRIBE", channel)]), 1)
            if isinstance(ear.collect()[0], ServerReplyError):
                return False
            holders = self._announce(wire, asker, b"2")
            heard: set[bytes] = set()
            while holders is not None and len(heard) < holders:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                ear.allow(left)
                ear.post(b"", 1)  # a message comes without being asked for
                match ear.collect():
                    case [[b"message", _, bytes() as message]]:
                        number, holder = read_acknowledgement(message)
                        if number == b"2":
                            heard.add(holder)
        return holders is not None


_Errand = tuple[Wire, Sequence[Word], bool]
"""To whom, what, and whether it must be announced by ASKING."""


class _Routes:
    """Follows the redirections of Cluster nodes."""

    def __init__(self, wires: Sequence[Wire], opened: ExitStack, timeout: float) -> None:
        self._known = {(wire.endpoint.host, wire.endpoint.port): wire for wire in wires}
        self._opened = opened
        self._timeout = timeout

    def follow(self, errand: _Errand, answer: ServerReplyError) -> _Errand:
        """Return the errand that *answer* sends to somebody else.

        Raises:
            ServerReplyError: It is no redirection.
            UnreachableError, AuthError: The other one is not reached.
        """
        if answer.reply not in {"MOVED", "ASK"}:
            raise answer
        asked = errand[0].endpoint
        host, _, port = str(answer).split()[-1].rpartition(":")
        if not port.isdigit():
            raise answer
        place = (asked.host if host in {"", "?"} else host, int(port))
        if place not in self._known:
            wire = Wire(asked.server(*place), timeout=self._timeout)
            self._known[place] = self._opened.enter_context(wire)
        return self._known[place], errand[1], answer.reply == "ASK"


def _by_wire(errands: Sequence[_Errand]) -> list[tuple[Wire, list[_Errand]]]:
    groups: dict[Wire, list[_Errand]] = {}
    for errand in errands:
        groups.setdefault(errand[0], []).append(errand)
    return list(groups.items())


def _packed(errands: Sequence[_Errand]) -> tuple[bytes, int]:
    commands: list[Sequence[Word]] = []
    for _, command, asking in errands:
        commands += [("ASKING",), command] if asking else [command]
    return pack(commands), len(commands)


def _answers(wire: Wire, errands: Sequence[_Errand]) -> list[Reply | ServerReplyError]:
    """Return the answers to *errands*, those to ASKING left out."""
    answers = iter(wire.collect())
    found = []
    for _, _, asking in errands:
        if asking:
            next(answers)
        found.append(next(answers))
    return found


def _has_replicas(role: Reply) -> bool:
    match role:
        case [b"master", int(), [_, *_]]:
            return True
    return False
