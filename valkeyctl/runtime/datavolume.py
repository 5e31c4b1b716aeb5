"""The Podman volume that holds a unit's data, and outlives its pod."""

from __future__ import annotations

from collections.abc import Mapping

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

    def remove(self) -> bool:
        """Remove it; False when there is none.

        Raises:
            RefusedError: It was not made by valkeyctl.
            ToolError: podman failed.
        """
        if not self._podman.run("volume", "exists", self.name).ok:
            return False
        if self._labels().get(PROFILE_LABEL) != deployment_of(self._unit):
            raise RefusedError(
                f"the volume {self.name} was not made by valkeyctl",
                hint=f"Remove it yourself where it is yours: {self._podman} volume rm {self.name}",
            )
        self._podman.require("volume", "rm", self.name)
        return True

    def _labels(self) -> Mapping[str, object]:
        labels = (self._podman.inspect("volume", self.name) or {}).get("Labels")
        return labels if isinstance(labels, dict) else {}


def moved(artefacts: Artefacts, old: str, new: str, field: str) -> RefusedError:
    """Return the refusal to start a unit with data elsewhere than where its peers know it."""
    return RefusedError(
        f"the servers of {artefacts.deployment} know {artefacts.name} at {old}, and it would "
        f"be at {new}",
        hint=f"Leave {field} as it was, or let it begin anew without its data: "
        f"valkeyctl down -p {artefacts.deployment} --purge",
    )
