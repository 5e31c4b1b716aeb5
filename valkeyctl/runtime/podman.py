"""The Podman runtime: the rendered pod, played by `podman kube play`.

What is done here, and in which order, answers measured faults of Podman 4.3 and 5.4:
`--replace` alone ends a server before it has saved; whatever fails after the old pod
is gone leaves the cache down; and exit status 0 of `kube play` proves nothing.
"""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    MissingError,
    NotFoundError,
    RefusedError,
    StartError,
    ToolError,
)
from valkeyctl.render.artefacts import POD, Artefacts
from valkeyctl.render.container import CONF_PATH
from valkeyctl.render.startscript import WRITTEN_CONF
from valkeyctl.runtime.containertrial import try_container
from valkeyctl.runtime.datalock import await_data
from valkeyctl.runtime.datavolume import DataVolume
from valkeyctl.runtime.directives import refusal, tail
from valkeyctl.runtime.ending import last_ending
from valkeyctl.runtime.files import private_folder, write_private
from valkeyctl.runtime.liveconf import LiveConfig
from valkeyctl.runtime.material import EMPTY, Material
from valkeyctl.runtime.pod import Pod, PodNames, find_pod, find_pods
from valkeyctl.runtime.podmancli import PodmanCommand
from valkeyctl.runtime.podmandata import PodmanData
from valkeyctl.runtime.podmanends import PodmanEnds
from valkeyctl.runtime.podmanfaults import PodmanFaults
from valkeyctl.runtime.podmanimage import (
    facts_of,
    has_image,
    require_image,
    server_version,
    versions_inside,
)
from valkeyctl.runtime.podmannetwork import PodmanNetwork, bridge_peer, play_options
from valkeyctl.runtime.podmantraps import Traps
from valkeyctl.runtime.podrestart import restart_in_place
from valkeyctl.runtime.podstop import drop_configs, end_pods, remove_pods
from valkeyctl.runtime.port import require_free_port
from valkeyctl.runtime.protocol import Instance, Peer, Trouble
from valkeyctl.runtime.ready import as_probe, ask, showing, wait_until_ready
from valkeyctl.runtime.secretsvolume import SecretsVolume
from valkeyctl.runtime.trouble import find_trouble

_START_PATIENCE = 30.0
_INSPECT_EVERY = 0.2
_STOP_MARGIN = 30.0


class PodmanRuntime(PodmanFaults, PodmanEnds):
    """Runs a unit, which is a server or a sentinel, as a pod.

    Args:
        root: Folder in which each unit has one of its own, named after it.
        command: The podman to call, such as ``podman`` or ``sudo podman``.
    """

    name = "podman"

    def __init__(self, root: Path, command: str = "podman") -> None:
        self._root = root.absolute()
        self.podman = PodmanCommand(command)
        self._network = PodmanNetwork(self.podman)

    def version(self) -> str:
        """Return podman's version, such as ``4.3.1``.

        Raises:
            MissingError: It is not installed, or does not run.
        """
        return self._client()["Version"]

    def check(self) -> None:
        """Prove that podman runs and can make a pod; see `Runtime.check`."""
        client = self._client()
        pause = f"localhost/podman-pause:{client['Version']}-{client['Built']}"
        if self.has_image(pause):
            return
        # Only a real attempt says whether the image beneath every pod can be had:
        # Podman builds it from catatonit, or takes one that its configuration names.
        trial = f"valkeyctl-check-{secrets.token_hex(4)}"
        made = self.podman.run("pod", "create", "--name", trial)
        self.podman.run("pod", "rm", "--force", trial)
        if not made.ok:
            catatonit = "catatonit" in made.problem
            raise MissingError(
                f"podman cannot make a pod: {made.problem}",
                hint="Install catatonit" if catatonit else f"Try it: {self.podman} pod create",
            )

    def has_image(self, image: str) -> bool:
        """Say whether *image* is on this machine."""
        return has_image(self.podman, image)

    def prove(self, artefacts: Artefacts, material: Material = EMPTY) -> list[str]:
        """Prove that *artefacts* would start; see `Runtime.prove`."""
        image = require_image(self.podman, artefacts)
        self._require_port(artefacts, self._own_pod(artefacts.name))
        return [
            f"image {artefacts.image} is here ({image})",
            f"port {artefacts.port} on {artefacts.host} can be had",
            *self._prove_place(artefacts),
            *try_container(artefacts, self.podman, material),
        ]

    def start(self, artefacts: Artefacts, material: Material = EMPTY) -> Endpoint:
        """Play the pod, or replace one of the same name; see `Runtime.start`."""
        require_image(self.podman, artefacts)
        pod = self._own_pod(artefacts.name)
        endpoint = Endpoint(host=artefacts.host, port=artefacts.port, tls=artefacts.tls)
        live = self._live(artefacts.name).digest(pod) if pod is not None else ""
        if pod is not None and pod.running and live == artefacts.digest:
            self._wait(artefacts, material, endpoint, restarts=pod.restarts)
            return endpoint
        self._play(artefacts, material, pod, artefacts.stop_grace)
        return endpoint

    def _play(
        self, artefacts: Artefacts, material: Material, pod: Pod | None, grace: float
    ) -> bool:
        """Play the pod in place of *pod*; False when that had to be killed after *grace* s."""
        endpoint = Endpoint(host=artefacts.host, port=artefacts.port, tls=artefacts.tls)
        self._require_port(artefacts, pod)
        file = private_folder(self._root / artefacts.name) / POD
        await_data(file.parent)
        write_private(file, artefacts.files[POD])
        self._network.make(artefacts)
        DataVolume(self.podman, artefacts.name).make(artefacts)
        secret = SecretsVolume(self.podman, artefacts.name)
        if artefacts.material:
            # While the old server still serves; it does not look before it is told to.
            secret.fill(artefacts, material.complete(artefacts))
        ended = True
        try:
            if pod is not None:
                ended = not end_pods(self.podman, [pod], grace, replaced=True)
            replace = ("--replace",) if pod is not None else ()
            # In our folder: when the kernel kills the server, conmon leaves a file named oom
            # in the folder that podman was started in.
            self.podman.require(
                *("kube", "play", *replace, *play_options(artefacts), file), folder=file.parent
            )
            self._wait(artefacts, material, endpoint)
        except BaseException:  # Ctrl-C too: nothing half-started may stay
            self._abandon(artefacts)
            raise
        drop_configs(self.podman, [artefacts.name], keep=2)
        if artefacts.material:
            secret.fill(artefacts, material, rest=True)
        else:
            secret.remove()
        return ended

    def restart(
        self,
        artefacts: Artefacts,
        material: Material = EMPTY,
        *,
        grace: float | None = None,
        in_place: bool = True,
    ) -> bool:
        """Restart the container in its pod, or play the pod anew; see `Runtime.restart`."""
        grace = artefacts.stop_grace if grace is None else grace
        pod = self._own_pod(artefacts.name)
        if pod is None or not (pod.running and in_place):
            require_image(self.podman, artefacts)
            return self._play(artefacts, material, pod, grace)
        self.deliver(artefacts, material)
        self._live(artefacts.name).adopt(pod, artefacts, at_restart=True)
        endpoint = Endpoint(host=artefacts.host, port=artefacts.port, tls=artefacts.tls)
        try:
            if not restart_in_place(self.podman, pod, grace):
                return self._play(artefacts, material, pod, grace)
            self._wait(artefacts, material, endpoint, restarts=pod.restarts + 1)
        except BaseException:  # Ctrl-C too: nothing half-started may stay
            self._abandon(artefacts)
            raise
        return True

    def server_version(self, artefacts: Artefacts) -> str:
        """Return the version of the server in the image; see `Runtime.server_version`."""
        return server_version(self.podman, artefacts)

    def shape(self, artefacts: Artefacts) -> str:
        """Return what changes with all of the pod but valkey.conf; see `Runtime.shape`."""
        return artefacts.pod_shape

    def adopt(self, artefacts: Artefacts) -> None:
        """Keep what was set live for the next start of the container; see `Runtime.adopt`."""
        pod = self._own_pod(artefacts.name)
        if pod is None:
            raise ToolError(f"there is no pod of {artefacts.name} any more")
        self._live(artefacts.name).adopt(pod, artefacts)

    def deliver(self, artefacts: Artefacts, material: Material) -> bool:
        """Fill the volume of secrets that the container has mounted; see `Runtime.deliver`."""
        secret = SecretsVolume(self.podman, artefacts.name)
        return bool(artefacts.material) and secret.fill(artefacts, material.complete(artefacts))

    def peer(self, artefacts: Artefacts) -> Peer:
        """Return the address on the bridge; see `Runtime.peer`."""
        return bridge_peer(artefacts)

    def config_file(self, artefacts: Artefacts) -> str:
        """Return its path in the container; see `Runtime.config_file`."""
        return WRITTEN_CONF if artefacts.topology == "sentinel" else CONF_PATH

    def find(self, name: str) -> Instance | None:
        """Return the pod of *name*, or None; see `Runtime.find`."""
        return self.find_all([name]).get(name)

    def find_all(self, names: Iterable[str]) -> dict[str, Instance]:
        """Return the pods of *names* that there are; see `Runtime.find_all`."""
        pods = {name: pod for name, pod in find_pods(self.podman, names).items() if pod.ours}
        facts = facts_of(self.podman, pods)
        versions = versions_inside(self.podman, pods, self._root)
        return {
            name: Instance(
                name=name,
                running=pod.running,
                endpoint=pod.endpoint,
                digest=self._live(name).digest(pod),
                detail=f"container {pod.state}, {pod.image}",
                version=versions.get(name, ""),
                facts=facts[name],
                restarts=pod.restarts,
            )
            for name, pod in pods.items()
        }

    def trouble(self, name: str) -> Trouble | None:
        """Return what is wrong with the server of *name*; see `Runtime.trouble`."""
        pod = find_pod(self.podman, name)
        if pod is None or not pod.ours:
            return None
        return find_trouble(self.podman, pod, self._root / name, self.version())

    def data(self, artefacts: Artefacts) -> PodmanData:
        """Return the data volume, to put other data into it; see `Runtime.data`."""
        return PodmanData(self.podman, artefacts, private_folder(self._root / artefacts.name))

    def keeps(self, name: str) -> bool:
        """Say whether there is a data volume of *name*; see `Runtime.keeps`."""
        return self.podman.run("volume", "exists", PodNames(name).volume).ok

    def logs(self, name: str, lines: int, *, follow: bool = False) -> Iterator[str]:
        """Yield the log of the server's container; see `Runtime.logs`."""
        pod = find_pod(self.podman, name)
        if pod is None or not pod.ours or not pod.container_id:
            raise NotFoundError(
                f"there is no container of {name}", hint="See what is deployed: valkeyctl status"
            )
        words = ("--follow",) if follow else ()
        return self.podman.stream("logs", "--tail", str(lines), *words, pod.container)

    def _live(self, name: str) -> LiveConfig:
        return LiveConfig(self.podman, self._root / name)

    def _client(self) -> dict[str, str]:
        """Return what `podman version` says of the client."""
        outcome = self.podman.run("version", "--format", "json")
        try:
            client = json.loads(outcome.out)["Client"]
            return {key: str(client[key]) for key in ("Version", "Built")}
        except (ValueError, KeyError, TypeError) as error:
            raise MissingError(
                f"podman does not run: {outcome.problem or f'status {outcome.code}'}",
                hint=f"Try it: {self.podman} version",
            ) from error

    def _own_pod(self, name: str) -> Pod | None:
        """Return the pod of *name*; refuse one that somebody else has made."""
        pod = find_pod(self.podman, name)
        if pod is not None and not pod.ours:
            raise RefusedError(
                f"a pod named {pod.name} exists that valkeyctl did not make",
                hint=f"Rename the profile, or remove that pod: {self.podman} pod rm {pod.name}",
            )
        return pod

    def _require_port(self, artefacts: Artefacts, pod: Pod | None) -> None:
        """Prove that the port is free, or published by the pod that will be replaced."""
        wanted = (artefacts.host, artefacts.port)
        ours = pod is not None and (pod.running or pod.holds_port)
        if pod is None or not ours or wanted != (pod.endpoint.host, pod.endpoint.port):
            require_free_port(*wanted)

    def _prove_place(self, artefacts: Artefacts) -> list[str]:
        """Prove that a unit of a topology can be where its peers look for it."""
        DataVolume(self.podman, artefacts.name).require_address(artefacts)
        return self._network.prove(artefacts)

    def _abandon(self, artefacts: Artefacts) -> None:
        """Take away what a start that failed has left."""
        # One that answers when Ctrl-C comes has taken writes, and is given the time to save.
        endpoint = Endpoint(host=artefacts.host, port=artefacts.port, tls=artefacts.tls)
        grace = artefacts.stop_grace if ask(endpoint) == "ready" else 1.0
        # Stopped first: `pod rm --force` of a running pod takes Podman 4.3 3 s more.
        seconds, longest = str(math.ceil(grace)), grace + _STOP_MARGIN
        self.podman.run("pod", "stop", "--time", seconds, artefacts.pod, timeout=longest)
        remove_pods(self.podman, [artefacts.pod])
        self._network.remove(artefacts.name)

    def _wait(
        self, artefacts: Artefacts, material: Material, endpoint: Endpoint, *, restarts: int = 0
    ) -> None:
        """Return when the server answers PING through the published address.

        Args:
            artefacts: What was started.
            material: Its secret files.
            endpoint: The published address.
            restarts: How often podman had restarted the container before; once more is
                a crash loop.
        """
        last_look = time.monotonic()  # asking podman takes from the server that starts

        def check() -> None:
            nonlocal last_look
            if time.monotonic() - last_look < _INSPECT_EVERY:
                return
            pod = find_pod(self.podman, artefacts.name)
            if pod is None or pod.restarts > restarts or pod.state in {"exited", "stopped", "dead"}:
                raise self._ended(artefacts, pod)
            last_look = time.monotonic()

        try:
            probe = as_probe(endpoint, auth=artefacts.auth)
            with showing(probe, artefacts, material) as asked:
                wait_until_ready(asked, patience=_START_PATIENCE, check=check)
        except StartError as error:
            log = error.log or self._last_lines(artefacts.container)
            hint = error.hint or f"See its log: valkeyctl logs -p {artefacts.name}"
            trouble = None if error.log else self.trouble(artefacts.name)
            if trouble is not None and trouble.now:
                text, hint = f"{error}: it {trouble.what}", trouble.hint or hint
                raise StartError(text, log=log, hint=hint) from error
            raise StartError(str(error), log=log, hint=hint) from error

    def _ended(self, artefacts: Artefacts, pod: Pod | None) -> StartError:
        """Return why the container ended instead of listening."""
        log = self._last_lines(artefacts.container)
        container = self.podman.inspect("container", artefacts.container) if pod else None
        folder, traps = self._root / artefacts.name, Traps.of(self.version())
        ending = last_ending(self.podman, container, folder, traps) if container else None
        if ending is not None and ending.cause != "itself":
            said = ending.sentence(time.time())
            return StartError(f"{artefacts.name} {said}", log=log, hint=ending.hint or None)
        why = refusal("\n".join(log)) or (log[-1] if log else "it said nothing")
        code = ending.code if ending else 0
        return StartError(f"{artefacts.name} ended with exit code {code}: {why}", log=log)

    def _last_lines(self, container: str) -> tuple[str, ...]:
        return tail("\n".join(self.podman.stream("logs", "--tail", "20", container)))
