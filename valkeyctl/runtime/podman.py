"""The Podman runtime: the rendered pod, played by `podman kube play`.

What is done here, and in which order, answers measured faults of Podman 4.3 and 5.4:
`--replace` alone ends a server before it has saved; whatever fails after the old pod
is gone leaves the cache down; and exit status 0 of `kube play` proves nothing.
"""

from __future__ import annotations

import json
import math
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    MissingError,
    NotFoundError,
    RefusedError,
    StartError,
    ToolError,
)
from valkeyctl.render.artefacts import POD, PROFILE_LABEL, Artefacts
from valkeyctl.runtime.containertrial import try_container, version_in
from valkeyctl.runtime.directives import refusal, tail
from valkeyctl.runtime.files import private_folder, remove_folder, write_private
from valkeyctl.runtime.pod import KILLED, Pod, PodNames, find_pod
from valkeyctl.runtime.podmancli import PodmanCommand
from valkeyctl.runtime.port import require_free_port
from valkeyctl.runtime.protocol import Instance
from valkeyctl.runtime.ready import wait_until_ready

_START_PATIENCE = 30.0
_PULL_TIMEOUT = 900.0
_INSPECT_EVERY = 0.2
_STOP_MARGIN = 30.0
_REMOVALS = 5


class PodmanRuntime:
    """Runs a standalone server as a pod.

    Args:
        root: Folder in which each deployment has one of its own, named after it.
        command: The podman to call, such as ``podman`` or ``sudo podman``.
    """

    name = "podman"

    def __init__(self, root: Path, command: str = "podman") -> None:
        self._root = root.absolute()
        self.podman = PodmanCommand(command)

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
        return self.podman.run("image", "exists", image).ok

    def prove(self, artefacts: Artefacts) -> list[str]:
        """Prove that *artefacts* would start; see `Runtime.prove`."""
        image = self._require_image(artefacts)
        self._require_port(artefacts, self._own_pod(artefacts.name))
        return [
            f"image {artefacts.image} is here ({image})",
            f"port {artefacts.port} on {artefacts.host} can be had",
            *try_container(artefacts, self.podman),
        ]

    def start(self, artefacts: Artefacts) -> Endpoint:
        """Play the pod, or replace one of the same name; see `Runtime.start`."""
        self._require_image(artefacts)
        pod = self._own_pod(artefacts.name)
        endpoint = Endpoint(host=artefacts.host, port=artefacts.port, tls=artefacts.tls)
        if pod is not None and pod.running and pod.digest == artefacts.digest:
            self._wait(artefacts, endpoint, restarts=pod.restarts)
            return endpoint
        self._require_port(artefacts, pod)
        file = private_folder(self._root / artefacts.name) / POD
        write_private(file, artefacts.files[POD])
        self._make_volume(artefacts)
        try:
            if pod is not None:
                self._end(pod, artefacts.stop_grace)
            replace = ("--replace",) if pod is not None else ()
            # In our folder: when the kernel kills the server, conmon leaves a file named oom
            # in the folder that podman was started in.
            self.podman.require("kube", "play", *replace, file, folder=file.parent)
            self._wait(artefacts, endpoint)
        except BaseException:  # Ctrl-C too: nothing half-started may stay
            # Stopped first: `pod rm --force` of a running pod takes Podman 4.3 3 s more.
            self.podman.run("pod", "stop", "--time", "1", artefacts.pod)
            self._remove(artefacts.pod)
            raise
        self._drop_configs(artefacts.name, keep=2)
        return endpoint

    def find(self, name: str) -> Instance | None:
        """Return the pod of *name*, or None; see `Runtime.find`."""
        pod = self._pod(name)
        if pod is None or not pod.ours:
            return None
        return Instance(
            name=name,
            running=pod.running,
            endpoint=pod.endpoint,
            digest=pod.digest,
            detail=f"container {pod.state}, {pod.image}",
            version=self._server_version(pod),
        )

    def stop(self, name: str, grace: float) -> bool:
        """Stop and remove the pod of *name*; see `Runtime.stop`."""
        pod = self._pod(name)
        if pod is None or not pod.ours:
            return False
        saved = self._end(pod, grace)
        self._remove(pod.name)
        self._drop_configs(name, keep=0)
        if not saved:
            raise ToolError(
                f"{name} did not end within {grace:g} s and was killed; "
                "what it had not saved is lost",
                hint="Raise stop.grace in the profile",
            )
        return pod.running

    def purge(self, name: str) -> bool:
        """Remove the data volume and our files of a stopped *name*; see `Runtime.purge`."""
        pod = self._pod(name)
        if pod is not None and pod.ours:
            raise RefusedError(
                f"{name} still has a pod, and its data is in use",
                hint="Stop it first: valkeyctl down",
            )
        volume = self.podman.inspect("volume", PodNames(name).volume)
        if volume is not None:
            labels = volume.get("Labels")
            if not isinstance(labels, dict) or labels.get(PROFILE_LABEL) != name:
                raise RefusedError(
                    f"the volume {PodNames(name).volume} was not made by valkeyctl",
                    hint="Remove it yourself where it is yours: "
                    f"{self.podman} volume rm {PodNames(name).volume}",
                )
            self.podman.require("volume", "rm", PodNames(name).volume)
        self._drop_configs(name, keep=0)  # of a start that failed
        remove_folder(self._root / name)
        return volume is not None

    def logs(self, name: str, lines: int, *, follow: bool = False) -> Iterator[str]:
        """Yield the log of the server's container; see `Runtime.logs`."""
        pod = self._pod(name)
        if pod is None or not pod.ours or not pod.container_id:
            raise NotFoundError(
                f"there is no container of {name}", hint="See what is deployed: valkeyctl status"
            )
        words = ("--follow",) if follow else ()
        return self.podman.stream("logs", "--tail", str(lines), *words, pod.container)

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

    def _pod(self, name: str) -> Pod | None:
        return find_pod(self.podman, name)

    def _own_pod(self, name: str) -> Pod | None:
        """Return the pod of *name*; refuse one that somebody else has made."""
        pod = self._pod(name)
        if pod is not None and not pod.ours:
            raise RefusedError(
                f"a pod named {pod.name} exists that valkeyctl did not make",
                hint=f"Rename the profile, or remove that pod: {self.podman} pod rm {pod.name}",
            )
        return pod

    def _require_image(self, artefacts: Artefacts) -> str:
        """Return the short id of the image, pulled first where the profile allows it."""
        image = artefacts.image
        if not self.has_image(image):
            pull = f"{self.podman} pull {image}"
            if artefacts.pull == "never":
                raise MissingError(f"the image {image} is not here", hint=f"Fetch it: {pull}")
            pulled = self.podman.run("pull", "--quiet", image, timeout=_PULL_TIMEOUT)
            if not pulled.ok:
                raise MissingError(
                    f"the image {image} is not here and cannot be pulled: {pulled.problem}",
                    hint=f"Fetch it where there is a registry: {pull}",
                )
        out = self.podman.require("image", "inspect", "--format", "{{.Id}}", image)
        return out.strip().removeprefix("sha256:")[:12]

    def _require_port(self, artefacts: Artefacts, pod: Pod | None) -> None:
        """Prove that the port is free, or published by the pod that will be replaced."""
        wanted = (artefacts.host, artefacts.port)
        if pod is None or not pod.running or wanted != (pod.endpoint.host, pod.endpoint.port):
            require_free_port(*wanted)

    def _make_volume(self, artefacts: Artefacts) -> None:
        """Make the data volume where it is missing, with a label that allows to purge it."""
        if not self.podman.run("volume", "exists", artefacts.volume).ok:
            label = f"{PROFILE_LABEL}={artefacts.name}"
            self.podman.require("volume", "create", "--label", label, artefacts.volume)

    def _end(self, pod: Pod, grace: float) -> bool:
        """Stop *pod*; False when the server had to be killed."""
        if pod.state == "paused":
            self.podman.run("unpause", pod.container)
        # A stop of its own: `kube play --replace` and `kube down` of Podman 4 end the
        # server before it has saved.
        seconds, longest = str(math.ceil(grace)), grace + _STOP_MARGIN
        self.podman.require(
            "pod", "stop", "--time", seconds, pod.name, timeout=longest, finish=longest
        )
        after = self.podman.inspect("container", pod.container) or {}
        state = after.get("State")
        code = state.get("ExitCode") if isinstance(state, dict) else 0
        return not pod.running or code != KILLED

    def _wait(self, artefacts: Artefacts, endpoint: Endpoint, *, restarts: int = 0) -> None:
        """Return when the server answers PING through the published address.

        Args:
            artefacts: What was started.
            endpoint: The published address.
            restarts: How often podman had restarted the container before; once more is
                a crash loop.
        """
        last_look = -math.inf

        def check() -> None:
            nonlocal last_look
            if time.monotonic() - last_look < _INSPECT_EVERY:
                return
            pod = self._pod(artefacts.name)
            if pod is None or pod.restarts > restarts or pod.state in {"exited", "stopped", "dead"}:
                raise self._ended(artefacts, pod)
            last_look = time.monotonic()

        try:
            wait_until_ready(endpoint, patience=_START_PATIENCE, check=check)
        except StartError as error:
            log = error.log or self._last_lines(artefacts.container)
            hint = error.hint or f"See its log: valkeyctl logs -p {artefacts.name}"
            raise StartError(str(error), log=log, hint=hint) from error

    def _ended(self, artefacts: Artefacts, pod: Pod | None) -> StartError:
        """Return why the container ended instead of listening."""
        log = self._last_lines(artefacts.container)
        code = self._exit_code(pod) if pod else 0
        if code == KILLED:
            return StartError(
                f"{artefacts.name} was killed with exit code {KILLED}: more than memory.limit "
                "was needed to start",
                log=log,
                hint="Raise memory.limit in the profile",
            )
        why = refusal("\n".join(log)) or (log[-1] if log else "it said nothing")
        return StartError(f"{artefacts.name} ended with exit code {code}: {why}", log=log)

    def _exit_code(self, pod: Pod) -> int:
        """Return how the last run of the server in *pod* ended.

        The container's own exit code is 0 again as soon as podman has restarted it.
        """
        out = self.podman.run(
            *("events", "--stream=false", "--since", "5m", "--filter", "event=died"),
            *("--filter", f"container={pod.container_id}", "--format", "{{.ContainerExitCode}}"),
        ).out
        codes = [int(word) for word in out.split() if word.isdigit()]
        return codes[-1] if codes else pod.exit_code

    def _last_lines(self, container: str) -> tuple[str, ...]:
        return tail("\n".join(self.podman.stream("logs", "--tail", "20", container)))

    def _server_version(self, pod: Pod) -> str:
        """Return the version of the server in *pod*; empty when it cannot be asked."""
        if pod.state != "running":
            return ""
        return version_in(self.podman.run("exec", pod.container, "valkey-server", "--version").out)

    def _remove(self, pod: str) -> None:
        """Remove a pod, as often as it takes.

        A server that ends at its start is restarted by Podman, and one that starts just
        while the pod is removed makes `pod rm` fail half way: containers gone, pod left.
        """
        for attempt in range(_REMOVALS):
            self.podman.run("pod", "rm", "--force", pod)
            if self.podman.inspect("pod", pod) is None:
                return
            time.sleep(0.1 * (attempt + 1))
        self.podman.require("pod", "rm", "--force", pod)

    def _drop_configs(self, name: str, *, keep: int) -> None:
        """Remove the ConfigMap volumes of earlier renders, but for the last *keep*."""
        prefix = PodNames(name).config_prefix
        out = self.podman.run(
            "volume", "ls", "--filter", f"name={prefix}", "--format", "{{.CreatedAt}}\t{{.Name}}"
        ).out
        found = [line.rpartition("\t") for line in out.splitlines()]
        mine = sorted(
            (made, volume)
            for made, _, volume in found
            if re.fullmatch(re.escape(prefix) + "[0-9a-f]{12}", volume)
        )
        # A volume that is in use, the current one among them, is not removed by `volume rm`.
        for _, volume in mine[: max(len(mine) - keep, 0)]:
            self.podman.run("volume", "rm", volume)
