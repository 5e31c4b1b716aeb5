"""Why a server does not answer at its published address, as far as podman can tell."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from valkeyctl.errors import ToolError
from valkeyctl.render.topology import deployment_of
from valkeyctl.runtime.cutnote import read_note
from valkeyctl.runtime.ending import Ending, last_ending
from valkeyctl.runtime.pod import Pod
from valkeyctl.runtime.podmancli import PodmanCommand
from valkeyctl.runtime.podmantraps import Traps
from valkeyctl.runtime.port import PORT_HINT, taken_by
from valkeyctl.runtime.protocol import Trouble
from valkeyctl.runtime.ready import ask

_PROBE_TIMEOUT = 5.0


def find_trouble(podman: PodmanCommand, pod: Pod, folder: Path, version: str) -> Trouble | None:
    """Return what is wrong with the server in *pod*; None when nothing is known to be.

    A server that podman has restarted after the kernel killed it is in trouble,
    although it answers: it will be killed again.

    Args:
        podman: To ask with.
        pod: As it was found.
        folder: Where podman was started when the pod was made.
        version: Of podman.
    """
    container = podman.inspect("container", pod.container) or {}
    if pod.state == "paused":
        return Trouble(
            "is paused, and answers nothing", f"Go on: {podman} unpause {pod.container}", now=True
        )
    ending = last_ending(podman, container, folder, Traps.of(version))
    if pod.state != "running":
        if ending is None:
            return None  # it was made, and never started: its start says why
        # While its pod is up podman itself holds the port.
        other = "" if pod.holds_port else taken_by(pod.endpoint.host, pod.endpoint.port)
        if other:
            sentence = ending.sentence(time.time())
            return Trouble(f"{sentence}; {other} has its port now", PORT_HINT, now=True)
        return _ended(ending, now=True)
    # The pod does not say whether its server speaks TLS.
    if any(ask(replace(pod.endpoint, tls=tls)) != "silent" for tls in (False, True)):
        # A drill was meant; whoever asked for it has its report.
        if ending is None or ending.cause in {"itself", "drill"}:
            return None
        return _ended(ending, now=False)
    if answers_inside(podman, container):
        if _is_cut_off(podman, pod, folder):
            undo = f"Undo it: valkeyctl drill undo -p {deployment_of(folder.name)}"
            return Trouble("is cut off from its network by a drill", undo, now=True)
        if _without_network(podman, pod, folder.name):
            return Trouble(
                "answers inside its container, and its pod is on no network any more",
                "Make it anew: valkeyctl deploy",
                now=True,
            )
        return Trouble(
            f"answers inside its container, and not at {pod.endpoint.address}: the published "
            "port is dead",
            "Renew the port: valkeyctl restart",
            now=True,
        )
    if ending is not None:
        return _ended(ending, now=True)
    return Trouble("does not answer inside its container either", "", now=True)


def _is_cut_off(podman: PodmanCommand, pod: Pod, folder: Path) -> bool:
    """Say whether a drill has taken this very *pod* off its networks."""
    try:
        note = read_note(folder)
    except ToolError:
        return True  # written for a cut, and for nothing else
    facts = podman.inspect("pod", pod.name) if note is not None else None
    return bool(note and facts and facts.get("InfraContainerID") == note.infra)


def _without_network(podman: PodmanCommand, pod: Pod, unit: str) -> bool:
    """Say whether somebody has taken *unit* off the network that the units of a topology have."""
    if deployment_of(unit) == unit:
        return False
    facts = podman.inspect("pod", pod.name) or {}
    if not (infra := str(facts.get("InfraContainerID") or "")):
        return False  # it is gone meanwhile
    settings = (podman.inspect("container", infra) or {}).get("NetworkSettings")
    return isinstance(settings, dict) and not settings.get("Networks")


def answers_inside(podman: PodmanCommand, container: Mapping[str, object]) -> bool:
    """Say whether the liveness probe of *container* finds the server alive.

    It is run by ``podman exec``: a failed ``podman healthcheck run`` may restart the
    container.
    """
    config = container.get("Config")
    check = config.get("Healthcheck") if isinstance(config, dict) else None
    test = check.get("Test") if isinstance(check, dict) else None
    words = [str(word) for word in test] if isinstance(test, list) else []
    if words[:1] == ["CMD-SHELL"]:
        words = ["sh", "-c", " ".join(words[1:])]
    elif words[:1] == ["CMD"]:
        words = words[1:]
    else:
        return False
    try:
        name = str(container.get("Id", ""))
        return podman.run("exec", name, *words, timeout=_PROBE_TIMEOUT).ok
    except ToolError:  # it hangs, as whatever it asks does
        return False


def _ended(ending: Ending, *, now: bool) -> Trouble:
    return Trouble(ending.sentence(time.time()), ending.hint, now=now)
