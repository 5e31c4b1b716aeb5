"""The image that a unit is made from: whether it is here, and which server is in it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from valkeyctl.errors import FolderError, MissingError
from valkeyctl.render.artefacts import Artefacts
from valkeyctl.runtime.containertrial import version_in
from valkeyctl.runtime.files import write_private
from valkeyctl.runtime.pod import IMAGE_ID, Pod
from valkeyctl.runtime.podmancli import PodmanCommand

_PULL_TIMEOUT = 900.0
_VERSION = "version.json"


def has_image(podman: PodmanCommand, image: str) -> bool:
    """Say whether *image* is on this machine."""
    return podman.run("image", "exists", image).ok


def require_image(podman: PodmanCommand, artefacts: Artefacts) -> str:
    """Return the short id of the image, pulled first where the profile allows it.

    Raises:
        MissingError: It is not here.
        ToolError: podman failed.
    """
    image = artefacts.image
    if not has_image(podman, image):
        pull = f"{podman} pull {image}"
        if artefacts.pull == "never":
            raise MissingError(f"the image {image} is not here", hint=f"Fetch it: {pull}")
        pulled = podman.run("pull", "--quiet", image, timeout=_PULL_TIMEOUT)
        if not pulled.ok:
            raise MissingError(
                f"the image {image} is not here and cannot be pulled: {pulled.problem}",
                hint=f"Fetch it where there is a registry: {pull}",
            )
    out = podman.require("image", "inspect", "--format", "{{.Id}}", image)
    return out.strip().removeprefix("sha256:")[:12]


def server_version(podman: PodmanCommand, artefacts: Artefacts) -> str:
    """Return the version of the server in the image; empty when it does not tell.

    Raises:
        MissingError: The image is not here.
        ToolError: podman failed.
    """
    require_image(podman, artefacts)
    words = ("--rm", "--network", "none", "--pull", "never", "--image-volume", "ignore")
    entry = ("--entrypoint", "valkey-server", artefacts.image, "--version")
    return version_in(podman.run("run", *words, *entry).out)


def version_inside(podman: PodmanCommand, pod: Pod, folder: Path) -> str:
    """Return the version of the server in *pod*; empty when it cannot be asked.

    Asked once for each image: of all calls to podman an exec takes the longest.

    Args:
        podman: The command.
        pod: As it was found.
        folder: Our own of the unit, where the answer is kept; it may not exist.
    """
    if pod.state != "running":
        return ""
    image, file = pod.facts.get(IMAGE_ID, ""), folder / _VERSION
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        if image and known["image"] == image:
            return str(known["version"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not asked yet
    found = version_in(podman.run("exec", pod.container, "valkey-server", "--version").out)
    if found and folder.is_dir():
        with contextlib.suppress(FolderError):  # then it is asked again
            write_private(file, json.dumps({"image": image, "version": found}) + "\n")
    return found
