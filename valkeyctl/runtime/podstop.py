"""How a pod ends: its server first, then the pod, and at last what only belonged to it."""

from __future__ import annotations

import math
import re
import time

from valkeyctl.runtime.ending import KILLED
from valkeyctl.runtime.pod import Pod, PodNames
from valkeyctl.runtime.podmancli import PodmanCommand

_MARGIN = 30.0
_REMOVALS = 5


def end_pod(podman: PodmanCommand, pod: Pod, grace: float) -> bool:
    """Stop *pod*; False when the server had to be killed.

    Args:
        podman: The command.
        pod: That exists.
        grace: Seconds that the server may take to save and end.

    Raises:
        ToolError: podman failed.
    """
    if pod.state == "paused":
        podman.run("unpause", pod.container)
    # A stop of its own: `kube play --replace` and `kube down` of Podman 4 end the
    # server before it has saved.
    seconds, longest = str(math.ceil(grace)), grace + _MARGIN
    # The server before its pod: `pod stop` takes the network away at the same moment. Then
    # replicas and clients hear nothing of the end, the server waits for replicas in vain,
    # and a node of a Cluster cannot hand over.
    began = time.monotonic()
    podman.run("stop", "--time", seconds, pod.container, timeout=longest, finish=longest)
    late = time.monotonic() - began >= grace
    podman.require("pod", "stop", "--time", seconds, pod.name, timeout=longest, finish=longest)
    if not late:
        return True  # not asked for its exit code: clients are waiting
    after = podman.inspect("container", pod.container) or {}
    state = after.get("State")
    code = state.get("ExitCode") if isinstance(state, dict) else 0
    return not pod.running or code != KILLED


def remove_pod(podman: PodmanCommand, pod: str) -> None:
    """Remove a pod, as often as it takes.

    A server that ends at its start is restarted by Podman, and one that starts just
    while the pod is removed makes `pod rm` fail half way: containers gone, pod left.

    Raises:
        ToolError: It cannot be removed.
    """
    for attempt in range(_REMOVALS):
        podman.run("pod", "rm", "--force", pod)
        if podman.inspect("pod", pod) is None:
            return
        time.sleep(0.1 * (attempt + 1))
    podman.require("pod", "rm", "--force", pod)


def drop_configs(podman: PodmanCommand, unit: str, *, keep: int) -> None:
    """Remove the ConfigMap volumes of earlier renders of *unit*, but for the last *keep*."""
    prefix = PodNames(unit).config_prefix
    words = ("--filter", f"name={prefix}", "--format", "{{.CreatedAt}}\t{{.Name}}")
    # It fails when somebody else removes any volume while it lists them (seen on 4.3.1).
    for _ in range(_REMOVALS):
        listed = podman.run("volume", "ls", *words)
        if listed.ok:
            break
    found = [line.rpartition("\t") for line in listed.out.splitlines()]
    mine = sorted(
        (made, volume)
        for made, _, volume in found
        if re.fullmatch(re.escape(prefix) + "[0-9a-f]{12}", volume)
    )
    # A volume that is in use, the current one among them, is not removed by `volume rm`.
    for _, volume in mine[: max(len(mine) - keep, 0)]:
        podman.run("volume", "rm", volume)
