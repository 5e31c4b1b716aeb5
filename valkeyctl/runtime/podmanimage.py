"""The image that a unit is made from: whether it is here, and which server is in it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
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


def facts_of(podman: PodmanCommand, pods: Mapping[str, Pod]) -> dict[str, dict[str, str]]:
    """Return how the containers of *pods* were made, by the pods' keys; see `Instance.facts`.

    Where its tag has moved to another image since, the image is told with its id.
    """
    now = {}
    for image in {pod.image for pod in pods.values() if pod.image}:
        found = podman.run("image", "inspect", "--format", "{{.Id}}", image).out
        now[image] = found.strip().removeprefix("sha256:")
    facts = {}
    for name, pod in pods.items():
        facts[name], made_from = dict(pod.facts), pod.facts.get(IMAGE_ID, "")
        here = now.get(pod.image, "")
        if made_from and here and not here.startswith(made_from):
            facts[name]["image"] = f"{pod.image} of before ({made_from})"
    return facts


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


def versions_inside(podman: PodmanCommand, pods: Mapping[str, Pod], root: Path) -> dict[str, str]:
    """Return the versions of the servers in *pods*, by unit; empty of one that cannot be asked.

    Asked once for each image: of all calls to podman an exec takes the longest.

    Args:
        podman: The command.
        pods: As they were found, by the unit's name.
        root: Folder of our own ones of the units, where the answer is kept.
    """
    known: dict[str, str] = {}  # by the id of the image
    found: dict[str, str] = {}
    running = {name: pod for name, pod in pods.items() if pod.state == "running"}
    kept = {name: _kept_version(root / name, pod) for name, pod in running.items()}
    for name, pod in running.items():
        if kept[name]:
            known[pod.facts.get(IMAGE_ID, "")] = kept[name]
    for name, pod in running.items():
        image = pod.facts.get(IMAGE_ID, "")
        version = kept[name] or (known.get(image, "") if image else "")
        if not version:
            words = ("exec", pod.container, "valkey-server", "--version")
            version = version_in(podman.run(*words).out)
        if version and not kept[name] and (root / name).is_dir():
            with contextlib.suppress(FolderError):  # then it is asked again
                text = json.dumps({"image": image, "version": version})
                write_private(root / name / _VERSION, f"{text}\n")
        known[image] = found[name] = version
    return found


def _kept_version(folder: Path, pod: Pod) -> str:
    """Return what was kept of the image that *pod* is made from; empty when nothing."""
    image = pod.facts.get(IMAGE_ID, "")
    try:
        known = json.loads((folder / _VERSION).read_text(encoding="utf-8"))
        return str(known["version"]) if image and known["image"] == image else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # not asked yet
