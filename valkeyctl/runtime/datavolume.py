"""The Podman volume that holds a unit's data, and outlives its pod."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from valkeyctl.errors import RefusedError
from valkeyctl.render.artefacts import PROFILE_LABEL, Artefacts
from valkeyctl.render.topology import deployment_of
from valkeyctl.runtime.pod import PodNames
from valkeyctl.runtime.podmancli import PodmanCommand

# Where the unit was when its data began: its peers have that written down.
ADDRESS_LABEL = "valkeyctl.address"


class DataVolume:
    """The data volume of one unit.

    Args:
        podman: The command.
        unit: Name of the unit.
    """

    def __init__(self, podman: PodmanCommand, unit: str) -> None:
        self._podman = podman
        self._unit = unit
        self.name = PodNames(unit).volume

    def make(self, artefacts: Artefacts) -> None:
        """Make it where it is missing, with labels that allow to purge it.

        Raises:
            RefusedError: As `require_address`.
            ToolError: podman failed.
        """
        if self._podman.run("volume", "exists", self.name).ok:
            self.require_address(artefacts)
        else:
            labels = ["--label", f"{PROFILE_LABEL}={artefacts.deployment}"]
            if artefacts.address:
                labels += ["--label", f"{ADDRESS_LABEL}={artefacts.address}"]
            self._podman.require("volume", "create", *labels, self.name)

    def require_address(self, artefacts: Artefacts) -> None:
        """Prove that the data there is was written at the address of *artefacts*.

        Raises:
            RefusedError: It was not: the other units would look for it elsewhere.
        """
        if not artefacts.address:
            return
        known = self._labels().get(ADDRESS_LABEL, artefacts.address)
        if known != artefacts.address:
            raise moved(artefacts, str(known), artefacts.address, "network.subnet")

    def _labels(self) -> Mapping[str, object]:
        labels = (self._podman.inspect("volume", self.name) or {}).get("Labels")
        return labels if isinstance(labels, dict) else {}


def remove_data(podman: PodmanCommand, units: Iterable[str]) -> bool:
    """Remove the data volumes of *units*; False when there are none.

    Raises:
        RefusedError: One was not made by valkeyctl; then none is removed.
        ToolError: podman failed.
    """
    owners = {PodNames(unit).volume: deployment_of(unit) for unit in units}
    found = podman.inspect_all("volume", list(owners))
    for volume in found:
        name, labels = str(volume.get("Name")), volume.get("Labels")
        owner = labels.get(PROFILE_LABEL) if isinstance(labels, dict) else None
        if owner != owners[name]:
            raise RefusedError(
                f"the volume {name} was not made by valkeyctl",
                hint=f"Remove it yourself where it is yours: {podman} volume rm {name}",
            )
    if found:
        podman.require("volume", "rm", *(str(volume.get("Name")) for volume in found))
    return bool(found)


def moved(artefacts: Artefacts, old: str, new: str, field: str) -> RefusedError:
    """Return the refusal to start a unit with data elsewhere than where its peers know it."""
    return RefusedError(
        f"the servers of {artefacts.deployment} know {artefacts.name} at {old}, and it would "
        f"be at {new}",
        hint=f"Leave {field} as it was, or let it begin anew without its data: "
        f"valkeyctl down -p {artefacts.deployment} --purge",
    )
