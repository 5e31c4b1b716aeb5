"""Which program gives the prompt, and that no password stands among its arguments."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.caching.deployments import ClusterDeployment, SentinelDeployment
from tests.conftest import command
from tests.ops.conftest import Start
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.prompt.program import Container, Program, entrance, program

SECRET = "s3cr3t-word"


@pytest.fixture(scope="module")
def sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelDeployment]:
    """A primary with a replica, that wants a password."""
    with SentinelDeployment(
        tmp_path_factory.mktemp("prompt"), servers=2, password=SECRET
    ) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterDeployment]:
    """Three primaries that want a password."""
    with ClusterDeployment(
        tmp_path_factory.mktemp("prompt"), replicas=False, password=SECRET
    ) as deployment:
        yield deployment


def nowhere(_: str) -> None:
    """Find no program."""


def no_container() -> None:
    """Find no container."""


def here(name: str) -> str:
    """Find every program."""
    return f"/usr/bin/{name}"


def ran(found: Program | None, *command: str) -> str:
    """Return what the program prints for one command."""
    assert found is not None
    done = subprocess.run(
        [*found.arguments, *command],
        env={**os.environ, **found.environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return done.stdout.strip()


needs_cli = pytest.mark.skipif(
    not os.access("/usr/bin/valkey-cli", os.X_OK), reason="no valkey-cli on this machine"
)


@needs_cli
def test_valkey_cli_is_led_to_the_primary(sentinel: SentinelDeployment) -> None:
    """Its login goes by the environment, which only its own user can read."""
    found = program(entrance(sentinel.endpoint, timeout=5.0), no_container, which=here)

    assert ran(found, "ROLE").startswith("master")
    assert found is not None
    assert SECRET not in " ".join(found.arguments)
    assert SECRET not in repr(found)


@needs_cli
def test_valkey_cli_follows_a_cluster(cluster: ClusterDeployment) -> None:
    """Keys of any slot are stored, whichever node it entered by."""
    found = program(entrance(cluster.endpoint, timeout=5.0), no_container, which=here)

    assert [ran(found, "SET", key, "x") for key in ("a", "b", "c")] == ["OK"] * 3


@needs_cli
def test_valkey_cli_logs_in_as_a_user_and_takes_the_database(start: Start) -> None:
    """The arguments are those that valkey-cli has."""
    server = start()
    command(server, "ACL", "SETUSER", "ops", "on", ">word", "~*", "&*", "+@all")
    user = Endpoint(port=server.port, username="ops", password="word", db=3)

    assert ran(program(user, no_container, which=here), "ACL", "WHOAMI") == "ops"
    assert "db=3" in ran(program(user, no_container, which=here), "CLIENT", "INFO")


def test_certificates_are_named_to_valkey_cli() -> None:
    """As files, which it reads itself."""
    server = Endpoint(
        tls=True, ca_file=Path("ca"), cert_file=Path("cert"), key_file=Path("key"), password="x"
    )

    found = program(server, no_container, which=here)

    assert found is not None
    assert " ".join(found.arguments) == (
        "/usr/bin/valkey-cli -h 127.0.0.1 -p 6379 --tls --cacert ca --cert cert --key key"
    )


@pytest.mark.parametrize(("is_server", "place"), [(True, "127.0.0.1 -p 6379"), (False, "x -p 9")])
def test_without_one_here_the_container_has_it(is_server: bool, place: str) -> None:
    """Podman is told the name of the variable; its value goes from environment to environment."""

    def container() -> Container:
        return Container(("sudo", "podman"), "shop-valkey-server", is_server)

    server = Endpoint(host="x", port=9, username="admin", password=SECRET, tls=True)
    found = program(server, container, which=nowhere)

    assert found is not None
    assert found.environment == {"REDISCLI_AUTH": SECRET}
    assert " ".join(found.arguments) == (
        "sudo podman exec --interactive --tty --env REDISCLI_AUTH shop-valkey-server "
        f"valkey-cli -h {place} --user admin --tls --cacert /etc/valkeyctl-secrets/ca.crt"
    )


def test_without_any_there_is_no_program() -> None:
    """The prompt of our own is for that."""
    finders: list[Callable[[], Container | None]] = [no_container]

    assert program(Endpoint(), finders[0], which=nowhere) is None
