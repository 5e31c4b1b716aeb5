"""A change of configuration without a restart: CONFIG SET, all of it at once or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, RefusedError, ServerReplyError
from valkeyctl.ops.drift import REPLICA_OF, Drift, settings
from valkeyctl.render import Artefacts
from valkeyctl.runtime.directives import differences
from valkeyctl.units import format_size

_TIMEOUT = 5.0


def set_live(endpoint: Endpoint, unit: Artefacts, drift: Sequence[Drift]) -> tuple[str, ...]:
    """Set on the unit at *endpoint* all that is wanted, and return what it reads otherwise.

    One CONFIG SET: a server takes all of the directives or none (Valkey 7.0 and later). A
    sentinel is told with one SENTINEL SET, and writes it down by itself. Whom a server
    follows is no directive that CONFIG SET takes, and comes last: no server refuses it.

    Args:
        endpoint: Of one unit, with a user that may use CONFIG.
        unit: What is there.
        drift: What differs; only directives.

    Returns:
        A note for each directive that the server rounded or kept.

    Raises:
        ServerReplyError: The server refuses a directive; nothing was set.
        UnreachableError, AuthError, TlsError: It cannot be asked.
    """
    wanted = {one.field: one.wanted for one in drift}
    if not wanted:
        return ()
    with Wire(endpoint, timeout=_TIMEOUT) as wire:
        words = [word for pair in wanted.items() if pair[0] != REPLICA_OF for word in pair]
        if unit.kind == "sentinel":
            wire.call("SENTINEL", "SET", unit.deployment, *words)
        elif words:
            wire.call("CONFIG", "SET", *words)
        if REPLICA_OF in wanted:
            wire.call("REPLICAOF", *(wanted[REPLICA_OF].split() or ("NO", "ONE")))
        reported = settings(wire, unit)
    return tuple(
        f"{name} {wanted[name]!r} is read as {reported[name]!r}"
        for name in differences(wanted, reported)
    )


def require_room(endpoint: Endpoint, drift: Sequence[Drift]) -> None:
    """Make sure that a smaller maxmemory throws nothing away by surprise.

    Raises:
        RefusedError: The wanted one is less than what is in use.
        UnreachableError, AuthError, TlsError: The server at *endpoint* cannot be asked.
    """
    wanted = {one.field: one.wanted for one in drift}
    most = wanted.get("maxmemory", "")
    if not most.isdigit() or int(most) == 0:
        return
    with Wire(endpoint, timeout=_TIMEOUT) as wire:
        _require_room(wire, wanted, int(most))


def _require_room(wire: Wire, wanted: Mapping[str, str], most: int) -> None:
    used = wire.info("memory").get("used_memory", "0")
    if int(used) <= most:
        return
    try:
        answer = wire.call("CONFIG", "GET", "maxmemory-policy")
    except (AuthError, ServerReplyError):
        answer = []
    now = answer[1] if isinstance(answer, list) and len(answer) > 1 else b""
    policy = wanted.get("maxmemory-policy", now.decode() if isinstance(now, bytes) else "")
    what = "every write would be refused" if policy == "noeviction" else "keys would be evicted"
    raise RefusedError(
        f"{format_size(int(used))} are in use, more than the new maxmemory "
        f"{format_size(most)}: {what}",
        hint="Say that you mean it: valkeyctl deploy --yes",
    )
