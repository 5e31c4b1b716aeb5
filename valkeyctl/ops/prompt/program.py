"""The program that gives an interactive prompt on a deployment, and how it is started."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import MissingError, ToolError
from valkeyctl.ops.keyspace.nodes import primaries
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile.schema import Profile
from valkeyctl.render import render
from valkeyctl.render.conf import SECRETS_DIR, SERVER_PORT
from valkeyctl.render.tls import CA_FILE
from valkeyctl.runtime.podman import PodmanRuntime
from valkeyctl.runtime.select import runtime_named

CLI = "valkey-cli"
# Read by valkey-cli. An argument could be read by every user of the machine; the
# environment of a process only by its own user.
_PASSWORD = "REDISCLI_AUTH"  # noqa: S105 - the name of a variable


@dataclass(frozen=True)
class Container:
    """A running container that has valkey-cli.

    Attributes:
        podman: The command that reaches it, with its own options.
        name: Of the container.
        is_server: Whether the deployment is this one server, so that it is asked inside.
    """

    podman: tuple[str, ...]
    name: str
    is_server: bool


@dataclass(frozen=True)
class Program:
    """A program to be started in our place.

    Attributes:
        arguments: The program and its arguments; never a password.
        environment: To be added to ours; holds the password.
        where: Which program it is, for a person.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    where: str


def entrance(endpoint: Endpoint, *, timeout: float) -> Endpoint:
    """Return the one server at which a prompt on *endpoint* begins.

    Sentinels are asked for the primary. A Cluster is entered by any primary, and keeps
    its topology, so that the prompt follows redirections.

    Args:
        endpoint: Of any topology.
        timeout: Seconds that a server may be silent.

    Raises:
        UnreachableError, AuthError, TlsError: as `primaries`.
    """
    if endpoint.topology == "standalone":
        return endpoint
    found = primaries(endpoint, timeout=timeout)
    if not found.has_slots:
        return found.nodes[0]
    first = found.nodes[0]
    return replace(endpoint, nodes=((first.host, first.port),))


def program(
    server: Endpoint,
    container: Callable[[], Container | None],
    *,
    which: Callable[[str], str | None] = shutil.which,
) -> Program | None:
    """Return valkey-cli on *server*, of this machine or of a container; None without one.

    Args:
        server: Where it connects: see `entrance`.
        container: Finds one, where this machine has no valkey-cli.
        which: Finds a program on PATH.
    """
    environment = {} if server.password is None else {_PASSWORD: server.password}
    found = which(CLI)
    if found is not None:
        arguments = (found, *_options(server, server.host, server.port, _files(server)))
        return Program(arguments, environment, f"{CLI} of this machine")
    inside = container()
    if inside is None:
        return None
    host, port = ("127.0.0.1", SERVER_PORT) if inside.is_server else (server.host, server.port)
    # The name alone: podman takes the value from its own environment.
    passed = ("--env", _PASSWORD) if environment else ()
    ca = ("--cacert", f"{SECRETS_DIR}/{CA_FILE}") if server.tls else ()
    arguments = (
        *(*inside.podman, "exec", "--interactive", "--tty", *passed, inside.name),
        *(CLI, *_options(server, host, port, ca)),
    )
    return Program(arguments, environment, f"{CLI} in container {inside.name}")


def _options(server: Endpoint, host: str, port: int, files: tuple[str, ...]) -> list[str]:
    words = ["-h", host, "-p", str(port)]
    if server.db:
        words += ["-n", str(server.db)]
    if server.username and server.password is not None:
        words += ["--user", server.username]
    if server.tls:
        words += ["--tls", *files]
    if server.topology == "cluster":
        words.append("-c")
    return words


def _files(server: Endpoint) -> tuple[str, ...]:
    files = (
        ("--cacert", server.ca_file),
        ("--cert", server.cert_file),
        ("--key", server.key_file),
    )
    return tuple(word for option, file in files if file for word in (option, str(file)))


def server_container(profile: Profile, state: StateFolder) -> Container | None:
    """Return a running container of the deployment, which has valkey-cli; None without one.

    Raises:
        ProfileError: The profile cannot be rendered.
    """
    runtime = runtime_named("podman", state.runtimes)
    if not isinstance(runtime, PodmanRuntime):
        return None
    made = render(profile)
    podman = runtime.podman
    for unit in made.units:
        if unit.kind != "server":
            continue
        try:
            found = podman.inspect("container", unit.container)
        except (MissingError, ToolError):
            return None
        status = found.get("State") if found else None
        if isinstance(status, dict) and status.get("Running") is True:
            is_server = made.topology != "sentinel"
            return Container(tuple(shlex.split(str(podman))), unit.container, is_server)
    return None
