"""A new list of users on a server that runs."""

from __future__ import annotations

from valkeyctl.caching.wire import Reply, Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.render.acl import ACL_FILE
from valkeyctl.runtime.material import Material

_TIMEOUT = 5.0
# ACL LOAD ends a replica of these: the link to its primary is a client without a user
# (valkey-io/valkey issue 1832, mended by pull request 1842).
_CRASHING = frozenset({"8.0.0", "8.0.1", "8.0.2"})


def load_users(endpoint: Endpoint, material: Material) -> bool:
    """Let the server at *endpoint* take the users of *material*, which lie in its ACL file.

    Connections of users that stay go on.

    Returns:
        Whether its users are others than before.

    Raises:
        ServerReplyError: The file has a fault; the server keeps the users that it has.
        UnreachableError, AuthError, TlsError: It cannot be told.
    """
    with Wire(endpoint, timeout=_TIMEOUT) as wire:
        before = wire.call("ACL", "LIST")
        if _crashes(wire):
            _set_one_by_one(wire, material, before)
        else:
            wire.call("ACL", "LOAD")
        return wire.call("ACL", "LIST") != before


def _crashes(wire: Wire) -> bool:
    """Say whether the server would not survive ACL LOAD."""
    if wire.info("server").get("valkey_version") not in _CRASHING:
        return False
    return wire.info("replication").get("role") == "slave"


def _set_one_by_one(wire: Wire, material: Material, before: Reply) -> None:
    """Bring the users to what ACL LOAD would make of them."""
    lines = [line.split() for line in material.files[ACL_FILE].decode().splitlines()]
    wanted = {words[1]: words[2:] for words in lines if words[:1] == ["user"]}
    for name, rules in wanted.items():
        wire.call("ACL", "SETUSER", name, "reset", *rules)
    listed = before if isinstance(before, list) else []
    names = {line.decode().split()[1] for line in listed if isinstance(line, bytes)}
    if gone := names - wanted.keys():
        wire.call("ACL", "DELUSER", *sorted(gone))
