"""The bridge of a topology's pods: made before the first, removed after the last of them."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping

import psutil

from valkeyctl.errors import MissingError, RefusedError, SubnetTakenError, ToolError
from valkeyctl.render.artefacts import PROFILE_LABEL, Artefacts, BridgeNetwork
from valkeyctl.render.bridge import dynamic_range
from valkeyctl.render.conf import SENTINEL_PORT, SERVER_PORT
from valkeyctl.render.topology import deployment_of
from valkeyctl.runtime.podmancli import PodmanCommand
from valkeyctl.runtime.protocol import Peer

Subnet = ipaddress.IPv4Network
_BUS_OFFSET = 10_000  # of a Cluster node's second port, where cluster-port says nothing
_HINT = "Write a free one in the profile: network.subnet, such as 10.140.7.0/24"


class PodmanNetwork:
    """The networks that valkeyctl makes.

    Args:
        podman: To make them with.
    """

    def __init__(self, podman: PodmanCommand) -> None:
        self._podman = podman

    def prove(self, unit: Artefacts) -> list[str]:
        """Return what was proven of the bridge of *unit*, one line a thing.

        Raises:
            MissingError: podman is rootless.
            RefusedError: The network is somebody else's, or has another subnet.
            SubnetTakenError: Another network, or an interface, overlaps the subnet.
        """
        network = unit.network
        if network is None:
            return []
        self._require_root(unit)
        known = self._known(network)
        if known is None:
            self._require_free(network)
            return [f"subnet {network.subnet} can be had"]
        _require_same(known, unit, network)
        return [f"network {network.name} has the subnet {network.subnet}"]

    def make(self, unit: Artefacts) -> None:
        """Make the bridge of *unit* where it is missing.

        Raises:
            MissingError, RefusedError, SubnetTakenError: As `prove`.
            ToolError: podman failed.
        """
        network = unit.network
        if network is None:
            return
        known = self._known(network)
        if known is not None:
            _require_same(known, unit, network)
            return
        self._require_root(unit)
        self._require_free(network)
        made = self._podman.run(
            # Addresses are fixed; a name server beside them would be one more thing to fail.
            *("network", "create", "--disable-dns", "--subnet", network.subnet),
            *("--ip-range", dynamic_range(network)),
            *("--label", f"{PROFILE_LABEL}={unit.deployment}", network.name),
        )
        if made.ok or self._known(network) is not None:  # a unit beside this one was faster
            return
        if "already used" in made.problem:
            raise SubnetTakenError(f"the subnet {network.subnet} is in use", hint=_HINT)
        raise ToolError(f"{self._podman} network create failed: {made.problem}")

    def remove(self, unit: str) -> None:
        """Remove the bridge that *unit* was on when it was the last one there."""
        deployment = deployment_of(unit)
        name = f"{deployment}-net"
        if deployment == unit or not self._podman.run("network", "exists", name).ok:
            return
        known = self._podman.inspect("network", name) or {}
        if _labels(known).get(PROFILE_LABEL) == deployment:
            # Refused, and rightly, while a unit is on it.
            self._podman.run("network", "rm", name)

    def _known(self, network: BridgeNetwork) -> Mapping[str, object] | None:
        if not self._podman.run("network", "exists", network.name).ok:
            return None
        return self._podman.inspect("network", network.name)

    def _require_root(self, unit: Artefacts) -> None:
        out = self._podman.require("info", "--format", "{{.Host.Security.Rootless}}")
        if out.strip() == "true":
            raise MissingError(
                f"a {unit.topology} needs podman of root: without it this machine cannot reach "
                "the addresses of the pods, to which the servers send their clients",
                hint="Deploy it as root, or as processes: --runtime process",
            )

    def _require_free(self, network: BridgeNetwork) -> None:
        wanted = Subnet(network.subnet)
        for holder, subnet in (*self._other_networks(), *_interfaces()):
            if subnet.overlaps(wanted):
                raise SubnetTakenError(
                    f"the subnet {wanted} of {network.name} overlaps {subnet} of {holder}",
                    hint=_HINT,
                )

    def _other_networks(self) -> Iterator[tuple[str, Subnet]]:
        listed = json.loads(self._podman.require("network", "ls", "--format", "json"))
        for network in listed if isinstance(listed, list) else []:
            for subnet in _subnets(network):
                yield f"the network {network.get('name')}", subnet


def play_options(unit: Artefacts) -> tuple[str, ...]:
    """Return the options of `podman kube play` that put *unit* where it belongs."""
    if unit.network is None:
        return ()
    return ("--network", unit.network.name, "--ip", unit.address, "--mac-address", unit.mac)


def bridge_peer(unit: Artefacts) -> Peer:
    """Return where *unit* is reached on its bridge; see `Runtime.peer`."""
    port = SENTINEL_PORT if unit.kind == "sentinel" else SERVER_PORT
    bus_port = port + _BUS_OFFSET if unit.topology == "cluster" else 0
    return Peer(unit.address, port, bus_port)


def _require_same(known: Mapping[str, object], unit: Artefacts, network: BridgeNetwork) -> None:
    if _labels(known).get(PROFILE_LABEL) != unit.deployment:
        raise RefusedError(
            f"a network named {network.name} exists that valkeyctl did not make",
            hint=f"Rename the profile, or remove it: podman network rm {network.name}",
        )
    found = _subnets(known)
    if found != [Subnet(network.subnet)]:
        shown = ", ".join(str(subnet) for subnet in found)
        raise RefusedError(
            f"the servers of {unit.deployment} know each other by addresses in {shown}, which "
            f"cannot become {network.subnet} while they run",
            hint=f"Take it down first: valkeyctl down -p {unit.deployment}; or keep {shown}",
        )


def _interfaces() -> Iterator[tuple[str, Subnet]]:
    """Yield the IPv4 subnets that this machine is in."""
    for name, addresses in psutil.net_if_addrs().items():
        for address in addresses:
            try:
                yield name, ipaddress.IPv4Interface(f"{address.address}/{address.netmask}").network
            except ValueError:  # no IPv4 address, or one without a subnet
                continue


def _subnets(network: Mapping[str, object]) -> list[Subnet]:
    found = []
    listed = network.get("subnets")
    for entry in listed if isinstance(listed, list) else []:
        try:
            found.append(Subnet(entry["subnet"]))
        except (ValueError, KeyError, TypeError):  # IPv6
            continue
    return found


def _labels(network: Mapping[str, object]) -> Mapping[str, object]:
    labels = network.get("labels")
    return labels if isinstance(labels, dict) else {}
