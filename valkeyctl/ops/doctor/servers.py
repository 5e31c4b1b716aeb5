"""The programs that the process runtime and the user call."""

from __future__ import annotations

from collections.abc import Sequence

from valkeyctl.ops.doctor.finding import Finding
from valkeyctl.ops.doctor.machine import Machine


def check_servers(
    machine: Machine, *, podman_works: bool, needs_tls: bool = False
) -> Sequence[Finding]:
    """Return what was found of valkey-server and valkey-cli.

    Args:
        machine: To look at.
        podman_works: Whether a server can run elsewhere than as a process.
        needs_tls: Whether a profile is deployed that asks for it.
    """
    return (
        embedded(machine, podman_works=podman_works),
        tls(machine, needed=needs_tls and not podman_works),
        valkey_cli(machine),
    )


def embedded(machine: Machine, *, podman_works: bool) -> Finding:
    """Look for the server of the process runtime, and run it for its version."""
    found = machine.server(full_build=False)
    return Finding(
        *("server", "valkey-server", str(found) if found else "none", "one that runs"),
        "ok" if found else "warn" if podman_works else "fail",
        why="deploy --runtime process, demo and the tests run it"
        + ("." if podman_works else "; and there is no Podman that could run another."),
        fix="pip install 'valkeyctl[embedded]'",
    )


def tls(machine: Machine, *, needed: bool) -> Finding:
    """Look for a server that was built with TLS."""
    found = machine.server(full_build=True)
    able = found is not None and machine.speaks_tls(found)
    return Finding(
        *("server", "TLS on a process", str(found) if able else "no server with TLS"),
        "a valkey-server with TLS",
        "ok" if able else "fail" if needed else "warn",
        why="The embedded server has no TLS: a profile with tls needs another one, or Podman.",
        fix="apt-get install valkey-server, or name one in VALKEYCTL_SERVER",
    )


def valkey_cli(machine: Machine) -> Finding:
    """Look for valkey-cli, which valkeyctl itself does without."""
    found = machine.which("valkey-cli")
    return Finding(
        *("server", "valkey-cli", found or "none", "one on PATH", "ok" if found else "warn"),
        why="valkeyctl does without; for a look by hand it is the tool that everybody knows.",
        fix="apt-get install valkey-tools, or podman exec into the container",
    )
