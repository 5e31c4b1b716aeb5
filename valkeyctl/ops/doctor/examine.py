"""All checks of `doctor`, in the order in which they are shown."""

from __future__ import annotations

from dataclasses import dataclass

from valkeyctl.errors import ValkeyctlError
from valkeyctl.ops.deployed import look_up
from valkeyctl.ops.doctor.finding import Finding, Verdict
from valkeyctl.ops.doctor.kernel import check_kernel
from valkeyctl.ops.doctor.machine import Machine
from valkeyctl.ops.doctor.plan import check_profile
from valkeyctl.ops.doctor.podman import PodmanFacts, check_podman
from valkeyctl.ops.doctor.room import check_machine
from valkeyctl.ops.doctor.servers import check_servers
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile.schema import Profile
from valkeyctl.render import Artefacts, render


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was looked at.

    Attributes:
        findings: In the order in which they are shown.
    """

    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of all verdicts."""
        verdicts = {finding.verdict for finding in self.findings}
        return "fail" if "fail" in verdicts else "warn" if "warn" in verdicts else "ok"


def examine(
    machine: Machine, state: StateFolder, *, podman: str = "podman", profile: Profile | None = None
) -> Diagnosis:
    """Return what *machine* has and lacks; changes nothing.

    Args:
        machine: To look at.
        state: Our own files; what is deployed counts against memory and disk.
        podman: The command.
        profile: Also looked at: its ports, image, limits and TLS.

    Raises:
        ProfileError: The profile cannot be rendered.
    """
    facts = PodmanFacts.of(machine, podman)
    works = not facts.problem
    deployed = _deployed(state)
    wanted = render(profile) if profile is not None else None
    if wanted is not None:
        deployed[wanted.name] = wanted
    findings = [
        *check_kernel(machine),
        *check_podman(machine, facts),
        *check_servers(machine, podman_works=works, needs_tls=wanted is not None and wanted.tls),
        *check_machine(machine, state.root, facts.storage, deployed),
    ]
    if wanted is not None:
        listening = _listening(wanted, state)
        findings += check_profile(
            machine, facts, wanted, lambda host, port: (host, port) in listening
        )
    return Diagnosis(tuple(findings))


def _deployed(state: StateFolder) -> dict[str, Artefacts]:
    """Return the last good render of everything that is deployed."""
    found = {}
    for name in state.names():
        made = state.last_good(name)
        if made is not None and state.read(name).record is not None:
            found[name] = made
    return found


def _listening(wanted: Artefacts, state: StateFolder) -> set[tuple[str, int]]:
    """Return where the units of *wanted* listen that run already."""
    found = set()
    try:
        runtime = look_up(wanted.name, state).runtime
        for unit in wanted.units if runtime is not None else ():
            instance = runtime.find(unit.name) if runtime is not None else None
            if instance is not None and instance.running:
                found.add((instance.endpoint.host, instance.endpoint.port))
    except ValkeyctlError:  # a runtime that cannot be asked is a finding of its own
        return found
    return found
