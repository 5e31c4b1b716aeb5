"""Faults of a pod: a crash, a hang, a cut cable; tried on Podman 4.3 and 5.4.

A crash is SIGKILL by the server's number on this machine, as the kernel sends it when
memory runs out: then the pod's restart policy acts, within a quarter of a second.
`podman kill` counts as the user's wish to both versions and the container stays down,
which is what a machine that is gone looks like.

A partition is `podman network disconnect` of the pod: peers, clients on the bridge and
clients of the published port get no answer, connections to the port are still accepted.
`network connect` with the address and the MAC that it had heals all three at once; with
another MAC, peers on Podman 4.3 would need half a minute. (iptables in the container's
network namespace does the same, but needs iptables, nsenter and the right to use them.)
"""

from __future__ import annotations

import contextlib
import os
import signal
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import NotFoundError, ToolError
from valkeyctl.render.artefacts import Artefacts
from valkeyctl.runtime.cutnote import CutNote, note_file, read_note
from valkeyctl.runtime.ending import note_drill
from valkeyctl.runtime.material import EMPTY, Material
from valkeyctl.runtime.pod import Pod, find_pod
from valkeyctl.runtime.podmancli import PodmanCommand


class PodmanFaults:
    """The part of `PodmanRuntime` that breaks pods and mends them; see `Faults`."""

    podman: PodmanCommand
    _root: Path

    def kill(self, name: str, *, stay_down: bool = False) -> bool:
        """End the server's process; see `Faults.kill`."""
        pod = self._running_pod(name)
        note_drill(self._root / name)
        if not stay_down and self._crash(pod):
            return True
        self.podman.require("kill", "--signal", "KILL", pod.container)
        return False

    def revive(self, artefacts: Artefacts, material: Material = EMPTY) -> Endpoint:
        """Start the killed container again; see `Faults.revive`."""
        pod = find_pod(self.podman, artefacts.name)
        if pod is not None and pod.container_id and not pod.running:
            # Whatever keeps it from starting is found, and told, by `start`.
            self.podman.run("start", pod.container)
        return self.start(artefacts, material)

    @abstractmethod
    def start(self, artefacts: Artefacts, material: Material = EMPTY) -> Endpoint:
        """As `Runtime.start`."""

    def pause(self, name: str) -> None:
        """Freeze the container; see `Faults.pause`."""
        pod = self._running_pod(name)
        if pod.state != "paused":
            self.podman.require("pause", pod.container)

    def resume(self, name: str) -> bool:
        """Thaw the container; see `Faults.resume`."""
        pod = find_pod(self.podman, name)
        if pod is None or pod.state != "paused":
            return False
        self.podman.require("unpause", pod.container)
        return True

    def cut(self, name: str) -> None:
        """Take the pod off its networks; see `Faults.cut`."""
        pod = self._running_pod(name)
        infra, networks = self._networks(pod)
        if not networks:
            return
        # Written down first: whoever is killed after the first of them can be mended.
        CutNote(infra, networks).write(self._root / name)
        for network in networks:
            self.podman.require("network", "disconnect", network, infra)

    def join(self, name: str) -> bool:
        """Put the pod on the networks that `cut` took it off; see `Faults.join`."""
        pod = find_pod(self.podman, name)
        try:
            note = read_note(self._root / name)
        except ToolError:
            if pod is not None and not self._networks(pod)[1]:
                raise
            note = CutNote("", {})  # it has its network, or is gone: there is nothing to know
        if note is None:
            return False
        joined = False
        if pod is not None:
            infra, networks = self._networks(pod)
            # A pod that was made anew meanwhile has its network.
            missing = note.networks.keys() - networks.keys() if infra == note.infra else ()
            for network in missing:
                address, mac = note.networks[network]
                self.podman.require(
                    *("network", "connect", "--ip", address, "--mac-address", mac, network, infra)
                )
                joined = True
        self.cut_note(name).unlink(missing_ok=True)
        return joined

    def cut_note(self, name: str) -> Path:
        """Return the file that tells how a unit was connected before it was cut off."""
        return note_file(self._root / name)

    def networks_of(self, name: str) -> dict[str, tuple[str, str]]:
        """Return the address and the MAC of *name* by network; none when it is cut off.

        Raises:
            NotFoundError: It does not run.
            ToolError: podman failed.
        """
        return self._networks(self._running_pod(name))[1]

    def _running_pod(self, name: str) -> Pod:
        pod = find_pod(self.podman, name)
        if pod is None or not pod.ours or not pod.running:
            raise NotFoundError(
                f"{name} does not run", hint="See what is deployed: valkeyctl status"
            )
        return pod

    def _crash(self, pod: Pod) -> bool:
        """Kill the server's process from outside; False where podman does not let us."""
        container = self.podman.inspect("container", pod.container) or {}
        state = container.get("State")
        number = state.get("Pid") if isinstance(state, dict) else None
        if not isinstance(number, int) or not _belongs(number, pod.container_id):
            return False  # podman of another user, or on another machine
        with contextlib.suppress(PermissionError):
            os.kill(number, signal.SIGKILL)
            return True
        return False

    def _networks(self, pod: Pod) -> tuple[str, dict[str, tuple[str, str]]]:
        """Return the id of the pod's infra container, and its address and MAC by network."""
        infra = self.podman.require(
            "pod", "inspect", "--format", "{{.InfraContainerID}}", pod.name
        ).strip()
        container = self.podman.inspect("container", infra) or {}
        settings = container.get("NetworkSettings")
        networks = settings.get("Networks") if isinstance(settings, dict) else None
        return infra, {
            str(network): (str(facts.get("IPAddress", "")), str(facts.get("MacAddress", "")))
            for network, facts in (networks if isinstance(networks, Mapping) else {}).items()
            if isinstance(facts, Mapping)
        }


def _belongs(number: int, container: str) -> bool:
    """Say whether process *number* of this machine runs in *container*, as its cgroup tells."""
    try:
        return container in Path(f"/proc/{number}/cgroup").read_text(encoding="utf-8")
    except OSError:
        return False
