"""A container whose valkey.conf was changed while it ran, so that no restart takes it back.

The configuration of a pod lies in a volume that `kube play` fills from the ConfigMap.
What was set live is written there too: a container that Podman restarts by itself reads
it again. Its label still names the render that it was made from, so what it runs now is
kept in a file of ours, beside the id of the container that it is true of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from valkeyctl.errors import ToolError
from valkeyctl.render.artefacts import COMPOSE, POD, Artefacts
from valkeyctl.render.container import CONF_DIR
from valkeyctl.runtime.files import private_folder, write_private
from valkeyctl.runtime.pod import Pod
from valkeyctl.runtime.podmancli import PodmanCommand
from valkeyctl.runtime.tarball import tar_of

_FILE = "live.json"


class LiveConfig:
    """The configuration files of a running pod.

    Args:
        podman: To reach the volume.
        folder: Our own folder of the unit.
    """

    def __init__(self, podman: PodmanCommand, folder: Path) -> None:
        self._podman = podman
        self._file = folder / _FILE

    def adopt(self, pod: Pod, artefacts: Artefacts, *, at_restart: bool = False) -> None:
        """Write the configuration of *artefacts* to where the container of *pod* reads it.

        Args:
            pod: That runs.
            artefacts: Whose configuration it is.
            at_restart: Whether it is what runs only after the next start. Who is killed
                before that one would otherwise leave a server that seems to be changed.

        Raises:
            ToolError: podman failed, or the container has no such volume.
            FolderError: Our file cannot be written.
        """
        archive = tar_of(config_files(artefacts))
        self._podman.require("volume", "import", self._volume(pod), "-", stdin=archive)
        private_folder(self._file.parent)
        known = {"container": pod.container_id, "digest": artefacts.digest}
        if at_restart:
            known |= {"since": pod.started, "before": self.digest(pod)}
        write_private(self._file, json.dumps(known) + "\n")

    def digest(self, pod: Pod) -> str:
        """Return the digest of what *pod* runs: adopted since its start, or of its label."""
        try:
            known = json.loads(self._file.read_text(encoding="utf-8"))
            if known["container"] == pod.container_id:
                waits = known.get("since", "") == pod.started != ""
                return str(known["before"] if waits else known["digest"])
        except (OSError, ValueError, KeyError, TypeError):
            return pod.digest  # never adopted, or not by us
        return pod.digest

    def _volume(self, pod: Pod) -> str:
        container = self._podman.inspect("container", pod.container) or {}
        mounts = container.get("Mounts")
        for mount in mounts if isinstance(mounts, list) else []:
            if isinstance(mount, Mapping) and mount.get("Destination") == CONF_DIR:
                return str(mount.get("Name"))
        raise ToolError(f"{pod.container} has no volume of ours at {CONF_DIR}")


def config_files(artefacts: Artefacts) -> dict[str, bytes]:
    """Return the files that the ConfigMap of *artefacts* carries."""
    return {
        name: text.encode() for name, text in artefacts.files.items() if name not in {POD, COMPOSE}
    }
