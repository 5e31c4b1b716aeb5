"""What one profile needs of the machine, beside what every deployment does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from valkeyctl.ops.doctor.finding import Finding
from valkeyctl.ops.doctor.machine import Machine
from valkeyctl.ops.doctor.podman import PodmanFacts
from valkeyctl.render import Artefacts

Holds = Callable[[str, int], bool]


def check_profile(
    machine: Machine, facts: PodmanFacts, artefacts: Artefacts, ours: Holds
) -> Sequence[Finding]:
    """Return what was found of the ports and the image of a profile.

    Args:
        machine: To look at.
        facts: Of Podman.
        artefacts: What the profile becomes.
        ours: Says whether the deployment itself listens at a host and port.
    """
    found = [port(machine, unit, ours=ours(unit.host, unit.port)) for unit in artefacts.units]
    if not facts.problem:
        found.append(image(machine, facts, artefacts))
    return found


def port(machine: Machine, unit: Artefacts, *, ours: bool) -> Finding:
    """Look at a port that the profile publishes."""
    problem = "" if ours else machine.port_problem(unit.host, unit.port)
    return Finding(
        *("profile", f"port {unit.port}", problem or ("ours" if ours else "free")),
        "free, or ours",
        "fail" if problem else "ok",
        why=f"{unit.name} is published there.",
        fix="End that process, or write another port in publish",
    )


def image(machine: Machine, facts: PodmanFacts, artefacts: Artefacts) -> Finding:
    """Look for the image of the profile."""
    here = machine.run(*facts.command, "image", "exists", artefacts.image).code == 0
    return Finding(
        *("profile", "image", f"{artefacts.image} {'is here' if here else 'is not here'}"),
        "here",
        "ok" if here else "fail" if artefacts.pull == "never" else "warn",
        why="With pull: missing it is fetched at the next deploy, which then takes as long as that."
        if artefacts.pull != "never"
        else "With pull: never nobody fetches it.",
        fix=f"{' '.join(facts.command)} pull {artefacts.image}",
    )
