"""Who may log in to a server, and what each of them may do: the text of ``users.acl``.

Passwords are in it as SHA-256 hashes only, two of them while one is being changed.
The default user is off: without a login the server answers NOAUTH to everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from valkeyctl.profile.schema import Topology
from valkeyctl.render.artefacts import Kind

ACL_FILE = "users.acl"
ADMIN, APP, PROBE, REPLICA, SENTINEL, EXPORTER = (
    "admin",
    "app",
    "probe",
    "replica",
    "sentinel",
    "exporter",
)
Login: TypeAlias = Literal["password", "none"]

# On its own keys and channels the application may do what it likes with data; a list of
# single commands would only keep it from data types that valkeyctl itself does not use.
# Not with these: @dangerous holds what works on all keys at once (FLUSHALL, KEYS, SWAPDB),
# on other clients or on the server (CONFIG, CLIENT KILL, DEBUG, SHUTDOWN, MIGRATE); @write
# has FUNCTION FLUSH too, which is nobody's own.
_APP_DATA = "+@read +@write +@transaction -@scripting -@admin -@dangerous -randomkey"
# Beside them, by name: what valkeyctl.caching and the reading verbs of `valkeyctl keys`
# were seen to send (tests/cli/test_app_user.py runs them as this user).
_APP_CONNECTION = (
    "+ping +echo +select +hello +auth +reset +quit +asking +readonly +readwrite "
    "+client|id +client|getname +client|setname +client|setinfo +client|info "
    "+client|tracking +client|caching +client|no-touch"
)
_APP_REST = (
    "+publish +subscribe +unsubscribe +psubscribe +punsubscribe "
    "+spublish +ssubscribe +sunsubscribe "
    "+eval +evalsha +eval_ro +evalsha_ro +script|load +script|exists "
    "+info +role +time +wait +waitaof "
    "+command +command|info +command|docs +command|count +command|getkeys "
    "+cluster|slots +cluster|shards +cluster|info +cluster|nodes +cluster|myid "
    "+cluster|keyslot +cluster|countkeysinslot"
)
# A client that asks a sentinel for the primary, and is told when there is another one.
_SENTINEL_CLIENT = (
    "resetkeys allchannels -@all +ping +hello +auth +role +info "
    "+subscribe +unsubscribe +psubscribe +punsubscribe "
    "+client|id +client|getname +client|setname +client|setinfo "
    "+sentinel|get-master-addr-by-name +sentinel|master +sentinel|masters "
    "+sentinel|replicas +sentinel|sentinels +sentinel|ckquorum +sentinel|myid"
)
# What Valkey's documentation asks for, in "Sentinel": as a client of the servers it watches,
_SENTINEL_WATCHES = (
    "resetkeys allchannels -@all +multi +slaveof +replicaof +ping +exec +subscribe "
    "+config|rewrite +role +publish +info +client|setname +client|kill +script|kill"
)
# and of the other sentinels.
_SENTINEL_AGREES = (
    "resetkeys allchannels -@all +ping +publish +subscribe +client|setname "
    "+sentinel|is-master-down-by-addr"
)
# Not CONFIG GET, which would show it the password that replicas log in with; not the
# text of slow commands, which has values in it.
_EXPORTER = (
    "resetkeys resetchannels -@all +ping +hello +auth +client|setname +client|setinfo "
    "+info +dbsize +memory|stats +latency|latest +latency|histogram +slowlog|len "
    "+cluster|info"
)


@dataclass(frozen=True)
class User:
    """An ACL user of a server.

    Attributes:
        name: What it logs in as.
        purpose: Who that is, for a person.
        rules: What it may do, in the server's own words.
        login: How it proves who it is; ``none`` takes any password.
    """

    name: str
    purpose: str
    rules: str
    login: Login = "password"


def users(
    app: str,
    *,
    topology: Topology = "standalone",
    kind: Kind = "server",
    exporter: bool = False,
) -> tuple[User, ...]:
    """Return the users of one server or sentinel, beside the default user, which is off.

    Args:
        app: First part of the application's keys and channels.
        topology: Of the deployment.
        kind: What logs them in.
        exporter: Whether metrics are exported.
    """
    everything = User(ADMIN, "valkeyctl and the operator: everything", "~* &* +@all")
    probe = User(PROBE, "the liveness probe: PING alone", _probe_rules(), login="none")
    if kind == "sentinel":
        return (
            everything,
            User(APP, "the application: asks for the primary", _SENTINEL_CLIENT),
            probe,
            User(SENTINEL, "the other sentinels", _SENTINEL_AGREES),
        )
    found = [
        everything,
        User(APP, f"the application: data under {app}: and no administration", _app_rules(app)),
        probe,
    ]
    if topology != "standalone":
        rules = "resetkeys resetchannels -@all +psync +replconf +ping"
        found.append(User(REPLICA, "the replicas, on their primary", rules))
    if topology == "sentinel":
        found.append(User(SENTINEL, "the sentinels: watch, and fail over", _SENTINEL_WATCHES))
    if exporter:
        found.append(User(EXPORTER, "the metrics exporter: reads figures, no data", _EXPORTER))
    return tuple(found)


def password_users(
    app: str, *, topology: Topology = "standalone", exporter: bool = False
) -> tuple[str, ...]:
    """Return the names of a deployment's users that have a password, on whatever unit."""
    found = users(app, topology=topology, exporter=exporter)
    return tuple(user.name for user in found if user.login == "password")


def acl_text(found: Sequence[User], hashes: Mapping[str, Sequence[str]]) -> str:
    """Return the text of ``users.acl``.

    Args:
        found: Who may log in.
        hashes: By user the SHA-256 of each password it may use, in hex.

    Raises:
        KeyError: A user that needs a password has none.
    """
    lines = ["user default off resetkeys resetchannels -@all"]
    for user in found:
        if user.login == "none":
            login = "nopass"
        else:
            # A user without a hash could not log in at all, and nobody would know why.
            login = " ".join(f"#{one}" for one in hashes[user.name])
        lines.append(f"user {user.name} on {login} {user.rules}")
    return "\n".join(lines) + "\n"


def _app_rules(app: str) -> str:
    return (
        f"resetkeys ~{app}:* resetchannels &{app}:* -@all {_APP_DATA} {_APP_CONNECTION} {_APP_REST}"
    )


def _probe_rules() -> str:
    return "resetkeys resetchannels -@all +ping"
