"""One server or sentinel, as the files of every target say it alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from valkeyctl.profile.schema import Profile
from valkeyctl.render.artefacts import BridgeNetwork, Kind
from valkeyctl.render.budget import MemoryBudget
from valkeyctl.render.conf import SENTINEL_PORT, SERVER_PORT
from valkeyctl.render.container import SERVER_COMMAND


@dataclass(frozen=True)
class Spot:
    """The place of a unit on the bridge of its topology.

    Attributes:
        network: The bridge.
        address: Of the unit on it.
        mac: Of the unit on it.
    """

    network: BridgeNetwork
    address: str
    mac: str


@dataclass(frozen=True)
class UnitPlan:
    """What there is to say about one container.

    Attributes:
        profile: Of the deployment.
        name: Of the unit; prefix of its pod and its volumes.
        port: TCP port that it is published on.
        budget: Where its memory goes.
        config: Files of its configuration, name to text.
        command: What runs in the container, the image's entry point before it.
        kind: What it is.
        spot: Its place on the bridge; None without a topology.
        primary: Whether it is a primary at first.
    """

    profile: Profile
    name: str
    port: int
    budget: MemoryBudget
    config: Mapping[str, str]
    command: tuple[str, ...] = SERVER_COMMAND
    kind: Kind = "server"
    spot: Spot | None = None
    primary: bool = True

    @property
    def node(self) -> str:
        """Its name in a topology; empty for a standalone server."""
        return self.name if self.spot else ""

    @property
    def inner_port(self) -> int:
        """TCP port inside of the container."""
        return SENTINEL_PORT if self.kind == "sentinel" else SERVER_PORT
